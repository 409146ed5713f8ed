"""The shapes of what REST answers about metrics, for the type checker and the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from sim_mcp.transports.rest_answers import Count, Moment
from sim_mcp.transports.schemas import Asked
from sim_mcp.transports.schemas import Moment as AskedMoment

Share = Annotated[float, Field(ge=0, le=1)]
_SHOWN = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class MetricsQuery(Asked):
    """GET /metrics."""

    since: AskedMoment | None = Field(
        default=None, description="Count calls made at this moment or later; the last 30 days when absent."
    )


@with_config(_SHOWN)
class ErrorRateAnswer(TypedDict):
    """Calls that failed or were refused with one code."""

    code: str
    calls: Count
    share: Annotated[float, Field(ge=0)]
    """Of all calls that ended."""


@with_config(_SHOWN)
class EndsAnswer(TypedDict):
    """How executions ended that SIM was asked for."""

    executions: Count
    completed: Count
    failed: Count
    cancelled: Count
    successRate: Share | None
    """completed / (completed + failed); null without either."""
    averageDurationMs: Count | None
    cost: Annotated[float, Field(ge=0)]
    """What SIM said that they cost, in SIM's unit; it does not tell of every run."""


class ToolMetricsAnswer(EndsAnswer):
    """The ends of one tool's executions, and how long its completed ones usually take."""

    toolName: str
    p50Ms: Count | None
    """Half of them took at most so long; null for fewer than three."""
    p95Ms: Count | None


@with_config(_SHOWN)
class RateLimitAnswer(TypedDict):
    """How near the tenant is to this server's own limits, in the process that answers."""

    perMinute: Count | None
    usedShare: Share
    """0: a whole burst is left. 1: the next call would be refused."""
    runningCalls: Count
    maxConcurrency: Count | None


@with_config(_SHOWN)
class SimUsageAnswer(TypedDict):
    """SIM's own limits for the tenant's key; null where SIM does not tell."""

    plan: str | None
    syncPerMinute: int | None
    syncRemaining: int | None
    asyncPerMinute: int | None
    asyncRemaining: int | None
    periodCost: float | None
    periodLimit: float | None


@with_config(_SHOWN)
class BreakerAnswer(TypedDict):
    """The circuit breaker of the process that answers."""

    state: Literal["closed", "open", "half_open"]
    since: Moment
    retryAfterS: float | None


class MetricsAnswer(EndsAnswer):
    """The tenant's metrics, read from its history."""

    since: Moment
    until: Moment
    refused: Count
    """Calls that came no further than this server."""
    unfinished: Count
    tools: list[ToolMetricsAnswer]
    errors: list[ErrorRateAnswer]
    rateLimit: RateLimitAnswer
    simUsage: SimUsageAnswer | None
    breaker: BreakerAnswer | None
