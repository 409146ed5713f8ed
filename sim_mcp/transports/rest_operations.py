"""What each REST route is for, asks for and answers: what its readers are told (`openapi`).

The models named here are the ones that the endpoints read with and the views are typed by. The
permission is the gateway's to enforce; that both agree is a test's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.principal import Permission
from sim_mcp.transports import rest_answers as answers
from sim_mcp.transports import schemas
from sim_mcp.transports.metrics_answers import MetricsAnswer, MetricsQuery

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

EVERYWHERE = frozenset({ErrorCode.INVALID_INPUT, ErrorCode.UNAUTHORIZED, ErrorCode.FORBIDDEN})
_UNKNOWN_ID = frozenset({ErrorCode.NOT_FOUND})
_NEEDS_ACCOUNT = frozenset({ErrorCode.NOT_CONFIGURED, ErrorCode.DISABLED})
_SIM_REFUSES = frozenset(
    {
        ErrorCode.USAGE_LIMIT_EXCEEDED,
        ErrorCode.NOT_FOUND,
        ErrorCode.CONFLICT,
        ErrorCode.PAYLOAD_TOO_LARGE,
        ErrorCode.RATE_LIMIT_EXCEEDED,
        ErrorCode.SIM_UNAVAILABLE,
    }
)
_READS_SIM = _SIM_REFUSES | _NEEDS_ACCOUNT | {ErrorCode.NOT_DEPLOYED}
_MOVES_RUNS = _READS_SIM | {ErrorCode.TIMEOUT, ErrorCode.OUTCOME_UNKNOWN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One good answer. `shape` is a typed dictionary of `rest_answers`; `None`: no body."""

    description: str
    shape: type | None = None
    has_location: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route as a reader meets it. `errors` come on top of those that every route can answer."""

    id: str
    tag: str
    permission: Permission
    summary: str
    description: str
    answers: Mapping[int, Shown]
    errors: frozenset[ErrorCode] = field(default_factory=frozenset[ErrorCode])
    query: type[BaseModel] = schemas.Nothing
    body: type[BaseModel] | None = None
    takes_idempotency_key: bool = False


SET_UP = Operation(
    id="setUp",
    tag="integration",
    permission=Permission.ADD,
    summary="Connect a SIM account",
    description="Tries the key at SIM and stores it sealed, as a new revision of the settings. A key that "
    "SIM rejects answers `INVALID_INPUT`, a SIM that cannot be reached `SIM_UNAVAILABLE`; then nothing is "
    "stored. No answer ever shows the key.",
    body=schemas.SetupRequest,
    answers={201: Shown(description="Stored.", shape=answers.SetupAnswer)},
    errors=_SIM_REFUSES,
)
SETTINGS = Operation(
    id="getSettings",
    tag="integration",
    permission=Permission.VIEW,
    summary="Show the settings in force",
    description="Also when no account is connected: then `hasApiKey` is false.",
    answers={200: Shown(description="The settings, redacted.", shape=answers.SettingsAnswer)},
)
REMOVE = Operation(
    id="removeIntegration",
    tag="integration",
    permission=Permission.DELETE,
    summary="Disconnect the SIM account",
    description="Removes the settings and destroys the sealed key. The history of executions stays.",
    answers={204: Shown(description="Removed.")},
    errors=_UNKNOWN_ID | {ErrorCode.CONFLICT},
)
REVISIONS = Operation(
    id="listRevisions",
    tag="integration",
    permission=Permission.VIEW,
    summary="Show who changed which settings when",
    description="Newest first; of keys, only whether there was one. Also after the integration was removed.",
    query=schemas.RevisionsQuery,
    answers={200: Shown(description="One page.", shape=answers.RevisionPage)},
)
RESTORE = Operation(
    id="restoreRevision",
    tag="integration",
    permission=Permission.ADD,
    summary="Put earlier settings in force again",
    description="As a new revision. A stored key is never sent to another base URL than the one for which it "
    "was typed: when the revision names another, or the key is gone, `apiKey` must come with the request and "
    "is tried at SIM first.",
    body=schemas.RestoreRequest,
    answers={200: Shown(description="The settings now in force, redacted.", shape=answers.SettingsAnswer)},
    errors=_SIM_REFUSES | _UNKNOWN_ID | {ErrorCode.NOT_CONFIGURED},
)
STATUS = Operation(
    id="getStatus",
    tag="integration",
    permission=Permission.VIEW,
    summary="Tell whether the integration is switched on",
    description="By the id that setup answered.",
    answers={200: Shown(description="Whether it is.", shape=answers.StatusAnswer)},
    errors=_UNKNOWN_ID,
)
INTEGRATION = Operation(
    id="getIntegration",
    tag="integration",
    permission=Permission.VIEW,
    summary="Show the settings by their id",
    description="The same as `getSettings`; of the key, only whether there is one.",
    answers={200: Shown(description="The settings, redacted.", shape=answers.SettingsAnswer)},
    errors=_UNKNOWN_ID,
)
HEALTH = Operation(
    id="getHealth",
    tag="integration",
    permission=Permission.VIEW,
    summary="Ask whether SIM answers this tenant",
    description="503 with the same shape when it does not, so that monitors notice without reading.",
    answers={
        200: Shown(description="It answers, or no account is connected.", shape=answers.HealthAnswer),
        503: Shown(
            description="SIM does not answer or rejects the key (`status` is `failing`), or this "
            "server's own database does not answer (an error).",
            shape=answers.HealthAnswer,
        ),
    },
)
METRICS = Operation(
    id="getMetrics",
    tag="integration",
    permission=Permission.VIEW,
    summary="Measure the tenant's executions",
    description="Success rate, average duration, error rates, executions, nearness to limits and the "
    "breaker's state, read from the history. Calls that were refused before SIM was asked count as "
    "`refused` and among `errors`, not as failed executions.",
    query=MetricsQuery,
    answers={200: Shown(description="The tenant's own.", shape=MetricsAnswer)},
)
WORKFLOWS = Operation(
    id="discoverWorkflows",
    tag="workflows",
    permission=Permission.VIEW,
    summary="List what the SIM account offers",
    description="Each workflow with its inputs, whether it is allow-listed, and where it has drifted from "
    "the schema that was pinned.",
    query=schemas.WorkflowsQuery,
    answers={200: Shown(description="One page.", shape=answers.WorkflowPage)},
    errors=_READS_SIM,
)
VALIDATE = Operation(
    id="validateWorkflow",
    tag="workflows",
    permission=Permission.VIEW,
    summary="Tell whether a workflow can be executed",
    description="Asks SIM whether it is deployed, and compares its inputs with the pinned schema.",
    answers={200: Shown(description="What SIM says.", shape=answers.ValidationAnswer)},
    errors=_READS_SIM,
)
EXECUTE = Operation(
    id="executeWorkflow",
    tag="workflows",
    permission=Permission.EDIT,
    summary="Run an allow-listed workflow",
    description="Waits for the end of the run, at most `timeout`; with `runAsync` it answers at once. A run "
    "that failed, was cancelled or timed out answers as an error whose `executionId` tells the rest. "
    "`EXECUTION_ERROR` (500) is the workflow's own failure, not this server's. `UNAUTHORIZED` without "
    "`WWW-Authenticate` means that SIM rejects the stored key: do not send your request again with a "
    "fresh token. After `OUTCOME_UNKNOWN` follow the execution; never run it again blindly.",
    body=schemas.ExecuteRequest,
    answers={
        200: Shown(
            description="Completed, or paused for a person: `status` tells.", shape=answers.ExecutionAnswer
        ),
        202: Shown(description="It goes on: follow `Location`.", shape=answers.JobAnswer, has_location=True),
    },
    errors=_MOVES_RUNS | {ErrorCode.CIRCUIT_OPEN, ErrorCode.EXECUTION_ERROR},
    takes_idempotency_key=True,
)
JOB = Operation(
    id="getJobStatus",
    tag="executions",
    permission=Permission.VIEW,
    summary="Poll a job",
    description="By this server's execution id, SIM's run id or SIM's job id. An unfinished run is asked "
    "for at SIM first.",
    answers={200: Shown(description="The job as it is now.", shape=answers.JobAnswer)},
    errors=_UNKNOWN_ID,
)
EXECUTIONS = Operation(
    id="listExecutions",
    tag="executions",
    permission=Permission.VIEW,
    summary="List the history",
    description="Newest first. With `cursor`, no execution is missed or repeated while new ones arrive.",
    query=schemas.ExecutionsQuery,
    answers={200: Shown(description="One page.", shape=answers.ExecutionPage)},
)
EXECUTION = Operation(
    id="getExecution",
    tag="executions",
    permission=Permission.VIEW,
    summary="Show one execution",
    description="By any of its ids. An unfinished run is asked for at SIM first.",
    answers={200: Shown(description="The execution as it is now.", shape=answers.ExecutionAnswer)},
    errors=_UNKNOWN_ID,
)
CANCEL = Operation(
    id="cancelExecution",
    tag="executions",
    permission=Permission.EDIT,
    summary="Cancel a run",
    description="Answers the execution as it is afterwards, whatever that is. One that is over stays so.",
    body=schemas.Nothing,
    answers={200: Shown(description="The execution afterwards.", shape=answers.ExecutionAnswer)},
    errors=_READS_SIM,
)
RESUME = Operation(
    id="resumeExecution",
    tag="executions",
    permission=Permission.EDIT,
    summary="Answer a paused run",
    description="The answer is checked against the form before SIM sees it.",
    body=schemas.ResumeRequest,
    answers={200: Shown(description="The execution afterwards.", shape=answers.ExecutionAnswer)},
    errors=_MOVES_RUNS,
)
