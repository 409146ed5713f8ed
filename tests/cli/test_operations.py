"""`sim-mcp token`, `db` and `keys`: what an operator does."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from sim_mcp.gateway.call import Answered
from sim_mcp.model.clock import ManualClock
from sim_mcp.sim.fake import demo_account
from tests.cli.conftest import Invoke, Sandbox
from tests.world import open_world


def test_a_token_is_printed_once_and_alone(invoke: Invoke, home: Path) -> None:
    """Stdout is the token, so that a script can take it; no list and no file has it."""
    made = invoke("token", "create", "--name", "ci", "--days", "2", "--tenant", "acme")
    secret = made.out.strip()
    assert made.code == 0
    assert secret.startswith("simmcp_")
    assert len(made.out.splitlines()) == 1
    assert secret not in made.err
    listed = invoke("token", "list", "--tenant", "acme")
    assert "ci" in listed.out
    assert secret not in listed.out
    assert not any(
        secret.encode() in path.read_bytes() for path in (home / "data").rglob("*") if path.is_file()
    )


def test_a_token_has_the_permissions_it_was_given(invoke: Invoke) -> None:
    """View and edit by default, anything known when asked for."""
    assert invoke("token", "create", "--json").json["permissions"] == ["INTEGRATION_EDIT", "INTEGRATION_VIEW"]
    asked = invoke("token", "create", "--permissions", "integration_view, ADD", "--json").json
    assert asked["permissions"] == ["INTEGRATION_ADD", "INTEGRATION_VIEW"]


@pytest.mark.requirement("R33")
def test_nobody_gives_away_what_they_do_not_have(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """The permissions of the settings bound what the terminal may do."""
    monkeypatch.setenv("SIM_MCP_PERMISSIONS", "INTEGRATION_ADD,INTEGRATION_VIEW")
    assert "INTEGRATION_EDIT" in invoke("token", "create").err
    monkeypatch.setenv("SIM_MCP_PERMISSIONS", "INTEGRATION_VIEW")
    assert invoke("token", "create", "--permissions", "view").code == 1
    assert invoke("token", "list").code == 0
    assert invoke("token", "revoke", "x").code == 1
    assert invoke("keys", "rotate").code == 1


@pytest.mark.requirement("R35")
def test_a_token_is_revoked_by_its_own_tenant_only(invoke: Invoke) -> None:
    """For another tenant it does not exist; a second time neither."""
    made = invoke("token", "create", "--tenant", "acme", "--json").json
    assert invoke("token", "revoke", made["id"], "--tenant", "globex").code == 1
    assert invoke("token", "revoke", made["id"], "--tenant", "acme", "--json").json["revoked"] is True
    assert invoke("token", "revoke", made["id"], "--tenant", "acme").code == 1
    (listed,) = invoke("token", "list", "--tenant", "acme", "--json").json
    assert listed["revoked_at"] is not None
    assert "token" not in listed


def test_check_creates_nothing_and_upgrade_makes_the_database(invoke: Invoke, home: Path) -> None:
    """And neither makes an encryption key: that belongs to the server."""
    missing = invoke("db", "check")
    assert missing.code == 1
    assert "sim-mcp db upgrade" in missing.err
    assert not (home / "data").exists()
    assert invoke("db", "upgrade").out == "The database is up to date.\n"
    assert invoke("db", "upgrade", "--json").json == {"is_up_to_date": True}
    assert invoke("db", "check").code == 0
    assert not (home / "data" / "encryption.key").exists()


NOTHING = {"executions": 0, "jobs": 0, "events": 0}


def test_purge_keeps_what_is_young_and_never_runs_without_a_limit(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention 0 means never; only an explicit number of days goes beyond it."""
    invoke("call", "nothing")
    assert invoke("db", "purge", "--json").json["purged"] == NOTHING
    monkeypatch.setenv("SIM_MCP_RETENTION_DAYS", "0")
    assert invoke("db", "purge").code == 2
    assert invoke("db", "purge", "--days", "1", "--json").json["purged"] == NOTHING
    assert invoke("db", "purge", "--dry-run", "--json").code == 2
    assert invoke("history", "--json").json["total"] == 1


@pytest.mark.sockets
@pytest.mark.requirement("R30")
def test_rotation_seals_under_the_new_key_and_the_old_one_can_go(
    invoke: Invoke, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New key first, rotate, old key out: the tenant notices nothing. Without rotating it would."""
    old, new = (base64.urlsafe_b64encode(secrets.token_bytes(32)).decode() for _ in range(2))
    monkeypatch.setenv("SIM_MCP_ENCRYPTION_KEYS", old)
    key = demo_account("acme").api_key
    assert invoke("setup", "--api-key-stdin", stdin=key).code == 0
    monkeypatch.setenv("SIM_MCP_ENCRYPTION_KEYS", new)
    closed = invoke("keys", "rotate")
    assert closed.code == 1
    assert "1 stored SIM API keys cannot be opened" in closed.err
    assert "add the missing key" in closed.err
    monkeypatch.setenv("SIM_MCP_ENCRYPTION_KEYS", f"{new},{old}")
    assert invoke("keys", "rotate", "--json").json == {"resealed": 1}
    monkeypatch.setenv("SIM_MCP_ENCRYPTION_KEYS", new)
    assert invoke("tools", "discover").code == 0
    assert sandbox.url


@pytest.mark.requirement("R30", "R47")
def test_rotation_takes_idempotency_keys_along(
    invoke: Invoke, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repeat is recognised although the key that sealed the first request is gone."""
    old, new = (base64.urlsafe_b64encode(secrets.token_bytes(32)).decode() for _ in range(2))
    now = datetime.now(UTC)

    async def ask(encryption_keys: str) -> Answered:
        clock = ManualClock(now)
        async with open_world(home / "data", clock=clock, encryption_keys=encryption_keys) as world:
            await world.allow("acme", "echo")
            call = world.call("acme", "echo", {"text": "once"}, idempotency_key="k")
            return await world.app.gateway.answer(call)

    first = anyio.run(ask, old)
    monkeypatch.setenv("SIM_MCP_ENCRYPTION_KEYS", f"{new},{old}")
    assert invoke("keys", "rotate", "--json").json == {"resealed": 2}
    again = anyio.run(ask, new)
    assert (first.is_replay, again.is_replay) == (False, True)
    assert again.execution.id == first.execution.id
