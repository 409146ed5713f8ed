"""What `doctor --client` finds: is the client's file sound, and does the server in it start?"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import anyio

from sim_mcp.cli.client_entries import KEY_VARIABLE, PLACEHOLDER
from sim_mcp.cli.client_files import ClientFile, Untouchable
from sim_mcp.cli.clients import CLIENTS, Client, ClientName, Machine, Scope, Secrets
from sim_mcp.cli.exits import root_of
from sim_mcp.model.check import Check, Level
from sim_mcp.model.json import Json, JsonObject, is_array, is_object

START_LIMIT_S = 20.0
"""Clients give a server 10 to 60 s; one that needs longer than this is lost in some of them."""
_LONGEST_NAME = 12
_MARKS = ("sim-mcp", "sim_mcp")
_LEAST_TIMEOUT_MS = 1000


async def check_client(
    name: ClientName, machine: Machine, *, call_patience_s: float, start_limit_s: float = START_LIMIT_S
) -> list[Check]:
    """Every finding about the configuration of the client `name`, in all its files."""
    client, found = CLIENTS[name], list[Check]()
    if not client.scopes:
        remedy = f"run what `sim-mcp config {name}` prints"
        return [Check.skipped("client", f"{client.title} keeps no configuration file.", remedy=remedy)]
    entries: list[tuple[Path, str, JsonObject]] = []
    for scope in client.scopes:
        path = Path(machine.file_of(name, scope))
        checks, servers = _read(client, path, scope)
        found += checks
        entries += [(path, server, entry) for server, entry in servers.items()]
    if not entries and all(check.level is Level.OK for check in found):
        found.append(
            Check.failure(
                "client_entry",
                f"{client.title} does not know this server.",
                remedy=f"run `sim-mcp config {name} --write`",
            )
        )
    for path, server, entry in entries:
        about = f"{path}: {server}"
        faults = [*_form(client, server, entry, about), *_command(client, entry, about)]
        found += faults
        found += _patience(client, entry, call_patience_s, about)
        if "command" in entry and not any(fault.level is Level.FAILURE for fault in faults):
            found += await _start(client, entry, about, start_limit_s)
    return found


def _read(client: Client, path: Path, scope: Scope) -> tuple[list[Check], dict[str, JsonObject]]:
    name, about = "client_file", str(path)
    write = f"sim-mcp config {client.name} --scope {scope} --write"
    try:
        file = ClientFile.read(path)
    except (Untouchable, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        said = f"It cannot be judged: {why}."
        remedy = f"correct it by hand; `sim-mcp config {client.name}` prints what belongs in"
        # A file with comments is the client's good right; we only cannot look into it.
        if "comments" in said:
            compare = f"compare it with what `sim-mcp config {client.name}` prints"
            return [Check.skipped(name, said, remedy=compare, about=about)], {}
        return [Check.failure(name, said, remedy=remedy, about=about)], {}
    if file.original is None:
        return [], {}
    other = "servers" if client.key == "mcpServers" else "mcpServers"
    servers = file.content.get(client.key)
    if is_object(servers):
        ours = {key: value for key, value in servers.items() if is_object(value) and _is_ours(key, value)}
        return [Check.ok(name, f"Read; {len(ours)} of its servers are sim-mcp.", about=about)], ours
    misplaced = file.content.get(other)
    if is_object(misplaced) and any(
        is_object(each) and _is_ours(key, each) for key, each in misplaced.items()
    ):
        said = f"The server stands under {other!r}, which {client.title} does not read."
        remedy = f"move it to {client.key!r}, or run `{write}`"
        return [Check.failure(name, said, remedy=remedy, about=about)], {}
    return [], {}


def _is_ours(name: str, entry: JsonObject) -> bool:
    args = entry.get("args")
    words = [name, entry.get("command"), *(args if is_array(args) else ())]
    return name == "sim" or any(isinstance(word, str) and mark in word for word in words for mark in _MARKS)


def _form(client: Client, name: str, entry: JsonObject, about: str) -> Iterator[Check]:
    """Traps in the form of an entry, each seen in the wild."""
    remedy = f"run `sim-mcp config {client.name} --write`"
    if "command" not in entry and "url" not in entry:
        said = "The entry has neither a command nor a URL."
        yield Check.failure("client_entry", said, remedy=remedy, about=about)
    if "url" in entry and not client.speaks_http:
        said = f"{client.title} reads no `url` in its file."
        again = f"run `sim-mcp config {client.name} --transport http --url URL --write`"
        yield Check.failure("client_entry", said, remedy=again, about=about)
    elif "url" in entry and client.has_type and entry.get("type") not in {"http", "streamable-http", "sse"}:
        said = f"A `url` without `type: http` is taken for a program by {client.title}, and skipped."
        yield Check.failure("client_entry", said, remedy='add "type": "http"', about=about)
    timeout = entry.get("timeout")
    if isinstance(timeout, int | float) and timeout < _LEAST_TIMEOUT_MS:
        said = f"`timeout` is {timeout:g} milliseconds; below 1000 it is ignored."
        yield Check.warning("client_entry", said, remedy="write milliseconds, as 600000", about=about)
    if len(name) > _LONGEST_NAME:
        said = f"The server's name has {len(name)} characters, and clients put it before each tool's name."
        shorter = f"name it `sim`: at most {_LONGEST_NAME} characters leave room for the tools'"
        yield Check.warning("client_entry", said, remedy=shorter, about=about)
    yield from _secrets(client, entry, about)


def _secrets(client: Client, entry: JsonObject, about: str) -> Iterator[Check]:
    texts = {**_texts(entry.get("env")), **_texts(entry.get("headers"))}
    for variable, value in texts.items():
        if PLACEHOLDER in value:
            said = f"{variable} still has the example's text."
            yield Check.failure(
                "client_entry", said, remedy=f"put the real value into {variable}", about=about
            )
        elif client.secrets is not Secrets.NEVER and _is_bare_secret(variable, value):
            said = f"{variable} stands in the file as it is."
            safer = "store the key with `sim-mcp setup`, or refer to it: `sim-mcp config` shows how"
            yield Check.warning("client_entry", said, remedy=safer, about=about)


def _is_bare_secret(variable: str, value: str) -> bool:
    return variable in {KEY_VARIABLE, "Authorization"} and not value.removeprefix("Bearer ").startswith("${")


def _command(client: Client, entry: JsonObject, about: str) -> Iterator[Check]:
    name, command = "client_command", entry.get("command")
    if command is None:
        return
    again = f"run `sim-mcp config {client.name} --write`, which writes absolute paths"
    if not isinstance(command, str) or not command:
        yield Check.failure(name, "The command is no text.", remedy=again, about=about)
        return
    if not Path(command).is_absolute():
        if shutil.which(command) is None:
            yield Check.failure(name, f"There is no program {command!r} here.", remedy=again, about=about)
            return
        said = f"{command!r} is found by this shell; {client.title} starts programs with a shorter PATH."
        make = Check.warning if client.has_shell_environment else Check.failure
        yield make(name, said, remedy=again, about=about)
    elif shutil.which(command) is None:
        yield Check.failure(name, f"There is no program {command!r}.", remedy=again, about=about)
    args = entry.get("args")
    words = [word for word in (args if is_array(args) else ()) if isinstance(word, str)]
    for option in ("--directory", "--config"):
        if option in words[:-1] and not (named := Path(words[words.index(option) + 1])).exists():
            yield Check.failure(
                name, f"{option} names {str(named)!r}, which is not there.", remedy=again, about=about
            )
    if any(mark in word for word in words for mark in _MARKS) and "serve" not in words:
        said = "The arguments lack `serve`, so the program ends at once."
        yield Check.failure(name, said, remedy=again, about=about)


def _patience(client: Client, entry: JsonObject, call_patience_s: float, about: str) -> Iterator[Check]:
    limit_s = client.limit_s
    told = _texts(entry.get("env")).get("SIM_MCP_CALL_PATIENCE_S", "")
    patience_s = float(told) if told.replace(".", "", 1).isdecimal() else call_patience_s
    if limit_s is not None and patience_s >= limit_s:
        yield Check.warning(
            "client_patience",
            f"{client.title} gives up a call after about {limit_s} s, and this server answers "
            f"`still running` only after {patience_s:g} s.",
            remedy=f"set SIM_MCP_CALL_PATIENCE_S below {limit_s}; 45 is the default",
            about=about,
        )


async def _start(client: Client, entry: JsonObject, about: str, limit_s: float) -> list[Check]:
    """Start the server as the client would, on an empty data directory, and list its tools once."""
    name = "client_start"
    if any("${" in value for value in _texts(entry.get("env")).values()):
        said = f"Not started: {client.title} alone can fill in its references."
        return [Check.skipped(name, said, remedy=f"look at the connection in {client.title}", about=about)]
    args = entry.get("args")
    words = [str(word) for word in (args if is_array(args) else ())]
    if (
        not any(mark in word for word in (str(entry["command"]), *words) for mark in _MARKS)
        or "serve" not in words
    ):
        said = "Not started: it is not this program's `serve`."
        return [Check.skipped(name, said, remedy=f"look at the connection in {client.title}", about=about)]
    remedy = "run its command in a terminal and mend what it says; `sim-mcp doctor` tells more"
    with tempfile.TemporaryDirectory(prefix="sim-mcp-doctor-") as folder:
        try:
            with anyio.fail_after(limit_s):
                count = await _count_tools(
                    str(entry["command"]), words, _texts(entry.get("env")), Path(folder)
                )
        except TimeoutError:
            said = f"The server did not answer within {limit_s:g} s; clients give up between 10 and 60 s."
            return [Check.failure(name, said, remedy=remedy, about=about)]
        except Exception as error:  # noqa: BLE001 - an edge: the SDK raises whatever the program's end made of it
            said = f"The server did not start ({type(root_of(error)).__name__}). {_last_words(Path(folder))}"
            return [Check.failure(name, said.strip(), remedy=remedy, about=about)]
    return [Check.ok(name, f"It starts and lists {count} tools.", about=about)]


async def _count_tools(command: str, args: list[str], env: Mapping[str, str], folder: Path) -> int:
    """How many tools the server lists; what it logs goes into `folder`."""
    from mcp import Client as McpClient
    from mcp.client.stdio import StdioServerParameters, stdio_client

    # The real database and key file are not the check's to touch: the server makes its own.
    own = {
        "SIM_MCP_DATA_DIR": str(folder),
        "SIM_MCP_DATABASE_URL": f"sqlite:///{(folder / 'doctor.db').as_posix()}",
    }
    parameters = StdioServerParameters(command=command, args=args, env={**env, **own}, cwd=folder)
    with _log_of(folder).open("w", encoding="utf-8") as log:
        async with McpClient(stdio_client(parameters, errlog=log), mode="legacy") as session:
            return len((await session.list_tools()).tools)


def _log_of(folder: Path) -> Path:
    return folder / "stderr"


def _last_words(folder: Path) -> str:
    """The server's own sentence about why it ended: this program says it in a line of that form."""
    lines = _log_of(folder).read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")), "")


def _texts(table: Json) -> dict[str, str]:
    return {key: value for key, value in table.items() if isinstance(value, str)} if is_object(table) else {}
