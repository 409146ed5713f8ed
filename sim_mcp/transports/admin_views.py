"""What admin tools show: our nouns as snake_case JSON, times in UTC with a `Z`."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from sim_mcp.transports.checks import checks_json
from sim_mcp.transports.problems import error_json
from sim_mcp.transports.results import execution_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sim_mcp.app import Budget, Discovery, Page, TenantStatus, Validation
    from sim_mcp.model.check import Check
    from sim_mcp.model.execution import Execution
    from sim_mcp.model.integration import Integration
    from sim_mcp.model.json import Json
    from sim_mcp.model.run import Usage as SimUsage
    from sim_mcp.model.tool import WorkflowTool


def settings_view(found: Integration | None, *, default_base_url: str) -> dict[str, Json]:
    """The settings in force; of the key, only whether there is one."""
    if found is None:
        return {
            "is_enabled": False,
            "has_api_key": False,
            "base_url": default_base_url,
            "revision": None,
            "updated_at": None,
        }
    return {
        "is_enabled": found.is_enabled,
        "has_api_key": found.has_api_key,
        "base_url": found.base_url,
        "revision": found.revision,
        "updated_at": moment(found.updated_at),
    }


def execution_view(row: Execution) -> dict[str, Json]:
    """One execution whole: the fields of a workflow tool's result, then those of contract section 10."""
    return {**execution_json(row, output=row.output), **_record(row), "input": row.input}


def page_view(page: Page) -> dict[str, Json]:
    """One page of executions, without their inputs and outputs."""
    return {
        "data": [_brief(row) for row in page.executions],
        "total": page.total,
        "next_cursor": page.next_cursor,
    }


def discovery_view(found: Discovery) -> dict[str, Json]:
    """One page of the account's workflows."""
    workflows: list[Json] = [
        {
            "workflow_id": each.summary.workflow_id,
            "name": each.summary.name,
            "description": each.summary.description,
            "is_deployed": each.summary.is_deployed,
            "tool_name": each.tool_name,
            "inputs": None
            if each.inputs is None
            else [
                {"name": field.name, "type": field.type, "description": field.description}
                for field in each.inputs.fields
            ],
            "schema_drift": list(each.drift),
        }
        for each in found.workflows
    ]
    return {"workflows": workflows, "next_cursor": found.next_cursor}


def validation_view(found: Validation) -> dict[str, Json]:
    """Whether a workflow can run, and whether it still matches what is pinned."""
    return {
        "workflow_id": found.deployment.workflow_id,
        "is_deployed": found.deployment.is_deployed,
        "needs_redeployment": found.deployment.needs_redeployment,
        "schema_drift": list(found.drift),
    }


def tool_view(tool: WorkflowTool) -> dict[str, Json]:
    """A tool of the allow-list with the fields of its spec."""
    return {
        "name": tool.name,
        "workflow_id": tool.workflow_id,
        "title": tool.title,
        "description": tool.description,
        "input_schema": tool.input_schema,
        "output_schema": tool.output_schema,
        "mode": tool.mode.value,
        "timeout_s": tool.timeout_s,
        "annotations": {
            "read_only": tool.hints.read_only,
            "destructive": tool.hints.destructive,
            "idempotent": tool.hints.idempotent,
            "open_world": tool.hints.open_world,
        },
        "confirm": tool.confirm,
        "approver_permission": tool.approver_permission,
        "attach_s": tool.attach_s,
        "selected_outputs": list(tool.selected_outputs),
        "bound_inputs": {each.name: each.source.value for each in tool.bindings},
        "describe_usage": tool.describe_usage,
        "monthly_executions": tool.monthly_executions,
        "cost_per_day": tool.cost_per_day,
        "rate_per_minute": tool.rate_per_minute,
        "max_concurrency": tool.max_concurrency,
        "max_output_bytes": tool.max_output_bytes,
    }


def checkup_view(status: TenantStatus, checks: Sequence[Check], *, default_base_url: str) -> dict[str, Json]:
    """A tenant's status, and what follows from it: each finding with its remedy."""
    return {**status_view(status, default_base_url=default_base_url), "checks": checks_json(checks)}


def status_view(status: TenantStatus, *, default_base_url: str) -> dict[str, Json]:
    """Everything that is known about a tenant's connection."""
    sim, breaker, usage = status.sim, status.breaker, status.usage
    return {
        "integration": settings_view(status.integration, default_base_url=default_base_url),
        "sim": None
        if sim is None
        else {
            "is_reachable": sim.is_reachable,
            "is_key_accepted": sim.is_key_accepted,
            "dialect": sim.dialect.value if sim.dialect else None,
            "round_trip_s": sim.round_trip_s,
            "problem": sim.problem,
        },
        "breaker": None
        if breaker is None
        else {
            "state": breaker.name,
            "since": moment(breaker.since),
            "retry_after_s": breaker.retry_after_s,
            "failures_in_a_row": breaker.failures_in_a_row,
        },
        "limits": {
            "rate_per_minute": status.rate_per_minute,
            "rate_used_share": round(status.rate_used_share, 3),
            "running_calls": status.running_calls,
            "max_concurrency": status.max_concurrency,
            "executions_this_month": status.executions_this_month,
            "monthly_executions": status.monthly_executions,
            "budget": None if status.budget is None else budget_view(status.budget),
        },
        "sim_usage": None if usage is None else _usage_view(usage),
        "unfinished_executions": status.unfinished,
        "queue": {
            "waiting": status.queue.waiting,
            "running": status.queue.running,
            "dead": status.queue.dead,
            "workers": status.queue.workers,
        },
        "tool_count": status.tool_count,
        "tool_problems": list(status.tool_problems),
        "held_tools": [
            {"tool": name, "changes": list(changes)} for name, changes in sorted(status.held_tools.items())
        ],
        "tool_usage": [
            {
                "tool": name,
                "p50_s": known.usual.p50_s if known.usual else None,
                "p95_s": known.usual.p95_s if known.usual else None,
                "runs": known.usual.runs if known.usual else 0,
                "success_rate": None if known.success_rate is None else round(known.success_rate, 4),
            }
            for name, known in status.tool_usage
        ],
    }


def _usage_view(usage: SimUsage) -> dict[str, Json]:
    return {
        "plan": usage.plan,
        "sync_per_minute": usage.sync_per_minute,
        "sync_remaining": usage.sync_remaining,
        "async_per_minute": usage.async_per_minute,
        "async_remaining": usage.async_remaining,
        "period_cost": usage.period_cost,
        "period_limit": usage.period_limit,
    }


def budget_view(left: Budget) -> dict[str, Json]:
    """What is left, and when it starts again."""
    return {
        "executions_left": left.executions_left,
        "month_ends_at": moment(left.month_ends_at),
        "cost_left": None if left.cost_left is None else round(left.cost_left, 6),
        "day_ends_at": moment(left.day_ends_at),
    }


def moment(at: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _brief(row: Execution) -> dict[str, Json]:
    return {
        "execution_id": row.id,
        "status": row.status.value,
        "run_id": row.run_id,
        "workflow_id": row.workflow_id,
        "duration_ms": row.duration_ms,
        "error": error_json(row.error) if row.error else None,
        **_record(row),
    }


def _record(row: Execution) -> dict[str, Json]:
    return {
        "tool_name": row.tool_name,
        "job_id": row.job_id,
        "attempts": row.attempts,
        "triggered_by": row.triggered_by.value,
        "subject": row.subject,
        "organization_id": row.organization_id,
        "idempotency_key": row.idempotency_key,
        "created_at": moment(row.created_at),
        "started_at": None if row.started_at is None else moment(row.started_at),
        "finished_at": None if row.finished_at is None else moment(row.finished_at),
        "settings_revision": row.settings_revision,
        "trace_id": row.trace_id,
        "refusals": row.refusals,
        "approver_permission": row.approver_permission,
        "answers": [
            {
                "context_id": answer.context_id,
                "subject": answer.subject,
                "answered_at": moment(answer.answered_at),
            }
            for answer in row.answers
        ],
    }
