"""The failed half of the OpenAPI document: which errors stand behind which status of which route."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

from sim_mcp.model.errors import ErrorCode
from sim_mcp.transports.openapi_headers import RETRY_AFTER, WWW_AUTHENTICATE, answered
from sim_mcp.transports.problems import HTTP_STATUS, INTERNAL_ERROR_CODE, problem_body
from sim_mcp.transports.rest_operations import EVERYWHERE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sim_mcp.transports.rest_operations import Operation

Schema: TypeAlias = dict[str, Any]

_RETRIED = frozenset({402, 409, 429, 502, 503, 504})
"""Statuses whose answers may say when to come back."""

_WORDS = {
    400: "The request breaks a rule; `faults` names each place.",
    401: "Without `WWW-Authenticate`: SIM rejects the stored key. With it: your token is missing or refused.",
    402: "A quota is used up: SIM's, or the monthly limit of this server.",
    403: "The permission is missing; or the page, tenant or organisation named by a header is not yours; "
    "or SIM refuses the key.",
    404: "Unknown, or not yours: both answer alike.",
    408: "The run did not end in time and was cancelled.",
    409: "The present state does not allow it; the message tells what to do first.",
    413: "Larger than the limit that the message names.",
    421: "This server does not answer for that `Host`.",
    429: "Too many at once; come back after `Retry-After`.",
    500: "`EXECUTION_ERROR`: the workflow failed. `INTERNAL_ERROR`: a mistake of this server.",
    502: "SIM cannot be reached, or what answers is not SIM.",
    503: "Come back later: this server's database is down, or SIM failed so often that it gets a rest.",
    504: "SIM's answer was lost and is being looked up. Never run it again blindly.",
}


def codes_of(operation: Operation) -> dict[int, list[str]]:
    """Which codes stand behind each status of a failed request."""
    made: dict[int, set[str]] = {
        421: {ErrorCode.FORBIDDEN},
        500: {INTERNAL_ERROR_CODE},
        503: {ErrorCode.SIM_UNAVAILABLE},
    }
    too_large = {ErrorCode.PAYLOAD_TOO_LARGE} if operation.body is not None else set[ErrorCode]()
    for code in operation.errors | EVERYWHERE | too_large:
        made.setdefault(HTTP_STATUS[code], set()).add(code)
    return {status: sorted(str(code) for code in codes) for status, codes in sorted(made.items())}


def problem_responses(operations: Iterable[Operation]) -> dict[str, Schema]:
    """Every answer to a failed request once, by its status and codes."""
    every = {
        (status, tuple(codes)) for operation in operations for status, codes in codes_of(operation).items()
    }
    return {_problem_name(status, codes): _problem_response(status, codes) for status, codes in sorted(every)}


def problem_at(status: int, codes: Sequence[str]) -> Schema:
    """Where `problem_responses` put the answer with this status and these codes."""
    return {"$ref": f"#/components/responses/{_problem_name(status, codes)}"}


def _problem_name(status: int, codes: Sequence[str]) -> str:
    return ".".join([str(status), *codes])


def _problem_response(status: int, codes: Sequence[str]) -> Schema:
    names = ["X-Request-Id"]
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        names.append(WWW_AUTHENTICATE)
    if status in _RETRIED:
        names.append(RETRY_AFTER)
    return {
        "description": _WORDS[status],
        "headers": answered(*names),
        "content": {
            "application/json": {
                "schema": problem_schema(status, codes),
                "example": problem_body(status, codes[0], "What happened, and what to do next.", "4f1c"),
            }
        },
    }


def problem_schema(status: int, codes: Sequence[str]) -> Schema:
    """The error format with exactly this status and one of these codes."""
    return {
        "$ref": "#/components/schemas/Problem",
        "properties": {"statusCode": {"const": status}, "code": {"enum": [*codes]}},
    }
