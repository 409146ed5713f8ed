"""Who is calling: bearer tokens become principals here, and nowhere else.

Two kinds of token are accepted: the server's own opaque ones, looked up at every use so that a
revoked one counts at once, and JWTs of an identity provider (`tokens_jwt`), remembered for a minute.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

import anyio

from sim_mcp.model.errors import SimMcpError, Unauthorized
from sim_mcp.model.facts import Fact, SettingsChanged
from sim_mcp.model.principal import Principal
from sim_mcp.transports.jwks import JwksKeys
from sim_mcp.transports.tokens_jwt import LONGEST_TOKEN_BYTES, Header, Verified, header_of, verify_jwt

if TYPE_CHECKING:
    from datetime import datetime

    from jwt import PyJWK

    from sim_mcp.app import App

OWN_TOKEN_PREFIX = "simmcp_"  # noqa: S105 - the public beginning of every token of ours
OWN_ISSUER = "sim-mcp"
SHARED_SECRET_ALGORITHM = "HS256"  # noqa: S105 - the name of a signature, not a secret
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
        self._clock = app.outside.clock
        self._facts = app.facts
        self._keys = _published_keys(app)
        self._remembered: OrderedDict[bytes, tuple[float, Verified]] = OrderedDict()

    async def authenticate(self, header: str | None) -> Verified:
        """The caller behind the value of one `Authorization` header.

        Raises:
            Unauthorized: no bearer token, or one that is not valid now.
            StoreUnavailable: our database could not be asked; it says nothing about the token.
        """
        token = bearer_token(header)
        if token is None:
            raise Unauthorized("This needs a bearer token: send `Authorization: Bearer …`.")
        now = self._clock.now()
        if token.startswith(OWN_TOKEN_PREFIX):
            return await self._own(token, now)
        return await self._jwt(token, now)

    async def until_invalid(self, header: str | None) -> None:
        """Return once the token in `header`, which counted a moment ago, has expired or was revoked."""
        while True:
            changed = anyio.Event()
            forget = self._facts.subscribe(partial(_ring_about_tokens, changed))
            try:
                verified = await self.authenticate(header)
                await self._either(changed, verified.expires_at_s)
            except Unauthorized:
                return
            except SimMcpError:  # nothing is known; the next message is checked anyway
                await self._clock.sleep(REMEMBERED_S)
            finally:
                forget()

    async def _either(self, changed: anyio.Event, ends_at_s: int | None) -> None:
        async def expire(scope: anyio.CancelScope, ends_at_s: int) -> None:
            await self._clock.sleep(max(1.0, ends_at_s - self._clock.now().timestamp()))
            scope.cancel()

        async with anyio.create_task_group() as group:
            if ends_at_s is not None:
                group.start_soon(expire, group.cancel_scope, ends_at_s)
            await changed.wait()
            group.cancel_scope.cancel()

    async def _own(self, token: str, now: datetime) -> Verified:
        found = await self._tokens.verify(token, now)
        if found is None:
            raise Unauthorized(
                "The token is unknown, expired or revoked. `sim-mcp token create` makes a new one."
            )
        ends_at_s = None if found.expires_at is None else int(found.expires_at.timestamp())
        return Verified(principal=found.principal, issuer=OWN_ISSUER, expires_at_s=ends_at_s)

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
        header = header_of(token, self._settings)
        verified = verify_jwt(
            token, self._settings, now, key=await self._key_for(header), algorithm=header.algorithm
        )
        ends_at_s = now_s + REMEMBERED_S
        if verified.expires_at_s is not None:
            ends_at_s = min(ends_at_s, verified.expires_at_s)
        self._remembered[key] = (ends_at_s, verified)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return verified

    async def _key_for(self, header: Header) -> PyJWK | str:
        """What verifies such a signature: the shared secret for HS256 alone, a published key otherwise."""
        if header.algorithm != SHARED_SECRET_ALGORITHM:
            if self._keys is None:
                raise Unauthorized("The token is signed with a key, and no key set is configured.")
            return await self._keys.find(header.key_id, header.algorithm)
        if self._settings.auth_jwt_secret is None:
            raise Unauthorized("The token is not one of this server's own, and no JWT secret is configured.")
        return self._settings.auth_jwt_secret.get_secret_value()


def _ring_about_tokens(bell: anyio.Event, fact: Fact) -> None:
    if isinstance(fact, SettingsChanged) and fact.kind in {"tokens", "everything"}:
        bell.set()


def _published_keys(app: App) -> JwksKeys | None:
    url = app.settings.auth_jwks_url
    if url is None:
        return None
    return JwksKeys(url, clock=app.outside.clock, transport=app.outside.identity_transport)


def bearer_token(header: str | None) -> str | None:
    """The token in the value of an `Authorization` header; `None` when there is none."""
    kind, _, token = (header or "").strip().partition(" ")
    token = token.strip()
    return token if kind.lower() == "bearer" and token else None
