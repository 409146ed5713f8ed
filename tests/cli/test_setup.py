"""`sim-mcp setup`: the key goes in, and never comes out."""

from __future__ import annotations

from pathlib import Path

import pytest
from inline_snapshot import snapshot

from sim_mcp.sim.fake import demo_account
from tests.cli.conftest import Ended, Invoke, Sandbox

KEY = demo_account("acme").api_key

pytestmark = pytest.mark.sockets


def connect(invoke: Invoke, *more: str) -> Ended:
    """Connect acme, with the key on standard input."""
    return invoke("setup", "--api-key-stdin", *more, stdin=f"{KEY}\n")


PLAN = "free, 999999 sync runs a minute, 999999 async runs a minute, used 0.00 of 99999.00 in this period"


@pytest.mark.requirement("R8", "R31")
def test_setup_tells_what_it_found_and_never_the_key(invoke: Invoke, sandbox: Sandbox, home: Path) -> None:
    """Dialect, workspaces, limits; and the key is in no output and in no file in clear."""
    ended = connect(invoke)
    assert ended.code == 0
    assert ended.out.replace(sandbox.url, "URL").replace(PLAN, "PLAN") == snapshot("""\
Connected tenant 'acme' to URL (settings revision 1).
  API          v2
  Workspaces   acme's Workspace  b37771a7-8619-57d9-9168-6ae664fa6b01 (chosen)
  Plan         PLAN
Next: sim-mcp tools discover --tenant acme
""")
    assert KEY not in ended.out + ended.err
    files = [path for path in (home / "data").rglob("*") if path.is_file()]
    assert len(files) > 1
    assert not any(KEY.encode() in path.read_bytes() for path in files)


def test_setup_as_json_has_the_same_facts(invoke: Invoke, sandbox: Sandbox) -> None:
    """For scripts."""
    found = connect(invoke, "--json").json
    assert found["base_url"] == sandbox.url
    assert found["dialect"] == "v2"
    assert found["has_api_key"] is True
    assert [each["workspace_id"] for each in found["workspaces"]] == [found["workspace_id"]]
    assert set(found["usage"]) >= {"plan", "sync_per_minute", "async_per_minute"}


def test_a_key_that_sim_rejects_is_not_stored(invoke: Invoke, sandbox: Sandbox) -> None:
    """Nothing is connected, and the bad key is not repeated."""
    ended = invoke("setup", "--api-key-stdin", stdin="sk-sim-wrong-0123456789\n")
    assert ended.code == 1
    assert ended.err == snapshot(
        "Error: SIM does not accept this API key; create a new one in SIM's settings.\n"
    )
    assert invoke("setup", "--disable").code == 1  # there is nothing to switch off
    assert sandbox.url


@pytest.mark.parametrize("typed", ["", "\n", "sk-with blank\n", "sk-\x00zero\n", "sk-\u00e9\n"])
def test_what_cannot_be_a_key_is_never_sent(invoke: Invoke, sandbox: Sandbox, typed: str) -> None:
    """Empty input, blanks and control characters would end up in a header."""
    ended = invoke("setup", "--api-key-stdin", stdin=typed)
    assert ended.code == 2
    assert not sandbox.sim.requests


def test_a_private_address_is_refused_unless_it_is_listed(
    invoke: Invoke, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule of the server holds at the terminal too."""
    monkeypatch.delenv("SIM_MCP_SIM_ALLOWED_HOSTS")
    ended = connect(invoke, "--base-url", sandbox.url)
    assert ended.code == 1
    assert "SIM_MCP_SIM_ALLOWED_HOSTS" in ended.err
    assert not sandbox.sim.requests


@pytest.mark.requirement("R3")
def test_a_tenant_is_switched_off_and_on_and_removed(invoke: Invoke, connected: Sandbox) -> None:
    """Each says what it did; a second removal has nothing to remove. The other tenant is untouched."""
    call = ("call", "summarize_timesheets", "--arg", "employee=Ada")
    assert invoke("setup", "--disable").out == "The integration is switched off.\n"
    assert invoke(*call).code == 1
    assert invoke("setup", "--enable", "--json").json["is_enabled"] is True
    assert invoke(*call).code == 0
    refused = invoke("setup", "--remove")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert invoke("setup", "--remove", "--yes", "--json").json == {"removed": True}
    assert invoke("setup", "--remove", "--yes").code == 1
    assert invoke("tools", "discover", "--tenant", "globex").code == 0
    assert connected.url


def test_an_organisation_has_settings_of_its_own(invoke: Invoke, sandbox: Sandbox) -> None:
    """`--organization` connects only it."""
    assert connect(invoke, "--organization", "north", "--json").json["organization_id"] == "north"
    assert invoke("setup", "--disable", "--organization", "north").code == 0
    assert invoke("setup", "--disable").code == 1
    assert sandbox.url


def test_the_history_is_shown_and_an_earlier_revision_comes_back(invoke: Invoke, sandbox: Sandbox) -> None:
    """Without a key while the stored one fits; after a removal it is asked for."""
    connect(invoke)
    assert invoke("setup", "--disable").code == 0
    shown = invoke("setup", "--history")
    assert [line.split()[0] for line in shown.out.splitlines()] == ["revision", "2", "1", "Go"]
    assert "api_key, base_url, is_enabled, workspace_id" in shown.out
    assert invoke("setup", "--undo", "1").out == (
        "The settings of revision 1 are in force again, as revision 3.\n"
    )
    assert invoke("setup", "--remove", "--yes").code == 0
    refused = invoke("setup", "--undo", "1")
    assert (refused.code, "--api-key-stdin" in refused.err) == (2, True)
    restored = invoke("setup", "--undo", "1", "--api-key-stdin", "--json", stdin=f"{KEY}\n")
    assert (restored.json["revision"], restored.json["is_enabled"]) == (5, True)
    history = invoke("setup", "--history", "--json").json
    assert [(each["revision"], each["is_removed"]) for each in history] == [
        (5, False),
        (4, True),
        (3, False),
        (2, False),
        (1, False),
    ]
    assert KEY not in shown.out + str(history)
    assert sandbox.url


def test_going_back_needs_a_revision_that_exists(invoke: Invoke, sandbox: Sandbox) -> None:
    """One line and no trace; together with another switch it is a misuse."""
    assert invoke("setup", "--history").out == "This tenant has never connected a SIM account.\n"
    unknown = invoke("setup", "--undo", "7")
    assert (unknown.code, unknown.err.count("\n")) == (1, 1)
    assert invoke("setup", "--undo", "7", "--remove").code == 2
    assert sandbox.url
