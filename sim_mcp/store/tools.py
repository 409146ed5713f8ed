"""The allow-list: each tenant's tool specs, as the JSON that people wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.json import is_object
from sim_mcp.store import columns
from sim_mcp.store.changes import ChangeKind, record_change
from sim_mcp.store.database import Trouble

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sim_mcp.model.clock import Clock
    from sim_mcp.model.json import JsonObject
    from sim_mcp.model.principal import TenantId
    from sim_mcp.store.database import Database, Row, Statements, Transaction

_PUT = """
INSERT INTO allow_list (tenant_id, name, spec, changed_at, changed_by) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (tenant_id, name) DO UPDATE
SET spec = excluded.spec, changed_at = excluded.changed_at, changed_by = excluded.changed_by
"""
_BLANK = """
UPDATE allow_list SET spec = NULL, changed_at = ?, changed_by = ?
WHERE tenant_id = ? AND name = ? AND spec IS NOT NULL
"""
_LIST = "SELECT * FROM allow_list WHERE tenant_id = ? AND spec IS NOT NULL ORDER BY name"
_NEXT_VERSION = """
INSERT INTO allow_list_versions (tenant_id, version) VALUES (?, 1)
ON CONFLICT (tenant_id) DO UPDATE SET version = allow_list_versions.version + 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTool:
    """One entry: its name, its spec exactly as it was put, and who put it when."""

    name: str
    spec: JsonObject
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class AllowList:
    """The allow-lists of all tenants. Knows nothing about what a valid spec is."""

    database: Database
    clock: Clock

    async def entries(self, tenant_id: TenantId) -> tuple[StoredTool, ...]:
        """The tenant's entries, by name."""
        return tuple(_entry(row) for row in await self.database.fetch_all(_LIST, [tenant_id]))

    async def version(self, tenant_id: TenantId) -> int:
        """A number that grows with every change of the tenant's list; 0 before the first. Cheap."""
        row = await self.database.fetch_one(
            "SELECT version FROM allow_list_versions WHERE tenant_id = ?", [tenant_id]
        )
        return 0 if row is None else columns.whole(row, "version")

    async def put(self, tenant_id: TenantId, name: str, spec: JsonObject, *, changed_by: str) -> None:
        """Add the entry `name`, or replace its spec."""
        async with self.database.transaction() as transaction:
            await _mark(transaction, tenant_id)
            await self._write(transaction, tenant_id, name, columns.json_text(spec), changed_by)

    async def remove(self, tenant_id: TenantId, name: str, *, changed_by: str) -> bool:
        """Take the entry `name` off the list; `False` when it was not on it.

        The row stays without its spec, as the record of who took it off, and when.
        """
        async with self.database.transaction() as transaction:
            if not await self._blank(transaction, tenant_id, name, changed_by):
                return False
            await _mark(transaction, tenant_id)
        return True

    async def replace(self, tenant_id: TenantId, specs: Mapping[str, JsonObject], *, changed_by: str) -> bool:
        """Make the list equal `specs` (by name), all at once; `False` when it already did.

        Entries whose spec is the same keep their `changed_at` and `changed_by`.
        """
        wanted = {name: columns.json_text(spec) for name, spec in specs.items()}
        async with self.database.transaction() as transaction:
            rows = await transaction.fetch_all(_LIST, [tenant_id])
            present = {columns.text(row, "name"): columns.text(row, "spec") for row in rows}
            if present == wanted:
                return False
            await _mark(transaction, tenant_id)
            for name in present.keys() - wanted.keys():
                await self._blank(transaction, tenant_id, name, changed_by)
            for name, spec in wanted.items():
                if present.get(name) != spec:
                    await self._write(transaction, tenant_id, name, spec, changed_by)
        return True

    async def _write(
        self, transaction: Statements, tenant_id: TenantId, name: str, spec: str, changed_by: str
    ) -> None:
        now = columns.micros(self.clock.now())
        await transaction.execute(_PUT, [tenant_id, name, spec, now, columns.clean(changed_by)])

    async def _blank(self, transaction: Statements, tenant_id: TenantId, name: str, changed_by: str) -> bool:
        now = columns.micros(self.clock.now())
        touched = await transaction.execute(_BLANK, [now, columns.clean(changed_by), tenant_id, name])
        return touched == 1


async def _mark(transaction: Transaction, tenant_id: TenantId) -> None:
    await record_change(transaction, tenant_id, ChangeKind.TOOLS)
    await transaction.execute(_NEXT_VERSION, [tenant_id])


def _entry(row: Row) -> StoredTool:
    spec = columns.json_value(row, "spec")
    if not is_object(spec):
        raise Trouble.CORRUPT.error("a stored tool spec is no object")
    return StoredTool(
        name=columns.text(row, "name"),
        spec=spec,
        changed_at=columns.moment(row, "changed_at"),
        changed_by=columns.text(row, "changed_by"),
    )
