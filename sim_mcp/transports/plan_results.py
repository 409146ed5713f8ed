"""A dry run as a tool result and as JSON: what would happen, loudly not what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.transports.cutting import compact, cut, size_bytes
from sim_mcp.transports.output_schemas import PLANNED
from sim_mcp.transports.results import text_result

if TYPE_CHECKING:
    from mcp_types import CallToolResult

    from sim_mcp.app import Plan
    from sim_mcp.model.json import Json

MOST_INPUT_BYTES = 20_000


def plan_json(plan: Plan) -> dict[str, Json]:
    """What the dry run found."""
    deployed = plan.deployment
    return {
        "tool": plan.tool.name,
        "workflow_id": plan.tool.workflow_id,
        "mode": plan.mode.value,
        "timeout_s": plan.timeout_s,
        "base_url": plan.base_url,
        "settings_revision": plan.settings_revision,
        "input": _bounded(plan.input),
        "asks_for_confirmation": plan.tool.confirm,
        "attaches_to": plan.attaches_to,
        "is_deployed": None if deployed is None else deployed.is_deployed,
        "schema_drift": list(plan.drift),
        "breaker": {"state": plan.breaker.name, "retry_after_s": plan.breaker.retry_after_s},
        "limits": {
            "rate_per_minute": plan.proximity.rate_per_minute,
            "rate_used_share": round(plan.proximity.used_share, 3),
            "max_concurrency": plan.proximity.concurrency,
            "running_calls": plan.proximity.in_use - 1,
            "executions_left_this_month": plan.executions_left,
            "cost_left_today": plan.cost_left,
        },
        "problems": [*plan_problems(plan)],
        "plan_ticket": plan.ticket,
        "plan_ticket_lasts_s": plan.ticket_lasts_s if plan.ticket else None,
    }


def plan_result(plan: Plan) -> CallToolResult:
    """The dry run as the result of a tool call; its status says that nothing was run."""
    shown = plan_json(plan)
    problems = "; ".join(plan_problems(plan))
    verdict = f"The call might not succeed now: {problems}." if problems else "The call would be sent to SIM."
    text = f"DRY RUN: nothing was run and nothing recorded. {verdict}"
    if plan.ticket is not None:
        text += " To run exactly this, call again with `plan_ticket` in `_meta` instead of `dry_run`."
    structured: dict[str, Json] = {
        "status": PLANNED,
        "execution_id": None,
        "run_id": None,
        "workflow_id": plan.tool.workflow_id,
        "duration_ms": None,
        "output": None,
        "error": None,
        "plan": shown,
    }
    return text_result(structured, text, compact(shown))


def _bounded(value: Json) -> Json:
    """`value`, or its beginning: a plan is for looking at, and its reader knows what was sent."""
    whole_bytes = size_bytes(compact(value))
    if whole_bytes <= MOST_INPUT_BYTES:
        return value
    return cut(value, whole_bytes=whole_bytes, limit_bytes=MOST_INPUT_BYTES)


def plan_problems(plan: Plan) -> list[str]:
    """What stands in the way of the call, as far as can be told."""
    problems: list[str] = []
    if plan.problem is not None:
        problems.append(plan.problem)
    if plan.deployment is not None and not plan.deployment.is_deployed:
        problems.append("the workflow is not deployed")
    if plan.breaker.name != "closed":
        problems.append("the circuit breaker is not closed")
    return [*problems, *(f"schema drift: {each}" for each in plan.drift)]
