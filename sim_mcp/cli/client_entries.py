"""A client's entry for this server: a command that works from anywhere, or a URL. Secrets by reference."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from sim_mcp.cli.clients import Client, Secrets
from sim_mcp.cli.exits import Misuse
from sim_mcp.model.json import Json, JsonObject

if TYPE_CHECKING:
    from sim_mcp.config import Settings

KEY_VARIABLE = "SIM_API_KEY"
TOKEN_VARIABLE = "SIM_TOKEN"  # noqa: S105 - the name of a variable, not a token
"""Not `SIM_MCP_…`: the server would refuse it as a setting that it does not know."""
PLACEHOLDER = "replace-with-"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_PASSED_ON = (
    "data_dir", "tool_specs", "tenant_id", "organization_id", "permissions", "sim_base_url",
    "sim_allowed_hosts", "call_patience_s", "rate_per_minute", "max_concurrency", "monthly_executions",
    "redact_keys", "log_level",
)  # fmt: skip
"""Settings that hold no secret: a client does not start servers with the variables of a shell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How to start this very program from any directory."""

    command: str
    args: tuple[str, ...]

    @classmethod
    def of(cls, *, interpreter: str, package: Path, uv: str | None) -> Launch:
        """Through `uv` when `package` lies in a checkout, else by the interpreter that runs now."""
        project = package.parent
        if uv is not None and _is_checkout(project):
            return cls(command=uv, args=("--directory", str(project), "run", "sim-mcp", "serve"))
        return cls(command=interpreter, args=("-m", "sim_mcp", "serve"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What to put into a client's file: the server under its name, and what the file needs beside it."""

    name: str
    server: dict[str, Json]
    inputs: tuple[JsonObject, ...] = ()
    has_secret: bool = False
    """Whether a key itself is in it, because the person asked for that."""


def check_name(name: str) -> str:
    """`name`, when every client can show it.

    Raises:
        Misuse: it cannot be a server's name.
    """
    if not _NAME.fullmatch(name):
        raise Misuse(
            "That is no name for a server.", remedy="use letters, digits, - and _, at most 32; short is best"
        )
    return name


def check_url(url: str) -> str:
    """`url` of this server's MCP door; a bare host gets its path.

    Raises:
        Misuse: it is no such URL, or holds a secret.
    """
    try:
        parts = urlsplit(url.strip())
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url, parts = False, urlsplit("")
    if not is_url or any(character.isspace() for character in url.strip()):
        raise Misuse("--url is no URL.", remedy="write it as https://mcp.example.com/mcp")
    if parts.username is not None or parts.query or parts.fragment:
        raise Misuse(
            "--url holds a user name, a query or a fragment.",
            remedy="leave it out; a token goes into a header",
        )
    path = parts.path.rstrip("/") or "/mcp"
    return f"{parts.scheme}://{parts.netloc}{path}"


def environment_of(settings: Settings, *, tenant: str | None) -> dict[str, str]:
    """The variables that a server needs to run as it would in this shell; none of them is a secret.

    `settings` are those of the environment alone: what a settings file says, the server reads there.
    """
    found: dict[str, str] = {}
    for field in _PASSED_ON:
        if field in settings.model_fields_set:
            found[f"SIM_MCP_{field.upper()}"] = _text(getattr(settings, field))
    if tenant is not None:
        found["SIM_MCP_TENANT_ID"] = tenant
    return found


def stdio_entry(
    client: Client,
    *,
    name: str,
    launch: Launch,
    config: Path | None,
    environment: dict[str, str],
    hands_key: bool,
    api_key: str | None,
) -> Entry:
    """An entry that starts the server. `hands_key` refers to SIM_API_KEY; `api_key` writes it down.

    Raises:
        Misuse: a reference for a client that knows none.
    """
    args = [*launch.args, *(() if config is None else ("--config", str(config.absolute())))]
    env: dict[str, Json] = dict(environment)
    inputs: tuple[JsonObject, ...] = ()
    if api_key is not None:
        env[KEY_VARIABLE] = api_key
    elif hands_key:
        env[KEY_VARIABLE], inputs = _reference(client, KEY_VARIABLE, "SIM API key")
    server: dict[str, Json] = {"type": "stdio"} if client.has_type else {}
    server |= {"command": launch.command, "args": list[Json](args)}
    if env:
        server["env"] = env
    return Entry(name=name, server=server, inputs=inputs, has_secret=api_key is not None)


def http_entry(client: Client, *, name: str, url: str, bridge: str = "npx") -> Entry:
    """An entry that connects to a running server; the bearer token by reference.

    Claude Desktop's file starts programs only, so a small program (`mcp-remote`) connects for it.
    """
    if not client.speaks_http:
        header = f"Authorization:Bearer ${{{TOKEN_VARIABLE}}}"  # no blank: Windows would split it there
        return Entry(
            name=name,
            server={
                "command": bridge,
                "args": ["-y", "mcp-remote", url, "--header", header],
                "env": {TOKEN_VARIABLE: f"{PLACEHOLDER}the-token-that-sim-mcp-token-create-printed"},
            },
        )
    token, inputs = _reference(client, TOKEN_VARIABLE, "sim-mcp token")
    server: dict[str, Json] = {"type": "http"} if client.has_type else {}
    server |= {"url": url, "headers": {"Authorization": f"Bearer {token}"}}
    return Entry(name=name, server=server, inputs=inputs)


def _reference(client: Client, variable: str, title: str) -> tuple[str, tuple[JsonObject, ...]]:
    match client.secrets:
        case Secrets.SHELL:
            return f"${{{variable}}}", ()
        case Secrets.ENVIRONMENT:
            return f"${{env:{variable}}}", ()
        case Secrets.ASKED:
            identity = variable.lower().replace("_", "-")
            asked: JsonObject = {
                "type": "promptString",
                "id": identity,
                "description": title,
                "password": True,
            }
            return f"${{input:{identity}}}", (asked,)
        case Secrets.NEVER:
            raise Misuse(
                f"{client.title} cannot refer to a secret outside its file.",
                remedy="store the key sealed with `sim-mcp setup`, which needs nothing in the file; "
                "or pipe it in with --api-key-stdin --write",
            )


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(str(word) for word in cast("tuple[object, ...]", value))
    return str(value.absolute()) if isinstance(value, Path) else str(value)


def _is_checkout(directory: Path) -> bool:
    try:
        content = tomllib.loads((directory / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return content.get("project", {}).get("name") == "sim-mcp"
