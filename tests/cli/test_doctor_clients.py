"""`sim-mcp doctor --client`: seeded faults of clients' files, and a server that is really started."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

import pytest
from inline_snapshot import snapshot

from sim_mcp.cli.client_checks import check_client
from sim_mcp.cli.clients import CLIENTS, ClientName, Machine, Scope
from sim_mcp.model.check import Check
from tests.cli.conftest import Invoke

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
STARTS: dict[str, Any] = {
    "command": sys.executable,
    "args": ["-m", "sim_mcp", "serve"],
    "env": {"PYTHONPATH": str(ROOT)},
}


def somebody(folder: Path) -> Machine:
    """A person on Linux, with a project."""
    return Machine(system="linux", home=folder / "ada", project=folder / "project", environment={})


def write(folder: Path, client: ClientName, content: str | Mapping[str, Any]) -> Path:
    """The client's file, with `content`."""
    path = Path(somebody(folder).file_of(client, Scope.USER))
    path.parent.mkdir(parents=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


async def checked(folder: Path, client: ClientName, **changes: Any) -> list[Check]:
    """What doctor finds about `client`."""
    return await check_client(client, somebody(folder), **{"call_patience_s": 45.0, **changes})


def entry(client: ClientName, **fields: Any) -> dict[str, Any]:
    """A file whose one server has `fields`."""
    return {CLIENTS[client].key: {fields.pop("name", "sim"): fields}}


DESKTOP, CODE, CURSOR, VSCODE = FILE_CLIENTS = [name for name in ClientName if CLIENTS[name].scopes]
URL = "https://mcp.example.com/mcp"
GONE = {"command": "/nowhere/python", "args": ["-m", "sim_mcp", "serve"]}

FAULTS: dict[str, tuple[ClientName, str | dict[str, Any] | None, list[str]]] = {
    "no file": (
        CURSOR,
        None,
        snapshot(
            [
                "failure client_entry: Cursor does not know this server. Fix: run `sim-mcp config cursor",
                "--write`",
            ]
        ),
    ),
    "no entry": (
        CURSOR,
        {"mcpServers": {"other": {"command": "x"}}},
        snapshot(
            [
                "failure client_entry: Cursor does not know this server. Fix: run `sim-mcp config cursor",
                "--write`",
            ]
        ),
    ),
    "not JSON": (
        CURSOR,
        "{",
        snapshot(
            [
                "failure client_file: It cannot be judged: it is not valid JSON. Fix: correct it by hand;",
                "`sim-mcp config cursor` prints what belongs in",
            ]
        ),
    ),
    "comments": (
        VSCODE,
        '{ // mine\n "servers": {} }',
        snapshot(
            [
                "skipped client_file: It cannot be judged: it has comments or trailing commas, which",
                "would be lost. Fix: compare it with what `sim-mcp config vscode` prints",
            ]
        ),
    ),
    "the wrong table": (
        VSCODE,
        entry(CURSOR, **GONE),
        snapshot(
            [
                "failure client_file: The server stands under 'mcpServers', which VS Code does not read.",
                "Fix: move it to 'servers', or run `sim-mcp config vscode --scope user --write`",
            ]
        ),
    ),
    "neither": (
        CURSOR,
        entry(CURSOR, args=[]),
        snapshot(
            [
                "failure client_entry: The entry has neither a command nor a URL. Fix: run `sim-mcp",
                "config cursor --write`",
            ]
        ),
    ),
    "no such program": (
        CURSOR,
        entry(CURSOR, **GONE),
        snapshot(
            [
                "failure client_command: There is no program '/nowhere/python'. Fix: run `sim-mcp config",
                "cursor --write`, which writes absolute paths",
            ]
        ),
    ),
    "a program of the shell": (
        DESKTOP,
        entry(DESKTOP, command="sh", args=["sim-mcp", "serve"]),
        snapshot(
            [
                "failure client_command: 'sh' is found by this shell; Claude Desktop starts programs with",
                "a shorter PATH. Fix: run `sim-mcp config claude-desktop --write`, which writes absolute",
                "paths",
            ]
        ),
    ),
    "an unknown program": (
        DESKTOP,
        entry(DESKTOP, command="sim-mcp-nowhere", args=["serve"]),
        snapshot(
            [
                "failure client_command: There is no program 'sim-mcp-nowhere' here. Fix: run `sim-mcp",
                "config claude-desktop --write`, which writes absolute paths",
            ]
        ),
    ),
    "no such directory": (
        CURSOR,
        entry(
            CURSOR,
            command=sys.executable,
            args=["--directory", "/nowhere/sim-mcp", "run", "sim-mcp", "serve"],
        ),
        snapshot(
            [
                "failure client_command: --directory names '/nowhere/sim-mcp', which is not there. Fix:",
                "run `sim-mcp config cursor --write`, which writes absolute paths",
            ]
        ),
    ),
    "no serve": (
        CURSOR,
        entry(CURSOR, command=sys.executable, args=["-m", "sim_mcp"]),
        snapshot(
            [
                "failure client_command: The arguments lack `serve`, so the program ends at once. Fix:",
                "run `sim-mcp config cursor --write`, which writes absolute paths",
            ]
        ),
    ),
    "a url in Claude Desktop": (
        DESKTOP,
        entry(DESKTOP, url=URL),
        snapshot(
            [
                "failure client_entry: Claude Desktop reads no `url` in its file. Fix: run `sim-mcp",
                "config claude-desktop --transport http --url URL --write`",
            ]
        ),
    ),
    "a url without its type": (
        CODE,
        entry(CODE, url=URL),
        snapshot(
            [
                "failure client_entry: A `url` without `type: http` is taken for a program by Claude",
                'Code, and skipped. Fix: add "type": "http"',
            ]
        ),
    ),
    "a timeout in seconds": (
        CODE,
        entry(CODE, type="http", url=URL, timeout=60),
        snapshot(
            [
                "warning client_entry: `timeout` is 60 milliseconds; below 1000 it is ignored. Fix: write",
                "milliseconds, as 600000",
            ]
        ),
    ),
    "a long name": (
        CURSOR,
        entry(CURSOR, name="sim-mcp-of-our-company", url=URL),
        snapshot(
            [
                "warning client_entry: The server's name has 22 characters, and clients put it before",
                "each tool's name. Fix: name it `sim`: at most 12 characters leave room for the tools'",
            ]
        ),
    ),
    "the example's key": (
        DESKTOP,
        entry(DESKTOP, **GONE | {"command": sys.executable}, env={"SIM_API_KEY": "replace-with-your-key"}),
        snapshot(
            [
                "failure client_entry: SIM_API_KEY still has the example's text. Fix: put the real value",
                "into SIM_API_KEY",
            ]
        ),
    ),
    "a token in the file": (
        CURSOR,
        entry(CURSOR, url=URL, headers={"Authorization": "Bearer simmcp_0123456789abcdef0123456789"}),
        snapshot(
            [
                "warning client_entry: Authorization stands in the file as it is. Fix: store the key with",
                "`sim-mcp setup`, or refer to it: `sim-mcp config` shows how",
            ]
        ),
    ),
    "a reference": (
        VSCODE,
        entry(VSCODE, type="stdio", **STARTS | {"env": {"SIM_API_KEY": "${input:sim-api-key}"}}),
        snapshot(
            [
                "skipped client_start: Not started: VS Code alone can fill in its references. Fix: look",
                "at the connection in VS Code",
            ]
        ),
    ),
    "another program": (
        CURSOR,
        entry(CURSOR, command=sys.executable, args=["-c", "0"]),
        snapshot(
            [
                "skipped client_start: Not started: it is not this program's `serve`. Fix: look at the",
                "connection in Cursor",
            ]
        ),
    ),
}


@pytest.mark.requirement("F19", "R69")
@pytest.mark.parametrize("case", FAULTS)
async def test_each_fault_of_a_clients_file_is_named_with_its_remedy(tmp_path: Path, case: str) -> None:
    """Whatever people's files hold: a finding and a remedy, no exception, no secret."""
    client, content, expected = FAULTS[case]
    path = None if content is None else write(tmp_path, client, content)
    found = await checked(tmp_path, client)
    shown = [
        f"{check.level} {check.name}: {check.message} Fix: {check.remedy}" for check in found if check.remedy
    ]
    told = [part for line in shown for part in wrap(line.replace(sys.executable, "PYTHON"), 88)]
    assert told == expected
    assert "simmcp_" not in str(found)
    assert path is None or path.parent.is_dir()


@pytest.mark.requirement("F19")
@pytest.mark.parametrize("client", FILE_CLIENTS)
async def test_the_server_in_the_file_is_started_as_the_client_would(
    tmp_path: Path, client: ClientName
) -> None:
    """One handshake and one list of tools, on an empty data directory of its own."""
    mine = tmp_path / "data"
    env: dict[str, str] = {**STARTS["env"], "SIM_MCP_DATA_DIR": str(mine)}
    write(tmp_path, client, entry(client, **STARTS | {"env": env}))
    (started,) = [check for check in await checked(tmp_path, client) if check.name == "client_start"]
    assert started.level == "ok", started.message
    assert "It starts and lists" in started.message
    assert not mine.exists()


@pytest.mark.requirement("F19")
async def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    """Its own sentence, whose setting is wrong; and one that hangs is given up."""
    env: dict[str, str] = {**STARTS["env"], "SIM_MCP_RATE_PER_MINUTE": "none"}
    write(tmp_path, CURSOR, entry(CURSOR, **STARTS | {"env": env}))
    (broken,) = [check for check in await checked(tmp_path, CURSOR) if check.level == "failure"]
    assert "did not start" in broken.message
    assert "SIM_MCP_RATE_PER_MINUTE" in broken.message
    (late,) = [
        check for check in await checked(tmp_path, CURSOR, start_limit_s=0.0) if check.level == "failure"
    ]
    assert "did not answer within 0 s" in late.message


async def test_a_patience_beyond_the_clients_own_is_warned_of(tmp_path: Path) -> None:
    """Claude Desktop gives up after a minute; Claude Code waits."""
    patience = {"SIM_MCP_CALL_PATIENCE_S": "90"}
    write(tmp_path, DESKTOP, entry(DESKTOP, **GONE, env=patience))
    write(tmp_path / "2", CODE, entry(CODE, type="stdio", **GONE))
    found = {check.name for check in await checked(tmp_path, DESKTOP)}
    assert "client_patience" in found
    assert "client_patience" not in {check.name for check in await checked(tmp_path / "2", CODE)}


async def test_the_inspector_has_nothing_to_look_at(tmp_path: Path) -> None:
    """It keeps no file."""
    (found,) = await checked(tmp_path, ClientName.INSPECTOR)
    assert (found.level, found.remedy) == ("skipped", "run what `sim-mcp config inspector` prints")


@pytest.mark.requirement("R69", "F19")
def test_what_config_writes_is_what_doctor_finds_in_order(
    invoke: Invoke, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the printed configuration to a server that answers, without a checkout's help."""
    monkeypatch.setenv("PATH", str(home))
    monkeypatch.setenv("HOME", str(home / "ada"))
    monkeypatch.setenv("USERPROFILE", str(home / "ada"))
    for name in ("APPDATA", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SIM_MCP_SIM_BASE_URL", "http://127.0.0.1:9")  # refused before anybody is asked
    assert invoke("config", "claude-desktop", "--write", "--tenant", "acme").code == 0
    report = invoke("doctor", "--client", "claude-desktop", "--json").json["client"]
    assert [(check["name"], check["level"]) for check in report["checks"]] == [
        ("client_file", "ok"),
        ("client_start", "ok"),
    ]
    assert report["name"] == "claude-desktop"


@pytest.mark.requirement("R69")
@pytest.mark.skipif(shutil.which("uv") is None, reason="the example starts the server through uv")
async def test_the_example_for_claude_desktop_really_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its command answers, once the paths and the key of its reader are put in."""
    monkeypatch.setenv("HOME", str(tmp_path))
    content = json.loads((ROOT / "claude_desktop_config.example.json").read_text(encoding="utf-8"))
    example = content["mcpServers"]["sim"]
    text = json.dumps(example).replace("/absolute/path/to/sim-mcp", ROOT.as_posix())
    text = text.replace("/absolute/path/to/your/tool_specs", (ROOT / "tool_specs" / "examples").as_posix())
    server = json.loads(text.replace("replace-with-your-SIM-API-key", "sk-sim-sandbox-acme"))
    server["command"] = shutil.which("uv")
    # The environment that runs this test, unchanged: the example must not cost a download here.
    server["env"] |= {"UV_NO_SYNC": "1", "UV_OFFLINE": "1", "UV_PROJECT_ENVIRONMENT": sys.prefix}
    write(tmp_path, DESKTOP, {"mcpServers": {"sim": server}})
    (started,) = [check for check in await checked(tmp_path, DESKTOP) if check.name == "client_start"]
    assert started.level == "ok", started.message
