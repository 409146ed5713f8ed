"""Reading executions: one, by any of its ids, or a page of them. Every question names its tenant first."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.errors import InvalidInput
from sim_mcp.model.execution import Status
from sim_mcp.model.tool import WorkflowId
from sim_mcp.store import columns
from sim_mcp.store.execution_rows import ExecutionTable, from_row

if TYPE_CHECKING:
    from datetime import datetime

    from sim_mcp.model.execution import Execution, ExecutionId, Trigger
    from sim_mcp.model.json import Json
    from sim_mcp.model.principal import TenantId
    from sim_mcp.store.database import Value

MAX_PAGE = 100
_MAX_CURSOR_LENGTH = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFilter:
    """Which executions; `None` means any. `created_at` lies at `since` or later, and before `until`."""

    workflow_id: WorkflowId | None = None
    status: Status | None = None
    triggered_by: Trigger | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def has_span(self) -> bool:
        """Whether it knows a first or a last moment."""
        return self.since is not None or self.until is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some executions, newest first.

    `total` counts everything that matches. `next_cursor` is `None` on the last page.
    """

    executions: tuple[Execution, ...]
    total: int
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class ExecutionHistory(ExecutionTable):
    """The reading half of `Executions`.

    `organization_id` narrows: `None` sees the whole tenant; an organisation sees its own rows and
    those that belong to no organisation. What it may not see answers like what does not exist.
    """

    async def get(
        self, tenant_id: TenantId, organization_id: str | None, execution_id: ExecutionId | str
    ) -> Execution | None:
        """The execution with our id, or `None`."""
        conditions, values = _visible(tenant_id, organization_id)
        row = await self.database.fetch_one(
            _select([*conditions, "id = ?"], "LIMIT 1"), [*values, execution_id]
        )
        return None if row is None else from_row(row)

    async def find(self, tenant_id: TenantId, organization_id: str | None, any_id: str) -> Execution | None:
        """The execution whose own id, SIM run id or SIM job id is `any_id` (in this order), or `None`."""
        conditions, values = _visible(tenant_id, organization_id)
        # Three questions, not one with OR: each has its index, together they would read every row.
        for condition in ("id = ?", "run_id = ?", "job_id = ?"):
            sql = _select([*conditions, condition], "ORDER BY created_at DESC LIMIT 1")
            row = await self.database.fetch_one(sql, [*values, any_id])
            if row is not None:
                return from_row(row)
        return None

    async def page(
        self,
        tenant_id: TenantId,
        organization_id: str | None,
        matching: ExecutionFilter | None = None,
        *,
        limit: int = 20,
        offset: int = 0,
        cursor: str | None = None,
    ) -> Page:
        """Up to `limit` (1 to 100) matching executions, newest first, from `cursor` or after `offset`.

        Pages by cursor neither repeat nor skip a row while new ones arrive; pages by offset may.

        Raises:
            InvalidInput: for a limit or offset out of range, a cursor that is not ours, or a cursor
                together with an offset.
        """
        _check_range(limit=limit, offset=offset, cursor=cursor)
        matching = matching or ExecutionFilter()
        conditions, values = _visible(tenant_id, organization_id)
        _narrow(matching, conditions, values)
        place = None if cursor is None else read_cursor(cursor)
        total = await self._total(tenant_id, organization_id, matching)
        if total == 0:  # else it would be looked for in all of the history
            return Page(executions=(), total=0, next_cursor=None)
        if place is not None:
            conditions.append("(created_at, id) < (?, ?)")
            values.extend(place)
        rows = await self.database.fetch_all(
            _select(conditions, "ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?"),
            [*values, limit + 1, offset],
        )
        executions = tuple(from_row(row) for row in rows[:limit])
        next_cursor = (
            write_cursor(executions[-1].created_at, executions[-1].id) if len(rows) > limit else None
        )
        return Page(executions=executions, total=total, next_cursor=next_cursor)

    async def count_since(self, tenant_id: TenantId, at: datetime, *, tool_name: str | None = None) -> int:
        """How many executions of the tenant (by one tool) began at least one attempt at `at` or later."""
        conditions = ["tenant_id = ?", "started_at >= ?", "attempts >= 1"]
        values: list[Value] = [tenant_id, columns.micros(at)]
        if tool_name is not None:
            conditions.append("tool_name = ?")
            values.append(tool_name)
        return await self._count(conditions, values)

    async def count_unfinished(self, tenant_id: TenantId, organization_id: str | None = None) -> int:
        """How many executions are not final: queued, processing or paused."""
        conditions, values = _visible(tenant_id, organization_id)
        return await self._count([*conditions, "finished_at IS NULL"], values)

    async def _total(
        self, tenant_id: TenantId, organization_id: str | None, matching: ExecutionFilter
    ) -> int:
        """How many match: closed ones by the totals that the database keeps, open ones as they stand.

        Totals know no moments: between two of them what matches is counted, inside an index.
        """
        if matching.has_span or (matching.status is not None and not matching.status.is_final):
            conditions, values = _visible(tenant_id, organization_id)
            _narrow(matching, conditions, values)
            return await self._count(conditions, values)
        parts = [_closed(tenant_id, organization_id, matching)]
        if matching.status is None:
            parts.append(_open(tenant_id, organization_id, matching))
        sql = f"SELECT {' + '.join(sql for sql, _ in parts)} AS total"
        row = await self.database.fetch_one(sql, [value for _, values in parts for value in values])
        return 0 if row is None else columns.whole(row, "total")

    async def _count(self, conditions: list[str], values: list[Value]) -> int:
        sql = "".join(["SELECT COUNT(*) AS total FROM executions WHERE ", " AND ".join(conditions)])
        row = await self.database.fetch_one(sql, values)
        return 0 if row is None else columns.whole(row, "total")


def _visible(tenant_id: TenantId, organization_id: str | None) -> tuple[list[str], list[Value]]:
    if organization_id is None:
        return ["tenant_id = ?"], [tenant_id]
    return (
        ["tenant_id = ?", "(organization_id = ? OR organization_id IS NULL)"],
        [tenant_id, organization_id],
    )


def _narrow(matching: ExecutionFilter, conditions: list[str], values: list[Value]) -> None:
    # Only what is asked for enters the SQL: "? IS NULL OR ..." would hide the indexes from the planner.
    asked: list[tuple[str, Value]] = [
        ("workflow_id = ?", matching.workflow_id),
        ("status = ?", matching.status),
        ("triggered_by = ?", matching.triggered_by),
        ("created_at >= ?", columns.maybe_micros(matching.since)),
        ("created_at < ?", columns.maybe_micros(matching.until)),
    ]
    for condition, value in asked:
        if value is not None:
            conditions.append(condition)
            values.append(value)


def _closed(
    tenant_id: TenantId, organization_id: str | None, matching: ExecutionFilter
) -> tuple[str, list[Value]]:
    totals = Narrowing(["tenant_id = ?"], [tenant_id])
    if organization_id is not None:
        totals.where("organization_id IN (?, '')", f"={organization_id}")
    asked = {
        "workflow_id = ?": None if matching.workflow_id is None else f"={matching.workflow_id}",
        "status = ?": matching.status,
        "triggered_by = ?": matching.triggered_by,
    }
    for condition, value in asked.items():
        if value is not None:
            totals.where(condition, value)
    return (
        f"(SELECT CAST(COALESCE(SUM(total), 0) AS BIGINT) FROM execution_totals WHERE {totals.joined})",  # noqa: S608 - our own words
        totals.values,
    )


def _open(
    tenant_id: TenantId, organization_id: str | None, matching: ExecutionFilter
) -> tuple[str, list[Value]]:
    rows = Narrowing.visible(tenant_id, organization_id).where("finished_at IS NULL")
    if matching.workflow_id is not None:
        # Written so that the index by workflow cannot be taken: it leads through all of its closed ones.
        rows.where("'=' || workflow_id = ?", f"={matching.workflow_id}")
    if matching.triggered_by is not None:
        rows.where("triggered_by = ?", matching.triggered_by)
    return f"(SELECT COUNT(*) FROM executions WHERE {rows.joined})", rows.values  # noqa: S608 - our own words


def _select(conditions: list[str], tail: str) -> str:
    return "".join(["SELECT * FROM executions WHERE ", " AND ".join(conditions), " ", tail])


def _check_range(*, limit: int, offset: int, cursor: str | None) -> None:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput(f"`limit` is {limit}: choose 1 to {MAX_PAGE}.")
    if not 0 <= offset < 2**63:
        raise InvalidInput("`offset` is out of range: choose 0 or more.")
    if cursor is not None and offset:
        raise InvalidInput("`cursor` and `offset` exclude each other: send one of them.")


@dataclass(slots=True)
class Narrowing:
    """Conditions on a table's rows and their values, together."""

    conditions: list[str]
    values: list[Value]

    @classmethod
    def visible(cls, tenant_id: TenantId, organization_id: str | None) -> Narrowing:
        """What a member of `organization_id` sees: its own and what is nobody's; `None` sees the tenant."""
        return cls(*_visible(tenant_id, organization_id))

    def where(self, condition: str, *values: Value) -> Narrowing:
        """Also `condition`, one of our own words."""
        self.conditions.append(condition)
        self.values.extend(values)
        return self

    def select(self, table: str, tail: str = "") -> str:
        """The question for `table`, one of our own names."""
        return f"SELECT * FROM {table} WHERE {self.joined} {tail}"  # noqa: S608 - our own words

    @property
    def joined(self) -> str:
        """All conditions as one."""
        return " AND ".join(self.conditions)


def write_cursor(created_at: datetime, row_id: str) -> str:
    """Where the next page begins: after the row with these."""
    position = columns.json_text([columns.micros(created_at), row_id])
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[int, str]:
    """The row that `write_cursor` made `cursor` of.

    Raises:
        InvalidInput: it is not one of ours.
    """
    try:
        position = _decode(cursor)
    except (ValueError, RecursionError):
        position = None
    match position:
        case [int(created_at), str(execution_id)] if -(2**63) <= created_at < 2**63:
            return created_at, execution_id
        case _:
            raise InvalidInput(
                "`cursor` is not one of ours: send `next_cursor` of the page before as it is, or none."
            )


def _decode(cursor: str) -> Json:
    if len(cursor) > _MAX_CURSOR_LENGTH:
        return None
    padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
    return json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
