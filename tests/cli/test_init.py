"""`sim-mcp init`: files to begin with, sound as they are, and never in the place of yours."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from sim_mcp.config import load_settings
from tests.cli.conftest import Invoke

pytestmark = pytest.mark.requirement("R56", "R26")


def test_the_files_are_sound_and_commented(invoke: Invoke, home: Path) -> None:
    """The settings load, the spec passes the linter, the schema helps the editor."""
    ended = invoke("init", "--tenant", "acme")
    assert (ended.code, ended.out.count("wrote")) == (0, 3)
    settings = load_settings(home / "sim-mcp.toml")
    assert (settings.tenant_id, str(settings.tool_specs)) == ("acme", "tool_specs")
    content = (home / "sim-mcp.toml").read_text(encoding="utf-8")
    assert content.count("\n# ") > 6
    assert set(tomllib.loads(content)) == {"tenant_id", "tool_specs"}
    linted = invoke("tools", "lint", "tool_specs", "--strict", "--json")
    assert (linted.code, linted.json["tools"]) == (0, {"acme": 1})
    assert json.loads((home / "tool_specs" / "tool-spec.schema.json").read_text(encoding="utf-8"))["$schema"]


def test_what_is_there_stays(invoke: Invoke, home: Path) -> None:
    """Word for word; what is missing is added."""
    (home / "sim-mcp.toml").write_text("# mine\n", encoding="utf-8")
    files = {each["file"]: each["is_new"] for each in invoke("init", "--json").json["files"]}
    assert files == {
        "sim-mcp.toml": False,
        str(Path("tool_specs") / "default.yaml"): True,
        str(Path("tool_specs") / "tool-spec.schema.json"): True,
    }
    assert (home / "sim-mcp.toml").read_text(encoding="utf-8") == "# mine\n"
    assert all(not each["is_new"] for each in invoke("init", "--json").json["files"])


def test_a_tenant_that_cannot_be_one_is_refused(invoke: Invoke, home: Path) -> None:
    """Before anything is written."""
    ended = invoke("init", "--tenant", "no name")
    assert (ended.code, ended.out) == (2, "")
    assert not (home / "sim-mcp.toml").exists()
