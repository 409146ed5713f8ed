"""The error tree: everything that can go wrong, in our words.

    SimMcpError
    ├── InvalidInput            400  the caller's arguments or body; each fault with its path
    ├── Unauthorized            401  no valid token
    ├── Forbidden               403  a permission is missing; names it
    ├── NotFound                404  unknown, or another tenant's: the same words for both
    ├── NotConfigured           409  the tenant has no SIM account connected
    ├── Disabled                409  the integration is switched off
    ├── Conflict                409  the state does not allow it
    ├── PayloadTooLarge         413
    ├── Throttled               429  our own limit
    ├── MonthlyLimitReached     402  our own limit
    ├── CircuitOpen             503  SIM was failing; refused without asking it
    ├── StoreUnavailable        503  our database
    ├── IdentityUnavailable     503  the identity provider's keys
    ├── OutcomeUnknown          504  the answer was lost; the run is being reconciled
    └── SimError                     what SIM answered, or failed to answer; says whether a run began
        ├── SimRejectedKey      401  "run setup again"
        ├── SimRefused          403  the key may not use this workflow
        ├── SimNotFound         404
        ├── SimNotDeployed      409
        ├── SimRejectedInput    400
        ├── SimPayloadTooLarge  413
        ├── SimConflict         409
        ├── SimRateLimited      429
        ├── SimUsageExceeded    402
        ├── SimTimeout          408
        ├── SimInternalError    502  SIM's own fault; a run may have begun
        ├── SimUnavailable      502  network, TLS, 502/503/504
        │   └── NotASimApi      502  something answered, but it was not SIM
        └── SimAnswerLost       504  sent, and no usable answer came: a run may have begun

A failed *workflow* is no error of this tree: it is a `Run` with status `failed`.

`message` is written for people and models: what happened and what to do next. It never carries a
secret or a foreign text that was not redacted. `detail` is for our own log only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class ErrorCode(StrEnum):
    """The stable codes of contract section 9."""

    INVALID_INPUT = "INVALID_INPUT"
    UNAUTHORIZED = "UNAUTHORIZED"
    USAGE_LIMIT_EXCEEDED = "USAGE_LIMIT_EXCEEDED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    TIMEOUT = "TIMEOUT"
    NOT_CONFIGURED = "NOT_CONFIGURED"
    DISABLED = "DISABLED"
    NOT_DEPLOYED = "NOT_DEPLOYED"
    CONFLICT = "CONFLICT"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
    EXECUTION_ERROR = "EXECUTION_ERROR"
    SIM_UNAVAILABLE = "SIM_UNAVAILABLE"
    CIRCUIT_OPEN = "CIRCUIT_OPEN"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"


class RunBegan(StrEnum):
    """What an error of *execute* proves about the run behind it."""

    NO = "no"  # SIM surely began nothing: the call may be repeated
    MAYBE = "maybe"  # never repeat; ask SIM for the run by its id


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input: where (`$.user.age`), and what, in words a model can act on."""

    path: str
    message: str


class SimMcpError(Exception):
    """The root. Carries a safe `message`, and a private `detail` for the log."""

    code: ClassVar[ErrorCode] = ErrorCode.EXECUTION_ERROR
    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later without anybody changing anything."""

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, detail: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        self.detail = detail
        self.execution_id: str | None = None
        """Our row about this, once there is one; filled in by the gateway."""


class InvalidInput(SimMcpError):
    """The caller's arguments break a rule; `faults` lists each with its path."""

    code = ErrorCode.INVALID_INPUT

    def __init__(self, message: str, *, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults


class Unauthorized(SimMcpError):
    """The caller has no valid token."""

    code = ErrorCode.UNAUTHORIZED


class Forbidden(SimMcpError):
    """The caller lacks `permission`."""

    code = ErrorCode.FORBIDDEN

    def __init__(self, message: str, *, permission: str | None = None) -> None:
        super().__init__(message)
        self.permission = permission


class NotFound(SimMcpError):
    """Unknown to this tenant; another tenant's things answer with exactly these words."""

    code = ErrorCode.NOT_FOUND


class UnknownTool(NotFound):
    """No tool of that name for this principal: unknown, hidden and foreign names alike."""


class NotConfigured(SimMcpError):
    """The tenant has not connected a SIM account."""

    code = ErrorCode.NOT_CONFIGURED


class Disabled(SimMcpError):
    """The tenant's integration is switched off."""

    code = ErrorCode.DISABLED


class Conflict(SimMcpError):
    """The present state does not allow the request."""

    code = ErrorCode.CONFLICT


class PayloadTooLarge(SimMcpError):
    """Larger than the limit that the message names."""

    code = ErrorCode.PAYLOAD_TOO_LARGE


class Throttled(SimMcpError):
    """Our own rate or concurrency limit; `retry_after_s` says when to come back."""

    code = ErrorCode.RATE_LIMIT_EXCEEDED
    retryable = True


class MonthlyLimitReached(SimMcpError):
    """The tenant used up its monthly executions."""

    code = ErrorCode.USAGE_LIMIT_EXCEEDED


class BudgetUsed(SimMcpError):
    """What runs may cost in a day is used up; `retry_after_s` is the time until the next day (UTC)."""

    code = ErrorCode.USAGE_LIMIT_EXCEEDED


class CircuitOpen(SimMcpError):
    """SIM kept failing for this tenant; `retry_after_s` is the time to the next probe."""

    code = ErrorCode.CIRCUIT_OPEN
    retryable = True


class StoreUnavailable(SimMcpError):
    """Our own database failed; nothing was sent to SIM without a row."""

    code = ErrorCode.SIM_UNAVAILABLE
    retryable = True


class IdentityUnavailable(SimMcpError):
    """The identity provider's keys cannot be read: nobody can tell whether the token is good."""

    code = ErrorCode.SIM_UNAVAILABLE
    retryable = True


class OutcomeUnknown(SimMcpError):
    """The answer was lost. The run is followed by its id; never call again blindly."""

    code = ErrorCode.OUTCOME_UNKNOWN


class SimError(SimMcpError):
    """SIM's refusal or failure. `began` tells whether a run may exist."""

    began: ClassVar[RunBegan] = RunBegan.NO
    burns_run_id: ClassVar[bool] = False
    """Whether SIM keeps the run id as used, so that a repeat needs a fresh one (sim-api 1.4)."""

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        detail: str | None = None,
        sim_status: int | None = None,
        sim_code: str | None = None,
        sim_request_id: str | None = None,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s, detail=detail)
        self.sim_status = sim_status
        self.sim_code = sim_code
        self.sim_request_id = sim_request_id


class SimRejectedKey(SimError):
    """SIM does not accept the stored API key."""

    code = ErrorCode.UNAUTHORIZED


class SimRefused(SimError):
    """The key is valid but may not do this."""

    code = ErrorCode.FORBIDDEN


class SimNotFound(SimError):
    """SIM knows no such workflow or run, or hides it from this key."""

    code = ErrorCode.NOT_FOUND


class SimNotDeployed(SimError):
    """The workflow exists but is not deployed."""

    code = ErrorCode.NOT_DEPLOYED


class SimRejectedInput(SimError):
    """SIM refused the request body."""

    code = ErrorCode.INVALID_INPUT
    burns_run_id = True


class SimPayloadTooLarge(SimError):
    """The request or the answer was larger than allowed."""

    code = ErrorCode.PAYLOAD_TOO_LARGE


class SimConflict(SimError):
    """SIM's state does not allow it (already resumed, call chain too deep …)."""

    code = ErrorCode.CONFLICT


class RunIdTaken(SimConflict):
    """SIM has seen this run id before: after our own lost send that means "already running"."""

    began = RunBegan.MAYBE


class SnapshotNotReady(SimConflict):
    """The pause is still being written; ask again in a second or two (sim-api 6.3)."""

    retryable = True


class SimRateLimited(SimError):
    """SIM's own rate or concurrency limit."""

    code = ErrorCode.RATE_LIMIT_EXCEEDED
    retryable = True
    burns_run_id = True


class SimUsageExceeded(SimError):
    """The SIM plan's quota is used up."""

    code = ErrorCode.USAGE_LIMIT_EXCEEDED
    burns_run_id = True


class SimTimeout(SimError):
    """SIM did not finish in time; whether the run goes on is not known."""

    code = ErrorCode.TIMEOUT
    began = RunBegan.MAYBE


class SimInternalError(SimError):
    """SIM failed inside before it could say whether a run began."""

    code = ErrorCode.SIM_UNAVAILABLE
    began = RunBegan.MAYBE


class SimUnavailable(SimError):
    """SIM cannot be reached or is overloaded; nothing was begun."""

    code = ErrorCode.SIM_UNAVAILABLE
    retryable = True


class NotASimApi(SimUnavailable):
    """Something answered that is not SIM's API: a proxy, a login page, a wrong base URL."""

    retryable = False
    began = RunBegan.MAYBE


class SimAnswerLost(SimError):
    """The request left and no usable answer came back: a run may have begun."""

    code = ErrorCode.OUTCOME_UNKNOWN
    began = RunBegan.MAYBE
