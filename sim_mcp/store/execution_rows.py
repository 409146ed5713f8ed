"""Executions as rows: one mapping there, one back, and nothing else that knows the columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.execution import Execution, ExecutionError, ExecutionId, PauseAnswer, Status, Trigger
from sim_mcp.model.integration import IntegrationId
from sim_mcp.model.json import is_array, is_object
from sim_mcp.model.principal import Permission, TenantId
from sim_mcp.model.tool import Mode, WorkflowId
from sim_mcp.store import columns
from sim_mcp.store.database import Trouble

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sim_mcp.model.json import Json
    from sim_mcp.store.database import Database, Row, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a transition writes beside the status.

    `output`, `error` and `pauses` replace what the row holds. `run_id`, `job_id` and `duration_ms`
    replace it only when given: an answer that does not repeat them takes nothing away. `is_known`
    says that this is what SIM told of the run, so that the run surely exists.
    """

    output: Json = None
    error: ExecutionError | None = None
    run_id: str | None = None
    job_id: str | None = None
    pauses: Json = None
    duration_ms: int | None = None
    cost: float | None = None
    is_known: bool = False


@dataclass(frozen=True, slots=True)
class ExecutionTable:
    """What the classes about executions share: the database their rows are in."""

    database: Database


def to_row(
    execution: Execution, *, follow_up_at: datetime | None, window_key: str | None
) -> dict[str, Value]:
    """`execution` by column. Keys stay as they are; content is made storable."""
    return {
        "tenant_id": execution.tenant_id,
        "id": execution.id,
        "organization_id": execution.organization_id,
        "integration_id": execution.integration_id,
        "tool_name": columns.clean(execution.tool_name),
        "workflow_id": execution.workflow_id,
        "run_id": execution.run_id,
        "job_id": execution.job_id,
        "status": execution.status.value,
        "mode": execution.mode.value,
        "timeout_s": execution.timeout_s,
        "input": columns.maybe_json_text(execution.input),
        "output": columns.maybe_json_text(execution.output),
        "error": error_text(execution.error),
        "pauses": columns.maybe_json_text(execution.pauses),
        "duration_ms": execution.duration_ms,
        "cost": execution.cost,
        "attempts": execution.attempts,
        "triggered_by": execution.triggered_by.value,
        "subject": columns.clean(execution.subject),
        "idempotency_key": execution.idempotency_key,
        "created_at": columns.micros(execution.created_at),
        "started_at": columns.maybe_micros(execution.started_at),
        "finished_at": columns.maybe_micros(execution.finished_at),
        "settings_revision": execution.settings_revision,
        "trace_id": execution.trace_id,
        "refusals": execution.refusals,
        "cancel_requested_at": columns.maybe_micros(execution.cancel_requested_at),
        "approver_permission": execution.approver_permission,
        "answers": answers_text(execution.answers),
        "follow_up_at": columns.maybe_micros(follow_up_at),
        "window_key": window_key,
    }


def from_row(row: Row) -> Execution:
    """The execution in `row`.

    Raises:
        StoreUnavailable: when the row holds what we never write.
    """
    integration_id = columns.maybe_text(row, "integration_id")
    workflow_id = columns.maybe_text(row, "workflow_id")
    try:
        return Execution(
            id=ExecutionId(columns.text(row, "id")),
            tenant_id=TenantId(columns.text(row, "tenant_id")),
            organization_id=columns.maybe_text(row, "organization_id"),
            integration_id=None if integration_id is None else IntegrationId(integration_id),
            tool_name=columns.text(row, "tool_name"),
            workflow_id=None if workflow_id is None else WorkflowId(workflow_id),
            run_id=columns.maybe_text(row, "run_id"),
            job_id=columns.maybe_text(row, "job_id"),
            status=Status(columns.text(row, "status")),
            mode=Mode(columns.text(row, "mode")),
            timeout_s=columns.real(row, "timeout_s"),
            input=columns.json_value(row, "input"),
            output=columns.json_value(row, "output"),
            error=error_of_row(row),
            pauses=columns.json_value(row, "pauses"),
            duration_ms=columns.maybe_whole(row, "duration_ms"),
            cost=columns.maybe_real(row, "cost"),
            attempts=columns.whole(row, "attempts"),
            triggered_by=Trigger(columns.text(row, "triggered_by")),
            subject=columns.text(row, "subject"),
            idempotency_key=columns.maybe_text(row, "idempotency_key"),
            created_at=columns.moment(row, "created_at"),
            started_at=columns.maybe_moment(row, "started_at"),
            finished_at=columns.maybe_moment(row, "finished_at"),
            settings_revision=columns.maybe_whole(row, "settings_revision"),
            trace_id=columns.maybe_text(row, "trace_id"),
            refusals=columns.whole(row, "refusals"),
            cancel_requested_at=columns.maybe_moment(row, "cancel_requested_at"),
            approver_permission=_permission(row),
            answers=_answers(row),
        )
    except ValueError as error:
        raise Trouble.CORRUPT.error(f"an execution row cannot be read: {error}") from error


def answers_text(answers: Sequence[PauseAnswer]) -> str | None:
    """`answers` as JSON text; `None` when there are none."""
    if not answers:
        return None
    return columns.json_text(
        [
            {
                "context_id": answer.context_id,
                "subject": columns.clean(answer.subject),
                "answered_at": columns.micros(answer.answered_at),
            }
            for answer in answers
        ]
    )


def error_text(error: ExecutionError | None) -> str | None:
    """`error` as JSON text."""
    if error is None:
        return None
    return columns.json_text(
        {
            "code": error.code.value,
            "message": error.message,
            "retryable": error.retryable,
            "retry_after_s": error.retry_after_s,
            "block_name": error.block_name,
        }
    )


def error_of_row(row: Row) -> ExecutionError | None:
    """The error stored in a row of an execution or a job, if any."""
    stored = columns.json_value(row, "error")
    if stored is None:
        return None
    if not is_object(stored):
        raise Trouble.CORRUPT.error("an execution's error is no object")
    retry_after_s = stored.get("retry_after_s")
    block_name = stored.get("block_name")
    return ExecutionError(
        code=ErrorCode(stored.get("code")),
        message=str(stored.get("message", "")),
        retryable=stored.get("retryable") is True,
        retry_after_s=float(retry_after_s) if isinstance(retry_after_s, int | float) else None,
        block_name=block_name if isinstance(block_name, str) else None,
    )


def _permission(row: Row) -> Permission | None:
    stored = columns.maybe_text(row, "approver_permission")
    return None if stored is None else Permission(stored)


def _answers(row: Row) -> tuple[PauseAnswer, ...]:
    stored = columns.json_value(row, "answers")
    answers: list[PauseAnswer] = []
    for answer in stored if is_array(stored) else []:
        match answer:
            case {"context_id": str(context_id), "subject": str(subject), "answered_at": int(at)}:
                answers.append(
                    PauseAnswer(context_id=context_id, subject=subject, answered_at=columns.from_micros(at))
                )
            case _:
                raise Trouble.CORRUPT.error("an execution's answers cannot be read")
    return tuple(answers)
