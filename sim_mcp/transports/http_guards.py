"""What every HTTP request passes before any route: an id, clean headers, and a known Host and Origin."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sim_mcp.model.correlation import working_on
from sim_mcp.transports.http_answers import REQUEST_ID, plain_problem, request_id_of
from sim_mcp.transports.talk import SETUP_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
UNGUARDED_PATHS = frozenset({"/healthz", "/readyz"})
"""Probes ask by address, whatever the Host; these tell nothing about anybody."""

SENDING_NO_ORIGIN = f"{SETUP_PATH}/"
"""Pages that let the browser tell nobody where they are: their own forms come with `Origin: null`, and
the pages themselves look at what else tells a foreign form."""


class RequestIds:
    """Gives every request an id, the client's own `X-Request-Id` when it is well-formed, and returns it.

    Also strips the whitespace around header values that one HTTP parser leaves there (RFC 9110 5.5).
    """

    def __init__(self, app: ASGIApp, new_id: Callable[[], str]) -> None:
        self._app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        request_id = _asked_id(headers) or self._new_id()
        answered = (b"x-request-id", request_id.encode("ascii"))

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), answered]}
            await send(message)

        scope[REQUEST_ID] = request_id  # in place: what stands outside of us answers when all else fails
        with working_on(request_id=request_id):
            await self._app({**scope, "headers": headers}, receive, send_with_id)


@dataclass(frozen=True, slots=True)
class KnownHosts:
    """Which `Host` and `Origin` values are ours.

    A host is `name`, `name:port` or `name:*`; an origin is `scheme://host`, with the same endings. A
    page that this server itself delivered (its origin is the host it was asked for) is always known.
    """

    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(cls, *, public_url: str | None, hosts: Sequence[str], origins: Sequence[str]) -> KnownHosts:
        """Loopback, the public URL's host, and what the settings add."""
        known = {*(host.lower() for host in hosts), *_LOOPBACK, *(f"{host}:*" for host in _LOOPBACK)}
        pages = {origin.lower().rstrip("/") for origin in origins}
        if public_url is not None:
            parts = urlsplit(public_url.lower())
            known.add(parts.netloc)
            pages.add(f"{parts.scheme}://{parts.netloc}")
        return cls(frozenset(known), frozenset(pages))

    def knows_host(self, host: str) -> bool:
        """Whether a request may name `host`."""
        return _is_listed(host.lower(), self.hosts)

    def knows_origin(self, origin: str, *, scheme: str, host: str) -> bool:
        """Whether a browser page of `origin` may call a request made to `host`."""
        page = origin.lower()
        return page == f"{scheme}://{host}".lower() or _is_listed(page, self.origins)


class OnlyKnownHosts:
    """Refuses what a browser was tricked into sending: unknown Host 421, unknown Origin 403."""

    def __init__(self, app: ASGIApp, known: KnownHosts) -> None:
        self._app = app
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] not in UNGUARDED_PATHS:
            refusal = self._refusal(scope)
            if refusal is not None:
                status, message = refusal
                await plain_problem(status, message, request_id_of(scope))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        hosts, origins = _values(scope, b"host"), _values(scope, b"origin")
        if len(hosts) != 1 or not self._known.knows_host(hosts[0]):
            return 421, "This server does not answer for that host. Its operator sets SIM_MCP_ALLOWED_HOSTS."
        scheme = str(scope["scheme"])
        for origin in origins:
            if origin == "null" and str(scope["path"]).startswith(SENDING_NO_ORIGIN):
                continue
            if not self._known.knows_origin(origin, scheme=scheme, host=hosts[0]):
                return 403, ("Pages of that origin may not call this server: see SIM_MCP_ALLOWED_ORIGINS.")
        return None


def _asked_id(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    asked = [value.decode("latin-1") for name, value in headers if name == b"x-request-id"]
    return asked[0] if len(asked) == 1 and _REQUEST_ID.fullmatch(asked[0]) else None


def _values(scope: Scope, header: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == header]


def _is_listed(value: str, listed: frozenset[str]) -> bool:
    if value in listed:
        return True
    name, colon, port = value.rpartition(":")
    return bool(colon) and port.isascii() and port.isdigit() and f"{name}:*" in listed
