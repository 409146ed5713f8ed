"""A tenant's metrics (product design 14.2), read from the audit log: the same for every door.

Success rate, average duration, error rate by code, proximity to limits, executions, breaker state. They
count what the log says, so they survive restarts and are the same at every replica; only proximity and the
breaker are this process's own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio

from sim_mcp.gateway.curation import quiet
from sim_mcp.gateway.pace import UsualDuration, usual_of
from sim_mcp.gateway.tenancy import Tenancy
from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import InvalidInput, SimMcpError
from sim_mcp.model.execution import Status
from sim_mcp.model.integration import Integration
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.model.run import Usage
from sim_mcp.resilience import Breakers, BreakerState, Proximity, Throttle
from sim_mcp.sim import SimClients
from sim_mcp.store import FailureCount, SlotCount, Store, ToolCount

USUAL_WINDOW = timedelta(days=30)
"""What is measured when nobody says since when."""
LONGEST_WINDOW = timedelta(days=3660)
"""Nothing is older than that: an earlier `since` means ten years."""
MOST_DURATIONS = 20_000
"""Percentiles come from at most so many of the newest completed runs."""
SIM_WAIT_S = 5.0
MOST_SLOTS = 60
SLOTS = (
    *(timedelta(minutes=minutes) for minutes in (1, 5, 15, 30)),
    *(timedelta(hours=hours) for hours in (1, 3, 6, 12)),
    *(timedelta(days=days) for days in (1, 7, 30, 90)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """How executions ended that SIM was asked for.

    `success_rate` is completed / (completed + failed), `None` without either; `average_duration_s` is
    over all whose duration is known.
    """

    executions: int
    completed: int
    failed: int
    cancelled: int
    success_rate: float | None
    average_duration_s: float | None
    cost: float

    @classmethod
    def of(cls, counts: Iterable[ToolCount]) -> Ends:
        """The sum of `counts`."""
        known = tuple(counts)

        def ended(status: Status) -> int:
            return sum(each.executions for each in known if each.status is status)

        completed, failed = ended(Status.COMPLETED), ended(Status.FAILED)
        timed = sum(each.timed for each in known)
        return cls(
            executions=sum(each.executions for each in known),
            completed=completed,
            failed=failed,
            cancelled=ended(Status.CANCELLED),
            success_rate=completed / (completed + failed) if completed + failed else None,
            average_duration_s=sum(each.duration_ms for each in known) / timed / 1000 if timed else None,
            cost=sum(each.cost for each in known),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolMetrics:
    """One tool's ends, and how long its completed runs usually take."""

    tool_name: str
    ends: Ends
    usual: UsualDuration | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRate:
    """Calls that failed or were refused with `code`; `share` of all calls that ended."""

    code: str
    calls: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantMetrics:
    """The six metrics of one tenant since a moment, by its audit log.

    `ends` counts executions that SIM was asked for; `refused` calls came no further than this server;
    `unfinished` executions are not over yet, whenever they began.
    """

    since: datetime
    until: datetime
    ends: Ends
    refused: int
    unfinished: int
    tools: tuple[ToolMetrics, ...]
    errors: tuple[ErrorRate, ...]
    proximity: Proximity
    usage: Usage | None
    breaker: BreakerState | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Executions by the time at which they were made, in slots of `slot`; slots without any are left out."""

    since: datetime
    until: datetime
    slot: timedelta
    counts: tuple[SlotCount, ...]


class MetricsDesk:
    """Measures for a principal; nothing here changes anything."""

    def __init__(
        self,
        *,
        store: Store,
        tenancy: Tenancy,
        clients: SimClients,
        breakers: Breakers,
        throttle: Throttle,
        clock: Clock,
    ) -> None:
        self._store = store
        self._tenancy = tenancy
        self._clients = clients
        self._breakers = breakers
        self._throttle = throttle
        self._clock = clock

    async def of(
        self, principal: Principal, *, since: datetime | None = None, asks_sim: bool = True
    ) -> TenantMetrics:
        """The metrics of the principal's tenant since `since`, or of the last 30 days.

        With `asks_sim`, SIM's own limits are asked for, which costs no run and at most 5 s.

        Raises:
            Forbidden: without VIEW.
            InvalidInput: `since` lies in the future.
        """
        principal.require(Permission.VIEW)
        now = self._clock.now()
        began = _began(since, now)
        whose = (principal.tenant_id, principal.organization_id)
        counts = await self._store.statistics.by_tool(*whose, since=began)
        failures = await self._store.statistics.failures(*whose, since=began)
        durations = await self._store.statistics.durations_ms(*whose, since=began, limit=MOST_DURATIONS)
        refused = sum(each.refused for each in failures)
        ends = Ends.of(counts)
        integration = await self._tenancy.find(*whose)
        return TenantMetrics(
            since=began,
            until=now,
            ends=ends,
            refused=refused,
            unfinished=await self._store.executions.count_unfinished(*whose),
            tools=_tools(counts, durations),
            errors=_errors(failures, ends.executions + refused),
            proximity=self._throttle.proximity(principal.tenant_id),
            usage=await self._usage(integration) if asks_sim else None,
            breaker=self._breakers.of(integration.tenant_id, integration.base_url).state
            if integration
            else None,
        )

    async def timeline(self, principal: Principal, *, since: datetime | None = None) -> Timeline:
        """How executions ended over time, in at most 60 slots.

        Raises:
            Forbidden: without VIEW.
            InvalidInput: as `of`.
        """
        principal.require(Permission.VIEW)
        now = self._clock.now()
        began = _began(since, now)
        slot = next((each for each in SLOTS if (now - began) / each < MOST_SLOTS), SLOTS[-1])
        counts = await self._store.statistics.over_time(
            principal.tenant_id, principal.organization_id, since=began, slot=slot
        )
        return Timeline(since=began, until=now, slot=slot, counts=counts)

    async def _usage(self, integration: Integration | None) -> Usage | None:
        if integration is None or not integration.has_api_key:
            return None
        with anyio.move_on_after(SIM_WAIT_S):
            try:
                client = await self._clients.get(integration)
            except SimMcpError:
                return None
            return await quiet(client.usage)
        return None


def _began(since: datetime | None, now: datetime) -> datetime:
    if since is None:
        return now - USUAL_WINDOW
    if since > now:
        raise InvalidInput("`since` lies in the future: give a moment that has passed.")
    return max(since, now - LONGEST_WINDOW)


def _tools(counts: tuple[ToolCount, ...], durations: tuple[tuple[str, int], ...]) -> tuple[ToolMetrics, ...]:
    by_tool: dict[str, list[ToolCount]] = defaultdict(list)
    for count in counts:
        by_tool[count.tool_name].append(count)
    took: dict[str, list[int]] = defaultdict(list)
    for name, duration_ms in durations:
        took[name].append(duration_ms)
    return tuple(
        ToolMetrics(tool_name=name, ends=Ends.of(found), usual=usual_of(took[name]))
        for name, found in sorted(by_tool.items())
    )


def _errors(failures: tuple[FailureCount, ...], calls: int) -> tuple[ErrorRate, ...]:
    found = [
        ErrorRate(code=each.code or "UNKNOWN", calls=each.calls, share=each.calls / calls if calls else 0.0)
        for each in failures
    ]
    return tuple(sorted(found, key=lambda each: (-each.calls, each.code)))
