"""The desktop bundle asks for what it needs, and hands all of it to the server."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from sim_mcp import __version__
from sim_mcp.config import known_variables
from tests.deploy.files import BUNDLE, DEPLOY, ROOT

pytestmark = pytest.mark.requirement("R56")

FIRST_WITH_UV = (0, 4)
ASKED: dict[str, dict[str, Any]] = BUNDLE["user_config"]
ENVIRONMENT: dict[str, str] = BUNDLE["server"]["mcp_config"]["env"]


def test_the_manifest_has_what_its_specification_demands() -> None:
    """The server type `uv` came with 0.4; the packing tool wants `mcp_config` for it too."""
    assert {"manifest_version", "name", "version", "description", "author", "server"} <= set(BUNDLE)
    assert tuple(int(part) for part in BUNDLE["manifest_version"].split(".")) >= FIRST_WITH_UV
    assert BUNDLE["author"]["name"]
    assert BUNDLE["version"] == __version__
    assert BUNDLE["server"]["type"] == "uv"
    assert (ROOT / BUNDLE["server"]["entry_point"]).is_file()
    assert BUNDLE["server"]["mcp_config"]["command"] == "uv"


def test_the_bundle_speaks_over_standard_input_and_output() -> None:
    """From the lock file, in the directory of the bundle, whatever the client's own directory is."""
    arguments = BUNDLE["server"]["mcp_config"]["args"]
    assert arguments[arguments.index("--directory") + 1] == "${__dirname}"
    assert "--frozen" in arguments
    assert arguments[-3:] == ["serve", "--transport", "stdio"]


@pytest.mark.parametrize("name", ASKED)
def test_every_question_is_complete(name: str) -> None:
    """A kind that the specification knows, words for people, and an answer that is never empty."""
    asked = ASKED[name]
    assert asked["type"] in {"string", "number", "boolean", "directory", "file"}
    assert asked["title"]
    assert asked["description"]
    assert asked["required"] is True
    assert (asked.get("sensitive") is True) == ("key" in name)
    assert ("default" in asked) != ("key" in name)


def test_every_answer_reaches_a_setting() -> None:
    """What is used was asked for, what was asked for is used, and the program knows where it goes."""
    used = re.findall(r"\$\{user_config\.(\w+)\}", json.dumps(BUNDLE["server"]))
    assert sorted(used) == sorted(ASKED)
    assert set(ENVIRONMENT) <= set(known_variables())
    assert ENVIRONMENT["SIM_API_KEY"] == "${user_config.api_key}"
    assert ENVIRONMENT["SIM_MCP_DATA_DIR"] == "${user_config.data_dir}"


def test_what_is_packed_is_there_and_enough_to_build() -> None:
    """The files that the instructions copy, the lock file and what `pyproject.toml` names among them."""
    text = (DEPLOY / "mcpb" / "README.md").read_text(encoding="utf-8")
    [copied] = re.findall(r'^cp -R (.*) "\$out"$', text, re.MULTILINE)
    names = set(copied.split())
    assert names >= {"pyproject.toml", "uv.lock", "README.md", "LICENSE", "sim_mcp", "tool_specs"}
    assert "deploy/mcpb/manifest.json" in names
    for name in names:
        assert (ROOT / name).exists()
