"""The shapes of what REST answers: the type checker holds the views to them, OpenAPI shows them.

Plain typed dictionaries, so that showing costs nothing at run time. The text under a field is what
a reader of the OpenAPI document sees.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.execution import Status, Trigger
from sim_mcp.model.integration import Dialect
from sim_mcp.model.principal import Permission

Moment = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
        json_schema_extra={"format": "date-time"},
    ),
]
"""ISO 8601 in UTC with milliseconds and a `Z`."""

Count = Annotated[int, Field(ge=0)]

_SHOWN = ConfigDict(extra="forbid", use_attribute_docstrings=True)


@with_config(_SHOWN)
class ExecutionFailure(TypedDict):
    """Why an execution is not a success."""

    code: ErrorCode
    message: str
    """What happened and what to do next. Never a secret."""
    retryable: bool
    """Whether the same request may succeed later without anybody changing anything."""
    retryAfterS: float | None
    blockName: str | None
    """The block of the workflow that failed, if SIM says so."""


@with_config(_SHOWN)
class PauseAnswered(TypedDict):
    """Who let a paused run go on."""

    contextId: str
    subject: str
    answeredAt: Moment


@with_config(_SHOWN)
class ExecutionAnswer(TypedDict):
    """One execution: the audit row of one call."""

    id: str
    """This server's id: the one to ask for, cancel and resume."""
    tenantId: str
    organizationId: str | None
    integrationId: str | None
    toolName: str
    """The allow-list entry; of a refused call, what was asked for."""
    workflowId: str | None
    executionId: str | None
    """SIM's run id, chosen by this server before it asked SIM."""
    jobId: str | None
    """SIM's job id of an asynchronous run."""
    status: Status
    input: Any
    """As sent, without what looks like a secret."""
    output: Any
    error: ExecutionFailure | None
    pauses: list[dict[str, Any]] | None
    """What a paused run waits for: each with its `contextId` and form fields."""
    durationMs: Count | None
    attempts: Count
    triggeredBy: Trigger
    subject: str
    """Who called: the token's subject."""
    idempotencyKey: str | None
    createdAt: Moment
    startedAt: Moment | None
    finishedAt: Moment | None
    settingsRevision: Count | None
    traceId: str | None
    refusals: Count
    """How many refused calls this row stands for: 1, unless a flood of them was counted."""
    approverPermission: Permission | None
    """What answering a pause of it needs beside INTEGRATION_EDIT."""
    answers: list[PauseAnswered]
    """Who answered which pause; what was answered is not kept."""


@with_config(_SHOWN)
class ExecutionPage(TypedDict):
    """One page of executions, newest first."""

    data: list[ExecutionAnswer]
    total: Count
    """How many executions match, on all pages."""
    nextCursor: str | None
    """What to send as `cursor` for the next page; null on the last one."""


@with_config(_SHOWN)
class JobAnswer(TypedDict):
    """An execution as a job to be polled."""

    jobId: str
    """This server's id of the execution."""
    status: Status
    workflowId: str | None
    executionId: str | None
    """SIM's run id."""
    output: Any
    error: ExecutionFailure | None
    pauses: list[dict[str, Any]] | None
    durationMs: Count | None
    createdAt: Moment
    startedAt: Moment | None
    finishedAt: Moment | None
    statusUrl: str
    """Where to ask again: a path on this server."""


@with_config(_SHOWN)
class SetupAnswer(TypedDict):
    """The key was accepted by SIM and is stored sealed."""

    integrationTenantId: str


@with_config(_SHOWN)
class SettingsAnswer(TypedDict):
    """The settings in force. Of the key, only whether there is one."""

    integrationTenantId: str | None
    """Null when no account is connected."""
    tenantId: str
    organizationId: str | None
    """The organisation that they serve; null when they serve the whole tenant."""
    isEnabled: bool
    hasApiKey: bool
    baseUrl: str
    """The SIM instance; when no account is connected, the one that setup would use."""
    workspaceId: str | None
    revision: Annotated[int, Field(ge=1)] | None
    """Counts every change of the settings."""
    updatedAt: Moment | None
    updatedBy: str | None


@with_config(_SHOWN)
class StatusAnswer(TypedDict):
    """Whether the integration is switched on."""

    enabled: bool


@with_config(_SHOWN)
class HealthAnswer(TypedDict):
    """Whether SIM answers this tenant and accepts its key."""

    status: Literal["ok", "failing", "not_configured"]
    isReachable: bool
    isKeyAccepted: bool
    dialect: Dialect | None
    """SIM's API generation, once it is known."""
    roundTripMs: Count | None
    problem: str | None
    """What is wrong, in one sentence."""


@with_config(_SHOWN)
class WorkflowInput(TypedDict):
    """One field of a deployed workflow's input."""

    name: str
    type: str
    """SIM's own word."""
    description: str
    default: Any


@with_config(_SHOWN)
class WorkflowAnswer(TypedDict):
    """One workflow of the SIM account."""

    workflowId: str
    name: str
    description: str
    isDeployed: bool
    deployedAt: Moment | None
    workspaceId: str | None
    runCount: Count
    toolName: str | None
    """Its allow-list entry, if it has one."""
    isAllowListed: bool
    inputs: list[WorkflowInput] | None
    """Null when SIM does not tell."""
    drift: list[str]
    """Where the deployed inputs no longer match the pinned schema."""


@with_config(_SHOWN)
class RevisionAnswer(TypedDict):
    """One revision of the settings."""

    revision: Count
    organizationId: str | None
    changedAt: Moment
    changedBy: str
    changedFields: list[str]
    isEnabled: bool
    hasApiKey: bool
    baseUrl: str
    workspaceId: str | None
    isRemoved: bool


@with_config(_SHOWN)
class RevisionPage(TypedDict):
    """One page of the settings' history."""

    data: list[RevisionAnswer]
    total: Count


@with_config(_SHOWN)
class WorkflowPage(TypedDict):
    """One page of the account's workflows."""

    data: list[WorkflowAnswer]
    nextCursor: str | None


@with_config(_SHOWN)
class ValidationAnswer(TypedDict):
    """Whether a workflow can be executed."""

    workflowId: str
    isDeployed: bool
    needsRedeployment: bool
    deployedAt: Moment | None
    schemaDrift: list[str]


@with_config(_SHOWN)
class FaultAnswer(TypedDict):
    """One thing wrong with a request."""

    path: str
    """Where: `$.timeout` in the body, the name of a query parameter, or empty."""
    message: str


@with_config(_SHOWN)
class Problem(TypedDict):
    """Every error of this API, whatever went wrong and wherever."""

    statusCode: Annotated[int, Field(ge=400, le=599)]
    """The HTTP status again."""
    message: str
    """What happened and what to do next. Never a secret, never another tenant's."""
    error: str
    """The name of the HTTP status."""
    code: ErrorCode | Literal["INTERNAL_ERROR"]
    """What programs should look at."""
    requestId: str
    """The `X-Request-Id` of this answer: name it when you ask the operator."""
    executionId: str | None
    """The execution that tells more, if one was recorded."""
    faults: NotRequired[list[FaultAnswer]]
    """Each fault of an invalid input, with its place."""
