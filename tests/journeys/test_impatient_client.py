"""A client that waits for one minute and a run that takes five: no error, one run, its result, few calls."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from mcp import Client
from mcp_types import CallToolResult

from sim_mcp.app import Needs
from sim_mcp.model.clock import ManualClock
from sim_mcp.sim.fake import FakeSim
from tests.journeys.mcp_clients import Era, connected, over_http, structured, words
from tests.transports.web import claims, open_web, signed
from tests.world import flowing, open_world

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R14", "R15", "R58", "F2", "F21")]

FIVE_MINUTES_S = 300
MOST_CALLS = 12


@pytest.fixture(params=["v2", "legacy"])
def sim(request: pytest.FixtureRequest, clock: ManualClock) -> FakeSim:
    """A SIM whose work takes the test's own time."""
    return FakeSim(time=clock, v2_enabled=request.param == "v2")


async def patiently(client: Client, calls: list[CallToolResult]) -> CallToolResult:
    """What an assistant does that follows its instructions: call once, then follow the execution."""
    calls.append(await client.call_tool("slow", {"seconds": FIVE_MINUTES_S}))
    while structured(calls[-1])["status"] in {"queued", "processing"}:
        assert not calls[-1].is_error
        assert "Do not call again" in words(calls[-1])
        asked = {"execution_id": structured(calls[0])["execution_id"], "wait_s": 45}
        calls.append(await client.call_tool("sim_get_execution", asked))
        assert len(calls) <= MOST_CALLS
    return calls[-1]


async def test_without_progress_it_follows_the_run_in_few_calls(
    tmp_path: Path, clock: ManualClock, sim: FakeSim, era: Era
) -> None:
    """Handed over after 45 s, followed in waits of 45 s; while it goes on only its state is told."""
    needs = Needs(follows_up=True, drain_s=0)
    async with open_world(tmp_path, clock=clock, sim=sim, needs=needs) as world:
        await world.allow("acme", "slow", mode="async", timeout_s=3600)
        calls: list[CallToolResult] = []
        async with flowing(clock), connected(world, era) as client:
            done = await patiently(client, calls)
    assert structured(done)["status"] == "completed"
    assert structured(calls[0])["status"] in {"queued", "processing"}
    assert all("input" not in structured(call) for call in calls[1:-1])
    assert [run.starts for run in sim.runs] == [1]


async def test_with_progress_the_call_stays_open_to_the_end(
    tmp_path: Path, clock: ManualClock, sim: FakeSim, era: Era
) -> None:
    """One call: progress strictly grows, never faster than four times a second of its own time."""
    heard: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        assert (total, bool(message)) == (None, True)
        heard.append(progress)

    needs = Needs(follows_up=True, drain_s=0)
    # Over HTTP, because only a wire carries the token that asks for progress.
    async with open_web(tmp_path, clock=clock, sim=sim, needs=needs, has_tools=True) as web:
        await web.world.allow("acme", "slow", mode="async", timeout_s=3600)
        async with flowing(clock), over_http(web, era, lambda: signed(claims())) as client:
            done = await client.call_tool("slow", {"seconds": FIVE_MINUTES_S}, progress_callback=hear)
    assert structured(done)["status"] == "completed"
    assert heard
    assert all(later - sooner >= 0.25 for sooner, later in pairwise(heard))
    assert [run.starts for run in sim.runs] == [1]
