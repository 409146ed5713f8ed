"""Executions, tools and settings as the JSON and the table rows that verbs print."""

from __future__ import annotations

from sim_mcp.cli.printing import moment
from sim_mcp.model.execution import Execution, ExecutionError, Status
from sim_mcp.model.json import Json, JsonObject

HISTORY_COLUMNS = ("EXECUTION", "CREATED", "TOOL", "STATUS", "SECONDS", "BY", "ERROR")


def result_of(execution: Execution) -> JsonObject:
    """What a call answers: the shape of a workflow tool's structured result (contract 7)."""
    result: dict[str, Json] = {
        "status": execution.status.value,
        "execution_id": execution.id,
        "run_id": execution.run_id,
        "workflow_id": execution.workflow_id,
        "duration_ms": execution.duration_ms,
        "output": execution.output,
        "error": _error(execution.error),
    }
    if execution.status is Status.PAUSED:
        result["pauses"] = execution.pauses
    return result


def record_of(execution: Execution) -> JsonObject:
    """The whole row (contract 10)."""
    return {
        **result_of(execution),
        "tenant_id": execution.tenant_id,
        "organization_id": execution.organization_id,
        "integration_id": execution.integration_id,
        "tool_name": execution.tool_name,
        "job_id": execution.job_id,
        "mode": execution.mode.value,
        "timeout_s": execution.timeout_s,
        "input": execution.input,
        "pauses": execution.pauses,
        "attempts": execution.attempts,
        "refusals": execution.refusals,
        "triggered_by": execution.triggered_by.value,
        "subject": execution.subject,
        "idempotency_key": execution.idempotency_key,
        "created_at": moment(execution.created_at),
        "started_at": moment(execution.started_at),
        "finished_at": moment(execution.finished_at),
        "cancel_requested_at": moment(execution.cancel_requested_at),
        "settings_revision": execution.settings_revision,
        "trace_id": execution.trace_id,
        "approver_permission": execution.approver_permission,
        "answers": [
            {
                "context_id": answer.context_id,
                "subject": answer.subject,
                "answered_at": moment(answer.answered_at),
            }
            for answer in execution.answers
        ],
    }


def history_row(execution: Execution) -> tuple[object, ...]:
    """One line of the history, under `HISTORY_COLUMNS`."""
    seconds = None if execution.duration_ms is None else f"{execution.duration_ms / 1000:.1f}"
    code = execution.error.code.value if execution.error else None
    counted = f"{code} x{execution.refusals}" if code and execution.refusals > 1 else code
    return (
        execution.id,
        moment(execution.created_at),
        execution.tool_name,
        execution.status.value,
        seconds,
        execution.triggered_by.value,
        counted,
    )


def _error(error: ExecutionError | None) -> JsonObject | None:
    if error is None:
        return None
    return {
        "code": error.code.value,
        "message": error.message,
        "retryable": error.retryable,
        "retry_after_s": error.retry_after_s,
    }
