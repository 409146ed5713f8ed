"""What was approved of a tool: the workflow's version and inputs, and the words that models read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sim_mcp.model.principal import TenantId
    from sim_mcp.model.tool import WorkflowId


class ChangeClass(StrEnum):
    """What a change of a workflow means for those who call its tool."""

    COMPATIBLE = "compatible"
    """Calls made as before still mean the same."""
    BREAKING = "breaking"
    """Something that the tool offers is gone or means another thing: the tool is held."""
    UNKNOWN = "unknown"
    """SIM does not tell enough; administrators are told, calls go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference between what was approved and what is deployed, in one sentence."""

    kind: ChangeClass
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLock:
    """The state of a workflow that somebody approved as a tool.

    `inputs` maps each declared input to SIM's word for its type. `version` is the deployed version, where
    SIM tells. `pinned` is a digest of all that a model reads of the tool. `held` says why calls are refused.
    """

    tenant_id: TenantId
    name: str
    workflow_id: WorkflowId
    version: int | None
    inputs: Mapping[str, str]
    pinned: str
    approved_at: datetime
    approved_by: str
    checked_at: datetime
    held: tuple[str, ...] = ()
