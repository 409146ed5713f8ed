"""Exit codes 0, 1 and 2; errors in one line with a remedy, on stderr, without a stack or a secret."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from sim_mcp.cli.exits import Misuse, report
from sim_mcp.model.errors import Conflict, NotFound
from tests.cli.conftest import Invoke


@pytest.mark.parametrize(
    "arguments",
    [
        ("bogus",),
        ("serve", "--transport", "pigeon"),
        ("call",),
        ("history", "--limit", "0"),
        ("token", "create", "--permissions", "fly"),
        ("setup", "--enable", "--remove"),
        ("setup",),
        ("tools", "import"),
        ("tools", "lint", "nowhere"),
        ("tools", "apply", "nowhere"),
        ("serve", "--transport", "stdio", "--tool-specs", "nowhere"),
        ("call", "echo", "--config", "nowhere.toml"),
    ],
)
def test_wrong_use_ends_with_2_and_a_remedy(invoke: Invoke, home: Path, arguments: tuple[str, ...]) -> None:
    """Two lines on stderr, nothing on stdout, nothing created."""
    ended = invoke(*arguments)
    assert ended.code == 2
    assert ended.out == ""
    error, fix = ended.err.splitlines()
    assert error.startswith("Error: ")
    assert fix.startswith("Fix: ")
    assert not (home / "data").exists()


def test_an_unknown_variable_names_the_nearest_right_one(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt limit is wrong use, not ignored."""
    monkeypatch.setenv("SIM_MCP_RATE_PER_MINUT", "3")
    ended = invoke("history")
    assert ended.code == 2
    assert "SIM_MCP_RATE_PER_MINUTE" in ended.err


def test_a_stray_key_on_the_command_line_is_not_repeated(invoke: Invoke) -> None:
    """Somebody who pastes the key as an argument must not find it in a log of stderr."""
    ended = invoke("setup", "sk-sim-0123456789abcdef")
    assert ended.code == 2
    assert "0123456789" not in ended.err + ended.out


def test_errors_are_found_inside_groups(capsys: pytest.CaptureFixture[str]) -> None:
    """Task groups wrap what happened; people read what happened."""
    wrapped = ExceptionGroup("a", [ExceptionGroup("b", [NotFound("No such thing. Look elsewhere.")])])
    assert report(wrapped) == 1
    mixed = ExceptionGroup("a", [ValueError("x"), Misuse("Wrong.", remedy="be right")])
    assert report(mixed) == 2
    assert capsys.readouterr().err == snapshot("""\
Error: No such thing. Look elsewhere.
Error: Wrong.
Fix: be right
""")


def test_an_unexpected_error_is_one_line_and_its_stack_is_for_the_debug_log(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The message may hold anything, so it is not shown."""
    with caplog.at_level(logging.INFO, "sim_mcp.cli"):
        assert report(RuntimeError("secret inside")) == 1
    assert caplog.records == []
    with caplog.at_level(logging.DEBUG, "sim_mcp.cli"):
        assert report(RuntimeError("secret inside")) == 1
    assert caplog.records[0].exc_info is not None
    assert capsys.readouterr().err.splitlines()[:2] == snapshot(
        ["Error: Unexpected RuntimeError.", "Fix: run it with SIM_MCP_LOG_LEVEL=debug to see where"]
    )


def test_a_message_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """Names come from SIM and may hold escape sequences and line breaks."""
    report(Conflict("bad\x1b[2Jname\nError: forged"))
    assert capsys.readouterr().err == "Error: bad\N{REPLACEMENT CHARACTER}[2Jname Error: forged\n"


def test_interruption_is_a_failure_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C outside of a server's verb."""
    assert report(KeyboardInterrupt()) == 1
    assert capsys.readouterr().err == "Error: Interrupted.\n"
