"""Log lines: one record is one line, and no secret is in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from sim_mcp.model.correlation import working_on
from sim_mcp.model.credentials import without_credentials
from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.execution import ExecutionId, Status, Trigger
from sim_mcp.model.facts import BreakerChanged, CallFinished, RetryScheduled, SettingsChanged
from sim_mcp.model.principal import TenantId
from sim_mcp.telemetry import log_fact, set_up_logs

ACME = TenantId("acme")
SECRETS = [
    "sk-sim-1234567890abcdef",
    "sim_ABCdef123456789",
    "simmcp_Zx81aaaaaaaaaaaaaaaaaaaaaaaa",
    "Bearer abcdefghijklmnop",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "X-API-Key: topsecretvalue",
]


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    """Leave the root logger as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.requirement("R32", "R60")
@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("secret", SECRETS)
def test_no_log_line_holds_a_secret(style: str, secret: str) -> None:
    """Whatever somebody passes to a logger."""
    stream = io.StringIO()
    set_up_logs(level="info", style=style, stream=stream)
    logging.getLogger("x").info("calling with %s now", secret)
    logging.getLogger("x").error("failed", exc_info=ValueError(secret))
    assert secret.rsplit(maxsplit=1)[-1] not in stream.getvalue()


@pytest.mark.requirement("R60")
@pytest.mark.parametrize("style", ["text", "json"])
def test_a_line_break_in_a_value_does_not_forge_a_record(style: str) -> None:
    """A tenant's text cannot write log lines of its own."""
    stream = io.StringIO()
    set_up_logs(level="info", style=style, stream=stream)
    logging.getLogger("x").info("tool %s", "a\n2026-01-01 INFO forged: all is well\r\n\x1b[2J")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""Whatever some reader takes for the end of a line."""
STEERING = "\x00\x07\x08\x1b\x7f\x9b\u200b\u202e\u2066\ufeff\ud800\U000e0041"
"""What moves a terminal's cursor, turns the direction of text, is invisible, or cannot be written at all."""


@pytest.mark.requirement("R60")
@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("character", [*BREAKS, *STEERING])
def test_no_character_of_a_value_ends_a_line_or_steers_a_terminal(style: str, character: str) -> None:
    """In the message, in what it is about, and in an exception; and as JSON nothing of it is lost."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
    set_up_logs(level="info", style=style, stream=stream)
    hostile = f"a{character}2026-01-01 INFO forged"
    with working_on(tenant=hostile):
        logging.getLogger("x").error("tool %s", hostile, exc_info=ValueError(hostile))
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    written = stream.buffer.getvalue().decode("utf-8")
    assert len(written.splitlines()) == 1
    assert written.removesuffix("\n").isprintable()
    if style == "json":
        assert (json.loads(written)["message"], json.loads(written)["tenant"]) == (f"tool {hostile}", hostile)


@pytest.mark.parametrize("name", ["sim_list_executions", "sim_get_execution", "sim_discover_workflows"])
def test_the_names_of_our_own_tools_are_no_secrets(name: str) -> None:
    """A remedy that is redacted helps nobody."""
    assert without_credentials(f"use {name}") == f"use {name}"


def test_every_kind_of_fact_is_one_readable_line() -> None:
    """The log answers who, what and how it ended."""
    stream = io.StringIO()
    set_up_logs(level="info", style="json", stream=stream)
    execution_id = ExecutionId("e1")
    log_fact(
        CallFinished(
            tenant_id=ACME,
            execution_id=execution_id,
            tool_name="echo",
            trigger=Trigger.MCP,
            status=Status.FAILED,
            code=ErrorCode.TIMEOUT,
            duration_ms=3,
        )
    )
    log_fact(
        RetryScheduled(
            tenant_id=ACME,
            execution_id=execution_id,
            attempt=1,
            wait_s=2.0,
            code=ErrorCode.RATE_LIMIT_EXCEEDED,
        )
    )
    log_fact(BreakerChanged(tenant_id=ACME, before="closed", after="open", retry_after_s=60.0))
    log_fact(SettingsChanged(tenant_id=ACME, kind="tools"))
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == [
        "call of echo ended failed TIMEOUT (tenant acme, execution e1, mcp)",
        "attempt 1 did not start (RATE_LIMIT_EXCEEDED); next in 2.0 s (tenant acme, execution e1)",
        "breaker of tenant acme: closed -> open",
        "tools of tenant acme changed",
    ]


@pytest.mark.requirement("F25")
@pytest.mark.parametrize("style", ["text", "json"])
def test_records_of_one_piece_of_work_name_it(style: str) -> None:
    """Request, tenant and execution; nothing of it clings to what comes after."""
    stream = io.StringIO()
    set_up_logs(level="info", style=style, stream=stream)
    with working_on(request_id="r-1"), working_on(tenant="acme", execution_id=None):
        logging.getLogger("x").info("asked")
    logging.getLogger("x").info("done")
    asked, done = stream.getvalue().splitlines()
    if style == "json":
        line = json.loads(asked)
        assert (line["request_id"], line["tenant"], "execution_id" in line) == ("r-1", "acme", False)
        assert "request_id" not in json.loads(done)
    else:
        assert asked.endswith("asked [request_id=r-1 tenant=acme]")
        assert done.endswith("done")
