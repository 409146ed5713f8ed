"""Tickets: what a client carries between two requests of ours, sealed so that it can only bring it back.

On 2026-07-28 a question to the user is a result, and its answer comes with another request, perhaps
at another replica or after a restart (MCP, multi round-trip requests). What we have to remember in
between travels in the `requestState` as a ticket: sealed under the encryption keys, bound to tenant,
organisation, caller and purpose, and good for a limited time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import NotConfigured
from sim_mcp.model.integration import IntegrationId
from sim_mcp.model.json import Json, JsonObject, is_object
from sim_mcp.model.principal import Principal
from sim_mcp.store import Binding, Sealer, SpentTickets

LONGEST_TEXT = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """An opened ticket. `id` is unguessable and the same however often it is opened."""

    id: str
    content: JsonObject
    expires_at: datetime


class Tickets:
    """Makes tickets, opens what comes back, and lets those good for one use be used once."""

    def __init__(
        self, *, sealer: Sealer, spent: SpentTickets, clock: Clock, new_id: Callable[[], str]
    ) -> None:
        self._sealer = sealer
        self._spent = spent
        self._clock = clock
        self._new_id = new_id

    def seal(self, principal: Principal, purpose: str, content: JsonObject, *, lasts_s: float) -> str:
        """`content` as text for `principal` to bring back within `lasts_s` seconds; others cannot use it.

        The content is hidden from its carrier as well.
        """
        expires_at = self._clock.now() + timedelta(seconds=lasts_s)
        inner: Json = {"id": self._new_id(), "until": expires_at.timestamp(), "content": content}
        return self._sealer.seal(json.dumps(inner), _binding(principal, purpose))  # ASCII, whatever it holds

    def open(self, principal: Principal, purpose: str, text: str | None) -> Ticket | None:
        """The ticket in `text`; `None` for every other text, another caller's ticket, and an expired one."""
        if text is None or len(text) > LONGEST_TEXT:
            return None
        try:
            inner = json.loads(self._sealer.unseal(text, _binding(principal, purpose)))
        except NotConfigured:
            return None
        expires_at = datetime.fromtimestamp(inner["until"], UTC)
        if expires_at <= self._clock.now() or not is_object(inner["content"]):
            return None
        return Ticket(id=str(inner["id"]), content=inner["content"], expires_at=expires_at)

    async def spend(self, principal: Principal, ticket: Ticket) -> bool:
        """Use `ticket` up. `True` for exactly one caller, on whichever replica; then never again."""
        return await self._spent.spend(principal.tenant_id, ticket.id, expires_at=ticket.expires_at)


def _binding(principal: Principal, purpose: str) -> Binding:
    return Binding(
        tenant_id=principal.tenant_id,
        organization_id=principal.organization_id,
        integration_id=IntegrationId(principal.subject),
        revision=0,
        purpose=f"ticket:{purpose}",
    )
