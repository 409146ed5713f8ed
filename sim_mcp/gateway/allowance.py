"""What a tenant and its tools may use: calls a minute, calls at once, executions a month, cost a day.

Rate and places are this process's own (`Throttle`); what costs money is counted in the database, for all
replicas together, and refused before anything runs (frontier 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import BudgetUsed, MonthlyLimitReached
from sim_mcp.model.principal import TenantId
from sim_mcp.model.tool import WorkflowTool
from sim_mcp.resilience import Admission, Limits, Throttle
from sim_mcp.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLimits:
    """What one tenant may use; tool specs may set less. `cost_per_day` is in SIM's unit."""

    rate_per_minute: int
    max_concurrency: int
    monthly_executions: int | None
    cost_per_day: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What is left of the limits that cost money; `None` where there is no such limit.

    The nearer of the tenant's and the tool's limit counts.
    """

    executions_left: int | None
    month_ends_at: datetime
    cost_left: float | None
    day_ends_at: datetime


class Allowance:
    """Admits calls while something is left."""

    def __init__(self, *, store: Store, throttle: Throttle, limits: TenantLimits, clock: Clock) -> None:
        self._store = store
        self._throttle = throttle
        self._limits = limits
        self._clock = clock

    def admit(self, tenant_id: TenantId, tool: WorkflowTool) -> Admission:
        """Take what one call takes of the rate and the places; the places come back when it is released.

        Raises:
            Throttled: a limit is reached.
        """
        limits = Limits(
            tenant_per_minute=self._limits.rate_per_minute,
            tenant_concurrency=self._limits.max_concurrency,
            tool_per_minute=tool.rate_per_minute,
            tool_concurrency=tool.max_concurrency,
        )
        return self._throttle.admit(tenant_id, tool.name, limits=limits)

    def counts_cost(self, tool: WorkflowTool | None) -> bool:
        """Whether it matters what a run costs."""
        return self._limits.cost_per_day is not None or (tool is not None and tool.cost_per_day is not None)

    async def left(self, tenant_id: TenantId, tool: WorkflowTool | None = None) -> Budget:
        """What the tenant, and `tool`, may still use.

        Raises:
            MonthlyLimitReached: no execution of this month.
            BudgetUsed: nothing of this day's cost.
        """
        return await self._left(tenant_id, tool, refuses=True)

    async def remaining(self, tenant_id: TenantId, tool: WorkflowTool | None = None) -> Budget | None:
        """What is left, if nothing then 0; `None` where neither tenant nor tool has such a limit."""
        budget = await self._left(tenant_id, tool, refuses=False)
        return None if budget.executions_left is None and budget.cost_left is None else budget

    async def _left(self, tenant_id: TenantId, tool: WorkflowTool | None, *, refuses: bool) -> Budget:
        now = self._clock.now()
        executions = await self._executions_left(tenant_id, tool, now, refuses=refuses)
        cost = await self._cost_left(tenant_id, tool, now, refuses=refuses)
        return Budget(
            executions_left=None if executions is None else max(0, executions),
            month_ends_at=month_start(month_start(now) + timedelta(days=32)),
            cost_left=None if cost is None else max(0.0, cost),
            day_ends_at=day_start(now) + timedelta(days=1),
        )

    async def _executions_left(
        self, tenant_id: TenantId, tool: WorkflowTool | None, now: datetime, *, refuses: bool
    ) -> int | None:
        left: list[int] = []
        limit, began = self._limits.monthly_executions, month_start(now)
        if limit is not None:
            left.append(limit - await self._store.executions.count_since(tenant_id, began))
            if refuses and left[-1] <= 0:
                raise MonthlyLimitReached(
                    f"This tenant has used its {limit} executions of the month; the count starts again on "
                    "the first of the next month (UTC). The operator sets SIM_MCP_MONTHLY_EXECUTIONS."
                )
        if tool is not None and tool.monthly_executions is not None:
            used = await self._store.executions.count_since(tenant_id, began, tool_name=tool.name)
            left.append(tool.monthly_executions - used)
            if refuses and left[-1] <= 0:
                raise MonthlyLimitReached(
                    f"The tool {tool.name!r} has used its {tool.monthly_executions} executions of the month; "
                    "the count starts again on the first of the next month (UTC). Its spec sets "
                    "`monthly_executions`."
                )
        return min(left, default=None)

    async def _cost_left(
        self, tenant_id: TenantId, tool: WorkflowTool | None, now: datetime, *, refuses: bool
    ) -> float | None:
        left: list[float] = []
        limit, began = self._limits.cost_per_day, day_start(now)
        if limit is not None:
            left.append(limit - await self._store.statistics.cost(tenant_id, since=began))
            if refuses and left[-1] <= 0:
                raise self._used(f"This tenant's runs cost {limit:g} today", "SIM_MCP_COST_PER_DAY", now)
        if tool is not None and tool.cost_per_day is not None:
            spent = await self._store.statistics.cost(tenant_id, since=began, tool_name=tool.name)
            left.append(tool.cost_per_day - spent)
            if refuses and left[-1] <= 0:
                what = f"The runs of {tool.name!r} cost {tool.cost_per_day:g} today"
                raise self._used(what, "`cost_per_day` of its spec", now)
        return min(left, default=None)

    def _used(self, what: str, set_by: str, now: datetime) -> BudgetUsed:
        reset_at = day_start(now) + timedelta(days=1)
        return BudgetUsed(
            f"{what}, the limit; nothing was run. It starts again at {reset_at:%Y-%m-%d %H:%M} UTC. "
            f"It is set by {set_by}.",
            retry_after_s=(reset_at - now).total_seconds(),
        )


def month_start(now: datetime) -> datetime:
    """When the calendar month of `now` (UTC) began."""
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def day_start(now: datetime) -> datetime:
    """When the day of `now` (UTC) began."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
