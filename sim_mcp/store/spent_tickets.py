"""Tickets that were used: whoever notes one first has used it, on whichever replica."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.store import columns

if TYPE_CHECKING:
    from datetime import datetime

    from sim_mcp.model.clock import Clock
    from sim_mcp.model.principal import TenantId
    from sim_mcp.store.database import Database


@dataclass(frozen=True, slots=True)
class SpentTickets:
    """The used tickets of all tenants, each kept until it would have expired anyway."""

    database: Database
    clock: Clock

    async def spend(self, tenant_id: TenantId, ticket_id: str, *, expires_at: datetime) -> bool:
        """Use the ticket up. Of any number of callers exactly one gets `True`. Forgets expired ones."""
        await self.database.execute(
            "DELETE FROM spent_tickets WHERE expires_at <= ?", [columns.micros(self.clock.now())]
        )
        touched = await self.database.execute(
            "INSERT INTO spent_tickets (tenant_id, id, expires_at) VALUES (?, ?, ?)"
            " ON CONFLICT (tenant_id, id) DO NOTHING",
            [tenant_id, ticket_id, columns.micros(expires_at)],
        )
        return touched == 1
