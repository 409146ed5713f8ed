"""Schedules: which workflow starts at which times, and the one tick that starts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sim_mcp.model.events import Schedule
from sim_mcp.model.json import is_object
from sim_mcp.model.principal import TenantId
from sim_mcp.model.tool import WorkflowId
from sim_mcp.store import columns
from sim_mcp.store.database import Trouble
from sim_mcp.store.history import Narrowing
from sim_mcp.store.job_rows import NewJob, insert_jobs

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sim_mcp.model.clock import Clock
    from sim_mcp.model.principal import Principal
    from sim_mcp.store.database import Database, Row
    from sim_mcp.store.sealing import Sealer

_SET = """
INSERT INTO schedules (tenant_id, id, organization_id, name, workflow_id, cron, time_zone, input, missed,
  is_enabled, next_at, changed_at, changed_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant_id, (COALESCE(organization_id, '')), name) DO UPDATE SET
  workflow_id = excluded.workflow_id, cron = excluded.cron, time_zone = excluded.time_zone,
  input = excluded.input, missed = excluded.missed, is_enabled = excluded.is_enabled,
  next_at = excluded.next_at, changed_at = excluded.changed_at, changed_by = excluded.changed_by
RETURNING *
"""


@dataclass(frozen=True, slots=True)
class Schedules:
    """The schedules of all tenants; a name is taken once in each organisation."""

    database: Database
    sealer: Sealer
    clock: Clock
    new_id: Callable[[], str]

    async def set(self, principal: Principal, schedule: Schedule) -> Schedule:
        """Write `schedule` under its name, in place of an earlier one; as it stands now."""
        async with self.database.transaction() as transaction:
            row = await transaction.fetch_one(
                _SET,
                [
                    *(schedule.tenant_id, self.new_id(), schedule.organization_id),
                    *(schedule.name, schedule.workflow_id, schedule.cron, schedule.time_zone),
                    *(columns.json_text(schedule.input), schedule.missed, int(schedule.is_enabled)),
                    columns.maybe_micros(schedule.next_at),
                    *(columns.micros(self.clock.now()), columns.clean(principal.subject)),
                ],
            )
        if row is None:
            raise Trouble.CORRUPT.error("a schedule that was written is not there")
        return _schedule(row)

    async def list(self, tenant_id: TenantId, organization_id: str | None) -> tuple[Schedule, ...]:
        """The schedules that a member of `organization_id` sees (all of the tenant for `None`), by name."""
        narrowed = Narrowing.visible(tenant_id, organization_id)
        rows = await self.database.fetch_all(
            narrowed.select("schedules", "ORDER BY name, id"), narrowed.values
        )
        return tuple(_schedule(row) for row in rows)

    async def remove(self, tenant_id: TenantId, organization_id: str | None, name: str) -> bool:
        """Take the schedule off. `False`: there is none such."""
        sql, values = "DELETE FROM schedules WHERE tenant_id = ? AND name = ?", [tenant_id, name]
        if organization_id is not None:
            sql, values = f"{sql} AND organization_id = ?", [*values, organization_id]
        return bool(await self.database.execute(sql, values))

    async def due(self, now: datetime, *, limit: int) -> tuple[Schedule, ...]:
        """Schedules whose next tick has come, the longest overdue first. Operator's view."""
        rows = await self.database.fetch_all(
            "SELECT * FROM schedules WHERE next_at <= ? ORDER BY next_at, tenant_id, id LIMIT ?",
            [columns.micros(now), limit],
        )
        return tuple(_schedule(row) for row in rows)

    async def next_tick(self) -> datetime | None:
        """When the next schedule of anybody is due; `None` when none is."""
        row = await self.database.fetch_one("SELECT MIN(next_at) AS soonest FROM schedules")
        return None if row is None else columns.maybe_moment(row, "soonest")

    async def tick(self, schedule: Schedule, *, next_at: datetime | None, job: NewJob | None) -> bool:
        """Move on from the tick that `schedule` was seen with, and make its job, in one transaction.

        Of many replicas one does it; the others get `False`.
        """
        async with self.database.transaction() as transaction:
            last_at = schedule.last_at if job is None else job.job.due_at
            moved = await transaction.execute(
                "UPDATE schedules SET next_at = ?, last_at = ?"
                " WHERE tenant_id = ? AND id = ? AND next_at = ?",
                [
                    *(columns.maybe_micros(next_at), columns.maybe_micros(last_at)),
                    *(schedule.tenant_id, schedule.id, columns.maybe_micros(schedule.next_at)),
                ],
            )
            if moved and job is not None:
                await insert_jobs(transaction, self.sealer, [job])
        return moved == 1


def _schedule(row: Row) -> Schedule:
    given = columns.json_value(row, "input")
    return Schedule(
        id=columns.text(row, "id"),
        tenant_id=TenantId(columns.text(row, "tenant_id")),
        organization_id=columns.maybe_text(row, "organization_id"),
        name=columns.text(row, "name"),
        workflow_id=WorkflowId(columns.text(row, "workflow_id")),
        cron=columns.text(row, "cron"),
        time_zone=columns.text(row, "time_zone"),
        input=given if is_object(given) else {},
        missed=_missed(columns.text(row, "missed")),
        is_enabled=columns.flag(row, "is_enabled"),
        next_at=columns.maybe_moment(row, "next_at"),
        last_at=columns.maybe_moment(row, "last_at"),
    )


def _missed(stored: str) -> Literal["skip", "once"]:
    return "once" if stored == "once" else "skip"
