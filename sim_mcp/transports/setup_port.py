"""The setup page of a stdio session: on a loopback port of its own, only while a link is open."""

from __future__ import annotations

import logging
import socket
import uuid
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from sim_mcp.model.errors import Conflict, SimMcpError
from sim_mcp.transports.talk import SETUP_PATH

if TYPE_CHECKING:
    import uvicorn
    from anyio.abc import TaskGroup
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from sim_mcp.app import App, IssuedLink
    from sim_mcp.model.principal import Principal

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
LOOK_EVERY_S = 1.0
SHUTDOWN_S = 2


@asynccontextmanager
async def open_loopback_pages(app: App) -> AsyncGenerator[LoopbackPages]:
    """Pages for one stdio session. No port is open before the first link, and none after the session."""
    async with anyio.create_task_group() as group:
        pages = LoopbackPages(app, group)
        try:
            yield pages
        finally:
            group.cancel_scope.cancel()


@dataclass(slots=True)
class _Port:
    """An open port, and the links that people may still want to open there."""

    url: str
    links: dict[str, Principal] = field(default_factory=dict[str, "Principal"])


class LoopbackPages:
    """Opens a port of `127.0.0.1` for the first link, and closes it with the last one."""

    def __init__(self, app: App, group: TaskGroup) -> None:
        self._app = app
        self._group = group
        self._lock = anyio.Lock()
        self._port: _Port | None = None

    @property
    def is_open(self) -> bool:
        """Whether a port is open."""
        return self._port is not None

    async def url_of(self, issued: IssuedLink, principal: Principal, request: Request | None) -> str:
        """The URL that opens `issued`, on this machine alone.

        Raises:
            Conflict: no port can be opened.
        """
        del request
        async with self._lock:
            port: _Port = self._port or await self._group.start(self._serve)
            self._port = port
            port.links[issued.link.id] = principal
            return f"{port.url}{SETUP_PATH}/{issued.secret}"

    async def _serve(self, *, task_status: anyio.abc.TaskStatus[_Port]) -> None:
        try:
            listener = socket.create_server((HOST, 0))
        except OSError as error:
            raise Conflict(
                "No port of this machine can be opened for the page. Run `sim-mcp setup` in a terminal."
            ) from error
        with listener:
            port = _Port(url=f"http://{HOST}:{listener.getsockname()[1]}")
            server = _server(_application(self._app))
            async with anyio.create_task_group() as group:
                group.start_soon(_run, server, listener)
                task_status.started(port)
                await self._until_done(port)
                server.should_exit = True

    async def _until_done(self, port: _Port) -> None:
        clock = self._app.tokens.clock
        while port.links or not await self._close(port):
            await clock.sleep(LOOK_EVERY_S)
            for link_id, principal in tuple(port.links.items()):
                if await self._is_done(link_id, principal):
                    del port.links[link_id]

    async def _close(self, port: _Port) -> bool:
        async with self._lock:  # a link that is being made right now keeps the port open
            if not port.links:
                self._port = None
            return not port.links

    async def _is_done(self, link_id: str, principal: Principal) -> bool:
        try:
            seen = await self._app.setup.find(principal, link_id)
        except SimMcpError as error:
            log.warning("setup links cannot be looked at: %s", error.message)
            return False
        return seen is None or seen.is_done


def _application(app: App) -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware

    from sim_mcp.transports.http_guards import KnownHosts, OnlyKnownHosts, RequestIds
    from sim_mcp.transports.setup_page import SetupPage

    known = KnownHosts.of(public_url=None, hosts=(), origins=())
    return Starlette(
        middleware=[
            Middleware(RequestIds, lambda: uuid.uuid4().hex),
            Middleware(OnlyKnownHosts, known),
        ],
        routes=SetupPage(app, public_url=None).routes(),
    )


def _server(web: ASGIApp) -> uvicorn.Server:
    import uvicorn

    class PageServer(uvicorn.Server):
        """Leaves the signals to the session that it belongs to."""

        @contextmanager
        def capture_signals(self) -> Generator[None]:
            yield

    return PageServer(
        uvicorn.Config(
            web,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
    )


async def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    try:
        await server.serve([listener])
    except anyio.get_cancelled_exc_class():
        if server.started:
            with anyio.move_on_after(SHUTDOWN_S + 1, shield=True):
                await server.shutdown([listener])
        raise
