"""The store as a whole: opened from a URL, closed by leaving the block."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sim_mcp.model.errors import InvalidInput
from sim_mcp.store.audit_chain import AuditChain
from sim_mcp.store.audit_keys import AuditKeys
from sim_mcp.store.audit_trail import AuditTrail
from sim_mcp.store.changes import Changes
from sim_mcp.store.claims import Claims
from sim_mcp.store.events import Events
from sim_mcp.store.executions import Executions
from sim_mcp.store.integrations import Integrations
from sim_mcp.store.jobs import Jobs
from sim_mcp.store.mappings import Mappings
from sim_mcp.store.retention import Retention
from sim_mcp.store.schedules import Schedules
from sim_mcp.store.setup_links import SetupLinks
from sim_mcp.store.sim_budget import BudgetWindows
from sim_mcp.store.spent_tickets import SpentTickets
from sim_mcp.store.statistics import Statistics
from sim_mcp.store.tasks import Tasks
from sim_mcp.store.tokens import Tokens
from sim_mcp.store.tool_locks import ToolLocks
from sim_mcp.store.tool_secrets import ToolSecrets
from sim_mcp.store.tools import AllowList
from sim_mcp.store.workers import Workers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from sim_mcp.model.clock import Clock
    from sim_mcp.store.database import Database
    from sim_mcp.store.sealing import Sealer

_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Everything that is kept, by noun. All of it sits on one database."""

    database: Database
    integrations: Integrations
    executions: Executions
    statistics: Statistics
    claims: Claims
    tools: AllowList
    tool_locks: ToolLocks
    tool_secrets: ToolSecrets
    tokens: Tokens
    setup_links: SetupLinks
    spent_tickets: SpentTickets
    tasks: Tasks
    sim_budget: BudgetWindows
    changes: Changes
    mappings: Mappings
    events: Events
    schedules: Schedules
    jobs: Jobs
    workers: Workers
    retention: Retention
    audit_keys: AuditKeys
    audit_trail: AuditTrail

    async def ping(self) -> None:
        """Return when the database answers.

        Raises:
            StoreUnavailable: when it does not.
        """
        await self.database.fetch_one("SELECT 1 AS answer")


@asynccontextmanager
async def open_store(
    url: str,
    *,
    sealer: Sealer,
    clock: Clock,
    new_id: Callable[[], str],
    migrate: bool = True,
    only_look: bool = False,
    survives_power_loss: bool = False,
) -> AsyncGenerator[Store]:
    """The store at `url`, for as long as the block lasts. Several processes may open the same one.

    `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite:///C:/windows.db`, or
    `postgresql://user:password@host/name` (extra `postgres`). With `migrate` a missing file is made
    (mode 0600, its directory 0700) and the tables are brought up to date; without it nothing is created
    and a database that is not up to date is refused. With `only_look` nothing is created, and every
    write is refused too. `survives_power_loss`: an embedded database syncs the disk with every write;
    PostgreSQL decides by its own settings.

    Raises:
        InvalidInput: for a URL that names no database of this release.
        StoreUnavailable: when the database cannot be opened, is newer than this program, or (without
            `migrate`) is missing or older.
    """
    # Only now: the drivers are heavy, and importing the room must stay light.
    from sim_mcp.store.migrations import upgrade, verify

    may_create = migrate and not only_look
    database = await _open_database(
        url, may_create=may_create, may_write=not only_look, survives_power_loss=survives_power_loss
    )
    try:
        if may_create:
            await upgrade(database, clock=clock)
        else:
            await verify(database)
        yield _rooms(database, sealer, clock, new_id)
    finally:
        await database.close()


def _rooms(database: Database, sealer: Sealer, clock: Clock, new_id: Callable[[], str]) -> Store:
    audit_keys = AuditKeys(database, sealer, clock)
    chain = AuditChain(database, audit_keys)
    return Store(
        database=database,
        integrations=Integrations(database, sealer, clock, new_id),
        executions=Executions(database, chain),
        statistics=Statistics(database),
        claims=Claims(database, sealer, clock),
        tools=AllowList(database, clock),
        tool_locks=ToolLocks(database),
        tool_secrets=ToolSecrets(database, sealer, clock),
        tokens=Tokens(database, clock, new_id),
        setup_links=SetupLinks(database, clock, new_id),
        spent_tickets=SpentTickets(database, clock),
        tasks=Tasks(database, clock),
        sim_budget=BudgetWindows(database),
        changes=Changes(database),
        mappings=Mappings(database, clock, new_id),
        events=Events(database, sealer, clock, new_id),
        schedules=Schedules(database, sealer, clock, new_id),
        jobs=Jobs(database, sealer),
        workers=Workers(database),
        retention=Retention(database, chain),
        audit_keys=audit_keys,
        audit_trail=AuditTrail(database, audit_keys),
    )


async def _open_database(
    url: str, *, may_create: bool, may_write: bool, survives_power_loss: bool
) -> Database:
    if is_postgres(url):
        try:
            from sim_mcp.store.postgres import open_postgres
        except ImportError as error:
            raise InvalidInput(
                'PostgreSQL needs its driver: install it with `pip install "sim-mcp[postgres]"`.'
            ) from error
        return await open_postgres(url, may_write=may_write)
    from sim_mcp.store.sqlite import open_sqlite

    return await open_sqlite(
        sqlite_path(url),
        may_create=may_create,
        may_write=may_write,
        survives_power_loss=survives_power_loss,
    )


def is_postgres(url: str) -> bool:
    """Whether `url` names a PostgreSQL database."""
    return url.startswith(("postgres://", "postgresql://"))


def sqlite_path(url: str) -> Path:
    """The file that `url` names, absolute.

    Raises:
        InvalidInput: for a URL that names no database of this release.
    """
    # The URL itself is never repeated: it may carry a password.
    path = url.removeprefix(_SQLITE)
    if not url.startswith(_SQLITE) or not path.strip() or "\0" in path:
        raise InvalidInput(
            "The database URL is not understood: write sqlite:///relative/path.db, "
            "sqlite:////absolute/path.db or postgresql://user@host/name."
        )
    if path.startswith(":memory:") or path.endswith(("/", os.sep)):
        raise InvalidInput("The database URL must name a file: write sqlite:///path/to/sim-mcp.db.")
    return Path(path).absolute()
