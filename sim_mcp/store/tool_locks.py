"""The locks of tools: what was approved, when it was last compared with SIM, and what is held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.json import is_array, is_object
from sim_mcp.model.lock import ToolLock
from sim_mcp.model.principal import TenantId
from sim_mcp.model.tool import WorkflowId
from sim_mcp.store import columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sim_mcp.store.database import Database, Row, Value

_INSERT = """
INSERT INTO tool_locks (
  tenant_id, name, workflow_id, version, inputs, pinned, approved_at, approved_by, checked_at, held
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)
"""
_REPLACE = """
ON CONFLICT (tenant_id, name) DO UPDATE SET
  workflow_id = excluded.workflow_id, version = excluded.version, inputs = excluded.inputs,
  pinned = excluded.pinned, approved_at = excluded.approved_at, approved_by = excluded.approved_by,
  checked_at = excluded.checked_at, held = NULL
"""


@dataclass(frozen=True, slots=True)
class ToolLocks:
    """The locks of all tenants. Nobody is told of changes: whoever holds a tool looks here before."""

    database: Database

    async def of(self, tenant_id: TenantId) -> Mapping[str, ToolLock]:
        """The tenant's locks by tool."""
        rows = await self.database.fetch_all("SELECT * FROM tool_locks WHERE tenant_id = ?", [tenant_id])
        return {lock.name: lock for lock in map(_lock, rows)}

    async def one(self, tenant_id: TenantId, name: str) -> ToolLock | None:
        """The lock of one tool, if it has any."""
        row = await self.database.fetch_one(
            "SELECT * FROM tool_locks WHERE tenant_id = ? AND name = ?", [tenant_id, name]
        )
        return None if row is None else _lock(row)

    async def approve(self, lock: ToolLock) -> None:
        """Put `lock` in force; what was held is released."""
        await self.database.execute(_INSERT + _REPLACE, _values(lock))

    async def adopt(self, lock: ToolLock) -> ToolLock:
        """Put `lock` in force unless the tool has one; the one in force."""
        await self.database.execute(_INSERT + " ON CONFLICT (tenant_id, name) DO NOTHING", _values(lock))
        return await self.one(lock.tenant_id, lock.name) or lock

    async def hold(self, lock: ToolLock, reasons: tuple[str, ...], *, at: datetime) -> bool:
        """Hold the tool for `reasons`; `False` when `lock` is not the one in force any more."""
        touched = await self.database.execute(
            "UPDATE tool_locks SET held = ?, checked_at = ?"
            " WHERE tenant_id = ? AND name = ? AND approved_at = ?",
            [
                *(columns.json_text(list(reasons)), columns.micros(at)),
                *(lock.tenant_id, lock.name, columns.micros(lock.approved_at)),
            ],
        )
        return touched == 1

    async def forget(self, tenant_id: TenantId, names: Iterable[str]) -> None:
        """Forget what was approved of these tools: their next use is their approval."""
        async with self.database.transaction() as transaction:
            for name in names:
                await transaction.execute(
                    "DELETE FROM tool_locks WHERE tenant_id = ? AND name = ?", [tenant_id, name]
                )

    async def release(self, lock: ToolLock, *, at: datetime) -> bool:
        """Let a held tool go: the workflow is again as it was approved."""
        touched = await self.database.execute(
            "UPDATE tool_locks SET held = NULL, checked_at = ?"
            " WHERE tenant_id = ? AND name = ? AND approved_at = ?",
            [columns.micros(at), lock.tenant_id, lock.name, columns.micros(lock.approved_at)],
        )
        return touched == 1


def _values(lock: ToolLock) -> list[Value]:
    return [
        *(lock.tenant_id, lock.name, lock.workflow_id, lock.version, columns.json_text(dict(lock.inputs))),
        *(lock.pinned, columns.micros(lock.approved_at), columns.clean(lock.approved_by)),
        columns.micros(lock.checked_at),
    ]


def _lock(row: Row) -> ToolLock:
    inputs, held = columns.json_value(row, "inputs"), columns.json_value(row, "held")
    return ToolLock(
        tenant_id=TenantId(columns.text(row, "tenant_id")),
        name=columns.text(row, "name"),
        workflow_id=WorkflowId(columns.text(row, "workflow_id")),
        version=columns.maybe_whole(row, "version"),
        inputs={name: str(kind) for name, kind in inputs.items()} if is_object(inputs) else {},
        pinned=columns.text(row, "pinned"),
        approved_at=columns.moment(row, "approved_at"),
        approved_by=columns.text(row, "approved_by"),
        checked_at=columns.moment(row, "checked_at"),
        held=tuple(map(str, held)) if is_array(held) else (),
    )
