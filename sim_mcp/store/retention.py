"""Forgetting: what is older than the retention goes, oldest first, in batches that keep nobody waiting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.store import columns
from sim_mcp.store.execution_rows import from_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sim_mcp.model.execution import Execution
    from sim_mcp.store.audit_chain import AuditChain
    from sim_mcp.store.database import Database

BATCH = 500

_CLAIM = "UPDATE counters SET value = ? WHERE name = 'purged_at' AND value <= ?"
_OLD = "SELECT * FROM executions WHERE finished_at < ? ORDER BY finished_at, tenant_id, id LIMIT ?"
_COUNTS = {
    "executions": "SELECT COUNT(*) AS total FROM executions WHERE finished_at < ?",
    "jobs": "SELECT COUNT(*) AS total FROM jobs WHERE finished_at < ?",
    "events": "SELECT COUNT(*) AS total FROM events WHERE received_at < ?",
}
_DELETES = {
    "jobs": """
DELETE FROM jobs WHERE (tenant_id, id) IN (
  SELECT tenant_id, id FROM jobs WHERE finished_at < ? ORDER BY finished_at LIMIT ?
)
""",
    "events": """
DELETE FROM events WHERE (tenant_id, scope, id) IN (
  SELECT tenant_id, scope, id FROM events WHERE received_at < ? ORDER BY received_at LIMIT ?
)
""",
}
KINDS = tuple(_COUNTS)


@dataclass(frozen=True, slots=True)
class Retention:
    """What is old, of all tenants. Unfinished executions and open jobs are never old. Operator's view."""

    database: Database
    chain: AuditChain

    async def claim(self, now: datetime, *, not_since: datetime) -> bool:
        """Whether the caller is the one to purge at `now`: nobody has done so since `not_since`."""
        touched = await self.database.execute(_CLAIM, [columns.micros(now), columns.micros(not_since)])
        return touched == 1

    async def counts(self, before: datetime) -> dict[str, int]:
        """How many rows of each kind ended before `before`."""
        found: dict[str, int] = {}
        for kind, sql in _COUNTS.items():
            row = await self.database.fetch_one(sql, [columns.micros(before)])
            found[kind] = 0 if row is None else columns.whole(row, "total")
        return found

    async def old_executions(self, before: datetime, *, limit: int = BATCH) -> tuple[Execution, ...]:
        """Executions that ended before `before`, oldest first."""
        rows = await self.database.fetch_all(_OLD, [columns.micros(before), limit])
        return tuple(from_row(row) for row in rows)

    async def forget(self, executions: Sequence[Execution]) -> int:
        """Delete exactly these, as long as they are final; how many went. The chain is told."""
        if not executions:
            return 0
        pairs = " OR ".join(["(tenant_id = ? AND id = ?)"] * len(executions))
        values = [part for each in executions for part in (each.tenant_id, each.id)]
        by_tenant: dict[str, set[str]] = {}
        async with self.database.transaction() as transaction:
            gone = await transaction.fetch_all(
                f"DELETE FROM executions WHERE finished_at IS NOT NULL AND ({pairs}) RETURNING tenant_id, id",  # noqa: S608 - marks only
                values,
            )
            for row in gone:
                by_tenant.setdefault(columns.text(row, "tenant_id"), set()).add(columns.text(row, "id"))
            for tenant_id, ids in by_tenant.items():
                await self.chain.forget(transaction, tenant_id, ids)
        return len(gone)

    async def purge(self, kind: str, before: datetime, *, limit: int = BATCH) -> int:
        """Delete up to `limit` jobs or events that ended before `before`; how many went.

        Raises:
            KeyError: `kind` is none of them.
        """
        return await self.database.execute(_DELETES[kind], [columns.micros(before), limit])

    async def shrink(self) -> None:
        """Give the space that was freed back to the system, where the database does not do so by itself."""
        await self.database.shrink()
