"""`sim-mcp call`, `history` and `show`: the same corridor, the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dirty_equals import IsInt, IsStr
from inline_snapshot import snapshot

from sim_mcp.sim.fake import demo_account, workflow_id
from tests.cli.conftest import Invoke, Sandbox

pytestmark = pytest.mark.sockets

SUMMARY = ("call", "summarize_timesheets", "--arg", "employee=Ada")


@pytest.mark.requirement("R65", "R27")
def test_a_call_prints_its_result_and_leaves_a_row(invoke: Invoke, connected: Sandbox) -> None:
    """Stdout is the result and nothing else; the row says `manual`."""
    ended = invoke(*SUMMARY, "--arg", "hours=3")
    assert (ended.code, ended.err) == (0, "")
    assert ended.json == {
        "status": "completed",
        "execution_id": IsStr(),
        "run_id": IsStr(),
        "workflow_id": workflow_id("acme", "quick"),
        "duration_ms": IsInt(),
        "output": {"result": {**_output("Ada"), "hours": 3, "summary": IsStr()}, "stdout": ""},
        "error": None,
    }
    (row,) = invoke("history", "--json").json["data"]
    assert row["execution_id"] == ended.json["execution_id"]
    assert (row["triggered_by"], row["subject"], row["status"]) == ("manual", "local", "completed")
    assert len(connected.sim.runs) == 1


def _output(employee: str) -> dict[str, Any]:
    return {"employee": employee, "hours": "", "billable": "", "tags": "", "meta": ""}


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("sync_crm",), "failed", "Division by zero"),
        (("request_refund", "--arg", "amount=5"), "paused", "waits for a person"),
    ],
)
def test_only_completed_is_a_success(
    invoke: Invoke, connected: Sandbox, arguments: tuple[str, ...], status: str, said: str
) -> None:
    """Exit code 1 with the result on stdout and the way on stderr."""
    ended = invoke("call", *arguments)
    assert ended.code == 1
    assert ended.json["status"] == status
    assert said in ended.err
    assert f"sim-mcp show {ended.json['execution_id']}" in ended.err
    assert connected.url


@pytest.mark.requirement("R15")
def test_an_async_call_starts_and_show_follows_it(invoke: Invoke, connected: Sandbox) -> None:
    """Started is a success; its id leads to the end."""
    ended = invoke("call", "nightly_report", "--arg", "seconds=1", "--async")
    assert ended.code == 0
    assert ended.json["status"] == "queued"
    shown = invoke("show", ended.json["execution_id"], "--wait", "20", "--json")
    assert shown.json["status"] == "completed"
    assert len(connected.sim.runs) == 1
    people = invoke("show", ended.json["execution_id"])
    assert people.out.splitlines()[0].split() == ["status", "completed"]


def test_a_refused_call_says_why_and_is_recorded(invoke: Invoke, connected: Sandbox) -> None:
    """Unknown name (with the nearest one), wrong input: nothing runs, and both have rows."""
    unknown = invoke("call", "summarise_timesheets")
    assert unknown.code == 1
    assert unknown.err == snapshot(
        "Error: Unknown tool: 'summarise_timesheets'; did you mean 'summarize_timesheets'?\n"
    )
    far = invoke("call", "zzz")
    assert "sim-mcp tools list" in far.err
    wrong = invoke("call", "summarize_timesheets", "--input", '{"employee": 7}')
    assert wrong.code == 1
    assert "$.employee" in wrong.err
    assert not connected.sim.runs
    assert invoke("history", "--status", "failed", "--json").json["total"] == 3


@pytest.mark.requirement("R35")
@pytest.mark.requirement("F16")
def test_a_dry_run_prints_the_plan_and_runs_nothing(invoke: Invoke, connected: Sandbox) -> None:
    """Exit code 0 while nothing stands in the way, 1 with the reason when something does."""
    ended = invoke("call", "summarize_timesheets", "--arg", "employee=Ada", "--dry-run")
    assert (ended.code, ended.err) == (0, "")
    assert ended.json["input"] == {"employee": "Ada"}
    assert ended.json["problems"] == []
    connected.sim.set_deployed(workflow_id("acme", "quick"), False)
    blocked = invoke("call", "summarize_timesheets", "--arg", "employee=Ada", "--dry-run")
    assert blocked.code == 1
    assert "the workflow is not deployed" in blocked.err
    assert len(connected.sim.runs) == 0
    assert invoke("history", "--json").json["data"] == []


def test_another_tenant_sees_neither_the_tool_nor_the_execution(invoke: Invoke, connected: Sandbox) -> None:
    """Its words for them are those for things that do not exist."""
    mine = invoke(*SUMMARY).json["execution_id"]
    foreign = invoke("show", mine, "--tenant", "globex")
    unknown = invoke("show", "00000000-0000-4000-8000-000000000000", "--tenant", "globex")
    assert (foreign.code, foreign.err) == (1, unknown.err)
    assert invoke("history", "--tenant", "globex", "--json").json["total"] == 0
    assert invoke(*SUMMARY, "--tenant", "globex").code == 1
    assert connected.url


def test_a_tool_that_wants_confirmation_gets_it_or_does_not_run(invoke: Invoke, connected: Sandbox) -> None:
    """Without a terminal `--yes` is the only yes."""
    spec = invoke("tools", "export").out.replace("name: sync_crm", "name: sync_crm\n  confirm: true")
    assert "confirm" in spec
    Path("specs").mkdir()
    Path("specs", "acme.yaml").write_text(spec, encoding="utf-8")
    assert invoke("tools", "apply", "specs", "--yes").code == 0
    refused = invoke("call", "sync_crm")
    assert refused.code == 2
    assert not connected.sim.runs
    assert invoke("call", "sync_crm", "--yes").json["status"] == "failed"
    assert len(connected.sim.runs) == 1


def test_the_history_is_paged_and_filtered(invoke: Invoke, connected: Sandbox) -> None:
    """Newest first, by cursor, by status, by workflow."""
    for _ in range(2):
        invoke(*SUMMARY)
    invoke("call", "sync_crm")
    first = invoke("history", "--limit", "2", "--json").json
    assert (len(first["data"]), first["total"]) == (2, 3)
    rest = invoke("history", "--cursor", first["next_cursor"], "--json").json
    assert len(rest["data"]) == 1
    assert invoke("history", "--workflow", workflow_id("acme", "failing"), "--json").json["total"] == 1
    table = invoke("history", "--limit", "2")
    assert table.out.splitlines()[0].split() == snapshot(
        ["EXECUTION", "CREATED", "TOOL", "STATUS", "SECONDS", "BY", "ERROR"]
    )
    assert "EXECUTION_ERROR" in table.out
    assert "--cursor" in table.err
    assert connected.url


def test_a_process_key_serves_a_call_and_is_never_stored(
    invoke: Invoke, connected: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SIM_API_KEY` alone is enough to call, even where nothing was set up."""
    assert invoke("setup", "--remove", "--yes").code == 0
    assert invoke(*SUMMARY).code == 1
    monkeypatch.setenv("SIM_API_KEY", demo_account("acme").api_key)
    assert invoke(*SUMMARY).code == 0
    assert connected.sim.runs
