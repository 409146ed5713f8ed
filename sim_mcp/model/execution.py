"""Calls and executions: the intent, our audit row for it, and the one table of transitions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NewType

from sim_mcp.model.errors import ErrorCode

if TYPE_CHECKING:
    from datetime import datetime

    from sim_mcp.model.integration import IntegrationId
    from sim_mcp.model.json import Json, JsonObject
    from sim_mcp.model.principal import Permission, Principal, TenantId
    from sim_mcp.model.tool import Mode, WorkflowId

ExecutionId = NewType("ExecutionId", str)


class Status(StrEnum):
    """The closed set of contract section 7. Only `COMPLETED` is a success."""

    QUEUED = "queued"
    PROCESSING = "processing"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether no further change is possible."""
        return self in FINAL

    @property
    def is_settled(self) -> bool:
        """Whether a caller should be answered now: final, or waiting for a person."""
        return self in FINAL or self is Status.PAUSED


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.PROCESSING, Status.PAUSED, *FINAL}),
    Status.PROCESSING: frozenset({Status.QUEUED, Status.PAUSED, *FINAL}),
    Status.PAUSED: frozenset({Status.PROCESSING, Status.QUEUED, *FINAL}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}
"""Which status may follow which. Staying (`processing` to `processing`) is not a transition."""


def may_precede(to: Status) -> frozenset[Status]:
    """The statuses from which a row may move to `to`."""
    return frozenset(status for status, following in TRANSITIONS.items() if to in following)


class Trigger(StrEnum):
    """Why a call happened."""

    MCP = "mcp"
    API = "api"
    MANUAL = "manual"
    EVENT = "event"
    SCHEDULE = "schedule"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionError:
    """Why an execution is not a success, in the shape clients get it."""

    code: ErrorCode
    message: str
    retryable: bool = False
    retry_after_s: float | None = None
    block_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseAnswer:
    """Who let a paused run go on, where and when. What was answered is SIM's, and not kept."""

    context_id: str
    subject: str
    answered_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An intent arriving at the gateway. Not stored as such.

    Exactly one of `tool_name` and `workflow_id` is set: clients call tools by name, REST calls
    allow-listed workflows by id. `timeout_s` overrides the tool's own, within its bounds. `mode` likewise.
    `plan_ticket` is the text of a dry run that this call has to match.
    """

    principal: Principal
    trigger: Trigger
    tool_name: str | None = None
    workflow_id: WorkflowId | None = None
    arguments: JsonObject
    timeout_s: float | None = None
    mode: Mode | None = None
    idempotency_key: str | None = None
    plan_ticket: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """Our audit row for one call.

    `id` is ours. `run_id` is SIM's id for the attempt in force, chosen by us before it was sent.
    `input` is redacted. `refusals` is how many refused calls this row stands for (1 unless a flood
    was counted). `pauses` is what a paused run waits for, `answers` who answered so far, and
    `approver_permission` what an answer needs beside EDIT. `cost` is what SIM says that the run cost.
    """

    id: ExecutionId
    tenant_id: TenantId
    organization_id: str | None
    integration_id: IntegrationId | None
    tool_name: str
    workflow_id: WorkflowId | None
    run_id: str | None
    job_id: str | None
    status: Status
    mode: Mode
    timeout_s: float
    input: Json
    output: Json
    error: ExecutionError | None
    pauses: Json
    duration_ms: int | None
    attempts: int
    triggered_by: Trigger
    subject: str
    idempotency_key: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    settings_revision: int | None
    trace_id: str | None
    refusals: int = 1
    cancel_requested_at: datetime | None = None
    approver_permission: Permission | None = None
    answers: tuple[PauseAnswer, ...] = ()
    cost: float | None = None
