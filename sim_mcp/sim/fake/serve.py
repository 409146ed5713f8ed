"""The sandbox on a loopback port, with sockets that can really be cut.

An ASGI app has no word for "close this connection without an answer": a server turns an exception into a
500. So the server here hands its app, in the scope's extensions, a function that aborts the request's socket.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from sim_mcp.sim.fake.app import CUT

if TYPE_CHECKING:
    from sim_mcp.sim.fake.app import FakeSim


@asynccontextmanager
async def serve_fake(fake: FakeSim, *, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[str]:
    """Serve `fake` while the block runs and yield its base URL, prefix included, without a slash at the end.

    Runs in the current event loop, installs no signal handlers and logs nothing. Leaving the block closes
    every connection; requests that still hang are cancelled.

    Args:
        fake: What to serve.
        host: The address to listen on.
        port: The port; 0 lets the system choose.

    Raises:
        OSError: The port is taken.
    """
    import uvicorn

    config = uvicorn.Config(
        fake,
        http=_cutting_protocol(),
        lifespan="off",
        proxy_headers=False,
        log_config=None,
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=0,
    )

    class SignalFreeServer(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None]:
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            listening.set()

    listening = anyio.Event()
    server = SignalFreeServer(config)
    with contextlib.closing(socket.create_server((host, port))) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # no 40 ms between head and body
        name, bound = listener.getsockname()[:2]
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            try:
                await listening.wait()
                yield f"http://{f'[{name}]' if ':' in name else name}:{bound}{fake.path_prefix}"
            finally:
                server.should_exit = True


def _cutting_protocol() -> Any:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class CuttingProtocol(H11Protocol):
        def handle_events(self) -> None:
            super().handle_events()
            if self.scope is not None:  # pyright: ignore[reportUnnecessaryComparison]  # None before the first request
                extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
                extensions[CUT] = self.transport.abort

    return CuttingProtocol
