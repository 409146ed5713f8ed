"""How long runs usually take, as the audit log teaches it."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_mcp.app import Usage, UsualDuration
from sim_mcp.gateway.pace import usual_of
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.execution import Status
from sim_mcp.model.principal import TenantId
from sim_mcp.sim.fake import FakeSim
from tests.journeys.mcp_clients import connected, structured, words
from tests.world import SandboxTime, World, flowing, open_world

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("F2")]

ACME, GLOBEX = TenantId("acme"), TenantId("globex")


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[World]:
    """Both tenants with a workflow that takes as long as it is told, and one that fails."""
    async with open_world(tmp_path, clock=clock, sim=FakeSim(time=SandboxTime(clock))) as opened:
        for tenant in ("acme", "globex"):
            await opened.allow(tenant, "slow", timeout_s=300)
            await opened.allow(tenant, "failing")
        yield opened


async def test_only_completed_runs_of_the_same_tenant_teach(world: World) -> None:
    """Failures are quick and foreign runs are nobody's business; fewer than three say nothing."""
    for seconds in (10, 20):
        assert (await world.app.gateway.call(world.call("acme", "slow", {"seconds": seconds}))).status is (
            Status.COMPLETED
        )
    assert await world.app.pace.of(ACME, "slow") is None
    await world.app.gateway.call(world.call("acme", "slow", {"seconds": 60}))
    for _ in range(5):
        await world.app.gateway.call(world.call("acme", "failing"))
    usual = UsualDuration(p50_s=20.0, p95_s=60.0, runs=3)
    expected = {
        "slow": Usage(usual=usual, success_rate=1.0),
        "failing": Usage(usual=None, success_rate=0.0),
    }
    assert await world.app.pace.by_tool(ACME) == expected
    assert await world.app.pace.of(ACME, "slow") == expected["slow"]
    assert await world.app.pace.by_tool(GLOBEX) == {}
    assert await world.app.pace.of(GLOBEX, "slow") is None


async def test_the_usual_duration_is_told_with_the_status_and_when_a_run_is_handed_over(
    tmp_path: Path, clock: ManualClock, world: World
) -> None:
    """So that whoever waits knows when to look again."""
    for _ in range(3):
        await world.app.gateway.call(world.call("acme", "slow", {"seconds": 30}))
    async with (
        open_world(tmp_path, clock=clock, sim=FakeSim(time=clock), call_patience_s=1) as impatient,
        flowing(clock),
        connected(impatient, "auto") as client,
    ):
        status = structured(await client.call_tool("sim_status", {}))
        handed = await client.call_tool("slow", {"seconds": 30})
    assert status["tool_usage"] == [
        {"tool": "slow", "p50_s": 30.0, "p95_s": 30.0, "runs": 3, "success_rate": 1.0}
    ]
    assert structured(handed)["status"] == "processing"
    assert "Usually it takes 30 s, rarely more than 30 s" in words(handed)
    assert "Of the runs of the last 30 days 100% succeeded." in words(handed)


@pytest.mark.requirement("F15")
async def test_a_tool_that_wants_it_says_in_its_description_what_was_learned(
    clock: ManualClock, world: World
) -> None:
    """Only with `describe_usage`, only once enough is known, and steady for five minutes."""
    await world.allow("acme", "slow", "described", describe_usage=True, timeout_s=300)

    async def descriptions() -> dict[str, str | None]:
        async with connected(world, "auto") as client:
            return {tool.name: tool.description for tool in (await client.list_tools()).tools}

    plain = (await descriptions())["described"]
    for _ in range(3):
        await world.app.gateway.call(world.call("acme", "described", {"seconds": 30}))
        await world.app.gateway.call(world.call("acme", "slow", {"seconds": 30}))
    assert (await descriptions())["described"] == plain
    clock.advance(301)
    shown = await descriptions()
    assert shown["described"] == (
        f"{plain}\n\nUsually it takes 30 s, rarely more than 30 s (median and 95 % of the last 3 completed"
        " runs). Of the runs of the last 30 days 100% succeeded."
    )
    assert shown["slow"] == "The slow workflow of acme."


@given(st.lists(st.integers(min_value=0, max_value=10**9), min_size=3, max_size=300))
def test_the_usual_durations_are_durations_that_occurred(durations_ms: list[int]) -> None:
    """Nearest rank: at least half, and at least 95 %, took no longer."""
    usual = usual_of(durations_ms)
    assert usual is not None
    for told_s, share in ((usual.p50_s, 0.5), (usual.p95_s, 0.95)):
        assert told_s in {each / 1000 for each in durations_ms}
        within = sum(each / 1000 <= told_s for each in durations_ms)
        assert within >= math.ceil(share * len(durations_ms))
    assert usual.p50_s <= usual.p95_s
