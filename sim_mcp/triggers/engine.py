"""The durable engine behind the jobs: DBOS, in its own SQLite file or its own PostgreSQL schema.

The only file that imports it, and only a process that runs jobs imports this file. The engine queues by
tenant (a partition each), keeps delays and waits, and starts again what a crash cut off. It is told a job's
ids and nothing else: no input, no key, no outcome. What a job is and became stands in our own tables.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypedDict

import anyio
import anyio.to_thread
import sqlalchemy
from dbos import DBOS, DBOSConfig
from sqlalchemy import event

from sim_mcp.model.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime
    from pathlib import Path

    from sim_mcp.model.events import Job

    Perform = Callable[[str, str, int], Awaitable[None]]

QUEUE = "jobs"
POLL_S = 0.1
ENDS_WITHIN_S = 2
"""How long closing waits for steps under way; they are begun again by whoever takes over."""
_BATCH, _MOST_BATCHES = 500, 100
STEPS_VERSION = "1"
"""Changes with the shape of `_job`: an engine only takes up workflows of its own version."""


class _Slot:
    """What the one engine of this process performs with; the engine itself is one for each process, too."""

    perform: Perform | None = None


@DBOS.workflow(name="job")
async def _job(tenant_id: str, job_id: str, generation: int) -> None:
    if _Slot.perform is None:
        raise RuntimeError("the engine is closed")
    await _Slot.perform(tenant_id, job_id, generation)


class _Options(TypedDict):
    workflow_name: str
    queue_name: str
    workflow_id: str
    queue_partition_key: str
    priority: int
    delay_seconds: float
    app_version: str


class Engine:
    """The engine of this process: open one at a time.

    Args:
        place: The engine's own SQLite file, or the URL of the PostgreSQL database.
        worker_id: Who this process is; what it leaves behind is taken over under this name.
        per_tenant: How many jobs of one tenant run at once, in all processes together.
        at_once: How many jobs this process runs at once.
    """

    def __init__(self, place: Path | str, *, worker_id: str, per_tenant: int, at_once: int) -> None:
        self._place = place
        self._worker_id = worker_id
        self._per_tenant = per_tenant
        self._at_once = at_once
        self._dbos: Any = None

    async def open(self, perform: Perform) -> None:
        """Start; jobs handed to any process on the same database are performed from now on.

        Raises:
            StoreUnavailable: its own SQLite file cannot be used.
        """
        _Slot.perform = perform
        _quieten()
        config = DBOSConfig(
            name="sim-mcp",
            executor_id=self._worker_id,
            application_version=STEPS_VERSION,
            log_level="WARNING",
            enable_otlp=False,
        )
        if isinstance(self._place, str):
            config["system_database_url"] = self._place
            config["dbos_system_schema"] = "sim_mcp_jobs"
        else:
            config["system_database_url"] = f"sqlite:///{self._place}"
            config["system_database_engine"] = await anyio.to_thread.run_sync(_sqlite, self._place)
        self._dbos = DBOS(config=config)
        DBOS.launch()  # here and not in a thread: it notes this event loop, on which jobs then run
        await DBOS.register_queue_async(
            QUEUE,
            partition_concurrency=self._per_tenant,
            partition_worker_concurrency=None,
            worker_concurrency=self._at_once,
            polling_interval_sec=POLL_S,
            on_conflict="always_update",
        )

    async def close(self) -> None:
        """Stop. Jobs under way are left for whoever takes over."""
        if self._dbos is None:
            return
        self._dbos = None
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: DBOS.destroy(workflow_completion_timeout_sec=0))
        _Slot.perform = None

    async def hand(self, job: Job, *, delay_s: float) -> None:
        """Give `job` to the engine, durable on return. Giving the same generation again changes nothing."""
        options = _Options(
            workflow_name="job",
            queue_name=QUEUE,
            workflow_id=f"{job.tenant_id}/{job.id}/{job.generation}/{job.rounds}",
            queue_partition_key=job.tenant_id,
            priority=job.priority,
            delay_seconds=max(0.0, delay_s),
            app_version=STEPS_VERSION,
        )
        await DBOS.enqueue_workflow_with_options_async(
            options,  # pyright: ignore[reportArgumentType]  # the same keys, without the optional rest
            job.tenant_id,
            job.id,
            job.generation,
        )

    async def forget(self, before: datetime) -> int:
        """Forget what is over and was handed before `before`; how many. What is still to do stays."""
        forgotten = 0
        for _ in range(_MOST_BATCHES):
            over = await DBOS.list_workflows_async(
                queue_name=QUEUE,
                status=["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
                end_time=before.isoformat(),
                limit=_BATCH,
                load_input=False,
                load_output=False,
            )
            if not over:
                break
            await DBOS.delete_workflows_async([each.workflow_id for each in over])
            forgotten += len(over)
        return forgotten

    async def take_over(self, worker_id: str) -> int:
        """Begin again what the ended worker `worker_id` left; how many jobs. Doing so twice is harmless."""
        handles = await anyio.to_thread.run_sync(lambda: DBOS._recover_pending_workflows([worker_id]))  # noqa: SLF001 - the public way is an HTTP port for admins, which we do not open
        return len(handles)


def _sqlite(path: Path) -> sqlalchemy.Engine:
    """An engine on the file, mode 0600: readers beside one writer, who waits for his turn."""
    _look_at(path)
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = "IMMEDIATE"
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA busy_timeout=30000")

    return engine


def _look_at(path: Path) -> None:
    """Make the file, or find out that it cannot be used before the engine stumbles over it."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("SELECT COUNT(*) FROM sqlite_master")
    except (OSError, sqlite3.Error) as error:
        raise StoreUnavailable(
            f"The notes of the job engine, {path.name!r} beside the database, cannot be used: see that the "
            "disk has space and that the server may write there. A damaged file may be deleted while no "
            "server runs: no job is lost.",
            detail=f"{type(error).__name__}: {error}",
        ) from error


def _quieten() -> None:
    """Its log goes where ours goes, in our format: warnings and worse only."""
    logger = logging.getLogger("dbos")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.WARNING)
