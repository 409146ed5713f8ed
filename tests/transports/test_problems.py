"""One table says what every error is at every door."""

from __future__ import annotations

import pytest

from sim_mcp.model import errors
from sim_mcp.model.errors import (
    ErrorCode,
    Fault,
    Forbidden,
    InvalidInput,
    SimMcpError,
    Throttled,
    UnknownTool,
)
from sim_mcp.model.execution import ExecutionError
from sim_mcp.transports import problems
from tests.statuses import HTTP_STATUS


def error_classes(root: type[SimMcpError] = SimMcpError) -> list[type[SimMcpError]]:
    """Every class of the tree."""
    return [root, *(each for child in root.__subclasses__() for each in error_classes(child))]


@pytest.mark.requirement("R37", "F22")
def test_every_code_has_the_status_of_the_contract() -> None:
    """The table is complete, and equals contract section 9."""
    assert {code.value: problems.HTTP_STATUS[code] for code in ErrorCode} == HTTP_STATUS


@pytest.mark.requirement("R37")
@pytest.mark.parametrize("kind", error_classes())
def test_every_error_becomes_a_rest_body(kind: type[SimMcpError]) -> None:
    """No class of the tree is without a status, and every body has the same fields."""
    error = kind("What happened.")
    error.execution_id = "row-1"
    body = problems.rest_body(error, "request-1")
    is_passing = issubclass(kind, errors.StoreUnavailable | errors.IdentityUnavailable)
    expected = 503 if is_passing else problems.HTTP_STATUS[kind.code]
    assert body["statusCode"] == problems.http_status(error) == expected
    assert (body["message"], body["code"]) == ("What happened.", kind.code.value)
    assert (body["requestId"], body["executionId"]) == ("request-1", "row-1")
    assert set(body) == {"statusCode", "message", "error", "code", "requestId", "executionId"}


def test_only_the_caller_s_own_standing_is_a_protocol_error() -> None:
    """Everything that a model can repair is a tool result."""
    protocol = {kind.__name__ for kind in error_classes() if problems.is_protocol_error(kind("x"))}
    assert protocol == {"UnknownTool", "Forbidden", "Unauthorized"}
    assert problems.json_rpc_code(UnknownTool("x")) == -32602
    assert problems.json_rpc_data(Forbidden("x", permission="INTEGRATION_VIEW")) == {
        "code": "FORBIDDEN",
        "permission": "INTEGRATION_VIEW",
    }


@pytest.mark.requirement("R53")
def test_faults_stand_beside_the_message() -> None:
    """Whoever sent a wrong body learns each place."""
    error = InvalidInput("Two faults.", faults=(Fault("$.a", "is required"), Fault("$.b", "is too long")))
    assert problems.rest_body(error, "r")["faults"] == [
        {"path": "$.a", "message": "is required"},
        {"path": "$.b", "message": "is too long"},
    ]


@pytest.mark.parametrize(
    ("wait_s", "header"), [(None, {}), (0.0, "1"), (0.2, "1"), (7.01, "8"), (30.0, "30")]
)
def test_retry_after_is_rounded_up(wait_s: float | None, header: str | dict[str, str]) -> None:
    """Nobody is told to come back too early."""
    expected = {"retry-after": header} if isinstance(header, str) else header
    assert problems.retry_headers(Throttled("x", retry_after_s=wait_s)) == expected


def test_an_error_in_a_row_looks_like_one_that_was_raised() -> None:
    """Clients see one shape, whether the call was refused or the run failed."""
    stored = ExecutionError(
        code=ErrorCode.RATE_LIMIT_EXCEEDED, message="Slow down.", retryable=True, retry_after_s=3
    )
    raised = Throttled("Slow down.", retry_after_s=3)
    assert problems.error_json(stored) == problems.error_json(raised)
    assert problems.http_status(stored) == problems.http_status(raised)
