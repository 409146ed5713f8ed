"""What the audit log teaches of each tool: how long its runs usually take, and how many of them succeed."""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sim_mcp.model.clock import Clock
from sim_mcp.model.execution import Status
from sim_mcp.model.principal import TenantId
from sim_mcp.store import Statistics

LEARNED_FROM = timedelta(days=30)
NEWEST = 2000
"""Durations come from at most so many of a tenant's newest completed runs."""
FEWEST = 3
"""Fewer runs say nothing about what is usual."""
REMEMBERED_S = 300.0
MOST_REMEMBERED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualDuration:
    """The usual duration of completed runs: half took at most `p50_s`, 95 % at most `p95_s`."""

    p50_s: float
    p95_s: float
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What is known of a tool's runs of the last 30 days. `None`: they were too few to tell."""

    usual: UsualDuration | None
    success_rate: float | None

    @property
    def is_telling(self) -> bool:
        """Whether anything is known."""
        return self.usual is not None or self.success_rate is not None


class Pace:
    """Tells what is usual; each answer is two bounded questions to an index."""

    def __init__(self, statistics: Statistics, clock: Clock) -> None:
        self._statistics = statistics
        self._clock = clock
        self._remembered: OrderedDict[TenantId, tuple[float, Mapping[str, Usage]]] = OrderedDict()

    async def of(self, tenant_id: TenantId, tool_name: str) -> Usage | None:
        """What is usual for one tool; `None` when nothing is known."""
        return (await self.by_tool(tenant_id)).get(tool_name)

    async def by_tool(self, tenant_id: TenantId) -> Mapping[str, Usage]:
        """What is usual for each tool of which something is known."""
        since = self._clock.now() - LEARNED_FROM
        ends: dict[str, dict[Status, int]] = defaultdict(dict)
        for count in await self._statistics.by_tool(tenant_id, None, since=since):
            ends[count.tool_name][count.status] = count.executions
        took: dict[str, list[int]] = defaultdict(list)
        for name, duration_ms in await self._statistics.durations_ms(
            tenant_id, None, since=since, limit=NEWEST
        ):
            took[name].append(duration_ms)
        found = {
            name: Usage(usual=usual_of(took[name]), success_rate=_success_rate(known))
            for name, known in ends.items()
        }
        return {name: usage for name, usage in found.items() if usage.is_telling}

    async def lately_by_tool(self, tenant_id: TenantId) -> Mapping[str, Usage]:
        """`by_tool` as it was at most five minutes ago: for texts that should not change all the time."""
        now_s = self._clock.monotonic()
        until_s, known = self._remembered.get(tenant_id, (-math.inf, {}))
        if now_s < until_s:
            return known
        known = await self.by_tool(tenant_id)
        self._remembered[tenant_id] = (now_s + REMEMBERED_S, known)
        self._remembered.move_to_end(tenant_id)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return known


def usual_of(durations_ms: Sequence[int]) -> UsualDuration | None:
    """What is usual among `durations_ms`, by nearest rank; `None` for fewer than three."""
    if len(durations_ms) < FEWEST:
        return None
    ordered = sorted(durations_ms)

    def at_most(share: float) -> float:  # nearest rank: a duration that really occurred
        return ordered[math.ceil(share * len(ordered)) - 1] / 1000

    return UsualDuration(p50_s=at_most(0.50), p95_s=at_most(0.95), runs=len(ordered))


def _success_rate(ends: Mapping[Status, int]) -> float | None:
    completed, failed = ends.get(Status.COMPLETED, 0), ends.get(Status.FAILED, 0)
    return completed / (completed + failed) if completed + failed >= FEWEST else None
