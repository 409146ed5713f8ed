"""The clients that people use: where each keeps its configuration, how it spells it, what to do then.

Facts from the clients' own documentation: Claude Desktop documents `command`, `args` and `env` only;
Claude Code expands `${NAME}`, Cursor `${env:NAME}`, and VS Code asks for `${input:id}`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Literal, TypeAlias

System: TypeAlias = Literal["linux", "macos", "windows"]


class ClientName(StrEnum):
    """The clients that `config` and `doctor --client` know."""

    CLAUDE_DESKTOP = "claude-desktop"
    CLAUDE_CODE = "claude-code"
    CURSOR = "cursor"
    VSCODE = "vscode"
    INSPECTOR = "inspector"


class Scope(StrEnum):
    """For whom a configuration counts."""

    USER = "user"
    PROJECT = "project"


class Secrets(StrEnum):
    """How a client's file can refer to a secret that is not in it."""

    NEVER = "never"
    SHELL = "${NAME}"
    ENVIRONMENT = "${env:NAME}"
    ASKED = "${input:id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client. `key` is the table of servers in its file; `limit_s` its fixed patience with a call."""

    name: ClientName
    title: str
    key: str
    secrets: Secrets
    has_type: bool
    next_step: str
    scopes: tuple[Scope, ...] = (Scope.USER, Scope.PROJECT)
    speaks_http: bool = True
    limit_s: int | None = None
    has_shell_environment: bool = True
    """Whether servers are started with the variables of the person's shell."""


CLIENTS: Mapping[ClientName, Client] = {
    ClientName.CLAUDE_DESKTOP: Client(
        name=ClientName.CLAUDE_DESKTOP,
        title="Claude Desktop",
        key="mcpServers",
        secrets=Secrets.NEVER,
        has_type=False,
        next_step="Quit Claude Desktop completely and start it again.",
        scopes=(Scope.USER,),
        speaks_http=False,
        limit_s=60,
        has_shell_environment=False,
    ),
    ClientName.CLAUDE_CODE: Client(
        name=ClientName.CLAUDE_CODE,
        title="Claude Code",
        key="mcpServers",
        secrets=Secrets.SHELL,
        has_type=True,
        next_step="Start `claude` anew; `/mcp` shows the connection.",
    ),
    ClientName.CURSOR: Client(
        name=ClientName.CURSOR,
        title="Cursor",
        key="mcpServers",
        secrets=Secrets.ENVIRONMENT,
        has_type=False,
        next_step="Restart Cursor; Settings, Tools & MCP shows the connection.",
        limit_s=60,
        has_shell_environment=False,
    ),
    ClientName.VSCODE: Client(
        name=ClientName.VSCODE,
        title="VS Code",
        key="servers",
        secrets=Secrets.ASKED,
        has_type=True,
        next_step="Run `MCP: List Servers` in VS Code and start it; tools show in agent mode.",
        has_shell_environment=False,
    ),
    ClientName.INSPECTOR: Client(
        name=ClientName.INSPECTOR,
        title="MCP Inspector",
        key="mcpServers",
        secrets=Secrets.SHELL,
        has_type=True,
        next_step="Run the command (Node 22 or newer) and open the address that it prints.",
        scopes=(),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What decides where files are. `project` is the directory of a project's own configuration."""

    system: System
    home: PurePath
    project: PurePath
    environment: Mapping[str, str]

    @classmethod
    def here(cls) -> Machine:
        """This machine, this person, this directory."""
        from sim_mcp.config import client_places

        system: System = {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")  # pyright: ignore[reportAssignmentType]  # exactly these
        return cls(system=system, home=Path.home(), project=Path.cwd(), environment=client_places())

    @property
    def applications(self) -> PurePath:
        """Where desktop applications keep a person's configuration."""
        match self.system:
            case "windows":
                return self._named("APPDATA", self.home / "AppData" / "Roaming")
            case "macos":
                return self.home / "Library" / "Application Support"
            case "linux":
                return self._named("XDG_CONFIG_HOME", self.home / ".config")

    def _named(self, variable: str, default: PurePath) -> PurePath:
        # An empty or relative value counts as unset (XDG Base Directory Specification).
        value = type(self.home)(self.environment.get(variable) or "")
        return value if value.is_absolute() else default

    def file_of(self, client: ClientName, scope: Scope) -> PurePath:
        """The configuration file of `client` for `scope`.

        Raises:
            KeyError: the client has no such file.
        """
        match client, scope:
            case ClientName.CLAUDE_DESKTOP, Scope.USER:
                return self.applications / "Claude" / "claude_desktop_config.json"
            case ClientName.CLAUDE_CODE, Scope.USER:
                return self._named("CLAUDE_CONFIG_DIR", self.home) / ".claude.json"
            case ClientName.CLAUDE_CODE, Scope.PROJECT:
                return self.project / ".mcp.json"
            case ClientName.CURSOR, Scope.USER:
                return self.home / ".cursor" / "mcp.json"
            case ClientName.CURSOR, Scope.PROJECT:
                return self.project / ".cursor" / "mcp.json"
            case ClientName.VSCODE, Scope.USER:
                return self.applications / "Code" / "User" / "mcp.json"
            case ClientName.VSCODE, Scope.PROJECT:
                return self.project / ".vscode" / "mcp.json"
            case _:
                raise KeyError(client, scope)
