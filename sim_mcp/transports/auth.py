"""Who is calling: bearer tokens become principals here, and nowhere else.

Two kinds of token are accepted: the server's own opaque ones, looked up at every use so that a
revoked one counts at once, and JSON Web Tokens (`tokens_jwt`), remembered for a minute.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from typing import TYPE_CHECKING

from sim_mcp.model.errors import Unauthorized
from sim_mcp.model.principal import Principal
from sim_mcp.transports.jwks import KeyRing
from sim_mcp.transports.token_claims import Verified
from sim_mcp.transports.tokens_jwt import LONGEST_TOKEN_BYTES, verify_jwt

if TYPE_CHECKING:
    from datetime import datetime

    from sim_mcp.app import App

OWN_TOKEN_PREFIX = "simmcp_"  # noqa: S105 - the public beginning of every token of ours
OWN_ISSUER = "sim-mcp"
REMEMBERED_S = 60
MOST_REMEMBERED = 4096


def current_principal(own: Principal | None) -> Principal:
    """Who sent the message that is being served.

    The verified token of its HTTP request says so; a message without one comes from `own`, the
    principal of a stdio session.

    Raises:
        Unauthorized: neither is there.
    """
    from mcp.server.auth.middleware.auth_context import get_access_token

    principal = getattr(get_access_token(), "principal", None) or own
    if not isinstance(principal, Principal):
        raise Unauthorized("This needs a bearer token: send `Authorization: Bearer …`.")
    return principal


class Authenticator:
    """Turns `Authorization` headers into verified callers.

    Keeps at most 4096 verified JWTs, by the SHA-256 of the token, for up to 60 s and never beyond
    their expiry. Refusals and the server's own tokens are not remembered.
    """

    def __init__(self, app: App) -> None:
        self._settings = app.settings
        self._tokens = app.tokens
        self.clock = app.tokens.clock
        url = app.settings.auth_jwks_url
        self._ring = (
            None if url is None else KeyRing(url, clock=self.clock, open_transport=app.identity_transport)
        )
        self._remembered: OrderedDict[bytes, tuple[float, Verified]] = OrderedDict()

    async def authenticate(self, header: str | None) -> Verified:
        """The caller behind the value of one `Authorization` header.

        Raises:
            Unauthorized: no bearer token, or one that is not valid now.
            StoreUnavailable, IdentityUnavailable: our database, or the identity provider, could not be
                asked; it says nothing about the token.
        """
        token = bearer_token(header)
        if token is None:
            raise Unauthorized("This needs a bearer token: send `Authorization: Bearer …`.")
        now = self.clock.now()
        if token.startswith(OWN_TOKEN_PREFIX):
            return await self._own(token, now)
        return await self._jwt(token, now)

    async def _own(self, token: str, now: datetime) -> Verified:
        known = await self._tokens.verify(token, now)
        if known is None:
            raise Unauthorized(
                "The token is unknown, expired or revoked. `sim-mcp token create` makes a new one."
            )
        ends_at = known.expires_at
        return Verified(
            principal=known.principal,
            issuer=OWN_ISSUER,
            expires_at_s=None if ends_at is None else math.ceil(ends_at.timestamp()),
        )

    async def _jwt(self, token: str, now: datetime) -> Verified:
        if len(token) > LONGEST_TOKEN_BYTES:
            raise Unauthorized(f"The token is longer than {LONGEST_TOKEN_BYTES} bytes.")
        key = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        now_s = now.timestamp()
        until_s, known = self._remembered.get(key, (0.0, None))
        if known is not None and now_s < until_s:
            self._remembered.move_to_end(key)
            return known
        self._remembered.pop(key, None)
        verified = await verify_jwt(token, self._settings, now, self._ring)
        ends_at_s = now_s + REMEMBERED_S
        if verified.expires_at_s is not None:
            ends_at_s = min(ends_at_s, verified.expires_at_s)
        self._remembered[key] = (ends_at_s, verified)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return verified


def bearer_token(header: str | None) -> str | None:
    """The token in the value of an `Authorization` header; `None` when there is none."""
    kind, _, token = (header or "").strip().partition(" ")
    token = token.strip()
    return token if kind.lower() == "bearer" and token else None
