"""Following executions up: which rows need a look, and who of many processes takes it.

`follow_up_at` is both due time and lease. Whoever looks after a row moves it into the future; a
row whose keeper died comes due by itself. Operator's view: these questions cross tenants.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
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
_KEEP = (
    "UPDATE executions SET follow_up_at = ? WHERE finished_at IS NULL"
    " AND (cancel_requested_at IS NULL OR cancel_requested_at <= ?) AND "
)

REST_S = 2.0
"""How long a row is left alone after a look, whoever asks."""
FURTHEST_S = 1800.0
"""No due time is further ahead than this, unless the clock went back."""

# A look in the future is from before the clock went back: it keeps nobody out.
_LOOK_NOW = """
UPDATE executions SET looked_at = ?, looks = looks + 1
WHERE tenant_id = ? AND id = ? AND finished_at IS NULL
  AND (looked_at IS NULL OR looked_at <= ? OR looked_at > ?)
RETURNING looks
"""
_LOOK_DUE = """
UPDATE executions SET looked_at = ?, looks = looks + 1, follow_up_at = ?
WHERE follow_up_at = ? AND tenant_id = ? AND id = ? AND finished_at IS NULL
  AND (looked_at IS NULL OR looked_at <= ? OR looked_at > ?)
RETURNING looks
"""

_MISS = """
UPDATE executions SET missed_at = COALESCE(missed_at, ?)
WHERE tenant_id = ? AND id = ? AND finished_at IS NULL
RETURNING missed_at, was_known
"""

# The tenants take turns: everybody's first due row comes before anybody's second.
_DUE = """
SELECT e.* FROM (
  SELECT tenant_id, id, follow_up_at,
         ROW_NUMBER() OVER (PARTITION BY tenant_id ORDER BY follow_up_at, id) AS place
  FROM (
    SELECT tenant_id, id, follow_up_at FROM executions WHERE follow_up_at <= ?
    UNION ALL
    SELECT tenant_id, id, follow_up_at FROM executions WHERE follow_up_at > ?
  ) AS due
) AS ranked
JOIN executions AS e ON e.tenant_id = ranked.tenant_id AND e.id = ranked.id
WHERE ranked.place <= ? AND e.follow_up_at IS NOT NULL
ORDER BY ranked.place, ranked.follow_up_at, ranked.tenant_id, ranked.id
LIMIT ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A run that SIM does not know: since which look, and whether it has known it before."""

    since: datetime
    was_known: bool


@dataclass(frozen=True, slots=True)
class FollowUps(ExecutionTable):
    """The follow-up half of `Executions`."""

    async def due(
        self, now: datetime, *, limit: int, per_tenant: int
    ) -> tuple[tuple[Execution, datetime], ...]:
        """Up to `limit` unfinished executions whose follow-up is due at `now`, with that due time.

        At most `per_tenant` of each tenant, the tenants taking turns, the longest overdue first. A due
        time further ahead than `FURTHEST_S` was written before the clock went back: it is due as well.
        """
        furthest = now + timedelta(seconds=FURTHEST_S)
        rows = await self.database.fetch_all(
            _DUE, [columns.micros(now), columns.micros(furthest), per_tenant, limit]
        )
        return tuple((from_row(row), columns.moment(row, "follow_up_at")) for row in rows)

    async def claim(
        self, tenant_id: TenantId, execution_id: ExecutionId, *, seen: datetime, at: datetime, until: datetime
    ) -> int:
        """Take, at `at`, the row whose due time was `seen`, until `until`.

        Returns the number of this look since the run began or was paused, from 1. Of many claimers exactly
        one gets it; the others get 0, and so does who comes within `REST_S` of the last look.

        Raises:
            ValueError: when `until` is `seen`: such a claim would keep nobody out.
        """
        if until == seen:
            raise ValueError("a claim must reach beyond the due time it was seen with")
        lease = [columns.micros(until), columns.micros(seen)]
        return await self._begin_look(_LOOK_DUE, lease, tenant_id, execution_id, at=at, rest_s=REST_S)

    async def claim_now(
        self, tenant_id: TenantId, execution_id: ExecutionId, *, at: datetime, rest_s: float = 0.0
    ) -> int:
        """Note a look at an unfinished row, due or not, and leave its due time to whoever keeps it.

        As `claim`, but 0 only within `rest_s` of the last look.
        """
        return await self._begin_look(_LOOK_NOW, [], tenant_id, execution_id, at=at, rest_s=rest_s)

    async def miss(self, tenant_id: TenantId, execution_id: ExecutionId, *, at: datetime) -> Missing | None:
        """Note that SIM, asked at `at`, knew no run of this row; `None` when the row is final or unknown.

        Forgotten as soon as SIM tells of the run.
        """
        row = await self.database.change(_MISS, [columns.micros(at), tenant_id, execution_id])
        if row is None:
            return None
        return Missing(
            since=columns.moment(row, "missed_at"), was_known=bool(columns.whole(row, "was_known"))
        )

    async def _begin_look(
        self,
        sql: str,
        lease: Sequence[Value],
        tenant_id: TenantId,
        execution_id: ExecutionId,
        *,
        at: datetime,
        rest_s: float,
    ) -> int:
        rested = [columns.micros(at - timedelta(seconds=rest_s)), columns.micros(at)]
        row = await self.database.change(sql, [columns.micros(at), *lease, tenant_id, execution_id, *rested])
        return 0 if row is None else columns.whole(row, "looks")

    async def keep(
        self,
        ids: Sequence[tuple[TenantId, ExecutionId]],
        *,
        until: datetime,
        cancelled_before: datetime | None = None,
    ) -> int:
        """Renew the lease of every unfinished execution among `ids`; return how many that were.

        With `cancelled_before` not of those whose cancel was requested later: they come due, so that
        SIM is asked again to cancel them.
        """
        settled_at = columns.micros(cancelled_before or until)
        kept = 0
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            values: list[Value] = [columns.micros(until), settled_at]
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
