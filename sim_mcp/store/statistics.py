"""Counting executions: how many ended how, how long they took, and why some failed.

Everything asked here is answered from an index (`executions_measured`, `executions_by_status`), so that a
long history costs little. A row counts by `created_at`; only final rows count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.execution import Status
from sim_mcp.store import columns
from sim_mcp.store.history import Narrowing

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sim_mcp.model.principal import TenantId
    from sim_mcp.store.database import Database, Row

_ENDED = "finished_at IS NOT NULL"
_BEGUN = "attempts >= 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCount:
    """Executions of one tool that SIM was asked for and that ended with `status`.

    `duration_ms` sums the `timed` ones, those whose duration is known; `cost` what SIM told.
    """

    tool_name: str
    status: Status
    executions: int
    timed: int
    duration_ms: int
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCount:
    """Calls that failed with one error code; `refused` of them before SIM was asked."""

    code: str
    calls: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotCount:
    """Executions with `status` that began in the slot at `began_at`."""

    began_at: datetime
    status: Status
    executions: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts of one tenant's executions; an organisation sees its own and those of none."""

    database: Database

    async def by_tool(
        self, tenant_id: TenantId, organization_id: str | None, *, since: datetime
    ) -> tuple[ToolCount, ...]:
        """Tools whose calls reached SIM, each with its ends; by name, then status."""
        asked = _since(tenant_id, organization_id, since).where(_ENDED).where(_BEGUN)
        rows = await self.database.fetch_all(
            _grouped(
                "tool_name, status, COUNT(*) AS executions, COUNT(duration_ms) AS timed,"
                " CAST(COALESCE(SUM(duration_ms), 0) AS BIGINT) AS duration_ms,"
                " COALESCE(SUM(cost), 0.0) AS cost",
                asked,
                "tool_name, status",
            ),
            asked.values,
        )
        return tuple(
            ToolCount(
                tool_name=columns.text(row, "tool_name"),
                status=Status(columns.text(row, "status")),
                executions=columns.whole(row, "executions"),
                timed=columns.whole(row, "timed"),
                duration_ms=columns.whole(row, "duration_ms"),
                cost=columns.real(row, "cost"),
            )
            for row in rows
        )

    async def failures(
        self, tenant_id: TenantId, organization_id: str | None, *, since: datetime
    ) -> tuple[FailureCount, ...]:
        """Failed and refused calls by error code; a flood that shares a row counts in full."""
        asked = _since(tenant_id, organization_id, since).where("status = ?", Status.FAILED)
        code = f"COALESCE({self.database.member('error', 'code')}, '')"
        rows = await self.database.fetch_all(
            _grouped(
                f"{code} AS code, CAST(SUM(refusals) AS BIGINT) AS calls,"
                " CAST(SUM(CASE WHEN attempts = 0 THEN refusals ELSE 0 END) AS BIGINT) AS refused",
                asked,
                code,
            ),
            asked.values,
        )
        return tuple(
            FailureCount(
                code=columns.text(row, "code"),
                calls=columns.whole(row, "calls"),
                refused=columns.whole(row, "refused"),
            )
            for row in rows
        )

    async def over_time(
        self, tenant_id: TenantId, organization_id: str | None, *, since: datetime, slot: timedelta
    ) -> tuple[SlotCount, ...]:
        """Executions by the `slot` in which they were made, counted from `since`, and how they ended."""
        asked = _since(tenant_id, organization_id, since).where(_ENDED).where(_BEGUN)
        began_us, slot_us = columns.micros(since), int(slot.total_seconds() * 1_000_000)
        # Our own whole numbers: written out, because a parameter would make two different groups of them.
        number = f"(created_at - {began_us}) / {slot_us}"
        rows = await self.database.fetch_all(
            _grouped(f"{number} AS slot, status, COUNT(*) AS executions", asked, f"{number}, status"),
            asked.values,
        )
        return tuple(
            SlotCount(
                began_at=columns.from_micros(began_us + columns.whole(row, "slot") * slot_us),
                status=Status(columns.text(row, "status")),
                executions=columns.whole(row, "executions"),
            )
            for row in rows
        )

    async def durations_ms(
        self, tenant_id: TenantId, organization_id: str | None, *, since: datetime, limit: int
    ) -> tuple[tuple[str, int], ...]:
        """Tool and duration of the newest completed executions, at most `limit` of them."""
        asked = (
            _since(tenant_id, organization_id, since)
            .where(_ENDED)
            .where(_BEGUN)
            .where("status = ?", Status.COMPLETED)
            .where("duration_ms IS NOT NULL")
        )
        sql = "".join(
            [
                "SELECT tool_name, duration_ms FROM executions WHERE ",
                " AND ".join(asked.conditions),
                " ORDER BY created_at DESC LIMIT ?",
            ]
        )
        rows = await self.database.fetch_all(sql, [*asked.values, limit])
        return tuple((columns.text(row, "tool_name"), columns.whole(row, "duration_ms")) for row in rows)

    async def cost(self, tenant_id: TenantId, *, since: datetime, tool_name: str | None = None) -> float:
        """What SIM said that the tenant's runs (of one tool) cost since then."""
        asked = _since(tenant_id, None, since).where(_ENDED)
        if tool_name is not None:
            asked.where("tool_name = ?", tool_name)
        sql = "".join(
            [
                "SELECT COALESCE(SUM(cost), 0.0) AS cost FROM executions WHERE ",
                " AND ".join(asked.conditions),
            ]
        )
        row: Row | None = await self.database.fetch_one(sql, asked.values)
        return 0.0 if row is None else columns.real(row, "cost")


def _since(tenant_id: TenantId, organization_id: str | None, since: datetime) -> Narrowing:
    return Narrowing.visible(tenant_id, organization_id).where("created_at >= ?", columns.micros(since))


def _grouped(what: str, asked: Narrowing, by: str) -> str:
    return "".join(
        [
            *("SELECT ", what, " FROM executions WHERE ", " AND ".join(asked.conditions)),
            *(" GROUP BY ", by, " ORDER BY ", by),
        ]
    )
