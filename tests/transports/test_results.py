"""Results as pure functions: what is cut, what is said, what counts as an error."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sim_mcp.model.errors import (
    CircuitOpen,
    ErrorCode,
    SimMcpError,
    Throttled,
)
from sim_mcp.model.execution import Execution, ExecutionError, ExecutionId, Status, Trigger
from sim_mcp.model.json import Json
from sim_mcp.model.principal import TenantId
from sim_mcp.model.tool import Mode, WorkflowId
from sim_mcp.transports.cutting import compact, cut, size_bytes
from sim_mcp.transports.results import error_result, execution_result
from tests.journeys.mcp_clients import structured, words

ROW = Execution(
    id=ExecutionId("e-1"),
    tenant_id=TenantId("acme"),
    organization_id=None,
    integration_id=None,
    tool_name="echo",
    workflow_id=WorkflowId("w-1"),
    run_id="r-1",
    job_id=None,
    status=Status.COMPLETED,
    mode=Mode.SYNC,
    timeout_s=60,
    input={},
    output={"ok": True},
    error=None,
    pauses=None,
    duration_ms=12,
    attempts=1,
    triggered_by=Trigger.MCP,
    subject="ada",
    idempotency_key=None,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    started_at=None,
    finished_at=None,
    settings_revision=1,
    trace_id=None,
)

values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=3000),
    lambda inner: some.lists(inner, max_size=30) | some.dictionaries(some.text(max_size=300), inner),
    max_leaves=60,
)


@given(values, some.integers(min_value=200, max_value=20_000))
def test_a_cut_is_always_valid_and_within_the_limit(value: Json, limit_bytes: int) -> None:
    """Whatever the output is: JSON that fits, says that it is cut, and how large the whole was."""
    shown = cut(value, whole_bytes=123, limit_bytes=limit_bytes)
    text = compact(shown)
    assert size_bytes(text) <= limit_bytes
    assert json.loads(text) == shown
    assert (shown["truncated"], shown["size_bytes"]) == (True, 123)


def test_what_was_left_out_is_counted() -> None:
    """Items, fields and characters."""
    value: Json = {"rows": [{"i": at} for at in range(1000)], "text": "x" * 10_000}
    assert cut(value, whole_bytes=20_000, limit_bytes=300)["preview"] == {
        "rows": [*({"i": at} for at in range(5)), "… 995 more items"],
        "text": f"{'x' * 100}… (10000 characters)",
    }


@pytest.mark.parametrize("status", list(Status))
def test_only_a_completed_or_unfinished_run_is_no_error(status: Status) -> None:
    """And only a completed one shows an output."""
    result = execution_result(replace(ROW, status=status))
    assert result.is_error is (status in {Status.FAILED, Status.CANCELLED})
    assert structured(result)["status"] == status.value
    assert (structured(result)["output"] is not None) is (status is Status.COMPLETED)
    assert ("pauses" in structured(result)) is (status is Status.PAUSED)
    assert status is Status.COMPLETED or "e-1" in words(result)


@pytest.mark.parametrize("code", [ErrorCode.OUTCOME_UNKNOWN, ErrorCode.TIMEOUT])
@pytest.mark.parametrize("status", [Status.PROCESSING, Status.QUEUED])
def test_an_unfinished_run_whose_end_is_unknown_is_an_error(code: ErrorCode, status: Status) -> None:
    """A model must not take it for a run that simply goes on."""
    row = replace(ROW, status=status, error=ExecutionError(code=code, message="Lost."))
    result = execution_result(row)
    assert result.is_error
    assert structured(result)["error"]["code"] == code.value


@pytest.mark.requirement("R37")
@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_is_told_with_its_message_and_the_execution(code: ErrorCode) -> None:
    """No code is without words of its own."""
    error = ExecutionError(code=code, message="It went wrong")
    text = words(execution_result(replace(ROW, status=Status.FAILED, error=error)))
    assert text.startswith(f"{code.value}: ")
    assert "It went wrong." in text
    assert "e-1" in text


@pytest.mark.parametrize(
    "error", [Throttled("Too many.", retry_after_s=7), CircuitOpen("Open.", retry_after_s=7)]
)
def test_a_refusal_tells_when_to_come_back(error: SimMcpError) -> None:
    """In words for the model and as a number for programs."""
    error.execution_id = "e-9"
    result = error_result(error)
    assert "Wait 7 s." in words(result)
    assert structured(result) == {
        "status": "failed",
        "execution_id": "e-9",
        "run_id": None,
        "workflow_id": None,
        "duration_ms": None,
        "output": None,
        "error": {
            "code": error.code.value,
            "message": error.message,
            "retryable": True,
            "retry_after_s": 7,
        },
    }


def test_a_result_too_large_for_the_store_is_not_held_against_the_schema() -> None:
    """What is there is a note of its size, not the output."""
    note: Json = {"truncated": True, "size_bytes": 99_000_000, "limit_bytes": 16_000_000}
    assert not execution_result(replace(ROW, output=note)).is_error
