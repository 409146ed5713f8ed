"""`sim-mcp audit`: the chain is verified and exported at a terminal, and what was altered is named."""

from __future__ import annotations

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Invoke, Sandbox

pytestmark = pytest.mark.requirement("F10")


@pytest.fixture
def called(connected: Sandbox, home: Path, invoke: Invoke) -> Path:
    """The database after three calls, one of which is refused."""
    for arguments in (("employee=Ada",), ("employee=Grace",), ("nobody=1",)):
        invoke("call", "summarize_timesheets", "--arg", *arguments)
    assert connected.url
    return home / "data" / "sim-mcp.db"


def change(file: Path, statement: str, *values: str) -> None:
    """Do something to the database behind the program's back."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(statement, values)


def first_id(file: Path) -> str:
    """The execution that was closed first."""
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT execution_id FROM audit_links ORDER BY seq").fetchone()[0]


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_an_untouched_log_verifies_and_a_touched_row_is_named(invoke: Invoke, called: Path) -> None:
    whole = invoke("audit", "verify", "--json")
    assert whole.code == 0
    [tenant] = whole.json["tenants"]
    assert (tenant["is_whole"], tenant["executions"], tenant["links"], tenant["breaks"]) == (True, 3, 3, 0)
    assert "3 executions in 3 links, 1 to 3" in invoke("audit", "verify").out
    name = first_id(called)
    change(called, "UPDATE executions SET status = 'failed' WHERE id = ?", name)
    broken = invoke("audit", "verify")
    assert broken.code == 1
    assert f"link 1, execution {name}" in broken.out
    assert "the row was altered after it was closed" in broken.err
    assert "Fix:" in broken.err or "audit export" in broken.err


@pytest.mark.usefixtures("called")
def test_an_export_is_checked_without_trust_in_whoever_kept_it(invoke: Invoke, tmp_path: Path) -> None:
    """Every line, their order and their number are signed; the file is for its owner only."""
    file = tmp_path / "audit.ndjson"
    assert invoke("audit", "export", "--out", str(file)).code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    *lines, digest = lines_of(file)
    assert [line["seq"] for line in lines] == [1, 2, 3]
    assert [line["execution"]["status"] for line in lines] == ["completed", "completed", "failed"]
    assert (digest["links"], digest["firstSeq"], digest["lastSeq"], digest["broken"]) == (3, 1, 3, 0)
    checked = invoke("audit", "verify", "--export", str(file), "--json")
    assert checked.code == 0, checked.err
    assert (checked.json["signed_by_this_server"], checked.json["chain_contains_it"]) == (True, True)
    assert invoke("audit", "export", "--out", str(file)).code == 2
    original = file.read_bytes().splitlines(keepends=True)
    for forged in (
        [original[0].replace(b"completed", b"cancelled"), *original[1:]],
        [*original[1:]],
        [original[1], original[0], *original[2:]],
        [*original, original[0]],
        original[:-1],
        [*original[:-1], original[-1].replace(b'"links":3', b'"links":2')],
        [*original[:-1], b"[]\n"],
        [*original[:-1], b"{\n"],
    ):
        file.write_bytes(b"".join(forged))
        refused = invoke("audit", "verify", "--export", str(file))
        assert refused.code == 1
        assert "Traceback" not in refused.err


def test_a_history_that_was_rewritten_after_an_export_is_found_out(
    invoke: Invoke, called: Path, tmp_path: Path
) -> None:
    """Even by somebody who has the key and builds a new chain that fits."""
    file = tmp_path / "audit.ndjson"
    invoke("audit", "export", "--out", str(file))
    change(called, "DELETE FROM executions")
    change(called, "DELETE FROM audit_links")
    for name in ("Eve", "Mallory", "Trudy"):
        invoke("call", "summarize_timesheets", "--arg", f"employee={name}")
    assert invoke("audit", "verify").code == 0
    found_out = invoke("audit", "verify", "--export", str(file))
    assert found_out.code == 1
    assert "The chain was rewritten since" in found_out.err


def test_an_export_goes_on_where_the_last_one_ended(invoke: Invoke, called: Path) -> None:
    """And says so itself when the chain is broken."""
    lines = [json.loads(line) for line in invoke("audit", "export", "--after", "2").out.splitlines()]
    assert [line.get("seq", line["kind"]) for line in lines] == [3, "digest"]
    change(called, "DELETE FROM executions WHERE id = ?", first_id(called))
    broken = invoke("audit", "export")
    assert broken.code == 1
    lines = [json.loads(line) for line in broken.out.splitlines()]
    assert [line["kind"] for line in lines] == ["missing", "execution", "execution", "digest"]
    assert lines[-1]["broken"] == 1


@pytest.mark.usefixtures("called")
def test_an_export_of_another_server_is_not_taken_for_ours(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where nothing was closed there is nothing to export."""
    file = tmp_path / "audit.ndjson"
    invoke("audit", "export", "--out", str(file))
    monkeypatch.setenv("SIM_MCP_DATA_DIR", str(tmp_path / "other"))
    assert invoke("db", "upgrade").code == 0
    assert invoke("audit", "verify").out == "Nothing was closed yet: there is no chain.\n"
    assert invoke("audit", "export").code == 1
    foreign = invoke("audit", "verify", "--export", str(file))
    assert foreign.code == 1
    assert "not signed by this server" in foreign.err
