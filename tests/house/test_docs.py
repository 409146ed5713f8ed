"""What the documents say is what the program does."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sim_mcp.config import Settings, known_variables
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]


def settings_page() -> str:
    """`docs/settings.md`, written from the settings class."""
    lines = [
        "# Settings",
        "",
        "Read from the environment first, then from `sim-mcp.toml` in the working directory or the file",
        "of `--config` (keys: the names in lower case without `SIM_MCP_`). An unknown name is an error that",
        "tells the nearest one.",
        "",
        "| Variable | Default | Meaning |",
        "|---|---|---|",
    ]
    for (variable, meaning), field in zip(
        known_variables().items(), Settings.model_fields.values(), strict=True
    ):
        lines.append(f"| `{variable}` | {_default(field.get_default())} | {meaning} |")
    return "\n".join(lines) + "\n"


def _default(value: object) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return "`" + ",".join(str(part) for part in value) + "`"  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # any setting
    return f"`{value}`" if isinstance(value, str | int | float) else "see text"


@pytest.mark.requirement("R56")
def test_the_settings_page_is_what_the_settings_class_says(request: pytest.FixtureRequest) -> None:
    """Run with `--regenerate` to write the page anew."""
    page = ROOT / "docs" / "settings.md"
    if request.config.getoption("--regenerate"):
        page.write_text(settings_page(), encoding="utf-8")
    assert page.read_text(encoding="utf-8") == settings_page()


@pytest.mark.requirement("R69")
def test_the_example_client_configuration_is_complete_and_valid() -> None:
    """Claude Desktop documents `command`, `args` and `env`, all texts."""
    content = json.loads((ROOT / "claude_desktop_config.example.json").read_text(encoding="utf-8"))
    assert set(content) == {"mcpServers"}
    assert set(content["mcpServers"]) == {"sim", "sim-remote"}
    for server in content["mcpServers"].values():
        assert set(server) == {"command", "args", "env"}
        assert all(
            isinstance(text, str) for text in [server["command"], *server["args"], *server["env"].values()]
        )
    known = {*known_variables(), "SIM_TOKEN"}
    assert {name for server in content["mcpServers"].values() for name in server["env"]} <= known


def test_every_command_in_the_readme_exists() -> None:
    """The README names no verb or option that `--help` does not know."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = {match.strip("`") for match in re.findall(r"uv run (sim-mcp [^\n`#]+)", text)}
    assert len(commands) > 8
    for command in sorted(commands):
        words = shlex.split(command.split(" --method ")[0])[1:]
        verbs = [word for word in words[:2] if not word.startswith("-") and word.isalpha()]
        verbs = verbs if verbs[0] in {"tools", "token", "db", "keys"} else verbs[:1]
        asked = [sys.executable, "-m", "sim_mcp", *verbs, "--help"]
        shown = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        assert shown.returncode == 0, command
        for option in (word for word in words if word.startswith("--")):
            assert option in shown.stdout, f"{command}: {option}"
