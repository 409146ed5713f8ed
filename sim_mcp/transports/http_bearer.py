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
from sim_mcp.transports.token_claims import Verified

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sim_mcp.transports.auth import Authenticator

METADATA_PATH = "/.well-known/oauth-protected-resource/mcp"
USUAL_SCOPES = f"{Permission.VIEW} {Permission.EDIT}"
"""What an assistant needs to look and to run; a 403 names what is needed beyond that."""


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
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._public_url = public_url
        self._anybody = None if unauthenticated_as is None else _anybody(unauthenticated_as)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; the caller is in `scope["user"]` and in the SDK's context variable."""
        if scope["type"] != "http":
            return
        header = authorization_of(scope)
        try:
            token = self._anybody or CallerToken.of(await self._authenticator.authenticate(header))
        except SimMcpError as error:
            await self._refuse(error, header, scope, receive, send)
            return
        user = AuthenticatedUser(token)
        reset = auth_context_var.set(user)
        try:
            inner: Scope = {**scope, "user": user, "auth": AuthCredentials(token.scopes)}
            await self._app(inner, receive, self._pointing_at_metadata(scope, send))
        finally:
            auth_context_var.reset(reset)

    async def _refuse(
        self, error: SimMcpError, header: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        headers: dict[str, str] = {}
        if isinstance(error, Unauthorized):
            came = 'error="invalid_token", ' if bearer_token(header) else ""
            headers["www-authenticate"] = f'Bearer {came}scope="{USUAL_SCOPES}", {self._metadata(scope)}'
        response = problem(error, request_id_of(scope), headers=headers)
        await response(scope, receive, send)

    def _metadata(self, scope: Scope) -> str:
        return f'resource_metadata="{base_url(scope, self._public_url)}{METADATA_PATH}"'

    def _pointing_at_metadata(self, scope: Scope, send: Send) -> Send:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 403:
                where = f", {self._metadata(scope)}".encode("latin-1")
                headers = [
                    (name, value + where if name == b"www-authenticate" else value)
                    for name, value in message.get("headers", [])
                ]
                message = {**message, "headers": headers}
            await send(message)

        return send_on


def principal_of(scope: Scope) -> Principal:
    """Who sent the request; `RequireBearer` was here before.

    Raises:
        Unauthorized: it was not.
    """
    return caller_of(scope).principal


def caller_of(scope: Scope) -> CallerToken:
    """The verified token of the request; `RequireBearer` was here before.

    Raises:
        Unauthorized: it was not.
    """
    token = getattr(scope.get("user"), "access_token", None)
    if not isinstance(token, CallerToken):
        raise Unauthorized("This needs a bearer token: send `Authorization: Bearer …`.")
    return token


def base_url(scope: Scope, public_url: str | None) -> str:
    """Under which URL the caller reaches this server: the configured one, else what it asked for."""
    if public_url is not None:
        return public_url.rstrip("/")
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    return f"{scope['scheme']}://{hosts[0] if hosts else 'localhost'}"


def _anybody(principal: Principal) -> CallerToken:
    return CallerToken.of(Verified(principal=principal, issuer=OWN_ISSUER))


def authorization_of(scope: Scope) -> str | None:
    """The value of the `Authorization` header, if there is exactly one."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    # Two of them could be read differently by a proxy in front of us: neither counts.
    return values[0].decode("latin-1") if len(values) == 1 else None
