"""Who looks at the dashboard: a one-time link from the terminal, or a bearer token, becomes a session.

The session is a cookie that carries everything, sealed: no replica keeps any. One that began with a token
carries that token, so that it ends when the token does; one that began with a link lasts eight hours and may
only look.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING

from sim_mcp.model.errors import Unauthorized
from sim_mcp.model.json import is_array
from sim_mcp.model.principal import Permission, Principal, TenantId

if TYPE_CHECKING:
    from sim_mcp.app import App
    from sim_mcp.transports.auth import Authenticator

LINK_LASTS_S = 600.0
SESSION_LASTS_S = 8 * 3600.0
LONGEST_COOKIE = 3800
"""Browsers drop cookies of more than 4096 bytes, name and attributes included."""
_LINK, _SESSION = "dashboard-link", "dashboard-session"
_VIEWER = frozenset({Permission.VIEW})


class DashboardSessions:
    """Makes links and sessions, and tells whose they are."""

    def __init__(self, app: App, authenticator: Authenticator) -> None:
        self._tickets = app.tickets
        self._authenticator = authenticator

    def link(self, principal: Principal) -> str:
        """The secret of a link that opens the dashboard of the principal's tenant, once, within ten minutes.

        Raises:
            Forbidden: without VIEW.
        """
        principal.require(Permission.VIEW)
        who = _viewer(principal)
        return _addressed(who, self._tickets.seal(who, _LINK, {}, lasts_s=LINK_LASTS_S))

    async def by_link(self, text: str) -> str:
        """The session of a link.

        Raises:
            Unauthorized: it is none, was used, or is too old.
        """
        who, sealed = _opened(text)
        ticket = None if who is None else self._tickets.open(who, _LINK, sealed)
        if who is None or ticket is None or not await self._tickets.spend(who, ticket):
            raise Unauthorized(
                "This link was used, has expired or is none. `sim-mcp dashboard` prints a new one."
            )
        return _addressed(who, self._tickets.seal(who, _SESSION, {}, lasts_s=SESSION_LASTS_S))

    async def by_token(self, token: str) -> str:
        """The session of a bearer token.

        Raises:
            Unauthorized: the token is not valid, or too long for a cookie.
            Forbidden: it may not look.
        """
        caller = await self._authenticator.authenticate(f"Bearer {token}")
        caller.principal.require(Permission.VIEW)
        who = _viewer(caller.principal)
        session = _addressed(
            who, self._tickets.seal(who, _SESSION, {"token": token}, lasts_s=SESSION_LASTS_S)
        )
        if len(session) > LONGEST_COOKIE:
            raise Unauthorized("This token is too long for a browser's cookie: use `sim-mcp dashboard`.")
        return session

    async def principal(self, session: str | None) -> Principal | None:
        """Who looks; `None` without a session that is in force."""
        who, sealed = _opened(session or "")
        ticket = None if who is None else self._tickets.open(who, _SESSION, sealed)
        if who is None or ticket is None:
            return None
        token = ticket.content.get("token")
        if not isinstance(token, str):
            return who
        try:
            caller = await self._authenticator.authenticate(f"Bearer {token}")
        except Unauthorized:
            return None
        return _viewer(caller.principal) if caller.principal.may(Permission.VIEW) else None


def _viewer(principal: Principal) -> Principal:
    return Principal(
        tenant_id=principal.tenant_id,
        organization_id=principal.organization_id,
        subject=principal.subject,
        permissions=_VIEWER,
    )


def _addressed(who: Principal, sealed: str) -> str:
    """`sealed` with the name of whom it opens for: it opens for nobody else, whatever stands there."""
    name = json.dumps([who.tenant_id, who.organization_id, who.subject], separators=(",", ":"))
    return f"{base64.urlsafe_b64encode(name.encode()).decode().rstrip('=')}.{sealed}"


def _opened(text: str) -> tuple[Principal | None, str]:
    name, _, sealed = text.partition(".")
    try:
        named = json.loads(base64.urlsafe_b64decode(name.encode() + b"=" * (-len(name) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None, ""
    if not is_array(named) or len(named) != 3:
        return None, ""
    tenant_id, organization_id, subject = named
    if not isinstance(tenant_id, str) or not isinstance(subject, str):
        return None, ""
    if organization_id is not None and not isinstance(organization_id, str):
        return None, ""
    who = Principal(
        tenant_id=TenantId(tenant_id),
        organization_id=organization_id,
        subject=subject,
        permissions=_VIEWER,
    )
    return who, sealed
