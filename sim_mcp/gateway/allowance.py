"""What a tenant and its tools may use: calls a minute, calls at once, executions a month.

Rate and places are this process's own (`Throttle`); what costs money is counted in the database, for all
replicas together.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import MonthlyLimitReached
from sim_mcp.model.principal import TenantId
from sim_mcp.model.tool import WorkflowTool
from sim_mcp.resilience import Admission, Limits, Throttle
from sim_mcp.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLimits:
    """What one tenant may use; tool specs may set less."""

    rate_per_minute: int
    max_concurrency: int
    monthly_executions: int | None


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

    async def executions_left(self, tenant_id: TenantId) -> int | None:
        """How many executions the tenant may start in this month; `None` without a limit.

        Raises:
            MonthlyLimitReached: none.
        """
        limit = self._limits.monthly_executions
        if limit is None:
            return None
        used = await self._store.executions.count_since(tenant_id, month_start(self._clock.now()))
        if used >= limit:
            raise MonthlyLimitReached(
                f"This tenant has used its {limit} executions of the month; the count starts again on "
                f"the first of the next month (UTC). The operator sets SIM_MCP_MONTHLY_EXECUTIONS."
            )
        return limit - used


def month_start(now: datetime) -> datetime:
    """When the calendar month of `now` (UTC) began."""
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
