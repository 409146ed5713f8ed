"""The stdio door: one session of one principal on standard input and output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from mcp.shared._stream_protocols import ReadStream, WriteStream
    from mcp.shared.message import SessionMessage

    from sim_mcp.app import App
    from sim_mcp.transports.admin_tools import AdminTools
    from sim_mcp.transports.mcp import SimServer


async def serve_stdio(app: App, *, admin_tools: AdminTools = "full") -> None:
    """Serve the principal that the settings name, until standard input ends.

    Standard output carries protocol messages alone. The end of input is not a cancel: runs that are
    under way go on, and closing the app decides how long they are waited for.
    """
    from mcp.server.stdio import stdio_server

    from sim_mcp.transports.mcp import build_server
    from sim_mcp.transports.setup_port import open_loopback_pages

    async with open_loopback_pages(app) as pages, stdio_server() as (read, write):
        server = build_server(app, own=app.own_principal(), admin_tools=admin_tools, pages=pages)
        await serve_streams(server, read, write)


async def serve_streams(
    server: SimServer,
    read: ReadStream[SessionMessage | Exception],
    write: WriteStream[SessionMessage],
) -> None:
    """Serve one session on a pair of message streams until `read` ends.

    The messages pass through a stream of our own, so that the server knows of the end before the
    SDK cancels the calls under way.
    """
    send, receive = anyio.create_memory_object_stream["SessionMessage | Exception"](0)

    async def pass_on() -> None:
        async with send:
            async for message in read:
                await send.send(message)
            server.begin_closing()

    async with anyio.create_task_group() as group:
        group.start_soon(pass_on)
        await server.run(receive, write, server.create_initialization_options())
        group.cancel_scope.cancel()
