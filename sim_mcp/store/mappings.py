"""Which event starts which workflow, tenant by tenant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.events import Condition, EventMapping
from sim_mcp.model.json import is_array, is_object
from sim_mcp.model.principal import TenantId
from sim_mcp.model.tool import WorkflowId
from sim_mcp.store import columns
from sim_mcp.store.database import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sim_mcp.model.clock import Clock
    from sim_mcp.model.json import Json, JsonObject
    from sim_mcp.model.principal import Principal
    from sim_mcp.store.database import Database, Row

_SET = """
INSERT INTO event_mappings (tenant_id, id, organization_id, event, workflow_id, filter, input, delay_s,
  priority, changed_at, changed_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant_id, event, workflow_id, (COALESCE(organization_id, ''))) DO UPDATE SET
  filter = excluded.filter, input = excluded.input, delay_s = excluded.delay_s,
  priority = excluded.priority, changed_at = excluded.changed_at, changed_by = excluded.changed_by
RETURNING *
"""
_VISIBLE = (
    "SELECT * FROM event_mappings WHERE tenant_id = ? AND (organization_id IS NULL OR organization_id = ?)"
)
_ALL = "SELECT * FROM event_mappings WHERE tenant_id = ?"
_ORDER = " ORDER BY event, workflow_id, id"


@dataclass(frozen=True, slots=True)
class Mappings:
    """The mappings of all tenants: one per event, workflow and organisation (`None`: the whole tenant)."""

    database: Database
    clock: Clock
    new_id: Callable[[], str]

    async def set(self, principal: Principal, mapping: EventMapping) -> EventMapping:
        """Write `mapping` for its event and workflow, in place of an earlier one; as it stands now."""
        async with self.database.transaction() as transaction:
            row = await transaction.fetch_one(
                _SET,
                [
                    *(mapping.tenant_id, self.new_id(), mapping.organization_id),
                    *(mapping.event, mapping.workflow_id),
                    columns.maybe_json_text(_conditions_json(mapping.conditions) or None),
                    columns.maybe_json_text(mapping.input),
                    *(mapping.delay_s, mapping.priority),
                    *(columns.micros(self.clock.now()), columns.clean(principal.subject)),
                ],
            )
        if row is None:
            raise Trouble.CORRUPT.error("a mapping that was written is not there")
        return _mapping(row)

    async def list(
        self, tenant_id: TenantId, organization_id: str | None, *, event: str | None = None
    ) -> tuple[EventMapping, ...]:
        """The mappings that a member of `organization_id` sees (all of the tenant for `None`), by event."""
        sql, values = (
            (_ALL, [tenant_id]) if organization_id is None else (_VISIBLE, [tenant_id, organization_id])
        )
        if event is not None:
            sql, values = f"{sql} AND event = ?", [*values, event]
        return tuple(_mapping(row) for row in await self.database.fetch_all(sql + _ORDER, values))

    async def of_event(
        self, tenant_id: TenantId, organization_id: str | None, event: str
    ) -> tuple[EventMapping, ...]:
        """The mappings that `event` of `organization_id` meets: its own and the whole tenant's."""
        rows = await self.database.fetch_all(
            f"{_VISIBLE} AND event = ?{_ORDER}", [tenant_id, organization_id, event]
        )
        return tuple(_mapping(row) for row in rows)

    async def remove(
        self, tenant_id: TenantId, organization_id: str | None, event: str, workflow_id: str | None = None
    ) -> int:
        """Take off the event's mapping to `workflow_id`, or all of it; how many went."""
        sql = "DELETE FROM event_mappings WHERE tenant_id = ? AND event = ?"
        values: list[str] = [tenant_id, event]
        if organization_id is not None:
            sql, values = f"{sql} AND organization_id = ?", [*values, organization_id]
        if workflow_id is not None:
            sql, values = f"{sql} AND workflow_id = ?", [*values, workflow_id]
        return await self.database.execute(sql, values)


def _mapping(row: Row) -> EventMapping:
    template = columns.json_value(row, "input")
    return EventMapping(
        id=columns.text(row, "id"),
        tenant_id=TenantId(columns.text(row, "tenant_id")),
        organization_id=columns.maybe_text(row, "organization_id"),
        event=columns.text(row, "event"),
        workflow_id=WorkflowId(columns.text(row, "workflow_id")),
        conditions=_conditions(columns.json_value(row, "filter")),
        input=template if is_object(template) else None,
        delay_s=columns.real(row, "delay_s"),
        priority=columns.whole(row, "priority"),
    )


def _conditions_json(conditions: Sequence[Condition]) -> list[JsonObject]:
    return [
        {
            "pointer": condition.pointer,
            **({"equals": condition.equals} if condition.has_equals else {}),
            "at_least": condition.at_least,
            "at_most": condition.at_most,
        }
        for condition in conditions
    ]


def _conditions(stored: Json) -> tuple[Condition, ...]:
    found: list[Condition] = []
    for each in stored if is_array(stored) else []:
        if not is_object(each) or not isinstance(pointer := each.get("pointer"), str):
            raise Trouble.CORRUPT.error("a mapping's filter cannot be read")
        found.append(
            Condition(
                pointer=pointer,
                equals=each.get("equals"),
                has_equals="equals" in each,
                at_least=_bound(each.get("at_least")),
                at_most=_bound(each.get("at_most")),
            )
        )
    return tuple(found)


def _bound(stored: Json) -> float | str | None:
    return stored if isinstance(stored, int | float | str) else None
