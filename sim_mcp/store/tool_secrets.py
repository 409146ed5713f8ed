"""Values of inputs that are bound to a secret: sealed for tenant and name, never shown again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.errors import NotConfigured
from sim_mcp.model.integration import IntegrationId
from sim_mcp.model.principal import TenantId
from sim_mcp.store import columns
from sim_mcp.store.sealing import Binding

if TYPE_CHECKING:
    from datetime import datetime

    from sim_mcp.model.clock import Clock
    from sim_mcp.store.database import Database
    from sim_mcp.store.sealing import Sealer

_PUT = """
INSERT INTO tool_secrets (tenant_id, name, sealed, changed_at, changed_by) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (tenant_id, name) DO UPDATE
SET sealed = excluded.sealed, changed_at = excluded.changed_at, changed_by = excluded.changed_by
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecret:
    """That there is a secret of that name; not what it is."""

    name: str
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class ToolSecrets:
    """The secrets of all tenants' tools."""

    database: Database
    sealer: Sealer
    clock: Clock

    async def put(self, tenant_id: TenantId, name: str, value: str, *, changed_by: str) -> None:
        """Keep `value` under `name`, in the place of what was there."""
        sealed = self.sealer.seal(value, _binding(tenant_id, name))
        now = columns.micros(self.clock.now())
        await self.database.execute(_PUT, [tenant_id, name, sealed, now, columns.clean(changed_by)])

    async def value(self, tenant_id: TenantId, name: str) -> str | None:
        """The secret itself, for the one who sends it to SIM; `None` when there is none of that name.

        Raises:
            NotConfigured: it cannot be opened with the configured encryption keys.
        """
        row = await self.database.fetch_one(
            "SELECT sealed FROM tool_secrets WHERE tenant_id = ? AND name = ?", [tenant_id, name]
        )
        return (
            None
            if row is None
            else self.sealer.unseal(columns.text(row, "sealed"), _binding(tenant_id, name))
        )

    async def names(self, tenant_id: TenantId) -> tuple[StoredSecret, ...]:
        """The names of the tenant's secrets."""
        rows = await self.database.fetch_all(
            "SELECT name, changed_at, changed_by FROM tool_secrets WHERE tenant_id = ? ORDER BY name",
            [tenant_id],
        )
        return tuple(
            StoredSecret(
                name=columns.text(row, "name"),
                changed_at=columns.moment(row, "changed_at"),
                changed_by=columns.text(row, "changed_by"),
            )
            for row in rows
        )

    async def remove(self, tenant_id: TenantId, name: str) -> bool:
        """Destroy a secret; `False` when there was none of that name."""
        touched = await self.database.execute(
            "DELETE FROM tool_secrets WHERE tenant_id = ? AND name = ?", [tenant_id, name]
        )
        return touched == 1

    async def reseal_all(self) -> int:
        """Seal every secret under the newest encryption key; how many were not. What does not open stays."""
        resealed = 0
        async with self.database.transaction() as transaction:
            for row in await transaction.fetch_all("SELECT * FROM tool_secrets"):
                tenant_id, name = TenantId(columns.text(row, "tenant_id")), columns.text(row, "name")
                sealed, binding = columns.text(row, "sealed"), _binding(tenant_id, name)
                if self.sealer.is_newest(sealed):
                    continue
                try:
                    plain = self.sealer.unseal(sealed, binding)
                except NotConfigured:
                    continue
                await transaction.execute(
                    "UPDATE tool_secrets SET sealed = ? WHERE tenant_id = ? AND name = ?",
                    [self.sealer.seal(plain, binding), tenant_id, name],
                )
                resealed += 1
        return resealed


def _binding(tenant_id: TenantId, name: str) -> Binding:
    return Binding(
        tenant_id=tenant_id,
        organization_id=None,
        integration_id=IntegrationId(name),
        revision=0,
        purpose="tool-secret",
    )
