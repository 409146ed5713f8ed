"""Facts: frozen records of what happened, handed to observers (logs, metrics, subscribers)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from sim_mcp.model.errors import ErrorCode
    from sim_mcp.model.execution import ExecutionId, Status, Trigger
    from sim_mcp.model.principal import TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFinished:
    """A row reached a settled status."""

    tenant_id: TenantId
    execution_id: ExecutionId
    tool_name: str
    trigger: Trigger
    status: Status
    code: ErrorCode | None
    duration_ms: int | None


class Step(StrEnum):
    """The steps of the corridor that take time."""

    CHECK = "check"
    """From the principal to the checked input: everything that may refuse before limits are touched."""
    OPEN = "open"
    """Writing the audit row, before SIM is asked."""
    EXECUTE = "execute"
    """One attempt at SIM."""
    CLOSE = "close"
    """Writing down what came of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTook:
    """A step of a call ended, well or not, `took_s` seconds after it began."""

    tenant_id: TenantId
    step: Step
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryScheduled:
    """An attempt provably did not start and will be repeated."""

    tenant_id: TenantId
    execution_id: ExecutionId
    attempt: int
    wait_s: float
    code: ErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChanged:
    """A tenant's breaker moved; states are `closed`, `open`, `half_open`."""

    tenant_id: TenantId
    before: str
    after: str
    retry_after_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChanged:
    """A tenant's integration, allow-list or tokens changed; `kind` says which.

    `tenant_id` is `None` when it is not known whose: everybody's may have.
    """

    tenant_id: TenantId | None
    kind: str


Fact: TypeAlias = CallFinished | StepTook | RetryScheduled | BreakerChanged | SettingsChanged


class Observer(Protocol):
    """Somebody who is told facts. Must not raise and must not block."""

    def __call__(self, fact: Fact, /) -> None:
        """Take note of `fact`."""
        ...
