"""`kill -9` of a worker in the middle of five hundred events: each one's workflow runs once, none is lost."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
from starlette.types import Receive, Scope, Send

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.events import Job, JobState
from sim_mcp.sim.fake import FakeSim, serve_fake
from tests.journeys.test_events import worked_off
from tests.patience import PATIENCE_S
from tests.postgres import Server
from tests.triggers import event, map_event
from tests.world import World, principal, world_beside

pytestmark = [pytest.mark.anyio, pytest.mark.sockets]

EVENTS = 500
POISON_EVERY = 50


class Counting(FakeSim):
    """The fake SIM, ringing when so many runs have begun."""

    def __init__(self, *, time: ManualClock, ring_at: int) -> None:
        super().__init__(time=time)
        self._ring_at = ring_at
        self.rung = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)
        if len(list(self.runs)) >= self._ring_at:
            self.rung.set()


@dataclass(frozen=True, slots=True)
class Site:
    """Where the workers of one deployment keep what they share, and how many of them there are."""

    folder: Path
    workers: int
    shared: dict[str, Any]

    @asynccontextmanager
    async def working(self, base_url: str, *, count: int) -> AsyncGenerator[anyio.abc.Process]:
        """So many worker processes; all are killed when the block ends. The first of them is given."""
        command = [sys.executable, "-m", "tests.journeys.worker_victim", str(self.folder), base_url]
        known = {"VICTIM_SETTINGS": json.dumps(self.shared)}
        async with AsyncExitStack() as stack:
            processes = [
                await stack.enter_async_context(
                    await anyio.open_process(command, stderr=subprocess.DEVNULL, env=os.environ | known)
                )
                for _ in range(count)
            ]
            try:
                yield processes[0]
            finally:
                for process in processes:
                    with suppress(ProcessLookupError):
                        process.send_signal(signal.SIGKILL)


@pytest.fixture(params=["sqlite", "postgres"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """One worker on the embedded database; three on PostgreSQL."""
    if request.param == "sqlite":
        return Site(folder=tmp_path, workers=1, shared={})
    server: Server = request.getfixturevalue("postgres")
    shared = {
        "database_url": server.database(),
        "encryption_keys": base64.urlsafe_b64encode(bytes(32)).decode(),
    }
    return Site(folder=tmp_path, workers=3, shared=shared)


@pytest.mark.requirement("R17", "R36", "R40", "R42", "R54", "F17")
async def test_five_hundred_events_run_once_each_though_a_worker_is_killed(site: Site) -> None:
    """Killed at a third; the others, or the next one, go on. Poisoned events end as dead letters."""
    clock = ManualClock(datetime.now(UTC))
    sim = Counting(time=clock, ring_at=EVENTS // 3)
    async with (
        serve_fake(sim) as base_url,
        world_beside(site.folder, base_url, sim=sim, clock=clock, **site.shared) as world,
    ):
        await post_all(world)
        async with site.working(base_url, count=site.workers) as victim:
            with anyio.fail_after(PATIENCE_S):
                await sim.rung.wait()
                victim.send_signal(signal.SIGKILL)
                if site.workers > 1:
                    await until_none_is_in_the_engine(world)
        if site.workers == 1:
            async with site.working(base_url, count=1):
                with anyio.fail_after(PATIENCE_S):
                    await until_none_is_in_the_engine(world)
        jobs = await settled(world)
    ran = Counter((run.account, run.input["text"]) for run in sim.runs)
    assert set(ran.values()) == {1}
    assert len(ran) == EVENTS
    dead = [job for job in jobs if job.state is JobState.DEAD]
    assert {job.state for job in jobs} == {JobState.DONE, JobState.DEAD}
    assert {job.error.code for job in dead if job.error} == {ErrorCode.EXECUTION_ERROR}
    assert len(dead) == EVENTS // POISON_EVERY


async def post_all(world: World) -> None:
    """All events of both tenants, some of them for a workflow that fails."""
    for tenant in ("acme", "globex"):
        for workflow in ("echo", "failing"):
            await world.allow(tenant, workflow)
            await map_event(world, tenant, workflow, f"{workflow}.wanted")
    for number in range(EVENTS):
        tenant = ("acme", "globex")[number % 2]
        name = "failing.wanted" if number % POISON_EVERY == 0 else "echo.wanted"
        accepted = await world.app.events.accept(
            principal(tenant), event(f"evt-{number}", name, data={"text": f"{number}"})
        )
        assert len(accepted.jobs) == 1


async def until_none_is_in_the_engine(world: World) -> None:
    """Return once each job of anybody has an execution or has ended."""
    while True:
        row = await world.app.store.database.fetch_one(
            "SELECT COUNT(*) AS total FROM jobs WHERE execution_id IS NULL AND finished_at IS NULL"
        )
        if row is not None and row["total"] == 0:
            return
        await anyio.lowlevel.checkpoint()


async def settled(world: World) -> list[Job]:
    """All jobs of both tenants, once none of them is open: the calls that were cut off begin anew."""
    for _ in range(200):
        counts = [await world.app.jobs.counts(principal(tenant)) for tenant in ("acme", "globex")]
        if all(state.is_final for each in counts for state in each):
            break
        await worked_off(world, rounds=5)
    jobs: list[Job] = []
    for tenant in ("acme", "globex"):
        cursor: str | None = None
        while cursor is not None or not any(job.tenant_id == tenant for job in jobs):
            page = await world.app.jobs.page(principal(tenant), limit=100, cursor=cursor)
            jobs += page.jobs
            cursor = page.next_cursor
    return jobs
