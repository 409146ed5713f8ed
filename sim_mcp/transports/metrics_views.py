"""A tenant's metrics as REST, `sim_metrics` and `sim-mcp stats` show them: one shape, two spellings."""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from sim_mcp.model.json import Json, JsonObject, is_array, is_object
from sim_mcp.transports.admin_schemas import answer, arguments, listed, text
from sim_mcp.transports.output_schemas import INTEGER, NUMBER, TEXT, maybe
from sim_mcp.transports.rest_answers import Count, Moment
from sim_mcp.transports.schemas import Asked
from sim_mcp.transports.schemas import Moment as AskedMoment

if TYPE_CHECKING:
    from datetime import datetime

    from sim_mcp.app import Ends, TenantMetrics

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


def metrics_json(found: TenantMetrics) -> MetricsAnswer:
    """The metrics in camelCase."""
    near, usage, breaker = found.proximity, found.usage, found.breaker
    return {
        "since": _moment(found.since),
        "until": _moment(found.until),
        **_ends(found.ends),
        "refused": found.refused,
        "unfinished": found.unfinished,
        "tools": [
            {
                "toolName": tool.tool_name,
                **_ends(tool.ends),
                "p50Ms": None if tool.usual is None else round(tool.usual.p50_s * 1000),
                "p95Ms": None if tool.usual is None else round(tool.usual.p95_s * 1000),
            }
            for tool in found.tools
        ],
        "errors": [
            {"code": each.code, "calls": each.calls, "share": round(each.share, 4)} for each in found.errors
        ],
        "rateLimit": {
            "perMinute": near.rate_per_minute,
            "usedShare": round(near.used_share, 3),
            "runningCalls": near.in_use,
            "maxConcurrency": near.concurrency,
        },
        "simUsage": None
        if usage is None
        else {
            "plan": usage.plan,
            "syncPerMinute": usage.sync_per_minute,
            "syncRemaining": usage.sync_remaining,
            "asyncPerMinute": usage.async_per_minute,
            "asyncRemaining": usage.async_remaining,
            "periodCost": usage.period_cost,
            "periodLimit": usage.period_limit,
        },
        "breaker": None
        if breaker is None
        else {
            "state": breaker.name,
            "since": _moment(breaker.since),
            "retryAfterS": breaker.retry_after_s,
        },
    }


def metrics_view(found: TenantMetrics) -> JsonObject:
    """The same in snake_case, as admin tools and the command line write it."""
    shown = _snake(cast("Json", metrics_json(found)))
    return shown if is_object(shown) else {}


def _ends(ends: Ends) -> EndsAnswer:
    average_s = ends.average_duration_s
    return {
        "executions": ends.executions,
        "completed": ends.completed,
        "failed": ends.failed,
        "cancelled": ends.cancelled,
        "successRate": None if ends.success_rate is None else round(ends.success_rate, 4),
        "averageDurationMs": None if average_s is None else round(average_s * 1000),
        "cost": round(ends.cost, 6),
    }


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _snake(value: Json) -> Json:
    """`value` with every name in it in snake_case: all of them are ours."""
    if is_object(value):
        return {re.sub(r"([A-Z])", r"_\1", name).lower(): _snake(each) for name, each in value.items()}
    return [_snake(each) for each in value] if is_array(value) else value


_ENDS: JsonObject = {
    "executions": INTEGER,
    "completed": INTEGER,
    "failed": INTEGER,
    "cancelled": INTEGER,
    "success_rate": maybe(NUMBER),
    "average_duration_ms": maybe(INTEGER),
    "cost": NUMBER,
}


def _object(fields: JsonObject) -> JsonObject:
    return {"type": "object", "properties": dict(fields)}


METRICS_ARGUMENTS = arguments(
    {
        "since": text(
            "Count calls made at this time or later (ISO 8601 with a time zone); default: the last 30 days.",
            longest=40,
        )
    }
)
METRICS = answer(
    {
        "since": TEXT,
        "until": TEXT,
        **{name: each for name, each in _ENDS.items() if is_object(each)},
        "refused": INTEGER,
        "unfinished": INTEGER,
        "tools": listed(
            _object({"tool_name": TEXT, **_ENDS, "p50_ms": maybe(INTEGER), "p95_ms": maybe(INTEGER)})
        ),
        "errors": listed(_object({"code": TEXT, "calls": INTEGER, "share": NUMBER})),
        "rate_limit": _object(
            {
                "per_minute": maybe(INTEGER),
                "used_share": NUMBER,
                "running_calls": INTEGER,
                "max_concurrency": maybe(INTEGER),
            }
        ),
        "sim_usage": maybe({"type": "object"}),
        "breaker": maybe(_object({"state": TEXT, "since": TEXT, "retry_after_s": maybe(NUMBER)})),
    }
)
