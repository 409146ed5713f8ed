"""Events that were accepted, and who may post them by signature."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.errors import NotConfigured
from sim_mcp.model.integration import IntegrationId
from sim_mcp.model.principal import TenantId
from sim_mcp.store import columns
from sim_mcp.store.job_rows import NewJob, insert_jobs
from sim_mcp.store.sealing import Binding, Sealer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sim_mcp.model.clock import Clock
    from sim_mcp.model.events import Event
    from sim_mcp.model.principal import Principal
    from sim_mcp.store.database import Database, Row

SENDER_PREFIX = "evs_"
_ACCEPT = """
INSERT INTO events (tenant_id, scope, id, event, chain, sender, received_at) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant_id, scope, id) DO NOTHING
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A host that posts events by signature. Its secret is told once, when it is made."""

    id: str
    tenant_id: TenantId
    organization_id: str | None
    name: str
    created_at: datetime
    created_by: str
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Events:
    """The events of all tenants, by the sender's id within its organisation."""

    database: Database
    sealer: Sealer
    clock: Clock
    new_id: Callable[[], str]

    async def accept(
        self, principal: Principal, event: Event, chain: Sequence[str], several: Sequence[NewJob]
    ) -> bool:
        """Keep the event and its jobs, durable on return. `False`, and nothing is kept: it came before."""
        async with self.database.transaction() as transaction:
            is_new = await transaction.execute(
                _ACCEPT,
                [
                    *(principal.tenant_id, principal.organization_id or "", event.id, event.name),
                    columns.json_text(list(chain)),
                    *(columns.clean(principal.subject), columns.micros(self.clock.now())),
                ],
            )
            if is_new:
                await insert_jobs(transaction, self.sealer, several)
        return bool(is_new)

    async def add_sender(self, principal: Principal, name: str) -> tuple[Sender, str]:
        """A sender for the principal's tenant and organisation, and its secret, which is told only now."""
        sender_id, secret = SENDER_PREFIX + self.new_id(), secrets.token_urlsafe(32)
        sender = Sender(
            id=sender_id,
            tenant_id=principal.tenant_id,
            organization_id=principal.organization_id,
            name=columns.clean(name),
            created_at=self.clock.now(),
            created_by=columns.clean(principal.subject),
            revoked_at=None,
        )
        await self.database.execute(
            "INSERT INTO event_senders (id, tenant_id, organization_id, name, sealed_secret, created_at,"
            " created_by) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                *(sender.id, sender.tenant_id, sender.organization_id, sender.name),
                self.sealer.seal(secret, _binding(sender)),
                *(columns.micros(sender.created_at), sender.created_by),
            ],
        )
        return sender, secret

    async def sender(self, sender_id: str) -> tuple[Sender, str] | None:
        """A sender that was not revoked, and its secret: for checking a signature, and nothing else.

        Raises:
            NotConfigured: the secret cannot be opened any more.
        """
        row = await self.database.fetch_one(
            "SELECT * FROM event_senders WHERE id = ? AND revoked_at IS NULL", [sender_id]
        )
        if row is None:
            return None
        sender = _sender(row)
        return sender, self.sealer.unseal(columns.text(row, "sealed_secret"), _binding(sender))

    async def senders(self, principal: Principal) -> tuple[Sender, ...]:
        """The senders of the principal's tenant and organisation, oldest first."""
        rows = await self.database.fetch_all(
            "SELECT * FROM event_senders WHERE tenant_id = ? AND COALESCE(organization_id, '') = ?"
            " ORDER BY created_at, id",
            [principal.tenant_id, principal.organization_id or ""],
        )
        return tuple(_sender(row) for row in rows)

    async def reseal_all(self) -> int:
        """Seal every sender's secret under the newest encryption key; how many were not yet.

        One that cannot be opened stays as it is: its sender is refused as if it were revoked.
        """
        resealed = 0
        for row in await self.database.fetch_all("SELECT * FROM event_senders WHERE revoked_at IS NULL"):
            sealed, binding = columns.text(row, "sealed_secret"), _binding(_sender(row))
            if self.sealer.is_newest(sealed):
                continue
            with suppress(NotConfigured):
                plain = self.sealer.unseal(sealed, binding)
                resealed += await self.database.execute(
                    "UPDATE event_senders SET sealed_secret = ? WHERE id = ? AND sealed_secret = ?",
                    [self.sealer.seal(plain, binding), row["id"], sealed],
                )
        return resealed

    async def revoke_sender(self, principal: Principal, sender_id: str) -> bool:
        """Let the sender post no more. `False`: there is none such, or it was revoked before."""
        touched = await self.database.execute(
            "UPDATE event_senders SET revoked_at = ? WHERE id = ? AND tenant_id = ?"
            " AND COALESCE(organization_id, '') = ? AND revoked_at IS NULL",
            [
                columns.micros(self.clock.now()),
                *(sender_id, principal.tenant_id, principal.organization_id or ""),
            ],
        )
        return touched == 1


def _sender(row: Row) -> Sender:
    return Sender(
        id=columns.text(row, "id"),
        tenant_id=TenantId(columns.text(row, "tenant_id")),
        organization_id=columns.maybe_text(row, "organization_id"),
        name=columns.text(row, "name"),
        created_at=columns.moment(row, "created_at"),
        created_by=columns.text(row, "created_by"),
        revoked_at=columns.maybe_moment(row, "revoked_at"),
    )


def _binding(sender: Sender) -> Binding:
    return Binding(
        tenant_id=sender.tenant_id,
        organization_id=sender.organization_id,
        integration_id=IntegrationId(sender.id),
        revision=0,
        purpose="event-sender",
    )
