"""The handles of MCP's tasks extension: stored as hashes, each for one caller, each with an end."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.execution import ExecutionId
from sim_mcp.model.task import Task
from sim_mcp.store import columns

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from sim_mcp.model.clock import Clock
    from sim_mcp.model.principal import Principal
    from sim_mcp.store.database import Database

FORGOTTEN_AT_ONCE = 500
"""Ended handles that making a new one forgets, at most."""

_FORGET = """
DELETE FROM tasks WHERE (tenant_id, id_hash) IN (
  SELECT tenant_id, id_hash FROM tasks WHERE expires_at <= ? ORDER BY expires_at LIMIT ?
)
"""
_FIND = """
SELECT execution_id, created_at, expires_at FROM tasks
WHERE tenant_id = ? AND id_hash = ? AND subject = ? AND COALESCE(organization_id, '') = ? AND expires_at > ?
"""


def new_task_id() -> str:
    """What makes a handle unguessable: 32 characters, 192 bits."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True)
class Tasks:
    """The handles of all tenants."""

    database: Database
    clock: Clock
    new_task_id: Callable[[], str] = new_task_id

    async def create(self, principal: Principal, execution_id: ExecutionId, *, lasts: timedelta) -> Task:
        """A handle of `principal` to the execution, durable on return. Forgets some that ended."""
        now = self.clock.now()
        task = Task(id=self.new_task_id(), execution_id=execution_id, created_at=now, expires_at=now + lasts)
        await self.database.execute(_FORGET, [columns.micros(now), FORGOTTEN_AT_ONCE])
        await self.database.execute(
            "INSERT INTO tasks (tenant_id, id_hash, organization_id, subject, execution_id, created_at,"
            " expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                *(principal.tenant_id, _hash(task.id), principal.organization_id),
                *(columns.clean(principal.subject), execution_id),
                *(columns.micros(task.created_at), columns.micros(task.expires_at)),
            ],
        )
        return task

    async def find(self, principal: Principal, task_id: str) -> Task | None:
        """The handle, if it was made for exactly this caller and has not ended."""
        row = await self.database.fetch_one(
            _FIND,
            [
                *(principal.tenant_id, _hash(task_id), columns.clean(principal.subject)),
                *(principal.organization_id or "", columns.micros(self.clock.now())),
            ],
        )
        if row is None:
            return None
        return Task(
            id=task_id,
            execution_id=ExecutionId(columns.text(row, "execution_id")),
            created_at=columns.moment(row, "created_at"),
            expires_at=columns.moment(row, "expires_at"),
        )


def _hash(task_id: str) -> str:
    return hashlib.sha256(f"task\0{task_id}".encode("utf-8", "replace")).hexdigest()
