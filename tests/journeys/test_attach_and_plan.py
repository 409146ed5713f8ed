"""The same call again gets the first one's execution; a dry run shows, and binds, what a call would do."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest
from inline_snapshot import snapshot
from mcp import Client
from mcp_types import CallToolResult

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Conflict, ErrorCode, MonthlyLimitReached, SimMcpError, Throttled
from sim_mcp.model.execution import Status
from sim_mcp.model.tool import Mode
from sim_mcp.sim.fake import FakeSim, faults, workflow_id
from tests.journeys.mcp_clients import Era, connected, structured, told, words
from tests.patience import PATIENCE_S
from tests.world import SandboxTime, World, flowing, open_world, principal

if TYPE_CHECKING:
    from mcp_types import RequestParamsMeta

pytestmark = pytest.mark.anyio

ECHO = workflow_id("acme", "echo")


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[World]:
    """Both tenants with a tool that attaches for a minute, and one that does not."""
    async with open_world(tmp_path, clock=clock, sim=FakeSim(time=SandboxTime(clock))) as opened:
        for tenant in ("acme", "globex"):
            await opened.allow(tenant, "echo")
            await opened.allow(tenant, "echo", "steady", attach_s=60)
            await opened.allow(tenant, "failing", "breaking", attach_s=60)
        yield opened


async def called(client: Client, name: str, arguments: dict[str, Any], **meta: Any) -> CallToolResult:
    """One call with our keys in `_meta`."""
    return await client.call_tool(name, arguments, meta=cast("RequestParamsMeta", meta) if meta else None)


@pytest.mark.requirement("F3")
async def test_a_nervous_client_gets_the_first_ones_execution(world: World, era: Era) -> None:
    """The same arguments within the minute: one run, and the second answer says that nothing was started."""
    async with connected(world, era) as client:
        first = await called(client, "steady", {"text": "hello", "more": [1, 2]})
        again = await called(client, "steady", {"more": [1, 2], "text": "hello"})
        other = await called(client, "steady", {"text": "hello!"})
    assert structured(again) == structured(first)
    assert "Nothing was started now: the same call was made 0.0 s ago" in words(again)
    assert structured(other)["execution_id"] != structured(first)["execution_id"]
    assert len(world.started) == 2
    assert len(await world.rows("acme")) == 2


@pytest.mark.requirement("F3")
async def test_attaching_ends_with_its_time_and_a_fresh_key_runs_afresh(
    world: World, clock: ManualClock, era: Era
) -> None:
    """`attach_s` counts from the first call; whoever wants another run before says so with a new key."""
    async with connected(world, era) as client:
        first = await called(client, "steady", {"text": "hello"})
        keyed = await called(client, "steady", {"text": "hello"}, idempotency_key="again-1")
        same_key = await called(client, "steady", {"text": "hello"}, **{"sim-mcp/idempotency_key": "again-1"})
        clock.advance(61)
        late = await called(client, "steady", {"text": "hello"})
    ids = [structured(each)["execution_id"] for each in (first, keyed, same_key, late)]
    assert ids[1] == ids[2]
    assert len({ids[0], ids[1], ids[3]}) == 3
    assert len(world.started) == 3


@pytest.mark.requirement("R35", "R47")
async def test_nobody_attaches_to_another_tenants_execution(world: World) -> None:
    """The same words of two tenants are two calls; so are those of two doors."""
    mine = await world.app.gateway.answer(world.call("acme", "steady", {"text": "hello"}))
    theirs = await world.app.gateway.answer(world.call("globex", "steady", {"text": "hello"}))
    assert not theirs.is_replay
    assert mine.execution.id != theirs.execution.id


@pytest.mark.requirement("F3")
async def test_ten_equal_calls_at_once_start_one_run(
    tmp_path: Path, world: World, clock: ManualClock
) -> None:
    """At two replicas, by ten people of the tenant."""
    ids: list[str] = []
    async with open_world(tmp_path, clock=clock, sim=world.sim) as replica:

        async def call(at: int) -> None:
            at_world = world if at % 2 else replica
            call = at_world.call("acme", "steady", {"text": "hello"})
            row = await at_world.app.gateway.call(replace(call, principal=principal("acme", f"p{at}")))
            ids.append(row.id)

        with anyio.fail_after(PATIENCE_S):
            async with flowing(clock), anyio.create_task_group() as group:
                for at in range(10):
                    group.start_soon(call, at)
    assert len(set(ids)) == 1
    assert len(world.started) == 1


@pytest.mark.requirement("F3")
async def test_a_failed_run_is_attached_to_and_a_call_that_never_ran_is_not(world: World) -> None:
    """What ran, ran; what surely did not may be tried again at once."""
    first = await world.app.gateway.answer(world.call("acme", "breaking"))
    again = await world.app.gateway.answer(world.call("acme", "breaking"))
    assert (again.is_replay, again.execution.id) == (True, first.execution.id)
    world.sim.script(faults.Unauthorized401())
    refused = await world.app.gateway.answer(world.call("acme", "steady", {"text": "never"}))
    assert refused.execution.status is Status.FAILED
    tried = await world.app.gateway.answer(world.call("acme", "steady", {"text": "never"}))
    assert (tried.is_replay, tried.execution.status) == (False, Status.COMPLETED)


@pytest.mark.requirement("F3")
async def test_a_cancelled_execution_is_not_attached_to(world: World) -> None:
    """Whoever cancels and calls again wants it to run."""
    await world.allow("acme", "asking", "pausing", attach_s=60)
    paused = await world.app.gateway.answer(world.call("acme", "pausing"))
    await world.app.runs.cancel(principal("acme"), paused.execution.id)
    assert (await world.row(paused.execution)).status is Status.CANCELLED
    again = await world.app.gateway.answer(world.call("acme", "pausing"))
    assert not again.is_replay


async def test_a_key_in_meta_that_is_no_text_is_refused(world: World, era: Era) -> None:
    """Dropping it would run twice what was to run once."""
    async with connected(world, era) as client:
        results = [
            await called(client, "echo", {"text": "hello"}, idempotency_key=17),
            await called(client, "echo", {"text": "hello"}, dry_run="yes"),
            await called(client, "echo", {"text": "hello"}, idempotency_key=""),
        ]
    assert [structured(each)["error"]["code"] for each in results] == ["INVALID_INPUT"] * 3
    assert world.started == []


@pytest.mark.requirement("F16")
async def test_a_dry_run_shows_what_would_be_sent_and_runs_nothing(world: World, era: Era) -> None:
    """Every step but SIM's execute; loudly no result; secrets stay out; no row, no run."""
    async with connected(world, era) as client:
        result = await called(client, "echo", {"text": "hello", "password": "hunter2-hunter2"}, dry_run=True)
    shown = structured(result)
    assert shown["plan"].pop("plan_ticket").startswith("v1.")
    assert told(result)["text"][0] == snapshot(
        [
            "DRY RUN: nothing was run and nothing recorded. The call would be sent to SIM. To",
            "run exactly this, call again with `plan_ticket` in `_meta` instead of `dry_run`.",
        ]
    )
    assert shown == snapshot(
        {
            "status": "planned",
            "execution_id": None,
            "run_id": None,
            "workflow_id": "76823153-860b-5156-8f77-2a66c9fd3b32",
            "duration_ms": None,
            "output": None,
            "error": None,
            "plan": {
                "tool": "echo",
                "workflow_id": "76823153-860b-5156-8f77-2a66c9fd3b32",
                "mode": "sync",
                "timeout_s": 60.0,
                "base_url": "https://sim.example.com",
                "settings_revision": 1,
                "input": {"text": "hello", "password": "[redacted]"},
                "asks_for_confirmation": False,
                "attaches_to": None,
                "is_deployed": True,
                "schema_drift": [],
                "breaker": {"state": "closed", "retry_after_s": None},
                "limits": {
                    "rate_per_minute": 6000,
                    "rate_used_share": 0.001,
                    "max_concurrency": 64,
                    "running_calls": 0,
                    "executions_left_this_month": None,
                    "cost_left_today": None,
                },
                "problems": [],
                "plan_ticket_lasts_s": 600.0,
            },
        }
    )
    assert world.started == []
    assert await world.rows("acme") == ()


@pytest.mark.requirement("F16")
async def test_a_dry_run_of_a_large_input_shows_its_beginning(world: World) -> None:
    """Valid JSON with counts, not a flood."""
    async with connected(world, "auto") as client:
        result = await called(client, "echo", {"text": "x" * 200_000}, dry_run=True)
    shown = structured(result)["plan"]["input"]
    assert (shown["truncated"], shown["size_bytes"]) == (True, 200_011)
    assert len(words(result)) < 40_000


@pytest.mark.requirement("F16")
async def test_a_dry_run_refuses_what_the_call_would(tmp_path: Path, clock: ManualClock) -> None:
    """Limits and rules hold for it too, and looking takes from the rate."""
    async with open_world(tmp_path, clock=clock, rate_per_minute=10, monthly_executions=1) as world:
        await world.allow("acme", "echo")
        call = world.call("acme", "echo", {"text": "hello"})
        plan = await world.app.planner.plan(call)
        assert (plan.executions_left, plan.attaches_to, plan.mode) == (1, None, Mode.SYNC)
        await world.app.gateway.call(call)
        with pytest.raises(MonthlyLimitReached):
            await world.app.planner.plan(call)
        refusals: set[type[SimMcpError]] = set()
        for _ in range(20):
            try:
                await world.app.planner.plan(call)
            except SimMcpError as error:
                refusals.add(type(error))
        assert refusals == {MonthlyLimitReached, Throttled}


@pytest.mark.requirement("F16")
async def test_the_ticket_of_a_dry_run_lets_exactly_that_call_through_once(
    world: World, clock: ManualClock
) -> None:
    """Another input, tool, person or tenant, a changed deployment or tool, a second use: refused."""

    async def ticket(text: str = "hello") -> str:
        plan = await world.app.planner.plan(world.call("acme", "echo", {"text": text}))
        assert plan.ticket is not None
        return plan.ticket

    async def refused(
        ticket: str, tenant: str = "acme", tool: str = "echo", text: str = "hello", who: str = "ada"
    ) -> None:
        call = world.call(tenant, tool, {"text": text}, plan_ticket=ticket)
        with pytest.raises(Conflict):
            await world.app.gateway.call(replace(call, principal=principal(tenant, who)))

    one = await ticket()
    await refused(one, text="bye")
    await refused(one, tool="steady")
    await refused(one, tenant="globex")
    await refused(one, who="eve")
    await refused("v1.made.up")
    assert world.started == []
    done = await world.app.gateway.call(world.call("acme", "echo", {"text": "hello"}, plan_ticket=one))
    assert done.status is Status.COMPLETED
    await refused(one)
    late = await ticket()
    clock.advance(601)
    await refused(late)
    deployed = await ticket()
    world.sim.set_deployed(ECHO, False)
    world.sim.set_deployed(ECHO, True)
    await refused(deployed)
    changed = await ticket()
    await world.allow("acme", "echo", timeout_s=30)
    await refused(changed)
    assert len(world.started) == 1
    codes = {row.error.code for row in await world.rows("acme") if row.error}
    assert codes == {ErrorCode.CONFLICT}


@pytest.mark.requirement("F16")
async def test_a_dry_run_tells_what_stands_in_the_way(world: World, era: Era) -> None:
    """Not deployed, or a SIM that does not answer: said, and no ticket where nothing can be bound."""
    world.sim.set_deployed(ECHO, False)
    async with connected(world, era) as client:
        result = await called(client, "echo", {"text": "hello"}, dry_run=True)
        assert "the workflow is not deployed" in words(result)
        world.sim.script(*[faults.HtmlPage(status=502)] * 10, verb="any")
        down = await called(client, "echo", {"text": "hello"}, dry_run=True)
    assert structured(down)["plan"]["plan_ticket"] is None
    assert structured(down)["plan"]["problems"] != []
