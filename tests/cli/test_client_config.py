"""`sim-mcp config`: the right file for each system and client, and nothing lost in it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from sim_mcp.cli.client_entries import Entry, Launch, http_entry
from sim_mcp.cli.client_files import ClientFile, Untouchable
from sim_mcp.cli.clients import CLIENTS, ClientName, Machine, Scope, System
from tests.cli.conftest import Invoke

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DESKTOP = CLIENTS[ClientName.CLAUDE_DESKTOP]
ENTRY = Entry(name="sim", server={"command": "/bin/sim", "args": ["serve"]})
FILE_CLIENTS = [name for name in ClientName if CLIENTS[name].scopes]

HOMES: dict[System, tuple[PurePath, PurePath]] = {
    "linux": (PurePosixPath("/home/ada"), PurePosixPath("/work")),
    "macos": (PurePosixPath("/Users/ada"), PurePosixPath("/work")),
    "windows": (PureWindowsPath("C:/Users/ada"), PureWindowsPath("D:/work")),
}


def machine(system: System, **environment: str) -> Machine:
    """Somebody's machine."""
    home, project = HOMES[system]
    return Machine(system=system, home=home, project=project, environment=environment)


@pytest.fixture
def person(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory for a test, on any system, with no client in it."""
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home / "ada"))
    for name in ("APPDATA", "XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    (home / "ada").mkdir()
    return home / "ada"


def put(path: Path, text: str) -> Path:
    """A file with `text`, and its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.requirement("R69")
def test_each_client_keeps_its_file_where_its_system_says() -> None:
    """The whole table, for three systems, whichever this one is."""
    table = {
        f"{system} {name} {scope}": list(machine(system).file_of(name, scope).parts)
        for system in HOMES
        for name in FILE_CLIENTS
        for scope in CLIENTS[name].scopes
    }
    assert table == snapshot(
        {
            "linux claude-desktop user": [
                "/",
                "home",
                "ada",
                ".config",
                "Claude",
                "claude_desktop_config.json",
            ],
            "linux claude-code user": ["/", "home", "ada", ".claude.json"],
            "linux claude-code project": ["/", "work", ".mcp.json"],
            "linux cursor user": ["/", "home", "ada", ".cursor", "mcp.json"],
            "linux cursor project": ["/", "work", ".cursor", "mcp.json"],
            "linux vscode user": ["/", "home", "ada", ".config", "Code", "User", "mcp.json"],
            "linux vscode project": ["/", "work", ".vscode", "mcp.json"],
            "macos claude-desktop user": [
                "/",
                "Users",
                "ada",
                "Library",
                "Application Support",
                "Claude",
                "claude_desktop_config.json",
            ],
            "macos claude-code user": ["/", "Users", "ada", ".claude.json"],
            "macos claude-code project": ["/", "work", ".mcp.json"],
            "macos cursor user": ["/", "Users", "ada", ".cursor", "mcp.json"],
            "macos cursor project": ["/", "work", ".cursor", "mcp.json"],
            "macos vscode user": [
                "/",
                "Users",
                "ada",
                "Library",
                "Application Support",
                "Code",
                "User",
                "mcp.json",
            ],
            "macos vscode project": ["/", "work", ".vscode", "mcp.json"],
            "windows claude-desktop user": [
                "C:\\",
                "Users",
                "ada",
                "AppData",
                "Roaming",
                "Claude",
                "claude_desktop_config.json",
            ],
            "windows claude-code user": ["C:\\", "Users", "ada", ".claude.json"],
            "windows claude-code project": ["D:\\", "work", ".mcp.json"],
            "windows cursor user": ["C:\\", "Users", "ada", ".cursor", "mcp.json"],
            "windows cursor project": ["D:\\", "work", ".cursor", "mcp.json"],
            "windows vscode user": ["C:\\", "Users", "ada", "AppData", "Roaming", "Code", "User", "mcp.json"],
            "windows vscode project": ["D:\\", "work", ".vscode", "mcp.json"],
        }
    )


def test_the_environment_moves_the_files_as_it_moves_the_clients() -> None:
    """Absolute values count; empty and relative ones do not."""
    desktop, code = ClientName.CLAUDE_DESKTOP, ClientName.CLAUDE_CODE
    moved = [
        machine("linux", XDG_CONFIG_HOME="/conf").file_of(desktop, Scope.USER),
        machine("linux", XDG_CONFIG_HOME="conf").file_of(desktop, Scope.USER),
        machine("windows", APPDATA="E:\\Roaming").file_of(desktop, Scope.USER),
        machine("macos", XDG_CONFIG_HOME="/conf").file_of(desktop, Scope.USER),
        machine("linux", CLAUDE_CONFIG_DIR="/claude").file_of(code, Scope.USER),
        machine("linux", CLAUDE_CONFIG_DIR="").file_of(code, Scope.USER),
    ]
    assert [str(path) for path in moved] == snapshot(
        [
            "/conf/Claude/claude_desktop_config.json",
            "/home/ada/.config/Claude/claude_desktop_config.json",
            "E:\\Roaming\\Claude\\claude_desktop_config.json",
            "/Users/ada/Library/Application Support/Claude/claude_desktop_config.json",
            "/claude/.claude.json",
            "/home/ada/.claude.json",
        ]
    )


@pytest.mark.requirement("R69", "R31")
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_what_is_printed_for_each_client(
    invoke: Invoke, person: Path, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    """Whole configurations, from outside a checkout: absolute commands, secrets by reference only."""
    monkeypatch.setenv("PATH", str(person))
    monkeypatch.setenv("SIM_API_KEY", "sk-sim-this-must-not-be-seen")
    printed: dict[str, Any] = {}
    for name in ClientName:
        extra = ["--url", "https://mcp.example.com"] if transport == "http" else []
        if transport == "stdio" and name is not ClientName.CLAUDE_DESKTOP:
            extra = ["--with-key", "--tenant", "acme"]
        ended = invoke("config", name, "--transport", transport, *extra)
        assert ended.code == 0, ended.err
        assert "sk-sim" not in ended.out + ended.err
        text = ended.out.replace(sys.executable, "PYTHON").replace(str(person.parent), "~")
        printed[name] = json.loads(text) if name is not ClientName.INSPECTOR else text.split(" -")
    assert list(person.iterdir()) == []
    assert printed == (PRINTED_STDIO if transport == "stdio" else PRINTED_HTTP)


PRINTED_STDIO = snapshot(
    {
        ClientName.CLAUDE_DESKTOP: {
            "mcpServers": {
                "sim": {
                    "command": "PYTHON",
                    "args": ["-m", "sim_mcp", "serve"],
                    "env": {"SIM_MCP_DATA_DIR": "~/data"},
                }
            }
        },
        ClientName.CLAUDE_CODE: {
            "mcpServers": {
                "sim": {
                    "type": "stdio",
                    "command": "PYTHON",
                    "args": ["-m", "sim_mcp", "serve"],
                    "env": {
                        "SIM_MCP_DATA_DIR": "~/data",
                        "SIM_MCP_TENANT_ID": "acme",
                        "SIM_API_KEY": "${SIM_API_KEY}",
                    },
                }
            }
        },
        ClientName.CURSOR: {
            "mcpServers": {
                "sim": {
                    "command": "PYTHON",
                    "args": ["-m", "sim_mcp", "serve"],
                    "env": {
                        "SIM_MCP_DATA_DIR": "~/data",
                        "SIM_MCP_TENANT_ID": "acme",
                        "SIM_API_KEY": "${env:SIM_API_KEY}",
                    },
                }
            }
        },
        ClientName.VSCODE: {
            "servers": {
                "sim": {
                    "type": "stdio",
                    "command": "PYTHON",
                    "args": ["-m", "sim_mcp", "serve"],
                    "env": {
                        "SIM_MCP_DATA_DIR": "~/data",
                        "SIM_MCP_TENANT_ID": "acme",
                        "SIM_API_KEY": "${input:sim-api-key}",
                    },
                }
            },
            "inputs": [
                {"type": "promptString", "id": "sim-api-key", "description": "SIM API key", "password": True}
            ],
        },
        ClientName.INSPECTOR: [
            "npx @modelcontextprotocol/inspector",
            "e SIM_MCP_DATA_DIR=~/data",
            "e SIM_MCP_TENANT_ID=acme",
            'e "SIM_API_KEY=$SIM_API_KEY"',
            "- PYTHON",
            "m sim_mcp serve\n",
        ],
    }
)
PRINTED_HTTP = snapshot(
    {
        ClientName.CLAUDE_DESKTOP: {
            "mcpServers": {
                "sim": {
                    "command": "npx",
                    "args": [
                        "-y",
                        "mcp-remote",
                        "https://mcp.example.com/mcp",
                        "--header",
                        "Authorization:Bearer ${SIM_TOKEN}",
                    ],
                    "env": {"SIM_TOKEN": "replace-with-the-token-that-sim-mcp-token-create-printed"},
                }
            }
        },
        ClientName.CLAUDE_CODE: {
            "mcpServers": {
                "sim": {
                    "type": "http",
                    "url": "https://mcp.example.com/mcp",
                    "headers": {"Authorization": "Bearer ${SIM_TOKEN}"},
                }
            }
        },
        ClientName.CURSOR: {
            "mcpServers": {
                "sim": {
                    "url": "https://mcp.example.com/mcp",
                    "headers": {"Authorization": "Bearer ${env:SIM_TOKEN}"},
                }
            }
        },
        ClientName.VSCODE: {
            "servers": {
                "sim": {
                    "type": "http",
                    "url": "https://mcp.example.com/mcp",
                    "headers": {"Authorization": "Bearer ${input:sim-token}"},
                }
            },
            "inputs": [
                {"type": "promptString", "id": "sim-token", "description": "sim-mcp token", "password": True}
            ],
        },
        ClientName.INSPECTOR: [
            "npx @modelcontextprotocol/inspector",
            "-transport http",
            "-server-url https://mcp.example.com/mcp",
            '-header "Authorization: Bearer $SIM_TOKEN"\n',
        ],
    }
)


def test_a_checkout_is_started_through_uv_and_anything_else_by_its_interpreter(tmp_path: Path) -> None:
    """Both work from any directory: every path is absolute."""
    checkout = put(tmp_path / "pyproject.toml", '[project]\nname = "sim-mcp"\n').parent
    package = checkout / "sim_mcp"
    through_uv = Launch.of(interpreter="/venv/bin/python", package=package, uv="/bin/uv")
    assert (through_uv.command, through_uv.args) == (
        "/bin/uv",
        ("--directory", str(checkout), "run", "sim-mcp", "serve"),
    )
    direct = Launch(command="/venv/bin/python", args=("-m", "sim_mcp", "serve"))
    assert Launch.of(interpreter="/venv/bin/python", package=package, uv=None) == direct
    put(checkout / "pyproject.toml", '[project]\nname = "another"\n')
    assert Launch.of(interpreter="/venv/bin/python", package=package, uv="/bin/uv") == direct


def test_the_settings_of_this_shell_go_along_but_no_secret(
    invoke: Invoke, home: Path, person: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client starts programs without them; a settings file is named with its absolute path."""
    put(home / "sim-mcp.toml", "rate_per_minute = 7\n")
    monkeypatch.setenv("SIM_MCP_TOOL_SPECS", "specs")
    monkeypatch.setenv("SIM_MCP_SIM_ALLOWED_HOSTS", "sim.internal,10.0.0.5:3000")
    monkeypatch.setenv("SIM_MCP_AUTH_JWT_SECRET", "a-secret-of-this-shell-and-of-nobody-else")
    server = invoke("config", "cursor").json["mcpServers"]["sim"]
    assert server["env"] == {
        "SIM_MCP_DATA_DIR": str(home / "data"),
        "SIM_MCP_TOOL_SPECS": str(home / "specs"),
        "SIM_MCP_SIM_ALLOWED_HOSTS": "sim.internal,10.0.0.5:3000",
    }
    assert server["args"][-2:] == ["--config", str(home / "sim-mcp.toml")]
    assert person.is_dir()


@pytest.mark.requirement("R69")
@pytest.mark.parametrize("client", FILE_CLIENTS)
def test_writing_keeps_everything_else_and_a_second_time_changes_nothing(
    invoke: Invoke, person: Path, client: ClientName
) -> None:
    """Other servers, unknown keys, order and mode stay; the backup is the file as it was."""
    key = CLIENTS[client].key
    path = Path(Machine.here().file_of(client, Scope.USER))
    before = {"zeta": [1, 2.5, None], key: {"other": {"command": "x", "zz": True}}, "alpha": {"é": "ü"}}
    original = put(path, json.dumps(before, ensure_ascii=False, indent=4) + "\n").read_bytes()
    path.chmod(0o640)
    first = invoke("config", client, "--write", "--json").json
    assert (first["is_written"], first["is_changed"], first["file"]) == (True, True, str(path))
    after = json.loads(path.read_text(encoding="utf-8"))
    assert list(after) == ["zeta", key, "alpha"]
    assert after[key].pop("sim")["command"]
    assert after == before
    assert path.read_text(encoding="utf-8").startswith('{\n    "zeta"')
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    backup = Path(first["backup"])
    assert (backup.parent, backup.read_bytes()) == (path.parent, original)
    once = path.read_bytes()
    second = invoke("config", client, "--write")
    assert (second.code, path.read_bytes()) == (0, once)
    assert "has it already; nothing was changed" in second.out
    assert sorted(each.name for each in path.parent.iterdir() if each.is_file()) == sorted(
        [path.name, backup.name]
    )
    assert person.is_dir()


@pytest.mark.parametrize("client", FILE_CLIENTS)
def test_a_file_that_is_not_there_is_made_for_its_owner_alone(
    invoke: Invoke, person: Path, client: ClientName
) -> None:
    """With its directories; there is nothing to back up."""
    report = invoke("config", client, "--write", "--json").json
    path = Path(report["file"])
    assert path.is_relative_to(person)
    assert (report["is_changed"], report["backup"]) == (True, None)
    assert json.loads(path.read_text(encoding="utf-8")) == report["config"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_projects_file_is_the_one_of_this_directory(invoke: Invoke, home: Path, person: Path) -> None:
    """Claude Desktop has none, and says so."""
    for client, file in {"claude-code": ".mcp.json", "vscode": ".vscode/mcp.json"}.items():
        assert invoke("config", client, "--scope", "project", "--write").code == 0
        assert "sim" in (home / file).read_text(encoding="utf-8")
    refused = invoke("config", "claude-desktop", "--scope", "project")
    assert (refused.code, list(person.iterdir())) == (2, [])
    assert "--scope user" in refused.err


BROKEN = {
    "invalid": ('{"mcpServers": {', "it is not valid JSON"),
    "comments": ('{\n  // mine\n  "mcpServers": {}\n}', "it has comments or trailing commas"),
    "trailing": ('{"mcpServers": {"a": {},}}', "it has comments or trailing commas"),
    "twice": ('{"a": 1, "mcpServers": {}, "a": 2}', "it has the same key twice"),
    "list": ("[]", "it is no JSON object"),
    "table": ('{"mcpServers": []}', "its 'mcpServers' is no object"),
    "deep": ("[" * 100_000, "it is not valid JSON"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_would_lose_something_is_not_touched(invoke: Invoke, person: Path, case: str) -> None:
    """The reason, and what to paste; the file stays byte for byte, and there is no litter beside it."""
    text, why = BROKEN[case]
    path = put(person / ".cursor" / "mcp.json", text)
    ended = invoke("config", "cursor", "--write")
    assert ended.code == 1
    assert "was left as it is" in ended.err
    assert why in ended.err
    assert "put the lines printed above into it by hand" in ended.err
    assert "sim" in json.loads(ended.out)["mcpServers"]
    assert path.read_text(encoding="utf-8") == text
    assert list(path.parent.iterdir()) == [path]


def test_the_manner_of_the_file_stays(tmp_path: Path) -> None:
    """A byte order mark, Windows line ends, tabs, no final line end: as its editor left them."""
    path = tmp_path / "c.json"
    path.write_bytes(b'\xef\xbb\xbf{\r\n\t"a": "\xc3\xa9"\r\n}')
    ClientFile.read(path).with_entry(DESKTOP, ENTRY).write(NOW)
    assert path.read_bytes() == (
        b'\xef\xbb\xbf{\r\n\t"a": "\xc3\xa9",\r\n\t"mcpServers": {\r\n\t\t"sim": {\r\n'
        b'\t\t\t"command": "/bin/sim",\r\n\t\t\t"args": [\r\n\t\t\t\t"serve"\r\n\t\t\t]\r\n\t\t}\r\n\t}\r\n}'
    )
    half = put(tmp_path / "half.json", '{"a": "\\ud800"}')
    ClientFile.read(half).with_entry(DESKTOP, ENTRY).write(NOW)
    assert json.loads(half.read_text(encoding="utf-8"))["a"] == "\ud800"


def test_backups_never_overwrite_each_other(tmp_path: Path) -> None:
    """Two changes in one second leave two backups; the name tells the time of the clock handed in."""
    path = put(tmp_path / "c.json", "{}")
    for name in ("one", "two"):
        ClientFile.read(path).with_entry(DESKTOP, Entry(name=name, server={"command": "x"})).write(NOW)
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "c.json",
        "c.json.20260102T030405Z-2.bak",
        "c.json.20260102T030405Z.bak",
    ]
    assert (tmp_path / "c.json.20260102T030405Z.bak").read_text(encoding="utf-8") == "{}"


def test_a_link_stays_a_link_and_its_target_is_changed(tmp_path: Path) -> None:
    """People keep such files in a repository of their own; the backup lies beside the real file."""
    real = put(tmp_path / "dotfiles" / "c.json", "{}")
    link = tmp_path / "c.json"
    link.symlink_to(real)
    backup = ClientFile.read(link).with_entry(DESKTOP, ENTRY).write(NOW)
    assert link.is_symlink()
    assert "sim" in real.read_text(encoding="utf-8")
    assert backup is not None
    assert backup.parent == real.parent
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(Untouchable, match="circle"):
        ClientFile.read(link)


def test_somebody_elses_change_at_the_same_moment_is_not_overwritten(tmp_path: Path) -> None:
    """Claude Code writes its own file often: then nothing is written, and nothing is left behind."""
    path = put(tmp_path / "c.json", "{}")
    changed = ClientFile.read(path).with_entry(DESKTOP, ENTRY)
    put(path, '{"theirs": 1}')
    with pytest.raises(Untouchable, match="run it again"):
        changed.write(NOW)
    assert [each.name for each in tmp_path.iterdir()] == ["c.json"]
    assert path.read_text(encoding="utf-8") == '{"theirs": 1}'


def test_what_the_person_added_to_the_entry_stays(tmp_path: Path) -> None:
    """Unknown keys, further variables, and a secret put there by hand; of another transport nothing."""
    mine: dict[str, Any] = {
        "command": "old",
        "args": [],
        "env": {"SIM_API_KEY": "mine", "EXTRA": "1"},
        "timeout": 600000,
    }
    path = put(tmp_path / "c.json", json.dumps({"mcpServers": {"sim": mine}}))
    env = {"SIM_MCP_TENANT_ID": "acme", "SIM_API_KEY": "${SIM_API_KEY}"}
    entry = Entry(name="sim", server={"command": "new", "args": ["serve"], "env": dict(env)})
    found = ClientFile.read(path).with_entry(DESKTOP, entry).content["mcpServers"]
    assert found == {
        "sim": {
            "command": "new",
            "args": ["serve"],
            "env": {"SIM_API_KEY": "mine", "EXTRA": "1", "SIM_MCP_TENANT_ID": "acme"},
            "timeout": 600000,
        }
    }
    remote = http_entry(CLIENTS[ClientName.CURSOR], name="sim", url="https://mcp.example.com/mcp")
    moved = ClientFile.read(path).with_entry(CLIENTS[ClientName.CURSOR], remote).content["mcpServers"]
    assert moved == {
        "sim": {
            "url": "https://mcp.example.com/mcp",
            "headers": {"Authorization": "Bearer ${env:SIM_TOKEN}"},
            "timeout": 600000,
        }
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(
    others=st.dictionaries(st.text(), JSON, max_size=4), servers=st.dictionaries(st.text(), JSON, max_size=4)
)
def test_merging_loses_nothing_and_is_idempotent(others: dict[str, Any], servers: dict[str, Any]) -> None:
    """Whatever is in the file: everything but our entry is equal afterwards, and twice is once."""
    content = {**others, "mcpServers": servers}
    file = ClientFile(path=Path("unused"), original=None, content=json.loads(json.dumps(content)))
    merged = file.with_entry(DESKTOP, ENTRY)
    assert merged.with_entry(DESKTOP, ENTRY).content == merged.content
    left: Any = json.loads(json.dumps(merged.content))
    del left["mcpServers"]["sim"]
    servers.pop("sim", None)
    assert left == json.loads(json.dumps(content))


def test_vs_code_is_told_to_ask_for_the_secret_once(invoke: Invoke, person: Path) -> None:
    """Its own inputs stay, and ours is not added twice."""
    path = Path(Machine.here().file_of(ClientName.VSCODE, Scope.USER))
    put(path, '{"inputs": [{"id": "other", "type": "promptString"}], "servers": {}}')
    for _ in range(2):
        assert invoke("config", "vscode", "--with-key", "--write").code == 0
    content = json.loads(path.read_text(encoding="utf-8"))
    assert [each["id"] for each in content["inputs"]] == ["other", "sim-api-key"]
    assert content["inputs"][1]["password"] is True
    assert content["servers"]["sim"]["env"]["SIM_API_KEY"] == "${input:sim-api-key}"
    assert person.is_dir()


@pytest.mark.requirement("R31")
def test_a_key_is_written_only_when_asked_and_printed_never(invoke: Invoke, person: Path) -> None:
    """Into a file of its owner's, and not into a shared one."""
    key = "sk-sim-a-key-of-mine"
    ended = invoke("config", "claude-desktop", "--api-key-stdin", "--write", stdin=key)
    path = Path(Machine.here().file_of(ClientName.CLAUDE_DESKTOP, Scope.USER))
    assert ended.code == 0
    assert json.loads(path.read_text(encoding="utf-8"))["mcpServers"]["sim"]["env"]["SIM_API_KEY"] == key
    shown = invoke("config", "claude-desktop", "--api-key-stdin", "--write", "--json", stdin=key)
    assert shown.json["config"] is None
    put(path, "{broken")
    refused = invoke("config", "claude-desktop", "--api-key-stdin", "--write", stdin=key)
    assert refused.code == 1
    assert key not in ended.out + ended.err + shown.out + refused.out + refused.err
    assert person.is_dir()


MISUSES = {
    "--url https://x.example": "add --transport http",
    "--transport http --tenant acme": "the token says whose",
    "--transport http --url ftp://x": "write it as https://",
    "--transport http --url https://me:secret@x/mcp": "a token goes into a header",
    "--transport http --url https://x/mcp?token=secret": "a token goes into a header",
    "--api-key-stdin": "use it with --write",
    "--api-key-stdin --write --scope project": "use --scope user",
    "--name sim/prod": "use letters, digits",
}


@pytest.mark.parametrize("arguments", MISUSES)
def test_what_cannot_be_meant_is_refused_with_the_way_out(
    invoke: Invoke, person: Path, arguments: str
) -> None:
    """Exit code 2, nothing on stdout, nothing written."""
    ended = invoke("config", "cursor", *arguments.split(), stdin="sk-sim-some-key-here")
    assert (ended.code, ended.out, list(person.iterdir())) == (2, "", [])
    assert MISUSES[arguments] in ended.err
    assert "secret" not in ended.err


def test_the_inspector_has_no_file_and_claude_desktop_no_references(invoke: Invoke, person: Path) -> None:
    """Each refusal names what to do instead."""
    assert "run what is printed" in invoke("config", "inspector", "--write").err
    assert "sim-mcp setup" in invoke("config", "claude-desktop", "--with-key").err
    assert invoke("config", "emacs").code == 2
    assert list(person.iterdir()) == []


@pytest.mark.skipif(shutil.which("sh") is None, reason="the command is for a POSIX shell")
def test_the_inspectors_command_survives_the_shell(invoke: Invoke, person: Path) -> None:
    """Blanks and quotes in values reach the program as they are."""
    out = invoke("config", "inspector", "--tenant", "a 'b' $HOME").out
    import shlex

    words = shlex.split(out)
    assert "SIM_MCP_TENANT_ID=a 'b' $HOME" in words
    assert words[-1] == "serve"
    assert person.is_dir()
