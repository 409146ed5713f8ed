"""The wiring of what starts by itself: its desks in every process, its worker where jobs are run."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sim_mcp.gateway import Keeping
from sim_mcp.model.execution import Trigger
from sim_mcp.model.facts import CallFinished
from sim_mcp.store import sqlite_path
from sim_mcp.triggers import Ingest, JobDesk, MappingDesk, Performer, ScheduleDesk, Worker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sim_mcp.app.rooms import Seams
    from sim_mcp.config import Settings
    from sim_mcp.gateway import Gateway, Tenancy
    from sim_mcp.model.facts import Fact
    from sim_mcp.store import Store

JOBS_AT_ONCE = 200
"""In one process, of all tenants together. A job that runs is a row and a waiting task here: little."""


class Triggering:
    """The desks of events, schedules and jobs, and the worker behind them."""

    def __init__(
        self, settings: Settings, outside: Seams, store: Store, tenancy: Tenancy, gateway: Gateway
    ) -> None:
        self._settings, self._outside, self._store, self._gateway = settings, outside, store, gateway
        self._worker: Worker | None = None
        clock, new_id = outside.clock, outside.new_id
        self.events = Ingest(store=store, tenancy=tenancy, clock=clock, new_id=new_id, kick=self._kick)
        self.mappings = MappingDesk(store=store, gateway=gateway)
        self.schedules = ScheduleDesk(
            store=store, gateway=gateway, clock=clock, new_id=new_id, kick=self._kick
        )
        self.jobs = JobDesk(store=store, clock=clock, kick=self._kick)

    def observe(self, fact: Fact) -> None:
        """Have the worker judge a job as soon as its run has ended in this process."""
        if isinstance(fact, CallFinished) and fact.trigger in {Trigger.EVENT, Trigger.SCHEDULE}:
            self._kick()

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[None]:
        """Run the jobs of events and schedules for as long as the block lasts."""
        from sim_mcp.triggers.engine import Engine  # heavy: only where jobs are run

        outside, worker_id = self._outside, self._outside.new_id()
        engine = Engine(
            engine_place(self._settings.store_url),
            worker_id=worker_id,
            # Assistants keep half of the tenant's places.
            per_tenant=max(1, self._settings.max_concurrency // 2),
            at_once=JOBS_AT_ONCE,
        )
        performer = Performer(
            store=self._store, gateway=self._gateway, clock=outside.clock, random=outside.random
        )
        self._worker = Worker(
            store=self._store,
            engine=engine,
            performer=performer,
            schedules=self.schedules,
            keeping=Keeping(
                retention=self._store.retention,
                clock=outside.clock,
                retention_days=self._settings.retention_days,
                archive=self._settings.retention_archive_dir,
            ),
            clock=outside.clock,
            worker_id=worker_id,
        )
        async with self._worker.working():
            yield

    def _kick(self) -> None:
        if self._worker is not None:
            self._worker.kick()


def engine_place(store_url: str) -> Path | str:
    """The engine's SQLite file beside the store's, or the store's PostgreSQL URL (its own schema there)."""
    if not store_url.startswith("sqlite:"):
        return store_url
    path = sqlite_path(store_url)
    return path.with_name(f"{path.stem}-jobs.db")
