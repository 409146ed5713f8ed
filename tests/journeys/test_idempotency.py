"""Idempotency keys: one key of one caller runs one thing, once, for a day."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_mcp.gateway.call import Answered
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import (
    Conflict,
    Disabled,
    ErrorCode,
    InvalidInput,
    SimMcpError,
    Throttled,
    UnknownTool,
)
from sim_mcp.model.execution import Call, Execution, Status, Trigger
from sim_mcp.model.principal import Permission
from sim_mcp.model.tool import Mode
from sim_mcp.sim.fake import FakeSim, faults, workflow_id
from tests.patience import PATIENCE_S
from tests.world import SandboxTime, World, open_world, principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R47")]

DAY_S = 86_400.0
ECHO = workflow_id("acme", "echo")


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[World]:
    """Both tenants connected, `echo` allowed for both."""
    async with open_world(tmp_path, clock=clock) as opened:
        for tenant in ("acme", "globex"):
            await opened.allow(tenant, "echo")
        yield opened


def keyed(
    *,
    key: str = "order-1042",
    tenant: str = "acme",
    organization: str | None = None,
    subject: str = "ada",
    text: object = "hello",
    **fields: Any,
) -> Call:
    """A call of `echo` under an idempotency key."""
    asker = replace(principal(tenant, subject), organization_id=organization)
    values: dict[str, Any] = {"tool_name": "echo", "arguments": {"text": text}, "trigger": Trigger.API}
    return Call(principal=asker, idempotency_key=key, **(values | fields))


async def answer(world: World, call: Call, *, patience_s: float | None = None) -> Answered:
    """What the call comes to, bounded in time."""
    with anyio.fail_after(PATIENCE_S):
        return await world.app.gateway.answer(call, patience_s=patience_s)


async def test_a_repeat_gets_the_first_execution_and_is_told_so(world: World) -> None:
    """Same key, same request, in whatever order its fields come."""
    first = await answer(world, keyed(arguments={"text": "x", "n": {"a": 1, "b": 2}}))
    again = await answer(world, keyed(arguments={"n": {"b": 2, "a": 1}, "text": "x"}))
    assert (first.is_replay, again.is_replay) == (False, True)
    assert again.execution == first.execution
    assert len(world.started) == 1


@pytest.mark.parametrize(
    "other",
    [
        keyed(text="goodbye"),
        keyed(text=["hello"]),
        keyed(arguments={"text": "hello", "more": None}),
        keyed(timeout_s=30.0),
        keyed(mode=Mode.ASYNC),
        keyed(tool_name=None, workflow_id=ECHO),
        keyed(tool_name="no_such_tool"),
    ],
)
async def test_another_request_under_the_same_key_is_a_conflict(world: World, other: Call) -> None:
    """It names the earlier execution, runs nothing and leaves the key as it is."""
    first = await answer(world, keyed())
    with pytest.raises(Conflict) as caught:
        await answer(world, other)
    assert first.execution.id in caught.value.message
    assert "hello" not in caught.value.message
    assert (await answer(world, keyed())).execution.id == first.execution.id
    assert len(world.started) == 1


@pytest.mark.requirement("R35")
@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "globex"},
        {"organization": "north"},
        {"subject": "bob"},
        {"trigger": Trigger.EVENT},
        {"trigger": Trigger.MCP},
    ],
)
async def test_nobody_meets_anothers_execution_by_guessing_the_key(
    world: World, other: dict[str, Any]
) -> None:
    """Tenant, organisation, subject and door each have keys of their own: the same one runs anew."""
    mine = await answer(world, keyed())
    theirs = await answer(world, keyed(**other))
    assert not theirs.is_replay
    assert theirs.execution.id != mine.execution.id
    await answer(world, keyed(**other, text="a different request is no conflict either", key="k2"))
    assert len(world.started) == 3


@pytest.mark.requirement("R36")
@pytest.mark.parametrize("processes", [1, 2])
async def test_of_many_equal_calls_at_once_one_runs_and_all_get_it(tmp_path: Path, processes: int) -> None:
    """On one database file, in one process and in two."""
    clock = ManualClock()
    sim = FakeSim(time=SandboxTime(clock))
    told = list[Answered]()
    async with (
        open_world(tmp_path, clock=clock, sim=sim) as first,
        open_world(tmp_path, clock=clock, sim=sim) as second,
    ):
        await first.allow("acme", "echo")
        worlds = [first, second][:processes]

        async def ask(world: World) -> None:
            told.append(await answer(world, keyed()))

        async with anyio.create_task_group() as group:
            group.start_soon(pass_time, clock, group.cancel_scope, lambda: len(told) == 60)
            for number in range(60):
                group.start_soon(ask, worlds[number % processes])
        assert len(sim.runs) == 1
        assert Counter(each.is_replay for each in told) == {False: 1, True: 59}
        assert {each.execution.id for each in told} == {told[0].execution.id}
        assert {each.execution.status for each in told} == {Status.COMPLETED}
        assert len(await first.rows("acme")) == 1


async def pass_time(clock: ManualClock, scope: anyio.CancelScope, is_over: Any) -> None:
    """Let the test's time pass for those who sleep on it, until `is_over`."""
    while not is_over():
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        clock.advance(0.5)
    scope.cancel()


async def test_a_repeat_while_it_runs_waits_for_the_same_run(world: World) -> None:
    """Neither the concurrency limit nor the rate stands in its way: it asks for nothing."""
    await world.allow("acme", "echo", max_concurrency=1)
    world.sim.script(faults.Hang(run_started=True))
    first = await answer(world, keyed(), patience_s=0)
    again = await answer(world, keyed(), patience_s=0)
    assert (first.execution.status, again.execution.status) == (Status.PROCESSING, Status.PROCESSING)
    assert (again.is_replay, again.execution.id) == (True, first.execution.id)
    with pytest.raises(Throttled):
        await answer(world, keyed(key="another"))
    assert len(world.started) == 1


async def test_a_repeat_is_answered_although_the_world_has_changed(tmp_path: Path) -> None:
    """The limit of the month, the switch and the allow-list are about new runs."""
    async with open_world(tmp_path, monthly_executions=1) as world:
        await world.allow("acme", "echo")
        first = await answer(world, keyed())
        await world.app.administration.set_enabled(principal("acme"), is_enabled=False)
        await world.app.workflows.disallow(principal("acme"), "echo")
        assert await answer(world, keyed()) == Answered(execution=first.execution, is_replay=True)
        with pytest.raises(Disabled):
            await answer(world, keyed(key="another"))


@pytest.mark.requirement("R33")
async def test_a_permission_that_was_taken_counts_for_repeats_too(world: World) -> None:
    """Without EDIT the tool is hidden, and so is what it answered."""
    call = keyed()
    await answer(world, call)
    reader = replace(call.principal, permissions=frozenset({Permission.VIEW}))
    with pytest.raises(UnknownTool):
        await answer(world, replace(call, principal=reader))


async def test_a_refusal_before_the_run_does_not_burn_the_key(world: World) -> None:
    """Switched off, wrong input, throttled: the repeat is tried afresh."""
    await world.app.administration.set_enabled(principal("acme"), is_enabled=False)
    with pytest.raises(Disabled):
        await answer(world, keyed())
    await world.app.administration.set_enabled(principal("acme"), is_enabled=True)
    with pytest.raises(InvalidInput):
        await answer(world, keyed(timeout_s=0.5))
    assert not (await answer(world, keyed())).is_replay
    assert len(world.started) == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (faults.Unauthorized401(), ErrorCode.UNAUTHORIZED),
        (faults.UsageExceeded402(), ErrorCode.USAGE_LIMIT_EXCEEDED),
    ],
)
async def test_a_run_that_sim_refused_does_not_burn_the_key(
    world: World, fault: Any, code: ErrorCode
) -> None:
    """Nothing ran, so there is nothing to repeat: the same key may start the run."""
    world.sim.script(fault)
    refused = await answer(world, keyed())
    assert refused.execution.error is not None
    assert (refused.execution.error.code, world.started) == (code, [])
    again = await answer(world, keyed())
    assert (again.is_replay, again.execution.status) == (False, Status.COMPLETED)
    assert (await answer(world, keyed())).is_replay
    assert len(world.started) == 1


@pytest.mark.requirement("R38")
async def test_an_open_breaker_does_not_burn_the_key(world: World, clock: ManualClock) -> None:
    """SIM was not asked; when it is well again the same key runs."""
    world.sim.script(*[faults.HtmlPage(status=502)] * 5)
    for number in range(5):
        await answer(world, keyed(key=f"before {number}"), patience_s=0)
        await until_idle(world)
    refused = (await answer(world, keyed())).execution
    assert refused.error is not None
    assert refused.error.code is ErrorCode.CIRCUIT_OPEN
    clock.advance(61)
    told = await answer(world, keyed())
    assert (told.is_replay, told.execution.status) == (False, Status.COMPLETED)
    assert len(world.started) == 1


async def until_idle(world: World) -> None:
    """Let the calls in the background end."""
    with anyio.fail_after(PATIENCE_S):
        while world.app.follower.live_count:
            await anyio.lowlevel.checkpoint()


async def test_a_failed_run_and_a_cancelled_one_are_outcomes(world: World) -> None:
    """Something ran, or a person said no: the repeat gets that answer and starts nothing."""
    await world.allow("acme", "failing")
    failed = await answer(world, keyed(tool_name="failing"))
    assert failed.execution.status is Status.FAILED
    assert await answer(world, keyed(tool_name="failing")) == replace(failed, is_replay=True)
    world.sim.script(faults.Hang(run_started=True))
    going = await answer(world, keyed(key="k2"), patience_s=0)
    with anyio.fail_after(PATIENCE_S):
        while len(world.started) < 2:  # cancelled before that, nothing would have run
            await anyio.lowlevel.checkpoint()
    cancelled = await world.app.runs.cancel(principal("acme"), going.execution.id)
    again = await answer(world, keyed(key="k2"), patience_s=0)
    assert (again.execution.id, again.execution.status) == (cancelled.id, cancelled.status)
    assert len(world.started) == 2


@pytest.mark.requirement("R36")
async def test_a_lost_answer_keeps_the_key(world: World) -> None:
    """A run may have begun: the repeat follows it, and gets its end."""
    world.sim.script(faults.LostAnswer())
    lost = await answer(world, keyed(), patience_s=0)
    again = await answer(world, keyed(), patience_s=0)
    assert again.execution.id == lost.execution.id
    await world.follow_up(rounds=4)
    told = await answer(world, keyed())
    assert (told.is_replay, told.execution.status) == (True, Status.COMPLETED)
    assert len(world.started) == 1


async def test_after_a_day_the_key_is_free(world: World, clock: ManualClock) -> None:
    """And not a microsecond earlier."""
    first = await answer(world, keyed())
    clock.advance(DAY_S - 0.000_001)
    assert (await answer(world, keyed())).execution.id == first.execution.id
    clock.advance(0.000_001)
    second = await answer(world, keyed(text="another request, even"))
    assert not second.is_replay
    assert (await answer(world, keyed(text="another request, even"))).execution.id == second.execution.id
    assert len(world.started) == 2


@pytest.mark.requirement("R34")
@pytest.mark.parametrize("key", ["", "a" * 256, "schlüssel", "a\nb", "a\x00", "a\x7f", "🔑"])
async def test_what_is_no_key_is_refused_without_being_repeated(world: World, key: str) -> None:
    """1 to 255 printable ASCII characters."""
    with pytest.raises(InvalidInput, match="1 to 255 printable ASCII") as caught:
        await answer(world, keyed(key=key))
    assert not key or key not in caught.value.message
    assert not world.started
    assert (await answer(world, keyed(key="~" * 255))).execution.status is Status.COMPLETED


@pytest.mark.requirement("R60")
async def test_neither_input_nor_a_key_that_is_a_secret_is_written_down(world: World, tmp_path: Path) -> None:
    """Not even as a hash that a guess could be held against."""
    call = keyed(key="sk-live-0123456789abcdef", arguments={"pin": "4711"})
    execution = (await answer(world, call)).execution
    stored = bytes_in(tmp_path)
    assert execution.idempotency_key == "[redacted]"
    assert b"sk-live" not in stored
    guess = '["echo",null,null,null,{"pin":"4711"}]'
    assert sha256(guess.encode()).hexdigest().encode() not in stored


def bytes_in(folder: Path) -> bytes:
    """Everything in the database's files."""
    return b"".join(path.read_bytes() for path in folder.glob("sim-mcp.db*"))


async def test_arguments_too_deep_to_compare_are_refused(world: World) -> None:
    """As deep as arguments may nest at all, and no crash below."""
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(SimMcpError, match="nested deeper"):
        await answer(world, keyed(text=deep))


Claim = tuple[object, ...]
"""Whose key: the facts about the caller, and the key."""

Step = tuple[Literal["call", "die", "wait"], int, int, int, float, bool]
steps = st.tuples(
    st.sampled_from(["call", "call", "call", "call", "die", "wait"]),
    st.integers(0, 1),  # key
    st.integers(0, 3),  # caller
    st.integers(0, 1),  # body
    st.sampled_from([1.0, 40.0, DAY_S / 2, DAY_S]),
    st.booleans(),  # whether SIM's answer gets lost
)
CALLERS: list[dict[str, Any]] = [
    {"tenant": "acme"},
    {"tenant": "acme", "organization": "north"},
    {"tenant": "acme", "subject": "bob"},
    {"tenant": "globex"},
]


@settings(max_examples=25, deadline=None)
@given(story=st.lists(st.lists(steps, min_size=1, max_size=5), min_size=1, max_size=6))
def test_never_two_runs_for_one_key_and_never_anothers_answer(story: list[list[Step]]) -> None:
    """Any interleaving of keys, bodies, callers, deaths of the server and passing time."""
    anyio.run(live_through, story)


async def live_through(story: list[list[Step]]) -> None:
    """Each scene is one life of the server, on the same database and the same SIM."""
    clock = ManualClock()
    sim = FakeSim(time=SandboxTime(clock))
    seen = dict[str, set[Claim]]()
    with TemporaryDirectory() as folder:
        for scene in story:
            async with open_world(Path(folder), clock=clock, sim=sim) as world:
                for tenant in ("acme", "globex"):
                    await world.allow(tenant, "echo")
                async with anyio.create_task_group() as group:
                    for kind, key, caller, body, time_s, is_lost in scene:
                        if kind == "die":  # leaving the world cuts its calls off, wherever they are
                            break
                        if kind == "wait":
                            await world.follow_up(advance_s=time_s)
                            continue
                        if is_lost:
                            sim.script(faults.LostAnswer())
                        call = keyed(**CALLERS[caller], key=f"key {key}", text=f"{caller}-{key}-{body}")
                        group.start_soon(ask, world, call, seen)
            clock.advance(20)
        async with open_world(Path(folder), clock=clock, sim=sim) as world:
            await world.follow_up(rounds=30)
            rows = [row for tenant in ("acme", "globex") for row in await world.rows(tenant)]
    check(rows, [run.run_id for run in sim.runs], seen)


async def ask(world: World, call: Call, seen: dict[str, set[Claim]]) -> None:
    """Make the call, and note whose key led to which execution."""
    try:
        execution = (await world.app.gateway.answer(call, patience_s=0)).execution
    except Conflict:
        return
    assert execution.input == call.arguments
    seen.setdefault(execution.id, set()).add(claim_of(execution))
    assert claim_of(execution) == (
        *(call.principal.tenant_id, call.principal.organization_id, call.principal.subject),
        call.idempotency_key,
    )


def claim_of(row: Execution) -> Claim:
    """Whose key the row was opened under."""
    return (row.tenant_id, row.organization_id, row.subject, row.idempotency_key)


def check(rows: list[Execution], started: list[str], seen: dict[str, set[Claim]]) -> None:
    """Every run has its row, no execution was told to two, and two runs of a key are a day apart."""
    assert all(row.status.is_final for row in rows)
    assert set(started) <= {row.run_id for row in rows}
    assert len(set(started)) == len(started)
    assert all(len(claims) == 1 for claims in seen.values())
    began = dict[Claim, list[datetime]]()
    for row in rows:
        if row.run_id in started:
            began.setdefault(claim_of(row), []).append(row.created_at)
    for moments in began.values():
        ordered = sorted(moments)
        for earlier, later in pairwise(ordered):
            assert (later - earlier).total_seconds() >= DAY_S
