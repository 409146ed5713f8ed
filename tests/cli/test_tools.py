"""`sim-mcp tools`: discover, import, lint, apply, export, list, remove."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot

from sim_mcp.sim.fake import InputField, workflow_id
from tests.cli.conftest import EXAMPLES, Invoke, Sandbox

pytestmark = pytest.mark.sockets

SPEC = """\
tenant: acme
tools:
  - name: echo_text
    workflow_id: {workflow}
    description: Returns what it is given.
"""


@pytest.mark.requirement("R25")
def test_applying_twice_changes_nothing(invoke: Invoke, connected: Sandbox) -> None:
    """The examples are applied already."""
    ended = invoke("tools", "apply", str(EXAMPLES))
    assert (ended.code, ended.out) == (0, "The allow-list equals the files already.\n")
    assert connected.url


def test_an_export_applied_changes_nothing(invoke: Invoke, connected: Sandbox, home: Path) -> None:
    """What goes out comes back the same."""
    exported = invoke("tools", "export").out
    (home / "out").mkdir()
    (home / "out" / "acme.yaml").write_text(exported, encoding="utf-8")
    assert invoke("tools", "lint", "out").code == 0
    assert invoke("tools", "apply", "out", "--json").json == {
        "added": [],
        "changed": {},
        "removed": [],
        "applied": False,
    }
    assert len(invoke("tools", "export", "--json").json["tools"]) == 6
    assert connected.url


def test_the_plan_is_shown_and_nothing_changes_without_a_yes(
    invoke: Invoke, connected: Sandbox, home: Path
) -> None:
    """Added, changed with its fields, removed; then all at once."""
    (home / "specs").mkdir()
    text = (EXAMPLES / "acme.yaml").read_text(encoding="utf-8")
    text = text.replace("name: export_rows", "name: export_lines").replace(
        "rate_per_minute: 30", "confirm: true"
    )
    (home / "specs" / "acme.yaml").write_text(text, encoding="utf-8")
    unasked = invoke("tools", "apply", "specs")
    assert unasked.code == 2
    assert unasked.out == snapshot("""\
+ export_lines
~ sync_crm (confirm, rate_per_minute)
    confirm: false -> true
    rate_per_minute: 30 -> absent
- export_rows
""")
    assert "export_rows" in invoke("tools", "list").out
    applied = invoke("tools", "apply", "specs", "--yes")
    assert applied.code == 0
    assert applied.out == f"{unasked.out}Applied.\n"
    assert "export_rows" not in invoke("tools", "list").out
    assert connected.url


def test_a_faulty_file_keeps_everything_as_it_is(invoke: Invoke, connected: Sandbox, home: Path) -> None:
    """Half a directory must not be taken for the whole."""
    (home / "specs").mkdir()
    (home / "specs" / "a.yaml").write_text(
        SPEC.format(workflow=workflow_id("acme", "echo")), encoding="utf-8"
    )
    (home / "specs" / "b.yaml").write_text("tenant: acme\ntools: [{name: 7}]\n", encoding="utf-8")
    ended = invoke("tools", "apply", "specs", "--yes")
    assert ended.code == 1
    assert "b.yaml" in ended.err
    assert len(invoke("tools", "list", "--json").json["tools"]) == 6
    assert connected.url


def test_files_of_other_tenants_only_are_a_slip(invoke: Invoke, connected: Sandbox) -> None:
    """They must not empty the allow-list of the tenant that was forgotten."""
    ended = invoke("tools", "apply", str(EXAMPLES), "--tenant", "initech", "--yes")
    assert ended.code == 2
    assert "--tenant" in ended.err
    assert connected.url


def test_a_spec_without_a_schema_gets_the_deployed_one_pinned(
    invoke: Invoke, connected: Sandbox, home: Path
) -> None:
    """Once pinned it stays: what SIM changes later does not change the tool by itself."""
    (home / "specs").mkdir()
    (home / "specs" / "a.yaml").write_text(
        SPEC.format(workflow=workflow_id("acme", "echo")), encoding="utf-8"
    )
    assert invoke("tools", "apply", "specs", "--yes").code == 0
    assert list(pinned(invoke)["properties"]) == ["text"]
    fields = [InputField(name="words", type="string")]
    connected.sim.set_inputs(workflow_id("acme", "echo"), fields, deployed=True)
    assert invoke("tools", "apply", "specs", "--json").json["changed"] == {}
    drift = {
        each["tool_name"]: each["drift"] for each in invoke("tools", "discover", "--json").json["workflows"]
    }
    assert len(drift["echo_text"]) == 2


def pinned(invoke: Invoke) -> dict[str, Any]:
    """The input schema of the only tool."""
    (spec,) = invoke("tools", "export", "--json").json["tools"]
    return spec["input_schema"]


def test_import_writes_one_file_per_deployed_workflow_and_overwrites_none(
    invoke: Invoke, connected: Sandbox, home: Path
) -> None:
    """Everything imported is sound, and importing again leaves the files alone."""
    first = invoke("tools", "import", "--all", "--dir", "specs", "--json").json
    written = [each for each in first if each["file"]]
    assert [each["workflow_id"] for each in first if each["skipped"]] == [workflow_id("acme", "undeployed")]
    assert len(written) == len(list((home / "specs").iterdir())) == 11
    linted = invoke("tools", "lint", "specs", "--json").json
    assert linted["tools"] == {"acme": 11}
    assert all(each["is_warning"] for each in linted["problems"])
    file = Path(written[0]["file"])
    file.write_text(file.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    again = invoke("tools", "import", "--all", "--dir", "specs", "--json").json
    assert not any(each["file"] for each in again)
    assert file.read_text(encoding="utf-8").endswith("# mine\n")
    assert connected.url


def test_two_workflows_of_one_name_get_two_tool_names(invoke: Invoke, connected: Sandbox, home: Path) -> None:
    """The second is numbered."""
    (home / "specs").mkdir()
    taken = SPEC.format(workflow="another-workflow").replace("echo_text", "echo")
    (home / "specs" / "mine.yaml").write_text(taken, encoding="utf-8")
    echo = workflow_id("acme", "echo")
    (done,) = invoke("tools", "import", echo, "--dir", "specs", "--json").json
    assert (done["name"], Path(done["file"]).name) == ("echo_2", "acme.echo_2.yaml")
    assert connected.url


@pytest.mark.requirement("R35")
def test_another_tenants_workflow_cannot_be_imported(invoke: Invoke, connected: Sandbox, home: Path) -> None:
    """It does not exist for this tenant."""
    foreign = workflow_id("globex", "echo")
    ended = invoke("tools", "import", foreign, "--dir", "specs")
    unknown = invoke("tools", "import", "no-such-workflow", "--dir", "specs")
    assert (ended.code, ended.err) == (1, unknown.err)
    assert not (home / "specs").exists()
    assert connected.url


def test_lint_names_each_fault_and_needs_nothing(
    invoke: Invoke, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline: not even the settings are read, and nothing is created."""
    monkeypatch.setenv("SIM_MCP_NO_SUCH_SETTING", "1")
    (home / "specs").mkdir()
    (home / "specs" / "a.yaml").write_text(
        "tenant: acme\ntools:\n  - {name: sim_x, workflow_id: w, description: d, timeout: 3}\n",
        encoding="utf-8",
    )
    ended = invoke("tools", "lint", "specs")
    assert ended.code == 1
    assert ended.out == snapshot("""\
a.yaml, tool 'sim_x', name: must not start with 'sim_': admin tools are named so.
a.yaml, tool 'sim_x', timeout: is no key of a tool spec; did you mean 'timeout_s'?.
""")
    assert not (home / "data").exists()


def test_lint_names_the_rule_that_is_too_expensive(invoke: Invoke, home: Path) -> None:
    """Offline, before any call could fail of it; the same words as a server has for `allow`."""
    values = [[number] for number in range(4000)]
    slow = {"type": "object", "properties": {"a": {"enum": values}, "b": {"pattern": "^(a+)+$"}}}
    dear = {"type": "object", "properties": {"a": {"enum": values}}}
    fields = {"workflow_id": "w", "description": "d"}
    tools = [
        {"name": "dear", **fields, "input_schema": dear},
        {"name": "slow", **fields, "input_schema": slow},
    ]
    (home / "specs").mkdir()
    (home / "specs" / "a.json").write_text(json.dumps({"tenant": "acme", "tools": tools}), encoding="utf-8")
    ended = invoke("tools", "lint", "specs")
    assert ended.code == 1
    assert ended.out.splitlines() == snapshot(
        [
            (
                "a.json, tool 'dear', input_schema: $.properties.a takes 8002 steps to check one value, more "
                "than 5000, most of them for `enum`; name fewer forms, values or patterns there"
            ),
            (
                "a.json, tool 'slow', input_schema: $.properties.b has a pattern that repeats something "
                "that itself repeats or chooses, as `(a+)+` does, which can take for ever; put a character "
                "between the repetitions that occurs nowhere else in them"
            ),
        ]
    )


def test_a_tool_is_removed_by_name(invoke: Invoke, connected: Sandbox) -> None:
    """And cannot be removed twice."""
    assert invoke("tools", "remove", "sync_crm").code == 0
    assert invoke("tools", "remove", "sync_crm").err == snapshot(
        "Error: There is no tool 'sync_crm' on the allow-list.\n"
    )
    assert connected.url


def test_the_list_says_where_a_tool_comes_from(
    invoke: Invoke, connected: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spec file goes before the stored entry of its name, and that is told."""
    monkeypatch.setenv("SIM_MCP_TOOL_SPECS", str(EXAMPLES))
    listed = invoke("tools", "list", "--json").json
    assert {tool["source"] for tool in listed["tools"]} == {"file"}
    assert len(listed["problems"]) == 6
    assert connected.url


def test_the_list_of_nobodys_tools_shows_the_way(invoke: Invoke) -> None:
    """A newcomer reads what to do next, beside an empty table."""
    ended = invoke("tools", "list", "--tenant", "initech")
    assert ended.code == 0
    assert "sim-mcp tools discover" in ended.err


def test_discover_pages_and_searches(invoke: Invoke, connected: Sandbox) -> None:
    """By cursor, until there is no more."""
    page = invoke("tools", "discover", "--limit", "4", "--json").json
    rest = invoke("tools", "discover", "--cursor", page["next_cursor"], "--json").json
    found = [each["workflow_id"] for each in (*page["workflows"], *rest["workflows"])]
    assert len(set(found)) == len(found) == 12
    assert rest["next_cursor"] is None
    table = invoke("tools", "discover")
    assert "Undeployed Draft" in table.out
    assert connected.url
