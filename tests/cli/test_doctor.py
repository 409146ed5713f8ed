"""`sim-mcp doctor`: seeded faults, each named with its remedy; and what it must never do."""

from __future__ import annotations

import base64
import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from textwrap import TextWrapper

import pytest
from inline_snapshot import snapshot

from sim_mcp.sim.fake import InputField, demo_account, faults, workflow_id
from tests.cli.conftest import EXAMPLES, Invoke, Sandbox
from tests.world import SECRET

pytestmark = pytest.mark.sockets

KEY = "sk-sim-sandbox-acme"
RANDOM_SECRET = "p7Zr2Qx9LmV4sKd8TnB1yWc6HgJ3fUaE5oRi0Xt-"

_WRAP = TextWrapper(width=92, subsequent_indent=" " * 11, break_on_hyphens=False)


@dataclass(frozen=True, slots=True)
class Ward:
    """What a seed may break: acme and globex are connected, acme's example tools are listed."""

    home: Path
    sandbox: Sandbox
    invoke: Invoke
    monkeypatch: pytest.MonkeyPatch

    @property
    def database(self) -> Path:
        return self.home / "data" / "sim-mcp.db"

    def set(self, name: str, value: object) -> None:
        """Set a variable of the environment."""
        self.monkeypatch.setenv(name, str(value))

    def sql(self, statement: str) -> None:
        """Change the database behind the server's back."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(statement)

    def specs(self, text: str) -> None:
        """Serve a spec file."""
        (self.home / "specs").mkdir()
        (self.home / "specs" / "acme.yaml").write_text(text, encoding="utf-8")
        self.set("SIM_MCP_TOOL_SPECS", self.home / "specs")

    def said(self, text: str) -> list[str]:
        """The lines of `text`, the same for every run."""
        host = self.sandbox.url.removeprefix("http://")
        named = text.replace(str(self.home), "~").replace(self.sandbox.url, "SIM").replace(host, "SIM-HOST")
        lines = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "MOMENT", named).splitlines()
        return [part for line in lines for part in _WRAP.wrap(line)]

    def troubles(self, *arguments: str) -> list[str]:
        """What is not in order, with its remedy; and the exit code must agree."""
        ended = self.invoke("doctor", *arguments)
        lines = self.said(ended.out)
        assert ended.code == any(line.startswith("FAILURE") for line in lines)
        assert ended.err == ""
        assert not re.search(r"Traceback|sk-sim|[0-9a-f]{32}", ended.out)
        keeps, kept = False, list[str]()
        for line in lines[:-1]:
            keeps = line.startswith(("FAILURE", "warning", "skipped")) or (keeps and line.startswith(" "))
            if keeps:
                kept.append(line)
        return kept


@pytest.fixture
def ward(home: Path, connected: Sandbox, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> Ward:
    """An installation in order, with authentication for HTTP."""
    monkeypatch.setenv("SIM_MCP_AUTH_JWT_SECRET", RANDOM_SECRET)
    amount = InputField(name="amount", type="number")  # all that the example offers of this workflow
    connected.sim.set_inputs(workflow_id("acme", "asking"), [amount], deployed=True)
    return Ward(home, connected, invoke, monkeypatch)


@pytest.mark.requirement("F19", "R44")
def test_an_installation_in_order_is_all_ok(ward: Ward) -> None:
    """The whole output, and nothing to mend."""
    ended = ward.invoke("doctor")
    said = [re.sub(r"Python .*\.", "Python, SQLite, system.", line) for line in ward.said(ended.out)]
    assert (ended.code, ended.err) == (0, "")
    assert said == snapshot(
        [
            "ok       settings: Valid: 5 set, the others by default; no settings file.",
            "ok       python: Python, SQLite, system.",
            "ok       packages: sim-mcp 0.1.0; every package that it needs fits.",
            "ok       data_dir ~/data: It can be written.",
            "ok       encryption_key ~/data/encryption.key: The key file is sound, and its owner's alone.",
            "ok       database ~/data/sim-mcp.db: Sound, readable, and up to date.",
            "ok       clock: It is MOMENT UTC.",
            "ok       stored_keys: 2 stored SIM keys, and each opens.",
            "ok       default_sim SIM: It answers.",
            "ok       auth: HTTP callers are told apart by JWTs by SIM_MCP_AUTH_JWT_SECRET.",
            "ok       jwt_secret: SIM_MCP_AUTH_JWT_SECRET looks random.",
            "Tenant acme",
            "ok       integration: Connected to SIM with a sealed key.",
            "ok       sim: SIM answers at SIM.",
            "ok       sim_key: SIM accepts the key and speaks its v2 API.",
            "ok       sim_limits: Far from the limits of plan 'free'.",
            "ok       limits: Far from this server's own limits.",
            "ok       workflow draft_email: Deployed, and its inputs are those that are pinned.",
            "ok       workflow export_rows: Deployed, and its inputs are those that are pinned.",
            "ok       workflow nightly_report: Deployed, and its inputs are those that are pinned.",
            "ok       workflow request_refund: Deployed, and its inputs are those that are pinned.",
            "ok       workflow summarize_timesheets: Deployed, and its inputs are those that are pinned.",
            "ok       workflow sync_crm: Deployed, and its inputs are those that are pinned.",
            "0 failed, 0 to look at, 22 in order.",
        ]
    )


SPEC = """
tenant: acme
tools:
  - name: gone
    workflow_id: 00000000-0000-4000-8000-000000000000
    description: A workflow that somebody deleted in SIM.
    input_schema: {type: object}
"""
QUARANTINED = """
tenant: acme
tools:
  - name: broken
    workflow_id: 00000000-0000-4000-8000-000000000000
    description: Its schema cannot be shown to any client.
    input_schema: {type: array}
"""


def seed_unknown_setting(ward: Ward) -> None:
    ward.set("SIM_MCP_RATE_PER_MINUT", 5)


def seed_settings_file(ward: Ward) -> None:
    (ward.home / "sim-mcp.toml").write_text("rate_per_minute = 5 5", encoding="utf-8")


def seed_short_secret(ward: Ward) -> None:
    ward.set("SIM_MCP_AUTH_JWT_SECRET", "hunter2")


def seed_data_dir(ward: Ward) -> None:
    ward.set("SIM_MCP_DATA_DIR", ward.database)


def seed_open_key_file(ward: Ward) -> None:
    (ward.home / "data" / "encryption.key").chmod(0o644)


def seed_no_key(ward: Ward) -> None:
    (ward.home / "data" / "encryption.key").write_text("not a key", encoding="utf-8")


def seed_bad_keys(ward: Ward) -> None:
    ward.set("SIM_MCP_ENCRYPTION_KEYS", "c2VjcmV0LWJ1dC10b28tc2hvcnQ")


def seed_lost_key(ward: Ward) -> None:
    ward.set("SIM_MCP_ENCRYPTION_KEYS", base64.urlsafe_b64encode(bytes(range(32))).decode())


def seed_older_key(ward: Ward) -> None:
    old = (ward.home / "data" / "encryption.key").read_text(encoding="ascii").strip()
    ward.set("SIM_MCP_ENCRYPTION_KEYS", f"{base64.urlsafe_b64encode(bytes(32)).decode()},{old}")


def seed_no_database(ward: Ward) -> None:
    ward.database.write_bytes(b"this is no database, whatever its name says" * 100)


def seed_older_database(ward: Ward) -> None:
    ward.sql("DELETE FROM schema_migrations WHERE version = (SELECT MAX(version) FROM schema_migrations)")


def seed_newer_database(ward: Ward) -> None:
    ward.sql("INSERT INTO schema_migrations VALUES (9999, 'later', 'x', 0, NULL)")


def seed_no_wal(ward: Ward) -> None:
    ward.sql("PRAGMA journal_mode = DELETE")


def seed_database_url(ward: Ward) -> None:
    ward.set("SIM_MCP_DATABASE_URL", "mysql://sim:hunter2@db.example.com/sim")


def seed_clock(ward: Ward) -> None:
    os.utime(ward.database, (4_000_000_000, 4_000_000_000))


def seed_sim_down(ward: Ward) -> None:
    ward.sandbox.sim.script(*[faults.Unavailable503()] * 20, verb="any")


def seed_not_sim(ward: Ward) -> None:
    ward.sandbox.sim.script(*[faults.HtmlPage(status=200)] * 20, verb="any")


def seed_rejected_key(ward: Ward) -> None:
    ward.sandbox.sim.rotate_key("acme", "sk-sim-sandbox-another")


def seed_host_not_listed(ward: Ward) -> None:
    ward.monkeypatch.delenv("SIM_MCP_SIM_ALLOWED_HOSTS")


def seed_removed(ward: Ward) -> None:
    assert ward.invoke("setup", "--remove", "--yes").code == 0


def seed_switched_off(ward: Ward) -> None:
    assert ward.invoke("setup", "--disable").code == 0


def seed_no_permission(ward: Ward) -> None:
    ward.set("SIM_MCP_PERMISSIONS", "INTEGRATION_EDIT")


def seed_undeployed(ward: Ward) -> None:
    ward.sandbox.sim.set_deployed(workflow_id("acme", "quick"), False)


def seed_stale_deployment(ward: Ward) -> None:
    fields = [InputField(name="employee", type="string"), InputField(name="region", type="string")]
    ward.sandbox.sim.set_inputs(workflow_id("acme", "quick"), fields, deployed=False)


def seed_drift(ward: Ward) -> None:
    fields = [InputField(name="seconds", type="string"), InputField(name="region", type="string")]
    ward.sandbox.sim.set_inputs(workflow_id("acme", "slow"), fields, deployed=True)


def seed_gone_workflow(ward: Ward) -> None:
    ward.specs(SPEC)


def seed_quarantined(ward: Ward) -> None:
    ward.specs(QUARANTINED)


def seed_unreadable_spec(ward: Ward) -> None:
    ward.specs("tools: [")


def seed_no_specs(ward: Ward) -> None:
    ward.set("SIM_MCP_TOOL_SPECS", ward.home / "nowhere")


def seed_no_tools(ward: Ward) -> None:
    for name in [each["name"] for each in ward.invoke("tools", "list", "--json").json["tools"]]:
        assert ward.invoke("tools", "remove", name).code == 0


def seed_monthly_limit(ward: Ward) -> None:
    assert ward.invoke("call", "summarize_timesheets", "--arg", "employee=Ada").code == 0
    ward.set("SIM_MCP_MONTHLY_EXECUTIONS", 1)


def seed_no_auth(ward: Ward) -> None:
    ward.monkeypatch.delenv("SIM_MCP_AUTH_JWT_SECRET")
    ward.set("SIM_MCP_PUBLIC_URL", "http://mcp.example.com")


def seed_no_key_set(ward: Ward) -> None:
    ward.set("SIM_MCP_AUTH_JWKS_URL", f"{ward.sandbox.url}/no/keys/here")
    ward.set("SIM_MCP_AUTH_AUDIENCE", "https://mcp.example.com/mcp")


def seed_weak_secret(ward: Ward) -> None:
    ward.set("SIM_MCP_AUTH_JWT_SECRET", "change-me-change-me-change-me-change-me")


def seed_host_lists(ward: Ward) -> None:
    ward.set("SIM_MCP_ALLOWED_HOSTS", "https://mcp.example.com,mcp.example.com")
    ward.set("SIM_MCP_ALLOWED_ORIGINS", "app.example.com")


Seed = Callable[[Ward], None]
FAULTS: dict[Seed, list[str]] = {
    seed_unknown_setting: snapshot(
        [
            "FAILURE  settings: The environment variable SIM_MCP_RATE_PER_MINUT is unknown; did you mean",
            "           SIM_MCP_RATE_PER_MINUTE?",
            "         Fix: correct or remove what it names; docs/settings.md lists every setting",
            "skipped  everything_else: Not looked at, because it depends on them.",
            "         Fix: correct the settings first",
        ]
    ),
    seed_settings_file: snapshot(
        [
            "FAILURE  settings: The settings file 'sim-mcp.toml' is not valid TOML: Expected newline or",
            "           end of document after a statement (at line 1, column 21).",
            "         Fix: correct or remove what it names; docs/settings.md lists every setting",
            "skipped  everything_else: Not looked at, because it depends on them.",
            "         Fix: correct the settings first",
        ]
    ),
    seed_short_secret: snapshot(
        [
            "FAILURE  settings: The settings are not valid. SIM_MCP_AUTH_JWT_SECRET: is shorter than 32",
            "           bytes, which anyone can guess; use a longer secret.",
            "         Fix: correct or remove what it names; docs/settings.md lists every setting",
            "skipped  everything_else: Not looked at, because it depends on them.",
            "         Fix: correct the settings first",
        ]
    ),
    seed_data_dir: snapshot(
        [
            "FAILURE  data_dir ~/data/sim-mcp.db: It is no directory.",
            "         Fix: move that away, or name another directory in SIM_MCP_DATA_DIR",
            "warning  database ~/data/sim-mcp.db/sim-mcp.db: There is none yet; the first start makes it.",
            "         Fix: nothing, or `sim-mcp db upgrade` to make it now; if there was one, restore it",
            "skipped  tenant: Its connection and tools were not looked at, because the database or its",
            "           key cannot be used.",
            "         Fix: mend what the check `data_dir` names, then look again",
        ]
    ),
    seed_open_key_file: snapshot(
        [
            "FAILURE  encryption_key ~/data/encryption.key: The encryption key file",
            "           '~/data/encryption.key' may be read by others (mode 0644).",
            "         Fix: run `chmod 600` on it",
            "skipped  tenant: Its connection and tools were not looked at, because the database or its",
            "           key cannot be used.",
            "         Fix: mend what the check `encryption_key` names, then look again",
        ]
    ),
    seed_no_key: snapshot(
        [
            "FAILURE  encryption_key ~/data/encryption.key: The encryption key file",
            "           '~/data/encryption.key' is no key.",
            "         Fix: restore it from a backup. Only if no SIM key is stored yet, delete it and a",
            "           new one is made",
            "skipped  tenant: Its connection and tools were not looked at, because the database or its",
            "           key cannot be used.",
            "         Fix: mend what the check `encryption_key` names, then look again",
        ]
    ),
    seed_bad_keys: snapshot(
        [
            "FAILURE  encryption_key: Key 1 in SIM_MCP_ENCRYPTION_KEYS is not 32 bytes in base64url.",
            '         Fix: make one with `python -c "import base64, os;',
            '           print(base64.urlsafe_b64encode(os.urandom(32)).decode())"`',
            "skipped  tenant: Its connection and tools were not looked at, because the database or its",
            "           key cannot be used.",
            "         Fix: mend what the check `encryption_key` names, then look again",
        ]
    ),
    seed_lost_key: snapshot(
        [
            "FAILURE  stored_keys: 2 of 2 stored SIM keys do not open with the encryption keys.",
            "         Fix: put back the encryption key that sealed them (the file encryption.key, or",
            "           SIM_MCP_ENCRYPTION_KEYS), or run `sim-mcp setup` again for those tenants;",
            "           `--all-tenants` names them",
            "FAILURE  sim: The stored SIM API key cannot be opened with the configured encryption keys:",
            "           run setup again.",
            "         Fix: put back the encryption key that sealed it, or run `sim-mcp setup` again",
            "skipped  workflows: 6 workflows were not looked up, because SIM cannot be asked.",
            "         Fix: mend the connection to SIM first, then look again",
        ]
    ),
    seed_older_key: snapshot(
        [
            "warning  stored_keys: 2 of 2 stored SIM keys are sealed under an older encryption key.",
            "         Fix: run `sim-mcp keys rotate` before you take the older one out",
        ]
    ),
    seed_no_database: snapshot(
        [
            "FAILURE  database ~/data/sim-mcp.db: The file is damaged, or is no database: file is not a",
            "           database.",
            "         Fix: stop the server and restore the file from a backup",
            "skipped  tenant: Its connection and tools were not looked at, because the database or its",
            "           key cannot be used.",
            "         Fix: mend what the check `database` names, then look again",
        ]
    ),
    seed_older_database: snapshot(
        [
            "FAILURE  database ~/data/sim-mcp.db: The database is not up to date (1 migrations are",
            "           missing).",
            "         Fix: run `sim-mcp db upgrade`",
            "skipped  tenant: Its connection and tools were not looked at, because the database or its",
            "           key cannot be used.",
            "         Fix: mend what the check `database` names, then look again",
        ]
    ),
    seed_newer_database: snapshot(
        [
            "FAILURE  database ~/data/sim-mcp.db: The database was written by a newer sim-mcp (schema",
            "           9999, this one knows 7).",
            "         Fix: upgrade sim-mcp",
            "skipped  tenant: Its connection and tools were not looked at, because the database or its",
            "           key cannot be used.",
            "         Fix: mend what the check `database` names, then look again",
        ]
    ),
    seed_no_wal: snapshot(
        [
            "warning  database_mode ~/data/sim-mcp.db: It is not in WAL mode, so readers wait for",
            "           writers.",
            "         Fix: switch it: `sim-mcp db upgrade`",
        ]
    ),
    seed_database_url: snapshot(
        [
            "FAILURE  database: The database URL is not understood.",
            "         Fix: write sqlite:///relative/path.db, sqlite:////absolute/path.db or",
            "           postgresql://user@host/name",
            "skipped  tenant: Its connection and tools were not looked at, because the database or its",
            "           key cannot be used.",
            "         Fix: mend what the check `database` names, then look again",
        ]
    ),
    seed_clock: snapshot(
        [
            "warning  clock: 'sim-mcp.db' was written at MOMENT UTC; this machine thinks it is MOMENT.",
            "         Fix: set the clock, best by NTP: tokens and history depend on it",
        ]
    ),
    seed_sim_down: snapshot(
        [
            "FAILURE  default_sim SIM: SIM failed to answer; try again later.",
            "         Fix: check the base URL, the network and that SIM is running; then look again",
            "FAILURE  sim: SIM failed to answer; try again later.",
            "         Fix: check the base URL, the network and that SIM is running; then look again",
            "skipped  workflows: 6 workflows were not looked up, because SIM cannot be asked.",
            "         Fix: mend the connection to SIM first, then look again",
        ]
    ),
    seed_not_sim: snapshot(
        [
            "FAILURE  default_sim SIM: SIM does not answer like SIM's API: HTTP 200 with text/html. Check",
            "           the base URL.",
            "         Fix: correct the base URL, which must lead to SIM itself: `sim-mcp setup --base-url",
            "           URL`",
            "FAILURE  sim: SIM does not answer like SIM's API: HTTP 200 with text/html. Check the base",
            "           URL.",
            "         Fix: correct the base URL, which must lead to SIM itself: `sim-mcp setup --base-url",
            "           URL`",
            "skipped  workflows: 6 workflows were not looked up, because SIM cannot be asked.",
            "         Fix: mend the connection to SIM first, then look again",
        ]
    ),
    seed_rejected_key: snapshot(
        [
            "FAILURE  sim_key: SIM does not accept the stored API key; run setup again with a valid key.",
            "         Fix: create a new API key in SIM, then run `sim-mcp setup` with it",
            "skipped  workflows: 6 workflows were not looked up, because SIM cannot be asked.",
            "         Fix: mend the connection to SIM first, then look again",
        ]
    ),
    seed_host_not_listed: snapshot(
        [
            "FAILURE  default_sim SIM: The SIM base URL names the private or reserved address",
            "           '127.0.0.1'; ask the operator to add 'SIM-HOST' to SIM_MCP_SIM_ALLOWED_HOSTS.",
            "         Fix: let the operator list its host in SIM_MCP_SIM_ALLOWED_HOSTS, or set up another",
            "           URL",
            "FAILURE  sim: The SIM base URL names the private or reserved address '127.0.0.1'; ask the",
            "           operator to add 'SIM-HOST' to SIM_MCP_SIM_ALLOWED_HOSTS.",
            "         Fix: let the operator list its host in SIM_MCP_SIM_ALLOWED_HOSTS, or set up another",
            "           URL",
            "skipped  workflows: 6 workflows were not looked up, because SIM cannot be asked.",
            "         Fix: mend the connection to SIM first, then look again",
        ]
    ),
    seed_removed: snapshot(
        [
            "FAILURE  integration: No SIM account is connected for tenant 'acme'.",
            "         Fix: connect one: `sim-mcp setup --tenant acme`, or `sim_setup` in the assistant",
            "skipped  workflows: 6 workflows were not looked up, because SIM cannot be asked.",
            "         Fix: mend the connection to SIM first, then look again",
        ]
    ),
    seed_switched_off: snapshot(
        [
            "warning  integration: The integration is switched off: every call is refused.",
            "         Fix: switch it on when calls shall run: `sim-mcp setup --tenant acme --enable`",
        ]
    ),
    seed_no_permission: snapshot(
        [
            "FAILURE  tenant: This needs the permission INTEGRATION_VIEW: ask an administrator of your",
            "           tenant for it.",
            "         Fix: let SIM_MCP_PERMISSIONS, or the token, name the permission",
        ]
    ),
    seed_undeployed: snapshot(
        [
            "FAILURE  workflow summarize_timesheets: The workflow is not deployed, so every call is",
            "           refused.",
            "         Fix: deploy it in SIM",
        ]
    ),
    seed_stale_deployment: snapshot(
        [
            "warning  workflow summarize_timesheets: The workflow's draft has changes that are not",
            "           deployed; calls run the older version.",
            "         Fix: deploy it in SIM again, if the changes are meant to count",
        ]
    ),
    seed_drift: snapshot(
        [
            "warning  workflow nightly_report: The workflow has moved on from the pinned schema. The",
            "           workflow has a new input 'region'; the spec does not offer it. The input",
            "           'seconds' is string in the workflow and number in the spec.",
            "         Fix: review the change, then pin the new schema: `sim-mcp tools import",
            "           abeb338d-cc1f-501b-91c1-b0cb8b6c6886` and `sim-mcp tools apply`, or",
            "           `sim_allow_workflow`",
        ]
    ),
    seed_gone_workflow: snapshot(
        [
            "FAILURE  workflow gone: SIM knows no workflow '00000000-0000-4000-8000-000000000000' for",
            "           this account.",
            "         Fix: correct its `workflow_id`, or take it off the list: `sim-mcp tools remove",
            "           gone`, or delete it from its spec file",
        ]
    ),
    seed_quarantined: snapshot(
        [
            "FAILURE  tool_spec acme.yaml: broken: Held back, assistants do not see it. input_schema:",
            "           must have `type: object` at its root; clients refuse a list with any other",
            "         Fix: correct the spec; `sim-mcp tools lint DIR` checks files offline",
        ]
    ),
    seed_unreadable_spec: snapshot(
        [
            "FAILURE  tool_specs acme.yaml: line 1: expected the node content, but found '<stream end>'.",
            "           Its remaining tools are left out.",
            "         Fix: correct the file; `sim-mcp tools lint ~/specs` checks it",
        ]
    ),
    seed_no_specs: snapshot(
        [
            "FAILURE  tool_specs ~/nowhere: There is no such directory, so the server refuses to start.",
            "         Fix: correct SIM_MCP_TOOL_SPECS, or make the directory",
        ]
    ),
    seed_no_tools: snapshot(
        [
            "warning  tools: No workflow is on the allow-list, so assistants see no workflow tool.",
            "         Fix: choose some: `sim-mcp tools discover`, then `sim-mcp tools import` and",
            "           `sim-mcp tools apply`, or the tool `sim_allow_workflow`",
        ]
    ),
    seed_monthly_limit: snapshot(
        [
            "FAILURE  limits: 1 of 1 executions of this month are used.",
            "         Fix: raise SIM_MCP_MONTHLY_EXECUTIONS, or wait for the next month",
        ]
    ),
    seed_no_auth: snapshot(
        [
            "FAILURE  auth: No authentication is configured, so `serve --transport http` refuses to",
            "           start.",
            "         Fix: create a token with `sim-mcp token create`, or set SIM_MCP_AUTH_JWKS_URL",
            "warning  public_url: SIM_MCP_PUBLIC_URL is plain http: bearer tokens travel in the clear.",
            "         Fix: put TLS in front and write https://",
        ]
    ),
    seed_no_key_set: snapshot(
        [
            "FAILURE  key_set: There is no key set at SIM_MCP_AUTH_JWKS_URL, so none of the provider's",
            "           tokens can be checked.",
            "         Fix: open that URL from this machine: it must answer 200 with JSON that lists",
            "           `keys`",
        ]
    ),
    seed_weak_secret: snapshot(
        [
            "warning  jwt_secret: SIM_MCP_AUTH_JWT_SECRET looks like a phrase or a pattern: whoever",
            "           guesses it is any tenant.",
            "         Fix: use a random one, here and where tokens are signed: `openssl rand -base64 48`",
        ]
    ),
    seed_host_lists: snapshot(
        [
            "warning  public_url: SIM_MCP_PUBLIC_URL is not set, so metadata and setup links name",
            "           whatever host was asked.",
            "         Fix: set SIM_MCP_PUBLIC_URL to the URL that clients use",
            "FAILURE  allowed_hosts: The entry 'https://mcp.example.com' of SIM_MCP_ALLOWED_HOSTS never",
            "           matches: it is no `Host` header.",
            "         Fix: write the host alone, as `mcp.example.com`, `mcp.example.com:8443` or `name:*`",
            "FAILURE  allowed_origins: The entry 'app.example.com' of SIM_MCP_ALLOWED_ORIGINS never",
            "           matches: it is no origin.",
            "         Fix: write scheme and host, as `https://app.example.com`",
        ]
    ),
}


@pytest.mark.requirement("F19", "R5", "R44", "R60")
@pytest.mark.parametrize("seed", FAULTS, ids=lambda seed: seed.__name__.removeprefix("seed_"))
def test_each_seeded_fault_is_named_with_its_remedy(ward: Ward, seed: Seed) -> None:
    """Everything that is not in order, and only that; no secret, no stack, and the exit code agrees."""
    seed(ward)
    assert ward.troubles() == FAULTS[seed]


@pytest.mark.requirement("F19")
def test_looking_at_nothing_makes_nothing(invoke: Invoke, home: Path, sandbox: Sandbox) -> None:
    """Before the first start: what is missing is said, and no directory, file or key appears."""
    ended = invoke("doctor")
    assert ended.code == 1
    assert "No SIM account is connected for tenant 'acme'" in ended.out
    assert "There is none yet; the first start makes it" in ended.out
    assert list(home.iterdir()) == []
    assert [request.path for request in sandbox.sim.requests] == ["/api/health"]


@pytest.mark.requirement("F19")
def test_looking_changes_nothing_and_runs_nothing(ward: Ward) -> None:
    """Every file is as it was, byte for byte, and SIM was asked to start nothing."""
    ward.sql("PRAGMA journal_mode = DELETE")  # which every other opening would switch to WAL

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in sorted(ward.home.rglob("*")) if path.is_file()}

    before, asked = files(), len(ward.sandbox.sim.requests)
    assert ward.invoke("doctor", "--all-tenants").code == 0
    assert files() == before
    assert len(ward.sandbox.sim.runs) == 0
    assert {request.method for request in list(ward.sandbox.sim.requests)[asked:]} == {"GET"}


@pytest.mark.requirement("R2", "F19")
def test_the_key_of_this_session_is_tried_without_being_stored(
    invoke: Invoke, home: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody with SIM_API_KEY and nothing else learns whether SIM takes it."""
    monkeypatch.setenv("SIM_API_KEY", KEY)
    ended = invoke("doctor")
    assert "Connected to" in ended.out
    assert "with SIM_API_KEY, in memory" in ended.out
    assert "SIM accepts the key" in ended.out
    assert KEY not in ended.out
    assert list(home.iterdir()) == []
    monkeypatch.setenv("SIM_API_KEY", "sk-sim-wrong-key")
    assert "create a new API key in SIM" in invoke("doctor").out
    assert sandbox.url


@pytest.mark.requirement("F19", "R35")
def test_the_operator_sees_everybody_and_a_tenant_only_itself(ward: Ward) -> None:
    """One section each; globex is not even named when acme is asked about."""
    ward.sandbox.sim.rotate_key("globex", "sk-sim-sandbox-another")
    assert "globex" not in ward.invoke("doctor", "--tenant", "acme").out
    everybody = ward.invoke("doctor", "--all-tenants", "--json").json
    levels = {
        each["tenant_id"]: {check["name"]: check["level"] for check in each["checks"]}
        for each in everybody["tenants"]
    }
    assert (levels["acme"]["sim_key"], levels["globex"]["sim_key"]) == ("ok", "failure")
    assert not everybody["is_healthy"]
    assert ward.invoke("doctor", "--all-tenants", "--tenant", "acme").code == 2


@pytest.mark.requirement("F19")
def test_the_json_has_one_shape_whatever_is_broken(ward: Ward) -> None:
    """Scripts read it: the same keys for a sound installation and for broken settings."""
    sound = ward.invoke("doctor", "--json").json
    ward.set("SIM_MCP_NONSENSE", "1")
    broken = ward.invoke("doctor", "--json")
    assert broken.code == 1
    for report in (sound, broken.json):
        assert list(report) == ["is_healthy", "counts", "checks", "tenants", "client"]
        assert list(report["counts"]) == ["ok", "warning", "failure", "skipped"]
        for check in report["checks"]:
            assert list(check) == ["name", "about", "level", "message", "remedy"]
            assert (check["remedy"] is None) == (check["level"] == "ok")
    assert (sound["is_healthy"], broken.json["is_healthy"]) == (True, False)
    assert [check["name"] for check in broken.json["checks"]] == [
        "settings", "python", "packages", "everything_else",
    ]  # fmt: skip


def test_the_examples_are_what_the_ward_lists() -> None:
    """The seeds above speak of these tools."""
    assert "summarize_timesheets" in (EXAMPLES / "acme.yaml").read_text(encoding="utf-8")
    assert demo_account("acme").api_key == KEY
    assert len(SECRET) >= 32
