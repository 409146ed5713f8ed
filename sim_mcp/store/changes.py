"""The list of changes: how other processes notice that a tenant's settings moved on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import anyio

from sim_mcp.model.errors import StoreUnavailable
from sim_mcp.model.principal import TenantId
from sim_mcp.store import columns
from sim_mcp.store.database import Trouble

if TYPE_CHECKING:
    from sim_mcp.model.clock import Clock
    from sim_mcp.store.database import Database, Transaction

_KEPT = 1000


class ChangeKind(StrEnum):
    """What changed."""

    INTEGRATION = "integration"
    TOOLS = "tools"
    TOKENS = "tokens"
    EVERYTHING = "everything"
    """The reader was away for too long to be told one by one: forget whatever was remembered."""


class Change(NamedTuple):
    """One change. `tenant_id` is `None` only for `EVERYTHING`."""

    tenant_id: TenantId | None
    kind: ChangeKind


@dataclass(frozen=True, slots=True)
class Changes:
    """The numbered changes of all tenants; the newest 1000 are kept."""

    database: Database

    async def latest(self) -> int:
        """The number of the newest change; 0 before the first."""
        row = await self.database.fetch_one("SELECT value FROM counters WHERE name = 'changes'")
        if row is None:
            raise Trouble.CORRUPT.error("the counter of changes is gone")
        return columns.whole(row, "value")

    async def changes_since(self, seq: int) -> tuple[int, tuple[Change, ...]]:
        """What changed after number `seq`, each pair once, and the number to ask with next time."""
        latest = await self.latest()
        if latest == seq:
            return seq, ()
        rows = await self.database.fetch_all(
            "SELECT seq, tenant_id, kind FROM changes WHERE seq > ? ORDER BY seq", [seq]
        )
        # The numbers have no holes, so a hole means that rows were dropped before we came, and a
        # `seq` from the future means that an older copy of the database was put back.
        if not rows or columns.whole(rows[0], "seq") != seq + 1:
            return latest, (Change(None, ChangeKind.EVERYTHING),)
        changes = [
            Change(TenantId(columns.text(row, "tenant_id")), ChangeKind(columns.text(row, "kind")))
            for row in rows
        ]
        return columns.whole(rows[-1], "seq"), tuple(dict.fromkeys(changes))

    async def until_next_look(self, clock: Clock, *, within_s: float) -> None:
        """Return when a change was announced, and after `within_s` seconds in any case."""

        async def heed() -> None:
            try:
                await self.database.rung()
            except StoreUnavailable:
                return  # nothing can be announced; the time is the net under it
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(heed)
            await clock.sleep(within_s)
            group.cancel_scope.cancel()


async def record_change(transaction: Transaction, tenant_id: TenantId, kind: ChangeKind) -> None:
    """Number and note a change inside the transaction that makes it. Say it first in there.

    The counter's row stays locked until the transaction ends: writers of settings go one after the
    other on every database, and no reader ever sees number n + 1 before number n.
    """
    row = await transaction.fetch_one(
        "UPDATE counters SET value = value + 1 WHERE name = 'changes' RETURNING value"
    )
    if row is None:
        raise Trouble.CORRUPT.error("the counter of changes is gone")
    seq = columns.whole(row, "value")
    await transaction.execute(
        "INSERT INTO changes (seq, tenant_id, kind) VALUES (?, ?, ?)", [seq, tenant_id, kind.value]
    )
    await transaction.execute("DELETE FROM changes WHERE seq <= ?", [seq - _KEPT])
    await transaction.ring()
