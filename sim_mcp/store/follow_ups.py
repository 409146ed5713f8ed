"""Following executions up: which rows need a look, and who of many processes takes it.

`follow_up_at` is both due time and lease. Whoever looks after a row moves it into the future; a
row whose keeper died comes due by itself. Operator's view: these questions cross tenants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.store import columns
from sim_mcp.store.execution_rows import ExecutionTable, from_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sim_mcp.model.execution import Execution, ExecutionId
    from sim_mcp.model.principal import TenantId
    from sim_mcp.store.database import Value

_CHUNK = 200
_KEEP = "UPDATE executions SET follow_up_at = ? WHERE finished_at IS NULL AND "

# The tenants take turns: everybody's first due row comes before anybody's second.
_DUE = """
SELECT e.* FROM (
  SELECT tenant_id, id, follow_up_at,
         ROW_NUMBER() OVER (PARTITION BY tenant_id ORDER BY follow_up_at, id) AS place
  FROM executions WHERE follow_up_at <= ?
) AS ranked
JOIN executions AS e ON e.tenant_id = ranked.tenant_id AND e.id = ranked.id
WHERE ranked.place <= ? AND e.follow_up_at IS NOT NULL
ORDER BY ranked.place, ranked.follow_up_at, ranked.tenant_id, ranked.id
LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class FollowUps(ExecutionTable):
    """The follow-up half of `Executions`."""

    async def due(
        self, now: datetime, *, limit: int, per_tenant: int
    ) -> tuple[tuple[Execution, datetime], ...]:
        """Up to `limit` unfinished executions whose follow-up is due at `now`, with that due time.

        At most `per_tenant` of each tenant, the tenants taking turns, the longest overdue first.
        """
        rows = await self.database.fetch_all(_DUE, [columns.micros(now), per_tenant, limit])
        return tuple((from_row(row), columns.moment(row, "follow_up_at")) for row in rows)

    async def claim(
        self, tenant_id: TenantId, execution_id: ExecutionId, *, seen: datetime, until: datetime
    ) -> bool:
        """Take the row whose due time was `seen`, until `until`. Of many claimers exactly one gets `True`.

        Raises:
            ValueError: when `until` is not after `seen`: such a claim would keep nobody out.
        """
        if until <= seen:
            raise ValueError("a claim must reach beyond the due time it was seen with")
        touched = await self.database.execute(
            "UPDATE executions SET follow_up_at = ? WHERE tenant_id = ? AND id = ? AND follow_up_at = ?",
            [columns.micros(until), tenant_id, execution_id, columns.micros(seen)],
        )
        return touched == 1

    async def keep(self, ids: Sequence[tuple[TenantId, ExecutionId]], *, until: datetime) -> int:
        """Renew the lease of every unfinished execution among `ids`; return how many that were."""
        kept = 0
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            values: list[Value] = [columns.micros(until)]
            for tenant_id, execution_id in chunk:
                values += [tenant_id, execution_id]
            # Spelt out instead of `IN (VALUES ...)`, for which SQLite would read the whole table.
            rows = " OR ".join(["(tenant_id = ? AND id = ?)"] * len(chunk))
            kept += await self.database.execute(f"{_KEEP}({rows})", values)
        return kept

    async def schedule(self, tenant_id: TenantId, execution_id: ExecutionId, *, at: datetime) -> bool:
        """Have an unfinished execution looked at by `at`. `False` when it is final or unknown."""
        touched = await self.database.execute(
            "UPDATE executions SET follow_up_at = ? WHERE tenant_id = ? AND id = ? AND finished_at IS NULL",
            [columns.micros(at), tenant_id, execution_id],
        )
        return touched == 1
