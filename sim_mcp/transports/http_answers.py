"""HTTP answers: JSON written one way, errors in one format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from sim_mcp.model.errors import ErrorCode, Forbidden
from sim_mcp.transports.problems import (
    INTERNAL_ERROR_CODE,
    http_status,
    problem_body,
    rest_body,
    retry_headers,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Scope

    from sim_mcp.model.errors import SimMcpError
    from sim_mcp.model.execution import ExecutionError

REQUEST_ID = "sim_mcp_request_id"
_CODES = {403: ErrorCode.FORBIDDEN, 404: ErrorCode.NOT_FOUND, 421: ErrorCode.FORBIDDEN}


class Answer(JSONResponse):
    """Compact JSON that no cache keeps. Characters that cannot be UTF-8 are replaced."""

    def __init__(self, body: Any, status: int = 200, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(body, status, {"cache-control": "no-store", **(headers or {})})

    def render(self, content: Any) -> bytes:
        """The body."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def problem(
    error: SimMcpError | ExecutionError,
    request_id: str,
    *,
    execution_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """The answer to a request that failed with `error`."""
    body = rest_body(error, request_id, execution_id=execution_id)
    return Answer(
        body, http_status(error), headers={**retry_headers(error), **_missing_scope(error), **(headers or {})}
    )


def plain_problem(
    status: int,
    message: str,
    request_id: str,
    *,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """An answer in the error format where there is no error of ours: unknown paths, wrong methods."""
    named = code or _CODES.get(status, ErrorCode.INVALID_INPUT).value
    return Answer(problem_body(status, named, message, request_id), status, headers=headers)


def mistake(request_id: str, *, headers: Mapping[str, str] | None = None) -> Answer:
    """The answer to a request that met a bug of ours: an id, and nothing else."""
    message = f"The server made a mistake; its log tells more under the request id {request_id!r}."
    return plain_problem(500, message, request_id, code=INTERNAL_ERROR_CODE, headers=headers)


def _missing_scope(error: SimMcpError | ExecutionError) -> dict[str, str]:
    """The challenge that a client may answer with a wider token; `RequireBearer` adds where to get one."""
    if not isinstance(error, Forbidden) or error.permission is None:
        return {}
    return {"www-authenticate": f'Bearer error="insufficient_scope", scope="{error.permission}"'}


def request_id_of(scope: Scope) -> str:
    """The id that `RequestIds` gave this request."""
    return str(scope.get(REQUEST_ID, ""))
