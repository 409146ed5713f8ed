"""Keeping no more than is wanted: the hourly purge of what is older than the retention, and its report."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio.lowlevel

from sim_mcp.gateway.archive import Archive
from sim_mcp.model.errors import StoreUnavailable

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sim_mcp.model.clock import Clock
    from sim_mcp.store import Retention

log = logging.getLogger(__name__)

EVERY_S = 3600.0


@dataclass(slots=True, kw_only=True)
class Purged:
    """What went: how many of each kind that ended before `before`, and the files they were archived in."""

    before: datetime
    counts: dict[str, int] = field(default_factory=dict[str, int])
    files: list[Path] = field(default_factory=list["Path"])


class Keeping:
    """Purges by the settings. One per process; of many, one works at a time."""

    def __init__(
        self, *, retention: Retention, clock: Clock, retention_days: int, archive: Path | None
    ) -> None:
        self._retention = retention
        self._clock = clock
        self._days = retention_days
        self._archive = None if archive is None else Archive(archive)

    async def run_due(self) -> Purged | None:
        """Purge if nobody has within the hour; what went. Nothing with a retention of 0 days."""
        now = self._clock.now()
        if self._days == 0:
            return None
        if not await self._retention.claim(now, not_since=now - timedelta(seconds=EVERY_S)):
            return None
        purged = await self.purge(now - timedelta(days=self._days))
        if any(purged.counts.values()):
            told = ", ".join(f"{count} {kind}" for kind, count in purged.counts.items())
            log.info("purged what ended before %s: %s", f"{purged.before:%Y-%m-%d %H:%M}", told)
        return purged

    async def preview(self, before: datetime) -> Purged:
        """What `purge` would remove; nothing is removed."""
        return Purged(before=before, counts=await self._retention.counts(before))

    async def purge(self, before: datetime) -> Purged:
        """Remove what ended before `before`, batch by batch; executions are archived first when asked.

        Raises:
            StoreUnavailable: the archive or the database cannot be written. What was not archived stays.
        """
        purged = Purged(before=before, counts={"executions": 0, "jobs": 0, "events": 0})
        while executions := await self._retention.old_executions(before):
            if self._archive is not None:
                try:
                    purged.files += await self._archive.write(executions, at=self._clock.now())
                except OSError as error:
                    raise StoreUnavailable(
                        "The archive cannot be written, so nothing was purged: check that the server may "
                        "write to SIM_MCP_RETENTION_ARCHIVE_DIR.",
                        detail=type(error).__name__,
                    ) from error
            purged.counts["executions"] += await self._retention.forget(executions)
            await anyio.lowlevel.checkpoint()
        for kind in ("jobs", "events"):
            while gone := await self._retention.purge(kind, before):
                purged.counts[kind] += gone
                await anyio.lowlevel.checkpoint()
        await self._retention.shrink()
        return purged
