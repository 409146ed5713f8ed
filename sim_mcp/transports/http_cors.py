"""Lets pages of known origins read our answers; browsers keep them from everybody else's.

Stands behind `OnlyKnownHosts`: an origin that arrives here is one of ours. No credentials are
allowed beyond what the page sends itself: a bearer token, never a cookie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response

from sim_mcp.transports.http_guards import SENDING_NO_ORIGIN, UNGUARDED_PATHS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = "GET, HEAD, POST, DELETE"
ASKED = frozenset(
    {
        "accept",
        "authorization",
        "content-type",
        "idempotency-key",
        "language",
        "last-event-id",
        "organization-id",
        "tenant-id",
        "traceparent",
        "x-request-id",
    }
)
"""Headers that a page may send; beside them every `Mcp-*` header, which the protocol keeps adding to."""
SHOWN = "Idempotency-Replayed, Location, Mcp-Session-Id, Retry-After, WWW-Authenticate, X-Request-Id"
REMEMBERED_S = 600
_VARIES = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class PagesOfKnownOrigins:
    """Answers preflight requests, without a token as browsers send them, and opens answers to the page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        origins = headers.getlist("origin")
        if (
            len(origins) != 1
            or scope["path"] in UNGUARDED_PATHS
            or scope["path"].startswith(SENDING_NO_ORIGIN)
        ):
            await self._app(scope, receive, send)
            return
        origin = origins[0]
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight(origin, headers)(scope, receive, send)
            return

        async def send_opened(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                answered.setdefault("access-control-allow-origin", origin)
                answered["access-control-expose-headers"] = SHOWN
                answered.add_vary_header("Origin")
            await send(message)

        await self._app(scope, receive, send_opened)


def _preflight(origin: str, headers: Headers) -> Response:
    asked = [name.strip().lower() for name in headers.get("access-control-request-headers", "").split(",")]
    allowed = [name for name in asked if name in ASKED or name.startswith("mcp-")]
    return Response(
        status_code=204,
        headers={
            "access-control-allow-origin": origin,
            "access-control-allow-methods": METHODS,
            "access-control-allow-headers": ", ".join(allowed),
            "access-control-max-age": str(REMEMBERED_S),
            "vary": _VARIES,
        },
    )
