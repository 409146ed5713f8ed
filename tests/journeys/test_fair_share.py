"""One tenant's flood of events does not hold up another's: each has its own share of the engine."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from sim_mcp.app import Needs
from sim_mcp.model.clock import SystemClock
from sim_mcp.sim.fake import FakeSim
from tests.patience import PATIENCE_S
from tests.triggers import event, map_event
from tests.world import open_world, principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R42", "R59", "F17")]

FLOOD = 200


async def test_a_flood_of_one_tenant_does_not_delay_anothers_first_event(tmp_path: Path) -> None:
    """The other's run begins while most of the flood still waits."""
    clock = SystemClock()
    sim = FakeSim(time=clock)
    needs = Needs(follows_up=False, runs_jobs=True, drain_s=0)
    async with open_world(tmp_path, clock=clock, sim=sim, needs=needs, max_concurrency=8) as world:
        for tenant in ("acme", "globex"):
            await world.allow(tenant, "echo")
            await map_event(world, tenant, "echo")
        with anyio.fail_after(PATIENCE_S):
            for number in range(FLOOD):
                await world.app.events.accept(principal("acme"), event(f"{number}", data={"text": "flood"}))
            await world.app.events.accept(principal("globex"), event("first", data={"text": "first"}))
            while not any(run.account == "globex" for run in sim.runs):
                await anyio.lowlevel.checkpoint()
        waited_for = sum(run.account == "acme" for run in sim.runs)
    assert waited_for < FLOOD / 2
