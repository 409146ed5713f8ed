"""The one table of what goes wrong: each code with its HTTP status, and which errors speak JSON-RPC.

Every door reads this table (contract section 9); none of them decides a status of its own.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING

from sim_mcp.model.errors import (
    ErrorCode,
    Forbidden,
    IdentityUnavailable,
    InvalidInput,
    SimMcpError,
    StoreUnavailable,
    Unauthorized,
    UnknownTool,
)

if TYPE_CHECKING:
    from sim_mcp.model.execution import ExecutionError
    from sim_mcp.model.json import Json

HTTP_STATUS: dict[ErrorCode, int] = {
    ErrorCode.INVALID_INPUT: 400,
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.USAGE_LIMIT_EXCEEDED: 402,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.TIMEOUT: 408,
    ErrorCode.NOT_CONFIGURED: 409,
    ErrorCode.DISABLED: 409,
    ErrorCode.NOT_DEPLOYED: 409,
    ErrorCode.CONFLICT: 409,
    ErrorCode.PAYLOAD_TOO_LARGE: 413,
    ErrorCode.RATE_LIMIT_EXCEEDED: 429,
    ErrorCode.EXECUTION_ERROR: 500,
    ErrorCode.SIM_UNAVAILABLE: 502,
    ErrorCode.CIRCUIT_OPEN: 503,
    ErrorCode.OUTCOME_UNKNOWN: 504,
}
"""Complete: a test compares it with `ErrorCode`."""

PROTOCOL_ERRORS: dict[type[SimMcpError], int] = {UnknownTool: -32602, Forbidden: -32602, Unauthorized: -32600}
"""Errors that answer an MCP request with a JSON-RPC error of this code; all others are tool results."""

_PHRASES = {413: "Content Too Large"}
"""RFC 9110's names where the versions of Python differ."""

INTERNAL_ERROR_CODE = "INTERNAL_ERROR"
"""The code of our own bugs: the body says nothing but where to look."""


def http_status(error: SimMcpError | ExecutionError) -> int:
    """The HTTP status of `error`; of an execution's error, by its code."""
    if isinstance(error, StoreUnavailable | IdentityUnavailable):
        return 503  # what we ourselves stand on, not SIM behind us
    return HTTP_STATUS[error.code]


def rest_body(
    error: SimMcpError | ExecutionError, request_id: str, *, execution_id: str | None = None
) -> dict[str, Json]:
    """The body of a failed REST request.

    `executionId` is the id of our row about it (`execution_id`, else the one that `error` carries).
    `faults` is there for invalid input alone: `[{"path", "message"}]`.
    """
    status = http_status(error)
    about = execution_id or (error.execution_id if isinstance(error, SimMcpError) else None)
    body = problem_body(status, error.code.value, error.message, request_id, execution_id=about)
    if isinstance(error, InvalidInput) and error.faults:
        body["faults"] = [{"path": fault.path, "message": fault.message} for fault in error.faults]
    return body


def problem_body(
    status: int, code: str, message: str, request_id: str, *, execution_id: str | None = None
) -> dict[str, Json]:
    """The one REST error format, for whatever has no error of ours (unknown path, wrong method, a bug)."""
    return {
        "statusCode": status,
        "message": message,
        "error": _PHRASES.get(status) or HTTPStatus(status).phrase,
        "code": code,
        "requestId": request_id,
        "executionId": execution_id,
    }


def retry_headers(error: SimMcpError | ExecutionError) -> dict[str, str]:
    """`Retry-After` in whole seconds, rounded up and at least 1, when `error` says when to come back."""
    if error.retry_after_s is None:
        return {}
    return {"retry-after": str(max(1, math.ceil(error.retry_after_s)))}


def is_protocol_error(error: SimMcpError) -> bool:
    """Whether MCP answers with a JSON-RPC error instead of a tool result with `isError`."""
    return isinstance(error, tuple(PROTOCOL_ERRORS))


def json_rpc_code(error: SimMcpError) -> int:
    """The JSON-RPC code of a protocol error; -32602 (invalid params) for every other error of ours."""
    return next((code for kind, code in PROTOCOL_ERRORS.items() if isinstance(error, kind)), -32602)


def json_rpc_data(error: SimMcpError) -> dict[str, Json]:
    """The `data` of a JSON-RPC error: our code, and the permission that is missing."""
    if isinstance(error, Forbidden):
        return {"code": error.code.value, "permission": error.permission}
    return {"code": error.code.value}


def error_json(error: SimMcpError | ExecutionError) -> dict[str, Json]:
    """`error` as tool results and executions show it: `{code, message, retryable, retry_after_s}`."""
    return {
        "code": error.code.value,
        "message": error.message,
        "retryable": error.retryable,
        "retry_after_s": error.retry_after_s,
    }
