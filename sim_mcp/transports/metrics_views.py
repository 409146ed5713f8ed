"""A tenant's metrics as REST, `sim_metrics` and `sim-mcp stats` show them: one shape, two spellings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from sim_mcp.model.json import Json, JsonObject, is_array, is_object
from sim_mcp.transports.admin_schemas import answer, arguments, listed, text
from sim_mcp.transports.admin_views import moment
from sim_mcp.transports.output_schemas import INTEGER, NUMBER, TEXT, maybe

if TYPE_CHECKING:
    from sim_mcp.app import Ends, TenantMetrics
    from sim_mcp.transports.metrics_answers import EndsAnswer, MetricsAnswer


def metrics_json(found: TenantMetrics) -> MetricsAnswer:
    """The metrics in camelCase."""
    near, usage, breaker = found.proximity, found.usage, found.breaker
    return {
        "since": moment(found.since),
        "until": moment(found.until),
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
            "since": moment(breaker.since),
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
