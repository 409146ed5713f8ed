"""SIM's side of an execution: what we ask of it and what it answers, in our words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NewType

from sim_mcp.model.execution import ExecutionError, Status

if TYPE_CHECKING:
    from datetime import datetime

    from sim_mcp.model.integration import Dialect
    from sim_mcp.model.json import Json, JsonObject
    from sim_mcp.model.tool import Mode, WorkflowId

RunId = NewType("RunId", str)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One execute, before a run id is chosen. `timeout_s` bounds the whole exchange with SIM."""

    workflow_id: WorkflowId
    input: JsonObject
    mode: Mode
    timeout_s: float
    selected_outputs: tuple[str, ...] = ()
    file_fields: tuple[str, ...] = ()
    via: tuple[str, ...] = ()
    """Workflow ids this call already passed through; sent as `X-Sim-Via` (loop guard)."""
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseField:
    """One field of the form that a paused run waits for (sim-api 6.2)."""

    name: str
    label: str
    type: str
    required: bool = False
    description: str = ""
    placeholder: str = ""
    options: tuple[Json, ...] = ()
    value: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PausePoint:
    """One place where a run waits. `kind` is `human` or `time`; `resume_at` is set for `time`."""

    context_id: str
    kind: str
    fields: tuple[PauseField, ...] = ()
    display: tuple[JsonObject, ...] = ()
    """What the author wants shown: `{name, type, value}` each."""
    resume_at: datetime | None = None
    status: str = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What SIM says about one run. Only `status == completed` is a success.

    `output` is any JSON value. `is_raw` marks the bare answer of a Response block (legacy), which
    may imitate anything. `truncated` counts values that SIM replaced by references.
    """

    status: Status
    run_id: RunId | None
    job_id: str | None = None
    output: Json = None
    error: ExecutionError | None = None
    duration_ms: int | None = None
    pauses: tuple[PausePoint, ...] = ()
    is_raw: bool = False
    truncated: int = 0
    cost: float | None = None
    sim_request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """SIM's answer to a cancel. `accepted` false: SIM could not cancel; the run goes on."""

    accepted: bool
    already_final: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Whether a workflow can be executed, and whether its draft has moved on since."""

    workflow_id: WorkflowId
    is_deployed: bool
    needs_redeployment: bool
    deployed_at: datetime | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputField:
    """One declared input of a workflow's start block. `type` is SIM's own word."""

    name: str
    type: str
    description: str = ""
    default: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowInputs:
    """The inputs of a workflow; `is_deployed_version` false means they were read from the draft."""

    fields: tuple[InputField, ...]
    is_deployed_version: bool
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowSummary:
    """One workflow of the SIM account, as its list tells it."""

    workflow_id: WorkflowId
    name: str
    description: str
    is_deployed: bool
    workspace_id: str | None = None
    deployed_at: datetime | None = None
    run_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowPage:
    """One page of workflows; `next_cursor` is `None` at the end."""

    workflows: tuple[WorkflowSummary, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A SIM workspace that the key can see (v2 only)."""

    workspace_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """SIM's limits for this key, as far as it tells (sim-api 5.2). `None` where it does not."""

    plan: str | None = None
    sync_per_minute: int | None = None
    sync_remaining: int | None = None
    async_per_minute: int | None = None
    async_remaining: int | None = None
    period_cost: float | None = None
    period_limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a SIM instance turned out to be for one key."""

    dialect: Dialect
    workspaces: tuple[Workspace, ...] = field(default_factory=tuple)
