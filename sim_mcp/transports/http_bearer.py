"""Nobody passes without a verified token: the guard in front of every MCP and REST route."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from pydantic import InstanceOf
from starlette.authentication import AuthCredentials

from sim_mcp.model.errors import SimMcpError, Unauthorized
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.transports.auth import OWN_ISSUER, bearer_token
from sim_mcp.transports.http_answers import problem, request_id_of
from sim_mcp.transports.http_streams import serve_while_valid
from sim_mcp.transports.tokens_jwt import Verified

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sim_mcp.transports.auth import Authenticator

METADATA_PATH = "/.well-known/oauth-protected-resource/mcp"
SCOPES = " ".join(permission.value for permission in Permission)
"""What a client may have to ask its identity provider for; a caller without one sees less."""


class CallerToken(AccessToken):
    """What the SDK carries along with a message: the principal, and never the token itself.

    The SDK binds legacy sessions to (client, issuer, subject). `subject` is therefore a digest of
    tenant, organisation and person: the same person of another tenant is somebody else.
    """

    principal: InstanceOf[Principal]

    @classmethod
    def of(cls, verified: Verified) -> CallerToken:
        """The token of a verified caller."""
        who = verified.principal
        identity = json.dumps([who.tenant_id, who.organization_id, who.subject])
        return cls(
            token="",
            client_id="sim-mcp",
            scopes=sorted(permission.value for permission in who.permissions),
            expires_at=verified.expires_at_s,
            subject=hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest(),
            claims={"iss": verified.issuer, "tenant": who.tenant_id},
            principal=who,
        )


class RequireBearer:
    """Lets verified callers through and answers everybody else with 401.

    With `has_streams`, what a GET opens stays open as long as its token counts.

    `unauthenticated_as` switches the check off: every request then comes from that principal. Only
    `serve_http` may ask for it, and only on a loopback address.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Authenticator,
        *,
        public_url: str | None,
        unauthenticated_as: Principal | None = None,
        has_streams: bool = False,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._public_url = public_url
        self._has_streams = has_streams
        self._anybody = None if unauthenticated_as is None else _anybody(unauthenticated_as)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; the caller is in `scope["user"]` and in the SDK's context variable."""
        if scope["type"] != "http":
            return
        header = _authorization(scope)
        try:
            token = self._anybody or CallerToken.of(await self._authenticator.authenticate(header))
        except SimMcpError as error:
            await self._refuse(error, header, scope, receive, send)
            return
        user = AuthenticatedUser(token)
        reset = auth_context_var.set(user)
        try:
            inner: Scope = {**scope, "user": user, "auth": AuthCredentials(token.scopes)}
            await self._serve(inner, receive, self._pointing(scope, send), header)
        finally:
            auth_context_var.reset(reset)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, header: str | None) -> None:
        if scope["method"] != "GET" or self._anybody is not None or not self._has_streams:
            await self._app(scope, receive, send)
            return
        await serve_while_valid(
            self._app, scope, receive, send, authenticator=self._authenticator, header=header
        )

    def _pointing(self, scope: Scope, send: Send) -> Send:
        """`send`, with the address of the metadata added to every challenge."""

        async def pointing(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 403:
                where = f', resource_metadata="{base_url(scope, self._public_url)}{METADATA_PATH}"'
                headers = [
                    (
                        name,
                        value + where.encode("latin-1", "replace") if name == b"www-authenticate" else value,
                    )
                    for name, value in message.get("headers", [])
                ]
                message = {**message, "headers": headers}
            await send(message)

        return pointing

    async def _refuse(
        self, error: SimMcpError, header: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        headers: dict[str, str] = {}
        if isinstance(error, Unauthorized):
            came = 'error="invalid_token", ' if bearer_token(header) else ""
            where = base_url(scope, self._public_url) + METADATA_PATH
            headers["www-authenticate"] = f'Bearer {came}scope="{SCOPES}", resource_metadata="{where}"'
        response = problem(error, request_id_of(scope), headers=headers)
        await response(scope, receive, send)


def principal_of(scope: Scope) -> Principal:
    """Who sent the request; `RequireBearer` was here before.

    Raises:
        Unauthorized: it was not.
    """
    token = getattr(scope.get("user"), "access_token", None)
    if not isinstance(token, CallerToken):
        raise Unauthorized("This needs a bearer token: send `Authorization: Bearer …`.")
    return token.principal


def base_url(scope: Scope, public_url: str | None) -> str:
    """Under which URL the caller reaches this server: the configured one, else what it asked for."""
    if public_url is not None:
        return public_url.rstrip("/")
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    return f"{scope['scheme']}://{hosts[0] if hosts else 'localhost'}"


def _anybody(principal: Principal) -> CallerToken:
    return CallerToken.of(Verified(principal=principal, issuer=OWN_ISSUER))


def _authorization(scope: Scope) -> str | None:
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    # Two of them could be read differently by a proxy in front of us: neither counts.
    return values[0].decode("latin-1") if len(values) == 1 else None
