"""The HTTP doors in one application: Streamable HTTP, legacy SSE, REST, probes and metadata."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import threading
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import anyio

from sim_mcp.model.errors import InvalidInput, SimMcpError
from sim_mcp.transports.auth import Authenticator

if TYPE_CHECKING:
    import uvicorn
    from mcp.server.lowlevel import Server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from sim_mcp.app import App
    from sim_mcp.model.principal import Principal

log = logging.getLogger(__name__)

AdminTools: TypeAlias = Literal["full", "read", "off"]
ServerFactory: TypeAlias = "Callable[[], Server[Any]]"

LARGEST_MESSAGE_BYTES = 10 * 1024 * 1024
MOST_SESSIONS = 2000
SESSION_IDLE_S = 900.0
SHUTDOWN_S = 5


def build_http_app(
    app: App,
    server_factory: ServerFactory,
    *,
    allow_unauthenticated: bool = False,
    new_request_id: Callable[[], str] = lambda: uuid.uuid4().hex,
) -> Starlette:
    """Everything that is reached over HTTP.

    Args:
        app: The opened rooms; they must stay open as long as the application runs.
        server_factory: Makes the MCP server; called once.
        allow_unauthenticated: Every request comes from `app.own_principal()`. Loopback only: the
            caller answers for that.
        new_request_id: Names requests that bring no id of their own.
    """
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.requests import ClientDisconnect

    from sim_mcp.transports.http_cors import PagesOfKnownOrigins
    from sim_mcp.transports.http_failures import left_early, no_route, own_mistake
    from sim_mcp.transports.http_guards import KnownHosts, OnlyKnownHosts, RequestIds

    settings = app.settings
    known = KnownHosts.of(
        public_url=settings.public_url, hosts=settings.allowed_hosts, origins=settings.allowed_origins
    )
    server = server_factory()
    sessions = _sessions(server)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with sessions.run():
            yield

    web = Starlette(
        lifespan=lifespan,
        middleware=[
            Middleware(RequestIds, new_request_id),
            Middleware(OnlyKnownHosts, known),
            Middleware(PagesOfKnownOrigins),
        ],
        exception_handlers={HTTPException: no_route, ClientDisconnect: left_early, Exception: own_mistake},
        routes=_routes(app, server, sessions, anybody=app.own_principal() if allow_unauthenticated else None),
    )
    web.router.redirect_slashes = False
    return web


def _sessions(server: Server[Any]) -> StreamableHTTPSessionManager:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    return StreamableHTTPSessionManager(
        server,
        json_response=False,  # progress and cancellation need the stream
        security_settings=None,  # `OnlyKnownHosts` stands in front of every route, this one too
        max_request_body_size=LARGEST_MESSAGE_BYTES,
        session_idle_timeout=SESSION_IDLE_S,
        max_sessions=MOST_SESSIONS,
    )


def _routes(
    app: App, server: Server[Any], sessions: StreamableHTTPSessionManager, *, anybody: Principal | None
) -> list[BaseRoute]:
    from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
    from starlette.routing import Mount, Route

    from sim_mcp.transports.dashboard import Dashboard
    from sim_mcp.transports.http_bearer import RequireBearer
    from sim_mcp.transports.http_metadata import metadata_routes
    from sim_mcp.transports.http_metrics import metrics
    from sim_mcp.transports.open_streams import WhileValid
    from sim_mcp.transports.openapi import DOCUMENT_PATH, Document
    from sim_mcp.transports.rest import BASE_PATH, ROUTES, rest_router
    from sim_mcp.transports.setup_page import SetupPage
    from sim_mcp.transports.signed_events import SignedEvents

    authenticator, rest = Authenticator(app), rest_router(app)
    sse = _Sse(server)

    def guarded(inner: ASGIApp) -> ASGIApp:
        return RequireBearer(
            inner, authenticator, public_url=app.settings.public_url, unauthenticated_as=anybody
        )

    def streaming(inner: ASGIApp) -> ASGIApp:
        return guarded(inner if anybody is not None else WhileValid(inner, authenticator, facts=app.facts))

    return [
        Route("/healthz", _healthz),
        Route("/readyz", partial(_readyz, app)),
        Route("/metrics", partial(metrics, app, authenticator)),
        *metadata_routes(app.settings),
        Route("/mcp", streaming(StreamableHTTPASGIApp(sessions))),
        Route("/sse", streaming(sse.connect), methods=["GET"]),
        Mount(_Sse.MESSAGES_PATH, guarded(sse.receive)),
        Route(BASE_PATH + DOCUMENT_PATH, Document(ROUTES)),
        Mount(BASE_PATH, SignedEvents(app, rest, guarded(rest), path="/events")),
        *SetupPage(app, public_url=app.settings.public_url).routes(),
        *Dashboard(app, authenticator, public_url=app.settings.public_url).routes(),
    ]


async def serve_http(
    app: App,
    *,
    host: str,
    port: int,
    admin_tools: AdminTools = "full",
    allow_unauthenticated: bool = False,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT, SIGTERM or cancellation; calls and open streams get 5 s to end.

    Whoever waits for a call that takes longer is told to follow it.

    `ready` is told the base URL once connections are accepted; with `port=0` the system chooses.

    Raises:
        InvalidInput: no authentication is configured, or it is switched off on an address that
            others can reach, or the port is taken.
    """
    import uvicorn

    from sim_mcp.transports.http_closing import end_streams, streams_outlive_the_signal
    from sim_mcp.transports.http_patience import PatientProtocol
    from sim_mcp.transports.mcp import build_server

    await check_authentication(app, host=host, allow_unauthenticated=allow_unauthenticated)
    server = build_server(app, own=None, admin_tools=admin_tools)
    web = build_http_app(app, lambda: server, allow_unauthenticated=allow_unauthenticated)
    config = uvicorn.Config(
        web,
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    listener = _listen(host, port)
    try:
        url = _url_of(listener)
        on_ready = partial(ready, url) if ready is not None else lambda: None

        async def close() -> None:
            server.begin_closing()
            await end_streams(app)

        with streams_outlive_the_signal():
            await _serve(_quiet_server(config, on_ready, close), listener)
    finally:
        listener.close()


async def check_authentication(app: App, *, host: str, allow_unauthenticated: bool) -> None:
    """Return when callers can be told apart, or when only this machine can call.

    Raises:
        InvalidInput: neither; the message names both remedies.
    """
    if allow_unauthenticated:
        if not is_loopback(host):
            raise InvalidInput(
                f"--insecure-no-auth lets everybody who reaches {host!r} in: it works on a loopback address "
                "only. Bind to 127.0.0.1, or configure authentication."
            )
        return
    settings = app.settings
    if settings.auth_jwt_secret is not None or settings.auth_jwks_url is not None:
        return
    if not await app.tokens.is_any_usable(app.outside.clock.now()):
        raise InvalidInput(
            "Nobody could call this server: no authentication is configured. Create a token with "
            "`sim-mcp token create`, or set SIM_MCP_AUTH_JWT_SECRET or SIM_MCP_AUTH_JWKS_URL; to try things "
            "out on this machine alone, use --insecure-no-auth."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address of that name."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class _Sse:
    """The legacy transport: one stream per client, messages posted beside it."""

    MESSAGES_PATH = "/messages/"

    def __init__(self, server: Server[Any]) -> None:
        from mcp.server.sse import SseServerTransport

        self._server = server
        self._transport = SseServerTransport(self.MESSAGES_PATH, max_request_body_size=LARGEST_MESSAGE_BYTES)

    async def connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /sse: a session for as long as the connection lasts."""
        async with self._transport.connect_sse(scope, receive, send) as (incoming, outgoing):
            await self._server.run(incoming, outgoing, self._server.create_initialization_options())

    async def receive(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /messages/: a message of the session's owner."""
        await self._transport.handle_post_message(scope, receive, send)


async def _healthz(_: Request) -> Response:
    from sim_mcp.transports.http_answers import Answer

    return Answer({"status": "ok"})


async def _readyz(app: App, request: Request) -> Response:
    from sim_mcp.transports.http_answers import Answer, problem, request_id_of

    try:
        await app.ping()
    except SimMcpError as error:
        return problem(error, request_id_of(request.scope))
    return Answer({"status": "ready"})


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    try:
        await server.serve([listener])
    except anyio.get_cancelled_exc_class():
        if server.started:  # the application runs in a task of its own: end it before the rooms close
            with anyio.move_on_after(SHUTDOWN_S + 1, shield=True):
                await server.shutdown([listener])
        raise


def _listen(host: str, port: int) -> socket.socket:
    name = host.strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    try:
        listener = socket.create_server((name, port), family=family, backlog=2048)
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise InvalidInput(
            f"Port {port} of {host!r} cannot be used: {reason}. Choose another with --port."
        ) from error
    # The event loop does this only for listeners of its own; without it the second part of an answer waits
    # for the client's delayed acknowledgement of the first: 40 ms for each call on a connection that is kept.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url_of(listener: socket.socket) -> str:
    name, port = listener.getsockname()[:2]
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def _quiet_server(
    config: uvicorn.Config, on_ready: Callable[[], None], close: Callable[[], Coroutine[Any, Any, None]]
) -> uvicorn.Server:
    import uvicorn

    class QuietServer(uvicorn.Server):
        """Ends on a signal without raising it again: the rooms still have to be closed in order."""

        @contextmanager
        def capture_signals(self) -> Generator[None]:
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for each, handler in before.items():
                    signal.signal(each, handler)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                on_ready()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(close)
                await super().shutdown(sockets)
                group.cancel_scope.cancel()

    return QuietServer(config)
