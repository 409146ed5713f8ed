"""How a tenant's connection is doing: for `sim_status`, REST and `doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import anyio

from sim_mcp.gateway.allowance import Allowance, Budget, TenantLimits, month_start
from sim_mcp.gateway.call import Gateway
from sim_mcp.gateway.curation import quiet
from sim_mcp.gateway.drift_gate import Gate
from sim_mcp.gateway.pace import Pace
from sim_mcp.gateway.pace import Usage as ToolUsage
from sim_mcp.gateway.tenancy import Tenancy
from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import SimMcpError, SimUnavailable
from sim_mcp.model.events import JobState
from sim_mcp.model.integration import Dialect, Integration
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.model.run import Usage
from sim_mcp.resilience import Breakers, BreakerState, Throttle
from sim_mcp.sim import SimClients
from sim_mcp.store import Store

LONGEST_S = 15.0
"""How long SIM may take to answer all questions about its health; a tool call must end within 45 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimHealth:
    """Whether SIM answers this tenant. `problem` is a sentence when it does not."""

    is_reachable: bool
    is_key_accepted: bool
    dialect: Dialect | None = None
    round_trip_s: float | None = None
    problem: str | None = None
    cause: SimMcpError | None = None
    """What `problem` was said by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """What events and schedules started for the tenant. `workers` counts the processes that run jobs."""

    jobs: dict[JobState, int]
    workers: int

    @property
    def waiting(self) -> int:
        """How many jobs have not begun yet."""
        return self.jobs.get(JobState.WAITING, 0) + self.jobs.get(JobState.HANDED, 0)

    @property
    def running(self) -> int:
        """How many jobs are under way."""
        return self.jobs.get(JobState.RUNNING, 0)

    @property
    def dead(self) -> int:
        """How many dead letters there are."""
        return self.jobs.get(JobState.DEAD, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantStatus:
    """Everything `sim_status` tells. Costs no run."""

    integration: Integration | None
    sim: SimHealth | None
    breaker: BreakerState | None
    usage: Usage | None
    executions_this_month: int
    monthly_executions: int | None
    budget: Budget | None
    """What is left of the limits that cost money; `None` without such limits."""
    rate_per_minute: int
    rate_used_share: float
    """0 when a whole burst of calls is left, 1 when the next call would be refused."""
    running_calls: int
    max_concurrency: int
    unfinished: int
    queue: QueueStatus
    tool_count: int
    tool_problems: tuple[str, ...]
    held_tools: Mapping[str, tuple[str, ...]]
    """Tools whose calls are refused until somebody approves what changed at SIM; each with the changes."""
    tool_usage: tuple[tuple[str, ToolUsage], ...] = ()
    """What was learned of each tool, of those with runs enough to tell."""


class StatusDesk:
    """Collects a tenant's status from all rooms; nothing here changes anything."""

    def __init__(
        self,
        *,
        store: Store,
        gateway: Gateway,
        tenancy: Tenancy,
        clients: SimClients,
        breakers: Breakers,
        throttle: Throttle,
        pace: Pace,
        gate: Gate,
        allowance: Allowance,
        limits: TenantLimits,
        clock: Clock,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._tenancy = tenancy
        self._clients = clients
        self._breakers = breakers
        self._throttle = throttle
        self._pace = pace
        self._gate = gate
        self._allowance = allowance
        self._limits = limits
        self._clock = clock
        self._longest_s = longest_s

    async def of(self, principal: Principal) -> TenantStatus:
        """The status of the principal's tenant.

        Raises:
            Forbidden: without VIEW.
        """
        principal.require(Permission.VIEW)
        integration = await self._tenancy.find(principal.tenant_id, principal.organization_id)
        catalog = await self._gateway.catalog(principal.tenant_id)
        health, usage = await self._ask_sim(integration)
        now = self._clock.now()
        proximity = self._throttle.proximity(principal.tenant_id)
        usual = await self._pace.by_tool(principal.tenant_id)
        return TenantStatus(
            integration=integration,
            sim=health,
            breaker=self._breakers.of(integration.tenant_id, integration.base_url).state
            if integration
            else None,
            usage=usage,
            executions_this_month=await self._store.executions.count_since(
                principal.tenant_id, month_start(now)
            ),
            monthly_executions=self._limits.monthly_executions,
            budget=await self._allowance.remaining(principal.tenant_id),
            rate_per_minute=self._limits.rate_per_minute,
            rate_used_share=proximity.used_share,
            running_calls=proximity.in_use,
            max_concurrency=self._limits.max_concurrency,
            unfinished=await self._store.executions.count_unfinished(
                principal.tenant_id, principal.organization_id
            ),
            queue=QueueStatus(
                jobs=await self._store.jobs.counts(principal.tenant_id),
                workers=await self._store.workers.alive(now),
            ),
            tool_count=len(catalog.tools),
            tool_problems=tuple(str(problem) for problem in catalog.problems),
            held_tools=await self._gate.held(catalog),
            tool_usage=tuple((tool.name, usual[tool.name]) for tool in catalog.tools if tool.name in usual),
        )

    async def health(self, principal: Principal) -> SimHealth | None:
        """Whether SIM answers this tenant; `None` when no account is connected.

        Raises:
            Forbidden: without VIEW.
        """
        principal.require(Permission.VIEW)
        integration = await self._tenancy.find(principal.tenant_id, principal.organization_id)
        return (await self._ask_sim(integration))[0]

    async def _ask_sim(self, integration: Integration | None) -> tuple[SimHealth | None, Usage | None]:
        if integration is None or not integration.has_api_key:
            return None, None
        with anyio.move_on_after(self._longest_s):
            return await self._asked(integration)
        late = SimUnavailable(f"SIM did not answer within {self._longest_s:g} s.")
        return SimHealth(is_reachable=False, is_key_accepted=False, problem=late.message, cause=late), None

    async def _asked(self, integration: Integration) -> tuple[SimHealth, Usage | None]:
        try:
            client = await self._clients.get(integration)
            round_trip_s = await client.health()
        except SimMcpError as error:
            lost = SimHealth(is_reachable=False, is_key_accepted=False, problem=error.message, cause=error)
            return lost, None
        try:
            probe = await client.probe(refresh=True)
        except SimMcpError as error:
            health = SimHealth(
                is_reachable=True,
                is_key_accepted=False,
                round_trip_s=round_trip_s,
                problem=error.message,
                cause=error,
            )
            return health, None
        usage = await quiet(client.usage)
        return (
            SimHealth(
                is_reachable=True, is_key_accepted=True, dialect=probe.dialect, round_trip_s=round_trip_s
            ),
            usage,
        )
