"""No part of a SIM key leaves by the terminal: not as data, not as an error, not as a log line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim_mcp.sim.fake import faults, workflow_id
from tests.cli.conftest import Ended, Invoke, Sandbox
from tests.leaks import ACME_KEY, Watchlist, files_in

PASTED = "sk-sim-Vb5hXc7jNq2tRz8k"
WATCHED = Watchlist({"key": ACME_KEY, "pasted key": PASTED.removeprefix("sk-sim-")})


@pytest.mark.requirement("R31", "R32", "R60")
def test_no_verb_shows_the_key_in_success_or_failure(
    invoke: Invoke, connected: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the log at debug level, whatever SIM answers, and with a key typed where none belongs."""
    monkeypatch.setenv("SIM_MCP_LOG_LEVEL", "debug")
    sim = connected.sim
    ends: list[Ended] = []

    def run(*arguments: str, stdin: str = "") -> None:
        ends.append(invoke(*arguments, stdin=stdin))

    run("setup", "--api-key-stdin", stdin=ACME_KEY)  # not SIM's yet: rejected
    sim.rotate_key("acme", ACME_KEY)
    run("setup", "--api-key-stdin", "--json", stdin=ACME_KEY)
    for verb in (
        ("tools", "list"),
        ("tools", "discover", "--json"),
        ("tools", "import", workflow_id("acme", "echo"), "--dir", "imported"),
        ("tools", "export"),
        ("call", "summarize_timesheets", "--arg", "employee=Ada"),
        ("call", "sync_crm"),
        ("call", PASTED),
        ("call", "summarize_timesheets", "--arg", f"{PASTED}=1"),
        ("call", "summarize_timesheets", "--arg", PASTED),
        ("call", "summarize_timesheets", "--input", PASTED),
        ("show", PASTED),
        ("history", "--cursor", PASTED),
        ("tools", "remove", PASTED),
        ("token", "revoke", PASTED),
        ("setup", "--base-url", f"https://x:{PASTED}@sim.example.com", "--api-key-stdin"),
        ("history", "--json"),
        ("setup", "--disable"),
        ("call", "summarize_timesheets"),
        ("setup", "--enable"),
        ("keys", "rotate"),
    ):
        run(*verb, stdin=ACME_KEY)
    sim.script(faults.Unauthorized401())
    run("call", "summarize_timesheets", "--arg", "employee=Ada")
    sim.rotate_key("acme", "another-key-of-acme")
    run("tools", "discover")
    run("setup", "--remove", "--yes", "--json")
    assert {ended.code for ended in ends} == {0, 1, 2}
    assert WATCHED.leaks_in(*[ended.out + ended.err for ended in ends]) == []
    assert WATCHED.leaks_in(*files_in(home)) == []
