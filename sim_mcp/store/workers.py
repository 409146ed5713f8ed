"""The processes that run jobs: who lives, and whose work is left behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.store import columns

if TYPE_CHECKING:
    from datetime import datetime

    from sim_mcp.store.database import Database


SILENT_S = 20.0
"""A worker without a sign of life for so long has ended; its jobs are begun again elsewhere."""


@dataclass(frozen=True, slots=True)
class Workers:
    """One row for each worker process, from its first sign of life until another has taken over from it."""

    database: Database

    async def seen(self, worker_id: str, *, at: datetime) -> None:
        """Note a sign of life."""
        await self.database.execute(
            "INSERT INTO workers (id, seen_at) VALUES (?, ?)"
            " ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
            [worker_id, columns.micros(at)],
        )

    async def silent(self, *, since: datetime) -> tuple[str, ...]:
        """The workers without a sign of life since then."""
        rows = await self.database.fetch_all(
            "SELECT id FROM workers WHERE seen_at < ? ORDER BY id LIMIT 20", [columns.micros(since)]
        )
        return tuple(columns.text(row, "id") for row in rows)

    async def alive(self, now: datetime) -> int:
        """How many processes run jobs."""
        since = columns.micros(now) - int(SILENT_S * 1_000_000)
        row = await self.database.fetch_one(
            "SELECT COUNT(*) AS total FROM workers WHERE seen_at >= ?", [since]
        )
        return 0 if row is None else columns.whole(row, "total")

    async def leave(self, worker_id: str) -> None:
        """Note that the worker ends: what it leaves behind may be taken over at once."""
        await self.database.execute("UPDATE workers SET seen_at = 0 WHERE id = ?", [worker_id])

    async def taken_over(self, worker_id: str, *, since: datetime) -> None:
        """Forget a worker whose work was taken over, unless it has come back meanwhile."""
        await self.database.execute(
            "DELETE FROM workers WHERE id = ? AND seen_at < ?", [worker_id, columns.micros(since)]
        )
