"""`sim-mcp tools lint`: what the tool list costs a model, words that do not help, and what SIM says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from sim_mcp.catalog import ToolSpec
from sim_mcp.catalog.lint import lint
from sim_mcp.cli.linting import estimated_tokens
from sim_mcp.sim.fake import InputField, workflow_id
from tests.cli.conftest import Invoke, Sandbox

pytestmark = pytest.mark.requirement("F20")

SOUND: dict[str, Any] = {
    "name": "report_hours",
    "workflow_id": workflow_id("acme", "quick"),
    "description": "Books the hours of one employee. Overwrites what was booked for that day.",
    "input_schema": {
        "type": "object",
        "properties": {"employee": {"type": "string", "description": "Whose hours."}},
        "additionalProperties": False,
    },
}


def write(folder: Path, **tools: dict[str, Any]) -> None:
    """A file with these tools of acme, and one of globex."""
    folder.mkdir(exist_ok=True)
    entries = [{**SOUND, "name": name, **fields} for name, fields in tools.items()]
    (folder / "acme.yaml").write_text(yaml.safe_dump({"tenant": "acme", "tools": entries}), encoding="utf-8")
    other = {"tenant": "globex", "tools": [SOUND]}
    (folder / "globex.yaml").write_text(yaml.safe_dump(other), encoding="utf-8")


def test_the_tokens_of_each_tool_and_tenant_are_told_and_a_budget_fails(invoke: Invoke, home: Path) -> None:
    """The dearest first; each tenant against the budget for itself."""
    long = "Books the hours of one employee. " * 100
    write(home / "specs", short={}, long={"description": long}, hidden={"enabled": False})
    ended = invoke("tools", "lint", "specs", "--json")
    tokens = ended.json["tokens"]
    assert list(tokens["acme"]["tools"]) == ["long", "short"]
    assert tokens["acme"]["total"] == sum(tokens["acme"]["tools"].values())
    assert tokens["acme"]["tools"]["long"] - tokens["acme"]["tools"]["short"] > len(long) / 5
    assert tokens["globex"]["total"] < 1000
    assert ended.code == 0
    over = invoke("tools", "lint", "specs", "--budget", str(tokens["acme"]["total"] - 1))
    assert over.code == 1
    assert "That of acme is over the budget" in over.err
    assert "globex is over" not in over.err
    assert over.out.index("long") < over.out.index("short")
    assert invoke("tools", "lint", "specs", "--budget", str(tokens["acme"]["total"])).code == 0


def test_warnings_fail_only_when_asked(invoke: Invoke, home: Path) -> None:
    """`--strict` is for those who review every word."""
    write(home / "specs", vague={"description": "Books hours"})
    assert invoke("tools", "lint", "specs").code == 0
    ended = invoke("tools", "lint", "specs", "--strict")
    assert ended.code == 1
    assert "description: has 2 words, too few for a model to choose by" in ended.out


def test_an_empty_description_is_an_error(invoke: Invoke, home: Path) -> None:
    """A model chooses by nothing else."""
    write(home / "specs", empty={"description": "  "})
    ended = invoke("tools", "lint", "specs")
    assert ended.code == 1
    assert "description: must not be empty" in ended.out


def test_online_what_changed_at_sim_is_told(invoke: Invoke, connected: Sandbox, home: Path) -> None:
    """Of the tenant at the terminal; a breaking change fails."""
    workflow = workflow_id("acme", "quick")
    invoke("tools", "import", workflow, "--dir", "specs")
    invoke("tools", "apply", "specs", "--yes")
    invoke("tools", "approve", "--all")
    assert invoke("tools", "lint", "specs", "--online").code == 0
    connected.sim.set_inputs(workflow, [InputField(name="worker", type="string")], deployed=True)
    assert invoke("tools", "lint", "specs").code == 0
    ended = invoke("tools", "lint", "specs", "--online")
    assert ended.code == 1
    assert "The input 'employee' is gone" in ended.out
    assert home.is_dir()


@pytest.mark.requirement("F7")
def test_diff_and_approve_on_the_command_line(invoke: Invoke, connected: Sandbox, home: Path) -> None:
    """What changed, class by class; then it counts; the lock file is written for files."""
    workflow = workflow_id("acme", "quick")
    invoke("tools", "import", workflow, "--dir", "specs")
    invoke("tools", "apply", "specs", "--yes")
    [name] = [tool["name"] for tool in invoke("tools", "list", "--json").json["tools"]]
    assert invoke("tools", "approve", name).out.startswith(f"approved {name}")
    assert invoke("tools", "diff").code == 0
    connected.sim.set_inputs(workflow, [InputField(name="worker", type="string")], deployed=True)
    ended = invoke("tools", "diff", "--json")
    assert ended.code == 1
    assert invoke("tools", "list", "--json").json["held"] == {}  # nobody has called it yet
    [tool] = ended.json["tools"]
    assert {change["class"] for change in tool["changes"]} == {"breaking", "compatible"}
    assert invoke("tools", "approve", name, "--json").json["lock_file"] is None
    assert invoke("tools", "diff").code == 0
    assert invoke("tools", "approve").code == 2
    locked = invoke("tools", "approve", name, "--dir", "specs", "--keep-schema", "--json").json
    assert locked["lock_file"] == str(Path("specs") / "sim-mcp.lock.json")
    assert (home / "specs" / "sim-mcp.lock.json").is_file()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, snapshot([])),
        (
            {"description": "Report hours."},
            snapshot(["description: only repeats the name; say what it does, for what, with which effects"]),
        ),
        (
            {"description": "Runs the workflow 'Hours'."},
            snapshot(
                ["description: only names the workflow; say what it does, for what, with which effects"]
            ),
        ),
        (
            {"input_schema": None},
            snapshot(["input_schema: is absent, so every argument is accepted; import it from SIM"]),
        ),
        (
            {"input_schema": {"type": "object", "properties": {"a b": {"oneOf": [{"type": "string"}]}}}},
            snapshot(
                [
                    "input_schema: lacks `additionalProperties: false`; a misspelt argument gets lost",
                    "input_schema: has the input 'a b'; some clients take only A-Z, a-z, 0-9 and _ . -",
                    "input_schema: does not describe the input 'a b'",
                    "input_schema: uses `oneOf`, which clients with strict tool calls refuse",
                ]
            ),
        ),
    ],
)
def test_what_does_not_help_a_model_is_named(changes: dict[str, Any], expected: list[str]) -> None:
    """A warning each; a good tool has none."""
    fields = {name: each for name, each in (SOUND | changes).items() if each is not None}
    assert [str(flaw) for flaw in lint(ToolSpec.from_json(fields))] == expected


@given(st.text(), st.text())
def test_more_text_never_costs_less(one: str, other: str) -> None:
    """The estimate grows with the length, and nothing costs nothing."""
    assert estimated_tokens(one + other) >= estimated_tokens(one)
    assert estimated_tokens("") == 0
