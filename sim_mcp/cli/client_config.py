"""`sim-mcp config`: prints a client's configuration, or puts it into the client's own file."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

import sim_mcp
from sim_mcp.cli.asking import read_secret
from sim_mcp.cli.client_entries import (
    KEY_VARIABLE,
    TOKEN_VARIABLE,
    Entry,
    Launch,
    check_name,
    check_url,
    environment_of,
    http_entry,
    stdio_entry,
)
from sim_mcp.cli.client_files import ClientFile, Untouchable
from sim_mcp.cli.clients import CLIENTS, Client, ClientName, Machine, Scope, Secrets
from sim_mcp.cli.exits import Misuse, Unfinished
from sim_mcp.cli.options import AsJson, Config
from sim_mcp.cli.printing import note, print_json, say
from sim_mcp.cli.session import read_settings
from sim_mcp.model.clock import SystemClock
from sim_mcp.model.json import Json, is_array, is_object

if TYPE_CHECKING:
    from sim_mcp.config import Settings

PROMPT = "Which workflows can you run for me, and is the connection to SIM healthy?"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Transport(StrEnum):
    """How the client reaches the server."""

    STDIO = "stdio"
    HTTP = "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What was asked for."""

    client: Client
    transport: Transport
    scope: Scope
    name: str
    url: str | None
    tenant: str | None
    hands_key: bool
    api_key: str | None


def client_config(
    client: Annotated[ClientName, typer.Argument(metavar="CLIENT", help="Whose configuration.")],
    *,
    write: Annotated[
        bool, typer.Option("--write", help="Put it into the client's file, keeping a backup.")
    ] = False,
    transport: Annotated[
        Transport, typer.Option("--transport", help="stdio: starts the server. http: connects to one.")
    ] = Transport.STDIO,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Of the running server (http).")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Of the server in the client; short is best.")] = "sim",
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="T", help="Whom a stdio session serves.")
    ] = None,
    scope: Annotated[
        Scope, typer.Option("--scope", help="user: everywhere. project: this directory, to be shared.")
    ] = Scope.USER,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Hand on SIM_API_KEY, by reference (stdio).")
    ] = False,
    api_key_stdin: Annotated[
        bool, typer.Option("--api-key-stdin", help="Write the key from standard input into the file.")
    ] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Connect a client: print its configuration, or with --write merge it into its file.

    No secret is printed or written, unless --api-key-stdin asks for it.
    """
    wanted = _Wanted(
        client=CLIENTS[client],
        transport=transport,
        scope=scope,
        name=check_name(name),
        url=url,
        tenant=tenant,
        hands_key=with_key,
        api_key=None,
    )
    _refuse_contradictions(wanted, is_writing=write, reads_key=api_key_stdin)
    if api_key_stdin:
        wanted = replace(wanted, api_key=read_secret("SIM API key", from_stdin=True))
    entry = _entry(wanted, read_settings(config), _settings_file(config))
    machine = Machine.here()
    if client is ClientName.INSPECTOR:
        _show_command(wanted, entry, machine, as_json=as_json)
        return
    path = Path(machine.file_of(client, scope))
    changed, backup = _merge(wanted, entry, path) if write else (False, None)
    _tell(wanted, entry, path, is_written=write, is_changed=changed, backup=backup, as_json=as_json)


def _refuse_contradictions(wanted: _Wanted, *, is_writing: bool, reads_key: bool) -> None:
    is_http, client = wanted.transport is Transport.HTTP, wanted.client
    if wanted.url is not None and not is_http:
        raise Misuse("--url is for a server that runs already.", remedy="add --transport http")
    if is_http and (wanted.tenant is not None or wanted.hands_key or reads_key):
        raise Misuse(
            "Over HTTP the token says whose session it is.",
            remedy="drop --tenant, --with-key and --api-key-stdin; `sim-mcp token create` makes a token",
        )
    if reads_key and (not is_writing or wanted.hands_key or not client.scopes):
        raise Misuse("--api-key-stdin writes the key into a file.", remedy="use it with --write, alone")
    if reads_key and wanted.scope is Scope.PROJECT:
        raise Misuse("A project's file is shared, and so would be the key.", remedy="use --scope user")
    if client.scopes and wanted.scope not in client.scopes:
        raise Misuse(f"{client.title} has no file for a project.", remedy="use --scope user")
    if is_writing and not client.scopes:
        raise Misuse(
            f"{client.title} keeps no configuration file.", remedy="drop --write and run what is printed"
        )


def _settings_file(config: Path | None) -> Path | None:
    """The settings file in force, to be named: a client starts the server somewhere else."""
    from sim_mcp.config import CONFIG_FILE

    return config or (Path(CONFIG_FILE) if Path(CONFIG_FILE).is_file() else None)


def _entry(wanted: _Wanted, settings: Settings, config: Path | None) -> Entry:
    from sim_mcp.config import Settings as FromEnvironment

    if wanted.transport is Transport.HTTP:
        url = check_url(wanted.url or settings.public_url or "http://127.0.0.1:8765")
        if url.startswith("http://") and urlsplit(url).hostname not in _LOOPBACK:
            note("Warning: over plain http the token travels in the clear; put TLS in front.")
        return http_entry(wanted.client, name=wanted.name, url=url, bridge=shutil.which("npx") or "npx")
    package = Path(sim_mcp.__file__).absolute().parent
    return stdio_entry(
        wanted.client,
        name=wanted.name,
        launch=Launch.of(interpreter=sys.executable, package=package, uv=shutil.which("uv")),
        config=config,
        environment=environment_of(FromEnvironment(), tenant=wanted.tenant),
        hands_key=wanted.hands_key,
        api_key=wanted.api_key,
    )


def _merge(wanted: _Wanted, entry: Entry, path: Path) -> tuple[bool, Path | None]:
    """Put `entry` into the file at `path`; whether that changed anything, and the backup."""
    try:
        before = ClientFile.read(path)
        after = before.with_entry(wanted.client, entry)
        if after.content == before.content:
            return False, None
        return True, after.write(SystemClock().now())
    except Untouchable as error:
        if not entry.has_secret:
            say(_as_text(wanted.client, entry))
        raise Unfinished(
            f"{str(path)!r} was left as it is: {error}.",
            remedy="put the lines printed above into it by hand"
            if not entry.has_secret
            else f"run it without --api-key-stdin, paste what it prints, and add {KEY_VARIABLE} by hand",
        ) from error


def _tell(
    wanted: _Wanted,
    entry: Entry,
    path: Path,
    *,
    is_written: bool,
    is_changed: bool,
    backup: Path | None,
    as_json: bool,
) -> None:
    steps = _next_steps(wanted, entry)
    if as_json:
        print_json(
            {
                "client": wanted.client.name.value,
                "transport": wanted.transport.value,
                "scope": wanted.scope.value,
                "file": str(path),
                "config": None if entry.has_secret else _as_json(wanted.client, entry),
                "command": None,
                "is_written": is_written,
                "is_changed": is_changed,
                "backup": None if backup is None else str(backup),
                "next": list[Json](steps),
            }
        )
        return
    if not is_written:
        say(_as_text(wanted.client, entry))
        note(f"For {path}. Put it there, or let --write do it.")
    elif not is_changed:
        say(f"{path} has it already; nothing was changed.")
    else:
        say(f"Wrote the server {wanted.name!r} into {path}.")
        if backup is not None:
            say(f"The file as it was: {backup}")
    for step in steps:
        note(step)


def _show_command(wanted: _Wanted, entry: Entry, machine: Machine, *, as_json: bool) -> None:
    command = _inspector(entry, machine)
    if as_json:
        print_json(
            {
                "client": wanted.client.name.value,
                "transport": wanted.transport.value,
                "scope": None,
                "file": None,
                "config": None,
                "command": command,
                "is_written": False,
                "is_changed": False,
                "backup": None,
                "next": [wanted.client.next_step],
            }
        )
        return
    say(command)
    note(wanted.client.next_step)


def _inspector(entry: Entry, machine: Machine) -> str:
    """The command line that opens the Inspector. References are left to the shell."""
    words, server = ["npx", "@modelcontextprotocol/inspector"], entry.server
    if "url" in server:
        # Double quotes, so that the shell puts the token in.
        token = f"%{TOKEN_VARIABLE}%" if machine.system == "windows" else f"${TOKEN_VARIABLE}"
        words += ["--transport", "http", "--server-url", str(server["url"])]
        return f'{_joined(words, machine)} --header "Authorization: Bearer {token}"'
    env, args = server.get("env"), server.get("args")
    variables = dict(env) if is_object(env) else {}
    hands_key = variables.pop(KEY_VARIABLE, None) is not None
    for variable, value in variables.items():
        words += ["-e", f"{variable}={value}"]
    started = ["--", str(server["command"]), *(str(arg) for arg in (args if is_array(args) else ()))]
    key = f"%{KEY_VARIABLE}%" if machine.system == "windows" else f"${KEY_VARIABLE}"
    handed = f'-e "{KEY_VARIABLE}={key}" ' if hands_key else ""
    return f"{_joined(words, machine)} {handed}{_joined(started, machine)}"


def _joined(words: list[str], machine: Machine) -> str:
    return subprocess.list2cmdline(words) if machine.system == "windows" else shlex.join(words)


def _next_steps(wanted: _Wanted, entry: Entry) -> list[str]:
    steps: list[str] = []
    refers = wanted.client.secrets in {Secrets.SHELL, Secrets.ENVIRONMENT}
    if wanted.transport is Transport.HTTP:
        where = "put it into the file" if wanted.client.secrets is Secrets.NEVER else "give it when asked"
        where = f"set {TOKEN_VARIABLE} to it where the client starts" if refers else where
        steps.append(f"Make a token with `sim-mcp token create`, and {where}.")
    elif wanted.hands_key and refers:
        steps.append(f"Set {KEY_VARIABLE} where the client starts.")
    elif not wanted.hands_key and not entry.has_secret:
        steps.append("If the tenant has no SIM account yet: `sim-mcp setup`. The key is stored sealed.")
    steps.append(wanted.client.next_step)
    steps.append(f"Then ask: {PROMPT}")
    return steps


def _as_json(client: Client, entry: Entry) -> dict[str, Json]:
    found: dict[str, Json] = {client.key: {entry.name: dict(entry.server)}}
    if entry.inputs:
        found["inputs"] = [dict(each) for each in entry.inputs]
    return found


def _as_text(client: Client, entry: Entry) -> str:
    return json.dumps(_as_json(client, entry), indent=2, ensure_ascii=False)
