"""A tool: one allow-list entry as clients see it and as the corridor runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from sim_mcp.model.json import Json, JsonObject
    from sim_mcp.model.principal import Permission, TenantId

WorkflowId = NewType("WorkflowId", str)


class Mode(StrEnum):
    """How SIM is asked to run the workflow."""

    SYNC = "sync"
    ASYNC = "async"
    STREAM = "stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolHints:
    """What clients are told about a tool's effects. The defaults are the cautious ones."""

    read_only: bool = False
    destructive: bool = True
    idempotent: bool = False
    open_world: bool = True


class Source(StrEnum):
    """Where a bound input comes from."""

    TENANT = "tenant"
    PRINCIPAL = "principal"
    FIXED = "fixed"
    SECRET = "secret"  # noqa: S105 - the word of specs for where it comes from


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundInput:
    """An input of the workflow that no caller gives. Its value is in no schema, log or row.

    `key` names what of the tenant or the principal, or which secret; `value` is that of a fixed one.
    """

    name: str
    source: Source
    key: str | None = None
    value: Json = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowTool:
    """One allow-listed workflow.

    `timeout_s`: 1 to 300 for sync and stream; for async, how long a run is followed, up to 86,400.
    `max_output_bytes`: larger output is cut for the model and kept whole in the execution.
    `attach_s`: how long an equal call attaches to the execution of the first one; 0 never.
    `input_schema` leaves out what `bindings` fill in. `cost_per_day` is in SIM's unit.
    `approver_permission`: what answering a pause needs beside EDIT.
    """

    tenant_id: TenantId
    name: str
    workflow_id: WorkflowId
    title: str
    description: str
    input_schema: JsonObject
    output_schema: JsonObject | None = None
    mode: Mode = Mode.SYNC
    timeout_s: float = 60.0
    hints: ToolHints = field(default_factory=ToolHints)
    confirm: bool = False
    approver_permission: Permission | None = None
    attach_s: float = 0.0
    selected_outputs: tuple[str, ...] = ()
    rate_per_minute: int | None = None
    max_concurrency: int | None = None
    monthly_executions: int | None = None
    cost_per_day: float | None = None
    max_output_bytes: int = 100_000
    bindings: tuple[BoundInput, ...] = ()
    describe_usage: bool = False
    file_fields: tuple[str, ...] = ()
    """Input fields whose SIM type is `file[]`: they change how legacy wants the body (sim-api 1.5)."""


MAX_SYNC_TIMEOUT_S = 300.0
MAX_ASYNC_TIMEOUT_S = 86_400.0
MIN_TIMEOUT_S = 1.0
