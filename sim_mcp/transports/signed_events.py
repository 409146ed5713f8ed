"""Events by signature, for hosts that post webhooks and hold no token: one path, one method, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from sim_mcp.model.errors import PayloadTooLarge, SimMcpError
from sim_mcp.transports.auth import OWN_ISSUER
from sim_mcp.transports.http_answers import problem, request_id_of
from sim_mcp.transports.http_bearer import CallerToken, authorization_of
from sim_mcp.transports.rest_requests import LARGEST_BODY_BYTES
from sim_mcp.transports.token_claims import Verified

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sim_mcp.app import App

HEADER = b"x-sim-mcp-signature"


class SignedEvents:
    """Lets signed events through to `rest`, and sends everything else to `guarded`."""

    def __init__(self, app: App, rest: ASGIApp, guarded: ASGIApp, *, path: str) -> None:
        self._app = app
        self._rest = rest
        self._guarded = guarded
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        signature = self._signature(scope)
        if signature is None:
            await self._guarded(scope, receive, send)
            return
        try:
            body = await _read(receive)
            senders = parse_qs(scope["query_string"].decode("latin-1")).get("sender", [])
            # Two senders, or a token beside the signature: nobody shall have to guess who is meant.
            sender = senders[0] if len(senders) == 1 and authorization_of(scope) is None else None
            principal = await self._app.events.signed_by(sender, signature, body)
        except SimMcpError as error:
            await problem(error, request_id_of(scope))(scope, receive, send)
            return
        from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser

        token = CallerToken.of(Verified(principal=principal, issuer=OWN_ISSUER))
        inner: Scope = {**scope, "user": AuthenticatedUser(token)}
        await self._rest(inner, _replayed(body, receive), send)

    def _signature(self, scope: Scope) -> str | None:
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith(self._path):
            return None
        values = [value for name, value in scope["headers"] if name == HEADER]
        return ",".join(value.decode("latin-1") for value in values) if values else None


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY_BYTES:
            raise PayloadTooLarge(
                f"The body is larger than the limit of {LARGEST_BODY_BYTES} bytes. Send less."
            )
        if not message.get("more_body", False):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The request once more for whoever comes next; then whatever else comes in."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return again
