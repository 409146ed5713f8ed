"""`kill -9` in the middle of twenty calls: no run without a row, no row unsettled, nothing run twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from starlette.types import Receive, Scope, Send

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.execution import Execution, Status
from sim_mcp.sim.fake import FakeSim, serve_fake
from tests.patience import PATIENCE_S
from tests.world import World, world_beside

pytestmark = [pytest.mark.anyio, pytest.mark.sockets]


class Countdown(FakeSim):
    """The fake SIM, ringing when the n-th execute has arrived."""

    def __init__(self, *, ring_at: int, time: ManualClock, v2_enabled: bool) -> None:
        super().__init__(v2_enabled=v2_enabled, time=time)
        self._left = ring_at
        self.rung = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/execute"):
            self._left -= 1
            if self._left <= 0:
                self.rung.set()
        await super().__call__(scope, receive, send)


@pytest.mark.requirement("R27", "R36", "R55")
@pytest.mark.parametrize("ring_at", [1, 7, 20])
@pytest.mark.parametrize(("tool", "v2_enabled"), [("echo", True), ("slow", True), ("echo", False)])
async def test_after_a_kill_every_run_has_a_row_and_every_row_settles(
    tmp_path: Path, ring_at: int, tool: str, *, v2_enabled: bool
) -> None:
    """The next start asks SIM about every unfinished row by the run id that was stored before sending."""
    clock = ManualClock(datetime.now(UTC))
    sim = Countdown(ring_at=ring_at, time=clock, v2_enabled=v2_enabled)
    async with serve_fake(sim) as base_url:
        command = [sys.executable, "-m", "tests.journeys.kill_victim", str(tmp_path), base_url, tool]
        async with await anyio.open_process(command, stderr=subprocess.DEVNULL) as victim:
            try:
                with anyio.fail_after(PATIENCE_S):
                    await sim.rung.wait()
            finally:
                victim.send_signal(signal.SIGKILL)
        clock.advance(60)
        async with world_beside(tmp_path, base_url, sim=sim, clock=clock) as world:
            rows = await settled(world)
    started = Counter(run.run_id for run in sim.runs)
    asked = Counter((run.account, run.input["text"]) for run in sim.runs)
    assert set(started) <= {row.run_id for row in rows}
    assert set(started.values()) | set(asked.values()) <= {1}
    assert sum(row.status is Status.COMPLETED for row in rows) <= len(sim.runs)


async def settled(world: World) -> tuple[Execution, ...]:
    """All rows of both tenants, once none is unfinished."""
    rows: tuple[Execution, ...] = ()
    for _ in range(60):
        await world.follow_up(advance_s=20)
        rows = (*await world.rows("acme"), *await world.rows("globex"))
        if all(row.status.is_final for row in rows):
            return rows
    pytest.fail(f"unsettled: {[row.status for row in rows]}")
