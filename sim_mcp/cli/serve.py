"""`sim-mcp serve`: the server itself, for one client over stdio or for many over HTTP."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli.exits import Misuse
from sim_mcp.cli.options import Config
from sim_mcp.cli.printing import note
from sim_mcp.cli.session import read_settings, run

if TYPE_CHECKING:
    from sim_mcp.config import Settings


class Transport(StrEnum):
    """How clients reach the server."""

    STDIO = "stdio"
    HTTP = "http"


class AdminTools(StrEnum):
    """Which of the admin tools are offered."""

    FULL = "full"
    READ = "read"
    OFF = "off"


def serve(
    *,
    transport: Annotated[
        Transport, typer.Option("--transport", help="stdio: one local client. http: many, with tokens.")
    ],
    host: Annotated[str, typer.Option("--host", help="Address to listen on (http).")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port (http); 0 takes a free one.")
    ] = 8765,
    tool_specs: Annotated[
        Path | None, typer.Option("--tool-specs", metavar="DIR", help="Spec files, watched while serving.")
    ] = None,
    with_sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Use a built-in SIM: no account needed.")
    ] = False,
    admin_tools: Annotated[
        AdminTools, typer.Option("--admin-tools", help="Which admin tools to offer.")
    ] = AdminTools.FULL,
    insecure_no_auth: Annotated[
        bool, typer.Option("--insecure-no-auth", help="No tokens; loopback only (http).")
    ] = False,
    config: Config = None,
) -> None:
    """Run the MCP server."""
    settings = read_settings(config, is_server=True)
    if tool_specs is not None:
        if not tool_specs.is_dir():
            raise Misuse(
                f"There is no directory {str(tool_specs)!r}.", remedy="give --tool-specs a directory"
            )
        settings = settings.model_copy(update={"tool_specs": tool_specs})

    async def serve_stdio() -> None:
        await _over_stdio(settings, admin_tools, with_sandbox=with_sandbox)

    async def serve_http() -> None:
        await _over_http(
            settings,
            admin_tools,
            host=host,
            port=port,
            with_sandbox=with_sandbox,
            allow_unauthenticated=insecure_no_auth,
        )

    with suppress(KeyboardInterrupt):  # being stopped is how a server ends
        run(serve_stdio if transport is Transport.STDIO else serve_http)


async def _over_stdio(settings: Settings, admin_tools: AdminTools, *, with_sandbox: bool) -> None:
    from sim_mcp.app import Needs, open_app
    from sim_mcp.transports.stdio import serve_stdio

    async with AsyncExitStack() as stack:
        if with_sandbox:
            settings = await _sandboxed(stack, settings, lends_key=True)
        app = await stack.enter_async_context(open_app(settings, needs=Needs(uses_process_key=True)))
        await serve_stdio(app, admin_tools=admin_tools.value)


async def _over_http(
    settings: Settings,
    admin_tools: AdminTools,
    *,
    host: str,
    port: int,
    with_sandbox: bool,
    allow_unauthenticated: bool,
) -> None:
    from sim_mcp.app import Needs, open_app
    from sim_mcp.transports.http import serve_http

    async with AsyncExitStack() as stack:
        if with_sandbox:
            settings = await _sandboxed(stack, settings, lends_key=False)
        app = await stack.enter_async_context(open_app(settings, needs=Needs(is_pooled=True)))
        await serve_http(
            app,
            host=host,
            port=port,
            admin_tools=admin_tools.value,
            allow_unauthenticated=allow_unauthenticated,
            ready=lambda url: note(
                f"MCP at {url}/mcp (SSE at {url}/sse, REST at {url}/api/integration/sim)."
            ),
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
