"""The schema of what `sim_status` answers."""

from __future__ import annotations

from sim_mcp.model.json import JsonObject
from sim_mcp.transports.admin_schemas import SETTINGS, answer, listed
from sim_mcp.transports.checks import CHECKS
from sim_mcp.transports.output_schemas import BOOLEAN, INTEGER, NUMBER, TEXT, maybe

SIM_HEALTH: JsonObject = {
    "type": "object",
    "properties": {
        "is_reachable": BOOLEAN,
        "is_key_accepted": BOOLEAN,
        "dialect": maybe(TEXT),
        "round_trip_s": maybe(NUMBER),
        "problem": maybe(TEXT),
    },
}
BREAKER: JsonObject = {
    "type": "object",
    "properties": {
        "state": {"type": "string", "enum": ["closed", "open", "half_open"]},
        "since": TEXT,
        "retry_after_s": maybe(NUMBER),
        "failures_in_a_row": INTEGER,
    },
}
BUDGET: JsonObject = {
    "type": "object",
    "description": "What is left of the limits that cost money; null where there is no such limit.",
    "properties": {
        "executions_left": maybe(INTEGER),
        "month_ends_at": TEXT,
        "cost_left": maybe(NUMBER),
        "day_ends_at": TEXT,
    },
}
LIMITS: JsonObject = {
    "type": "object",
    "properties": {
        "rate_per_minute": INTEGER,
        "rate_used_share": {
            **NUMBER,
            "description": "0: a whole burst of calls is left; 1: the next call would be refused.",
        },
        "running_calls": INTEGER,
        "max_concurrency": INTEGER,
        "executions_this_month": INTEGER,
        "monthly_executions": maybe(INTEGER),
        "budget": maybe(BUDGET),
    },
}
QUEUE: JsonObject = {
    "type": "object",
    "description": "Jobs of events and schedules; `workers` counts the processes that run them.",
    "properties": {"waiting": INTEGER, "running": INTEGER, "dead": INTEGER, "workers": INTEGER},
}
USAGE: JsonObject = {
    "type": "object",
    "description": "SIM's own limits for the key; null where SIM does not tell.",
    "properties": {
        "plan": maybe(TEXT),
        "sync_per_minute": maybe(INTEGER),
        "sync_remaining": maybe(INTEGER),
        "async_per_minute": maybe(INTEGER),
        "async_remaining": maybe(INTEGER),
        "period_cost": maybe(NUMBER),
        "period_limit": maybe(NUMBER),
    },
}

STATUS = answer(
    {
        "integration": {"type": "object", "properties": dict(SETTINGS)},
        "sim": maybe(SIM_HEALTH),
        "breaker": maybe(BREAKER),
        "limits": LIMITS,
        "sim_usage": maybe(USAGE),
        "unfinished_executions": INTEGER,
        "queue": QUEUE,
        "tool_count": INTEGER,
        "tool_problems": listed(TEXT),
        "held_tools": listed({"type": "object", "properties": {"tool": TEXT, "changes": listed(TEXT)}}),
        "tool_usage": listed(
            {
                "type": "object",
                "description": "Of the last 30 days; null where the runs were too few to tell.",
                "properties": {
                    "tool": TEXT,
                    "p50_s": maybe(NUMBER),
                    "p95_s": maybe(NUMBER),
                    "runs": INTEGER,
                    "success_rate": maybe(NUMBER),
                },
            }
        ),
        "checks": CHECKS,
    }
)
