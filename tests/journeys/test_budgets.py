"""Budgets: what costs money is refused before it runs, with the time at which it starts again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from sim_mcp.gateway.allowance import day_start, month_start
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import BudgetUsed, ErrorCode, MonthlyLimitReached
from sim_mcp.sim.fake import FakeSim
from tests.journeys.mcp_clients import connected, structured
from tests.patience import PATIENCE_S
from tests.world import SandboxTime, World, open_world

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("F12")]

A_RUN = 0.005
"""What every run costs in the sandbox."""


@pytest.fixture(params=["v2", "legacy"])
async def world(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncGenerator[World]:
    """Two tenants with a day's budget of two runs each."""
    sim = FakeSim(time=SandboxTime(clock), v2_enabled=request.param == "v2")
    async with open_world(tmp_path, clock=clock, sim=sim, cost_per_day=2 * A_RUN) as opened:
        for tenant in ("acme", "globex"):
            await opened.allow(tenant, "quick")
        yield opened


async def run(world: World, tenant: str = "acme", tool: str = "quick") -> None:
    """A call to its very end: SIM has told what it cost."""
    await world.app.gateway.call(world.call(tenant, tool, {"employee": "Ada"}))
    with anyio.fail_after(PATIENCE_S):
        while world.app.follower.live_count:
            await anyio.lowlevel.checkpoint()


async def test_a_days_cost_is_what_sim_says_and_no_run_begins_beyond_it(
    world: World, clock: ManualClock
) -> None:
    """The other tenant has its own; the next day (UTC) starts anew."""
    for _ in range(2):
        await run(world)
    assert [row.cost for row in await world.rows("acme")] == [A_RUN, A_RUN]
    with pytest.raises(BudgetUsed) as refused:
        await run(world)
    assert refused.value.code is ErrorCode.USAGE_LIMIT_EXCEEDED
    assert refused.value.message == (
        "This tenant's runs cost 0.01 today, the limit; nothing was run. It starts again at 2026-01-02 00:00 "
        "UTC. It is set by SIM_MCP_COST_PER_DAY."
    )
    assert refused.value.retry_after_s == 86_400
    assert len(world.started) == 2
    await run(world, "globex")
    clock.advance(86_400)
    await run(world)
    assert len(world.started) == 4


async def test_what_is_left_stands_in_the_result_and_in_the_status(world: World) -> None:
    """Of the nearer limit: the tool's or the tenant's."""
    await world.allow("acme", "quick", "rare", monthly_executions=5, cost_per_day=A_RUN * 1.5)
    async with connected(world, "auto") as client:
        result = await client.call_tool("rare", {"employee": "Ada"})
        await run(world, "globex")
        status = structured(await client.call_tool("sim_status", {}))
    assert result.meta is not None
    left = result.meta["sim-mcp/budget"]
    assert (left["executions_left"], left["month_ends_at"]) == (4, "2026-02-01T00:00:00.000Z")
    assert left["day_ends_at"] == "2026-01-02T00:00:00.000Z"
    assert status["limits"]["budget"] == snapshot(
        {
            "executions_left": None,
            "month_ends_at": "2026-02-01T00:00:00.000Z",
            "cost_left": 0.005,
            "day_ends_at": "2026-01-02T00:00:00.000Z",
        }
    )


async def test_a_tool_has_limits_of_its_own(world: World) -> None:
    """Other tools of the tenant go on."""
    await world.allow("acme", "quick", "once", monthly_executions=1)
    await world.allow("acme", "quick", "cheap", cost_per_day=A_RUN)
    await run(world, tool="once")
    with pytest.raises(MonthlyLimitReached, match="'once' has used its 1 executions"):
        await run(world, tool="once")
    await run(world, tool="cheap")
    with pytest.raises(BudgetUsed, match=r"runs of 'cheap'|This tenant"):
        await run(world, tool="cheap")
    assert len(world.started) == 2


async def test_without_a_budget_sim_is_not_asked_what_a_run_cost(tmp_path: Path, clock: ManualClock) -> None:
    """One request for one run, as long as nobody needs to know more."""
    async with open_world(tmp_path, clock=clock, sim=FakeSim(time=SandboxTime(clock))) as world:
        await world.allow("acme", "quick")
        before = len(world.sim.requests)
        await run(world)
        assert len(world.sim.requests) == before + 1
        async with connected(world, "auto") as client:
            result = await client.call_tool("quick", {"employee": "Ada"})
    assert "sim-mcp/budget" not in (result.meta or {})


@given(st.datetimes(timezones=st.just(UTC)))
def test_days_and_months_begin_at_midnight_in_utc(now: datetime) -> None:
    """Whatever the moment."""
    assert day_start(now) <= now
    assert (now - day_start(now)).total_seconds() < 86_400
    assert month_start(now) <= day_start(now)
    assert month_start(now).day == 1
