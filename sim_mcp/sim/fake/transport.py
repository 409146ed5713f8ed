"""The sandbox without sockets: an `httpx` transport that fails as a network does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import httpx

from sim_mcp.sim.fake.faults import ConnectionDropped

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class _InProcess(httpx.AsyncBaseTransport):
    def __init__(self, fake: ASGIApp) -> None:
        self._inner = httpx.ASGITransport(app=fake)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        limits: dict[str, float | None] = request.extensions.get("timeout", {})
        try:
            with anyio.fail_after(limits.get("read")):
                return await self._inner.handle_async_request(request)
        except TimeoutError as late:
            raise httpx.ReadTimeout("the sandbox did not answer in time", request=request) from late
        except ConnectionDropped as dropped:
            raise httpx.RemoteProtocolError(
                "the sandbox dropped the connection", request=request
            ) from dropped


def in_process(fake: ASGIApp) -> httpx.AsyncBaseTransport:
    """A transport that calls `fake` directly.

    A dropped connection becomes `httpx.RemoteProtocolError`, an answer later than the client's read timeout
    becomes `httpx.ReadTimeout` (and, as a closed socket would, ends the request in the sandbox). The whole
    answer is collected before it is handed over: to see a stream arrive piece by piece, use `serve_fake`.
    """
    return _InProcess(fake)
