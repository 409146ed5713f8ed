"""One call through every floor: what is sent, what is never sent twice, and what the row says."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import pytest

from sim_mcp.gateway.waiting import LOOK_AGAIN_S
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.credentials import REDACTED
from sim_mcp.model.errors import (
    Disabled,
    ErrorCode,
    InvalidInput,
    MonthlyLimitReached,
    NotConfigured,
    Throttled,
    UnknownTool,
)
from sim_mcp.model.execution import Execution, Status
from sim_mcp.model.principal import Permission, Principal, TenantId
from sim_mcp.model.tool import Mode
from sim_mcp.sim.fake import FakeSim, faults, workflow_id
from tests.patience import PATIENCE_S
from tests.world import World, open_world, principal

pytestmark = pytest.mark.anyio
NO_INPUT: dict[str, object] = {"type": "object"}


@pytest.fixture(params=["v2", "legacy"])
def sim(request: pytest.FixtureRequest, clock: ManualClock) -> FakeSim:
    """The fake SIM in each dialect."""
    from tests.world import SandboxTime

    return FakeSim(time=SandboxTime(clock), v2_enabled=request.param == "v2")


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock, sim: FakeSim) -> AsyncGenerator[World]:
    """Both tenants connected, `echo` allowed for both."""
    async with open_world(tmp_path, clock=clock, sim=sim) as opened:
        await opened.allow("acme", "echo")
        await opened.allow("globex", "echo")
        yield opened


async def call(world: World, tool: str = "echo", tenant: str = "acme", **fields: Any) -> Execution:
    """One call, bounded in time."""
    with anyio.fail_after(PATIENCE_S):
        return await world.app.gateway.call(world.call(tenant, tool, **fields))


@pytest.mark.requirement("R14", "R16", "R27", "R57")
async def test_a_completed_run_answers_with_its_output_and_leaves_a_row(world: World) -> None:
    """Input in, output out; the row knows the run, the duration and who asked."""
    execution = await call(world, arguments={"text": "hello"})
    assert execution.status is Status.COMPLETED
    assert execution.output == {"result": {"text": "hello"}, "stdout": ""}
    assert [execution.run_id] == world.started
    assert (execution.subject, execution.attempts, execution.tenant_id) == ("ada", 1, "acme")
    assert execution.duration_ms is not None
    assert await world.rows("acme") == (execution,)


@pytest.mark.requirement("R27", "R60")
async def test_a_secret_input_reaches_sim_but_no_row_and_no_result(world: World, tmp_path: Path) -> None:
    """SIM gets it as it is; the database file and the answer do not."""
    execution = await call(world, arguments={"login": {"password": "hunter2-Hunter2"}, "text": "x"})
    assert [run.input for run in world.sim.runs] == [{"login": {"password": "hunter2-Hunter2"}, "text": "x"}]
    assert "hunter2" not in repr(execution)
    stored = bytes_in(tmp_path)
    assert b"hunter2" not in stored
    assert b"sk-sim-sandbox" not in stored


@pytest.mark.requirement("R60")
async def test_a_large_input_takes_the_same_way_as_a_small_one(world: World) -> None:
    """Checked, read and masked in threads: the same row, the same secrecy, the same refusal."""
    await world.allow("acme", "echo", "strict", input_schema={"type": "object", "required": ["password"]})
    rows = [{"id": number} for number in range(2_000)]
    done = await call(world, "strict", arguments={"password": "hunter2-hunter2", "rows": rows})
    assert done.status is Status.COMPLETED
    assert isinstance(done.input, dict)
    assert done.input == {"password": REDACTED, "rows": rows}
    assert "hunter2" not in str(done.output)
    with pytest.raises(InvalidInput, match="lacks the required property 'password'"):
        await call(world, "strict", arguments={"token": "hunter2-hunter2", "rows": rows})
    (refused,) = [row for row in await world.rows("acme") if row.status is Status.FAILED]
    assert refused.input == {"token": REDACTED, "rows": rows}
    assert await world.rows("globex") == ()


@pytest.mark.requirement("R27", "R60")
async def test_a_secret_that_comes_back_after_a_restart_is_masked_too(
    tmp_path: Path, clock: ManualClock, sim: FakeSim
) -> None:
    """The process that was told the password is gone; the row that it left knows what to hide."""
    async with open_world(tmp_path, clock=clock, sim=sim) as world:
        await world.allow("acme", "echo")
        sim.script(faults.LostAnswer())
        arguments = {"password": "hunter2-Hunter2"}
        lost = await world.app.gateway.call(world.call("acme", "echo", arguments), patience_s=0)
        await settle_background(world, clock, rounds=0)
    async with open_world(tmp_path, clock=clock, sim=sim) as world:
        await settle_background(world, clock)
        row = await world.row(lost)
        assert (row.status, row.output) == (
            Status.COMPLETED,
            {"result": {"password": "[redacted]"}, "stdout": ""},
        )
        assert b"hunter2" not in bytes_in(tmp_path)


@pytest.mark.requirement("R31", "R32")
async def test_a_workflow_that_returns_the_tenants_key_does_not_get_it_out(world: World) -> None:
    """Not into the answer and not into the row."""
    execution = await call(world, arguments={"text": "the key is sk-sim-sandbox-acme!"})
    assert "sk-sim-sandbox-acme" not in repr(execution.output)


@pytest.mark.requirement("R2", "R12", "R35", "R41")
async def test_each_tenants_own_key_reaches_sim_under_concurrency(world: World) -> None:
    """Forty calls of two tenants at once: no key crosses over."""
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(call, world, "echo", "acme")
            group.start_soon(call, world, "echo", "globex")
    keys = {(run.account, run.key) for run in world.sim.runs}
    assert keys == {("acme", "sk-sim-sandbox-acme"), ("globex", "sk-sim-sandbox-globex")}
    assert len(world.started) == len(set(world.started)) == 40


@pytest.mark.requirement("R41", "R8")
async def test_a_rotated_key_is_used_by_the_next_call_and_the_old_one_by_none(world: World) -> None:
    """No cache keeps an old key alive."""
    await call(world)
    world.sim.rotate_key("acme", "sk-sim-sandbox-acme-2")
    await world.app.administration.set_up(principal("acme"), api_key="sk-sim-sandbox-acme-2")
    await call(world)
    assert [run.key for run in world.sim.runs] == ["sk-sim-sandbox-acme", "sk-sim-sandbox-acme-2"]


@pytest.mark.requirement("R36")
@pytest.mark.parametrize(
    "fault",
    [faults.RateLimited(kind="gate"), faults.Unavailable503(), faults.RateLimited(kind="concurrency")],
)
async def test_a_call_that_provably_did_not_start_is_tried_again_under_a_new_run_id(
    world: World, clock: ManualClock, fault: faults.Fault
) -> None:
    """SIM said no before it began: waiting and asking again costs nothing."""
    world.sim.script(fault)
    found: list[Execution] = []

    async def caller() -> None:
        found.append(await call(world))

    async with anyio.create_task_group() as group:
        group.start_soon(caller)
        with anyio.fail_after(PATIENCE_S):
            while not (waits_s := [wait_s for wait_s in clock.slept_s if wait_s != LOOK_AGAIN_S]):
                await anyio.lowlevel.checkpoint()
            clock.advance(waits_s[0])
    assert (found[0].status, found[0].attempts) == (Status.COMPLETED, 2)
    assert world.started == [found[0].run_id]
    sent = [request for request in world.sim.requests if request.verb == "execute"]
    ids = {request.headers.get("x-run-id") or request.headers.get("x-execution-id") for request in sent}
    assert len(ids) == len(sent) == 2


@pytest.mark.requirement("R36", "R57")
@pytest.mark.parametrize("fault", [faults.LostAnswer(), faults.ResetMidBody(), faults.MalformedJson()])
async def test_a_lost_answer_is_looked_up_and_never_sent_again(
    world: World, clock: ManualClock, fault: faults.Fault
) -> None:
    """The run finished, the answer did not arrive: the follower finds it by the id that we chose."""
    world.sim.script(fault)
    lost = await world.app.gateway.call(world.call("acme", "echo", {"text": "once"}), patience_s=0)
    await settle_background(world, clock)
    row = await world.row(lost)
    assert (row.status, row.output) == (Status.COMPLETED, {"result": {"text": "once"}, "stdout": ""})
    assert world.started == [row.run_id]
    assert len([request for request in world.sim.requests if request.verb == "execute"]) == 1


@pytest.mark.requirement("R36")
async def test_a_run_that_never_reached_sim_is_closed_as_safe_to_repeat_after_the_grace(
    world: World, clock: ManualClock
) -> None:
    """The request was written and nothing came of it: only SIM can tell, and only after a while."""
    world.sim.script(faults.NotBegunReset())
    lost = await world.app.gateway.call(world.call("acme", "echo"), patience_s=0)
    await settle_background(world, clock, rounds=1, advance_s=1)
    row = await world.row(lost)
    assert row.status is Status.PROCESSING
    assert row.error is not None
    assert row.error.code is ErrorCode.OUTCOME_UNKNOWN
    await settle_background(world, clock)
    row = await world.row(lost)
    assert row.status is Status.FAILED
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == (ErrorCode.SIM_UNAVAILABLE, True)
    assert world.started == []


@pytest.mark.requirement("R15", "R36")
@pytest.mark.parametrize("starts_run", [True, False])
async def test_an_ambiguous_enqueue_is_polled_and_never_sent_again(
    world: World, clock: ManualClock, *, starts_run: bool
) -> None:
    """503 without a promise: exactly one POST, then GETs."""
    await world.allow("acme", "echo", "later", mode="async", timeout_s=600)
    world.sim.script(faults.AmbiguousEnqueue(starts_run=starts_run))
    lost = await world.app.gateway.call(world.call("acme", "later"), patience_s=0)
    await settle_background(world, clock)
    row = await world.row(lost)
    assert row.status is (Status.COMPLETED if starts_run else Status.FAILED)
    assert len([request for request in world.sim.requests if request.verb == "execute"]) == 1


@pytest.mark.requirement("R15")
async def test_an_async_run_is_followed_from_queued_to_its_real_end(world: World, clock: ManualClock) -> None:
    """An id at once; the outcome by polling."""
    await world.allow("acme", "slow", mode="async", timeout_s=600)
    handle = await world.app.gateway.call(world.call("acme", "slow", {"seconds": 30}), patience_s=0)
    assert not handle.status.is_final
    await settle_background(world, clock)
    row = await world.row(handle)
    assert row.status is Status.COMPLETED
    assert row.run_id == world.started[0]


@pytest.mark.requirement("R37")
@pytest.mark.parametrize("borrowed", [401, 404, 429])
async def test_a_failed_workflow_with_a_borrowed_status_is_a_failed_run(world: World, borrowed: int) -> None:
    """The workflow's own upstream said 401: nobody's key is bad."""
    await world.allow("acme", "failing")
    execution = await call(world, "failing", arguments={"status": borrowed})
    assert execution.status is Status.FAILED
    assert execution.error is not None
    assert execution.error.code is ErrorCode.EXECUTION_ERROR
    assert (await call(world)).status is Status.COMPLETED


@pytest.mark.requirement("R38", "R58")
async def test_a_failing_sim_opens_the_breaker_of_its_tenant_alone(world: World, clock: ManualClock) -> None:
    """Five failures: acme is refused at once without asking SIM, globex is served, a probe closes it."""
    world.sim.script(*[faults.HtmlPage(status=502)] * 5, key="sk-sim-sandbox-acme")
    for _ in range(5):
        await world.app.gateway.call(world.call("acme", "echo"), patience_s=0)
        await settle_background(world, clock, rounds=0)
    before = len(world.sim.requests)
    refused = await call(world)
    assert refused.error is not None
    assert refused.error.code is ErrorCode.CIRCUIT_OPEN
    assert refused.error.retry_after_s is not None
    assert len(world.sim.requests) == before
    assert (await call(world, tenant="globex")).status is Status.COMPLETED
    clock.advance(61)
    assert (await call(world)).status is Status.COMPLETED


@pytest.mark.requirement("R3", "R11", "R35")
async def test_hidden_foreign_and_unknown_tools_answer_alike_and_leave_rows(world: World) -> None:
    """What is not yours does not exist, in the same words."""
    await world.allow("acme", "quick", "only_acme")
    viewer = Principal(tenant_id=TenantId("acme"), permissions=frozenset({Permission.VIEW}))
    words: set[str] = set()
    for who, name in [
        (principal("globex"), "only_acme"),
        (principal("acme"), "missing1"),
        (viewer, "only_acme"),
    ]:
        asked = world.call("acme", name)
        with pytest.raises(UnknownTool) as caught:
            await world.app.gateway.call(
                type(asked)(principal=who, trigger=asked.trigger, tool_name=name, arguments={})
            )
        words.add(caught.value.message.replace(name, "NAME"))
        assert caught.value.execution_id is not None
    assert len(words) == 1
    assert len(await world.rows("acme")) == 2
    assert len(await world.rows("globex")) == 1
    assert world.started == []


@pytest.mark.requirement("R34")
async def test_bad_arguments_are_refused_with_their_path_and_sim_is_not_asked(world: World) -> None:
    """A model can repair the call from the message; the value is never repeated."""
    schema = {
        "type": "object",
        "properties": {"hours": {"type": "number"}},
        "required": ["hours"],
        "additionalProperties": False,
    }
    await world.allow("acme", "quick", "strict", input_schema=schema)
    with pytest.raises(InvalidInput) as caught:
        await call(world, "strict", arguments={"hours": "seven-and-a-half"})
    assert "hours" in caught.value.message
    assert "seven-and-a-half" not in caught.value.message
    assert world.started == []
    (row,) = await world.rows("acme")
    assert (row.status, row.error and row.error.code) == (Status.FAILED, ErrorCode.INVALID_INPUT)


@pytest.mark.requirement("R3", "R9")
async def test_a_disabled_integration_hides_its_tools_and_refuses_calls(world: World) -> None:
    """Off is off for one tenant, and for nobody else."""
    await world.app.administration.set_enabled(principal("acme"), is_enabled=False)
    assert await world.app.gateway.tools(principal("acme")) == ()
    with pytest.raises(Disabled):
        await call(world)
    assert (await call(world, tenant="globex")).status is Status.COMPLETED


async def test_a_tenant_without_an_account_is_told_how_to_connect_one(world: World) -> None:
    """The remedy is in the message."""
    with pytest.raises(NotConfigured, match="setup"):
        await call(world, tenant="initech")


@pytest.mark.requirement("R27", "R59")
async def test_a_flood_of_refusals_is_recorded_bounded_and_counted(world: World) -> None:
    """A thousand wrong calls a minute must not fill the disk, and must still show."""
    for _ in range(50):
        with pytest.raises(UnknownTool):
            await call(world, "missing")
    rows = await world.rows("acme")
    assert len(rows) == 21
    assert sum(row.refusals for row in rows) == 50


@pytest.mark.requirement("R59")
async def test_throttled_calls_are_refused_with_a_time_and_counted_on_one_row(
    tmp_path: Path, clock: ManualClock
) -> None:
    """One tenant's burst does not use up the other's share."""
    async with open_world(tmp_path, clock=clock, rate_per_minute=30) as world:
        await world.allow("acme", "echo")
        await world.allow("globex", "echo")
        waits_s = [await throttled_for_s(world) for _ in range(12)]
        refused = len([wait_s for wait_s in waits_s if wait_s > 0])
        assert refused > 1
        assert (await call(world, tenant="globex")).status is Status.COMPLETED
        throttled = [row for row in await world.rows("acme") if row.error]
        assert [row.refusals for row in throttled] == [refused]


@pytest.mark.requirement("R61")
async def test_the_monthly_limit_stops_the_next_run_and_ends_with_the_month(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Runs cost money: the n+1st is refused before SIM."""
    async with open_world(tmp_path, clock=clock, monthly_executions=2) as world:
        await world.allow("acme", "echo")
        await call(world)
        await call(world)
        with pytest.raises(MonthlyLimitReached):
            await call(world)
        assert len(world.started) == 2
        clock.advance(32 * 86_400)
        assert (await call(world)).status is Status.COMPLETED


@pytest.mark.requirement("R27")
async def test_a_caller_that_goes_away_does_not_touch_the_run(world: World, clock: ManualClock) -> None:
    """The request to SIM does not hang on the assistant's connection."""
    with anyio.CancelScope() as scope:

        async def leave(_: object) -> None:
            scope.cancel()

        await world.app.gateway.call(world.call("acme", "echo", {"text": "go on"}), watch=leave)
    await settle_background(world, clock, rounds=0)
    (row,) = await world.rows("acme")
    assert (row.status, row.run_id) == (Status.COMPLETED, world.started[0])


@pytest.mark.requirement("R36")
async def test_the_same_idempotency_key_attaches_to_the_first_call(world: World) -> None:
    """A nervous client asks twice and pays once."""
    first = await call(world, idempotency_key="k1")
    again = await call(world, idempotency_key="k1")
    other_tenant = await call(world, tenant="globex", idempotency_key="k1")
    assert again.id == first.id != other_tenant.id
    assert len(world.started) == 2


@pytest.mark.requirement("R34")
@pytest.mark.parametrize(("mode", "timeout_s"), [(Mode.SYNC, 0.9), (Mode.SYNC, 300.1), (Mode.ASYNC, 86_401)])
async def test_a_timeout_out_of_bounds_is_refused(world: World, mode: Mode, timeout_s: float) -> None:
    """One second to five minutes, a day for what is followed."""
    with pytest.raises(InvalidInput, match="timeout"):
        await call(world, mode=mode, timeout_s=timeout_s)


async def test_an_undeployed_workflow_says_so(world: World) -> None:
    """Not a failure of the workflow, and nothing to repeat."""
    await world.allow("acme", "undeployed")
    execution = await call(world, "undeployed")
    assert execution.error is not None
    assert (execution.status, execution.error.code) == (Status.FAILED, ErrorCode.NOT_DEPLOYED)


async def test_a_rejected_key_asks_for_setup(world: World) -> None:
    """SIM's 401 is about the stored key, and the message says whose move it is."""
    world.sim.rotate_key("acme", "sk-sim-sandbox-other")
    execution = await call(world)
    assert execution.error is not None
    assert execution.error.code is ErrorCode.UNAUTHORIZED
    assert "setup" in execution.error.message
    assert workflow_id("acme", "echo") == execution.workflow_id


async def throttled_for_s(world: World) -> float:
    """Call once: 0 when it went through, else the wait that the refusal names."""
    try:
        await call(world)
    except Throttled as error:
        return error.retry_after_s or 0.0
    return 0.0


def bytes_in(folder: Path) -> bytes:
    """Everything in the database's files."""
    return b"".join(path.read_bytes() for path in folder.glob("sim-mcp.db*"))


async def settle_background(
    world: World, clock: ManualClock, *, rounds: int = 6, advance_s: float = 20.0
) -> None:
    """Let background calls end, then let time pass and the follower look."""
    with anyio.fail_after(PATIENCE_S):
        while world.app.follower.live_count:
            await anyio.lowlevel.checkpoint()
    for _ in range(rounds):
        clock.advance(advance_s)
        with anyio.fail_after(PATIENCE_S):
            await world.app.follower.round()
