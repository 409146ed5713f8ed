"""The reference pages are written from the code, and the security page names tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from sim_mcp.cli.program import build
from sim_mcp.cli.serve import _parser
from sim_mcp.model.errors import ErrorCode
from sim_mcp.transports.admin_tools import ADMIN_TOOLS
from sim_mcp.transports.problems import HTTP_STATUS

pytestmark = pytest.mark.requirement("R63")

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REMEDIES: dict[ErrorCode, str] = {
    ErrorCode.INVALID_INPUT: "Each fault with its path: correct them and send again.",
    ErrorCode.UNAUTHORIZED: "The token, or the stored SIM key, is not accepted: a new one, or setup again.",
    ErrorCode.USAGE_LIMIT_EXCEEDED: "SIM's quota, the month's executions or the day's cost are used up.",
    ErrorCode.FORBIDDEN: "A permission is missing, which is named; or SIM refuses the key this workflow.",
    ErrorCode.NOT_FOUND: "There is no such thing, or it is another tenant's.",
    ErrorCode.TIMEOUT: "The run took too long and was cancelled: raise `timeout_s`, or `mode: async`.",
    ErrorCode.NOT_CONFIGURED: "No SIM account is connected: setup.",
    ErrorCode.DISABLED: "The integration is switched off: an administrator switches it on.",
    ErrorCode.NOT_DEPLOYED: "The workflow is not deployed: deploy it in SIM.",
    ErrorCode.CONFLICT: "The present state does not allow it: the message says what to do first.",
    ErrorCode.PAYLOAD_TOO_LARGE: "Larger than the limit that is named: send less.",
    ErrorCode.RATE_LIMIT_EXCEEDED: "Ours or SIM's limit: again after `retry_after_s`.",
    ErrorCode.EXECUTION_ERROR: "The workflow itself failed: SIM's message, and the block.",
    ErrorCode.SIM_UNAVAILABLE: "SIM cannot be reached, or something else answers there; nothing ran.",
    ErrorCode.CIRCUIT_OPEN: "SIM failed too often: again after `retry_after_s`.",
    ErrorCode.OUTCOME_UNKNOWN: "The answer was lost, the run is looked up: follow it, do not call again.",
}


def _leaves(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        return [(" ".join(path), command)]
    return [leaf for name, each in inner.items() for leaf in _leaves(each, (*path, name))]


def commands_page() -> str:
    """Every verb with its first sentence and its options."""
    lines = ["# Commands", "", "`sim-mcp VERB --help` says more. Written from the program.", ""]
    for name, command in _leaves(get_command(build())):
        words = re.split(r"\n\s*\n", (command.help or "").strip())[0].replace("\n", " ")
        lines += [f"## `sim-mcp {name}`", "", " ".join(words.split()), ""]
        rows = [
            f"| `{' '.join(_spelled(each))}` | {' '.join((getattr(each, 'help', None) or '').split())} |"
            for each in command.params
        ]
        if name == "serve":
            rows = [
                f"| `{' '.join(each.option_strings)}` | {each.help or ''} |"
                for each in _parser()._actions
                if each.dest != "help"
            ]
        lines += ["| Option | Meaning |", "|---|---|", *rows, ""] if rows else []
    return "\n".join(lines)


def _spelled(parameter: Any) -> list[str]:
    if parameter.param_type_name == "argument":
        return [str(parameter.metavar or parameter.name.upper())]
    return [*parameter.opts, *parameter.secondary_opts]


def tools_page() -> str:
    """Every admin tool: what it is for, what it takes, who may use it."""
    lines = [
        "# Tools",
        "",
        "Workflow tools are each tenant's own; these are the server's. Who lacks the permission sees none.",
        "The whole contract is in `tool_specs/admin-tools.json`.",
        "",
    ]
    for name, tool in ADMIN_TOOLS.items():
        effects = "reads only" if tool.read_only else "destructive" if tool.destructive else "changes things"
        lines += [f"## `{name}`", "", tool.description, "", f"*{tool.permission.value}*, {effects}.", ""]
        properties: Any = tool.input_schema.get("properties", {})
        required: Any = tool.input_schema.get("required", [])
        rows = [
            f"| `{each}`{'' if each in required else '?'} | {schema.get('description', '')} |"
            for each, schema in properties.items()
        ]
        lines += ["| Argument | Meaning |", "|---|---|", *rows, ""] if rows else []
    return "\n".join(lines)


def errors_page() -> str:
    """Every code with its HTTP status."""
    lines = [
        "# Errors",
        "",
        "The same codes by every door: `error.code` of a tool's result, `code` of a REST answer.",
        "",
        "| Code | HTTP | What to do |",
        "|---|---|---|",
    ]
    lines += [f"| `{code.value}` | {HTTP_STATUS[code]} | {REMEDIES[code]} |" for code in ErrorCode]
    return "\n".join(lines) + "\n"


PAGES = {
    "reference-cli.md": commands_page,
    "reference-tools.md": tools_page,
    "reference-errors.md": errors_page,
}


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_the_code_says(name: str, request: pytest.FixtureRequest) -> None:
    """Run with `--regenerate` to write it anew."""
    page, text = DOCS / name, PAGES[name]()
    if request.config.getoption("--regenerate"):
        page.write_text(text, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == text


def test_every_error_has_its_remedy() -> None:
    """A code without words would leave its reader alone."""
    assert set(REMEDIES) == set(ErrorCode)


THREATS = (
    "Token passthrough",
    "Confused deputy",
    "Session hijack",
    "SSRF",
    "DNS rebinding",
    "Tool poisoning",
    "Rug-pull",
    "Prompt injection through outputs",
    "Header injection",
    "Path traversal",
    "Log injection",
    "Timing",
    "Resource exhaustion",
    "Supply chain",
)
"""What the security page must answer, each with a test that is there."""
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def _rows_of_the_security_page() -> list[list[str]]:
    text = (DOCS / "security.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [row for row in rows if row[0] not in {"Promise", "Threat"}]


def test_every_promise_of_the_security_page_has_a_test_that_is_there() -> None:
    """By file and name."""
    for row in _rows_of_the_security_page():
        named = NAMED_TEST.findall(row[-1])
        assert named, row[0]
        for path, name in named:
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            functions = {
                node.name
                for node in ast.walk(tree)
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            assert name in functions, (path, name)


def test_every_threat_is_answered_on_the_security_page() -> None:
    """What an attacker would do, what stops it, and the test: none of the three is empty."""
    rows = {row[0]: row for row in _rows_of_the_security_page() if len(row) == 4}
    assert set(THREATS) <= set(rows)
    assert [name for name, row in rows.items() if not all(cell.strip() for cell in row)] == []


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_every_link_between_the_pages_leads_somewhere(page: Path) -> None:
    """Within the repository."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target
