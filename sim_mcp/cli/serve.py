"""`sim-mcp serve`: the server itself, for one client over stdio or for many over HTTP.

Reads its options with argparse: typer, and the other verbs behind it, would be a fifth of its start.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, TypeAlias

from sim_mcp.cli.exits import Misuse
from sim_mcp.cli.printing import note
from sim_mcp.cli.session import read_settings, run, settle_down
from sim_mcp.model.credentials import without_credentials

if TYPE_CHECKING:
    from sim_mcp.config import Settings

AdminTools: TypeAlias = Literal["full", "read", "off"]
HIGHEST_PORT = 65535
TRANSPORT_HELP = "stdio: one local client. http: many, with tokens. Default: stdio."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """What was asked for."""

    transport: Literal["stdio", "http"]
    host: str
    port: int
    tool_specs: Path | None
    sandbox: bool
    admin_tools: AdminTools
    insecure_no_auth: bool
    no_worker: bool
    config: Path | None


def serve(arguments: Sequence[str]) -> None:
    """Run the MCP server until it is stopped.

    Raises:
        Misuse: an option or a setting cannot be meant.
        SystemExit: with 0, after `--help`.
    """
    options = _Options(**vars(_parser().parse_args(arguments)))
    settings = read_settings(options.config, is_server=True)
    if options.tool_specs is not None:
        if not options.tool_specs.is_dir():
            raise Misuse(
                f"There is no directory {str(options.tool_specs)!r}.", remedy="give --tool-specs a directory"
            )
        settings = settings.model_copy(update={"tool_specs": options.tool_specs})

    async def serve_stdio() -> None:
        await _over_stdio(settings, options.admin_tools, with_sandbox=options.sandbox)

    async def serve_http() -> None:
        await _over_http(
            settings,
            options.admin_tools,
            host=options.host,
            port=options.port,
            with_sandbox=options.sandbox,
            allow_unauthenticated=options.insecure_no_auth,
            runs_jobs=not options.no_worker,
        )

    with suppress(KeyboardInterrupt):  # being stopped is how a server ends
        if options.transport == "stdio":
            run(serve_stdio)  # starts in a moment, and serves one
        else:
            run(serve_http, for_long=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        said = without_credentials(f"{message[:1].upper()}{message[1:]}.")  # a stray argument may be a key
        raise Misuse(said, remedy="`sim-mcp serve --help` lists the options")


def _parser() -> _Parser:
    parser = _Parser(
        prog="sim-mcp serve",
        description="Run the MCP server.",
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=80),
    )
    add = parser.add_argument
    # A default, because the Inspector's command line takes a `--transport` behind the command for its own.
    add("--transport", choices=["stdio", "http"], default="stdio", help=TRANSPORT_HELP)
    add("--host", default="127.0.0.1", help="Address to listen on (http). Default: 127.0.0.1.")
    add("--port", type=_port, default=8765, help="Port (http); 0 takes a free one. Default: 8765.")
    add("--tool-specs", type=Path, metavar="DIR", help="Spec files, watched while serving.")
    add("--sandbox", action="store_true", help="Use a built-in SIM: no account needed.")
    add(
        "--admin-tools",
        choices=["full", "read", "off"],
        default="full",
        help="Which to offer. Default: full.",
    )
    add("--insecure-no-auth", action="store_true", help="No tokens; loopback only (http).")
    add("--no-worker", action="store_true", help="Run no events and schedules here (http).")
    add("--config", type=Path, metavar="FILE", help="Settings file; default: sim-mcp.toml here.")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to {HIGHEST_PORT}")
    return int(text)


async def _over_stdio(settings: Settings, admin_tools: AdminTools, *, with_sandbox: bool) -> None:
    from sim_mcp.app import Needs, open_app
    from sim_mcp.transports.stdio import serve_stdio

    async with AsyncExitStack() as stack:
        if with_sandbox:
            settings = await _sandboxed(stack, settings, lends_key=True)
        app = await stack.enter_async_context(open_app(settings, needs=Needs(uses_process_key=True)))
        await serve_stdio(app, admin_tools=admin_tools)


async def _over_http(
    settings: Settings,
    admin_tools: AdminTools,
    *,
    host: str,
    port: int,
    with_sandbox: bool,
    allow_unauthenticated: bool,
    runs_jobs: bool,
) -> None:
    from sim_mcp.app import Needs, open_app
    from sim_mcp.transports.http import serve_http

    async with AsyncExitStack() as stack:
        if with_sandbox:
            settings = await _sandboxed(stack, settings, lends_key=False)
        app = await stack.enter_async_context(
            open_app(settings, needs=Needs(runs_jobs=runs_jobs, counts=True))
        )

        def ready(url: str) -> None:
            settle_down()
            note(f"MCP at {url}/mcp (SSE at {url}/sse, REST at {url}/api/integration/sim).")

        await serve_http(
            app,
            host=host,
            port=port,
            admin_tools=admin_tools,
            allow_unauthenticated=allow_unauthenticated,
            ready=ready,
        )


async def _sandboxed(stack: AsyncExitStack, settings: Settings, *, lends_key: bool) -> Settings:
    """The settings of a server that brings its own SIM, which lives as long as `stack`."""
    from sim_mcp.cli.sandbox import instructions, sandboxed
    from sim_mcp.sim.fake import FakeSim

    changed, url = await stack.enter_async_context(sandboxed(settings, FakeSim(), lends_key=lends_key))
    for line in instructions(url):
        note(line)
    if changed.sim_api_key is not None and settings.sim_api_key is None:
        note(f"This session is tenant {changed.tenant_id!r}, connected to it already.")
    return changed
