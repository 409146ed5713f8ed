"""The worker: hands waiting jobs to the engine, lets schedules tick, takes over from workers that died."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from sim_mcp.model.errors import SimMcpError
from sim_mcp.store import SILENT_S
from sim_mcp.triggers.performing import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sim_mcp.gateway import Keeping
    from sim_mcp.model.clock import Clock
    from sim_mcp.store import Store
    from sim_mcp.triggers.engine import Engine
    from sim_mcp.triggers.performing import Performer
    from sim_mcp.triggers.schedule_desk import ScheduleDesk

log = logging.getLogger(__name__)

FEED_S = 0.5
BATCH = 50
TICK_S = 1.0
BEAT_S = 5.0
OVERLOOKED_S = 300.0
REMEMBERED_S = 86_400.0
"""How long the engine keeps notes of what is over: our own tables tell the rest."""
PURGE_S = 600.0
"""How often it is looked whether the hour of the next purge has come."""


class Worker:
    """One per process that runs jobs."""

    def __init__(
        self,
        *,
        store: Store,
        engine: Engine,
        performer: Performer,
        schedules: ScheduleDesk,
        keeping: Keeping,
        clock: Clock,
        worker_id: str,
    ) -> None:
        self._store = store
        self._engine = engine
        self._performer = performer
        self._schedules = schedules
        self._keeping = keeping
        self._clock = clock
        self._id = worker_id
        self._kicked = anyio.Event()

    def kick(self) -> None:
        """Look for waiting jobs now instead of at the next round."""
        self._kicked.set()

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[None]:
        """Run jobs for as long as the block lasts."""
        await self._store.workers.seen(self._id, at=self._clock.now())
        await self._engine.open(self._performer.perform)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._forever, "handing jobs to the engine", self._feed, self._rest)
                group.start_soon(self._forever, "letting schedules tick", self._schedules.tick, self._pause)
                group.start_soon(self._forever, "looking after workers", self._beat, self._breathe)
                group.start_soon(self._forever, "purging", self._keep, self._dawdle)
                yield
                group.cancel_scope.cancel()
        finally:
            await self._engine.close()
            with anyio.move_on_after(5, shield=True):
                try:
                    await self._store.workers.leave(self._id)
                except SimMcpError as error:
                    log.warning("the end of this worker could not be noted: %s", error.message)

    async def _feed(self) -> None:
        self._kicked = anyio.Event()
        while await self._performer.settle() >= AT_ONCE:
            pass
        while jobs := await self._store.jobs.waiting(limit=BATCH):
            for job in jobs:
                delay_s = (job.due_at - self._clock.now()).total_seconds()
                await self._engine.hand(job, delay_s=delay_s)
                await self._store.jobs.handed(job, at=self._clock.now())

    async def _beat(self) -> None:
        now = self._clock.now()
        await self._store.workers.seen(self._id, at=now)
        since = now - timedelta(seconds=SILENT_S)
        for worker_id in await self._store.workers.silent(since=since):
            count = await self._engine.take_over(worker_id)
            log.info("took %d jobs over from a worker that ended", count)
            # Only now: should we end in between, another one takes over, and taking over twice is harmless.
            await self._store.workers.taken_over(worker_id, since=since)
        overlooked = now - timedelta(seconds=OVERLOOKED_S)
        await self._store.jobs.again(due_before=overlooked, handed_before=overlooked)

    async def _keep(self) -> None:
        await self._keeping.run_due()
        await self._engine.forget(self._clock.now() - timedelta(seconds=REMEMBERED_S))

    async def _forever(
        self, what: str, once: Callable[[], Awaitable[object]], rest: Callable[[], Awaitable[None]]
    ) -> None:
        while True:
            try:
                await once()
            except SimMcpError as error:
                log.warning("%s paused: %s", what, error.message)
            except Exception:  # the worker loop: nothing may end it
                log.exception("%s failed", what)
            await rest()

    async def _rest(self) -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(self._end_after, scope, FEED_S)
                await self._kicked.wait()
                scope.cancel()

    async def _pause(self) -> None:
        await self._clock.sleep(TICK_S)

    async def _breathe(self) -> None:
        await self._clock.sleep(BEAT_S)

    async def _dawdle(self) -> None:
        await self._clock.sleep(PURGE_S)

    async def _end_after(self, scope: anyio.CancelScope, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        scope.cancel()
