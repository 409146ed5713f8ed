"""Setting which event starts which workflow: checked when it is set, so that an event meets no surprise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sim_mcp.model.credentials import without_credentials
from sim_mcp.model.errors import Fault, InvalidInput, NotFound
from sim_mcp.model.events import (
    FIRST_PRIORITY,
    LAST_PRIORITY,
    LONGEST_DELAY_S,
    SUPPORTED_EVENTS,
    is_event_name,
)
from sim_mcp.triggers.allowed import require_allowed
from sim_mcp.triggers.templates import check_pointer, check_template

if TYPE_CHECKING:
    from sim_mcp.gateway import Gateway
    from sim_mcp.model.events import EventMapping
    from sim_mcp.model.principal import Permission, Principal
    from sim_mcp.store import Store

MOST_CONDITIONS = 20
MOST_MAPPINGS = 500


class MappingDesk:
    """What a principal may learn of and do to its mappings."""

    def __init__(self, *, store: Store, gateway: Gateway) -> None:
        self._store = store
        self._gateway = gateway

    async def list(self, principal: Principal, permission: Permission) -> tuple[EventMapping, ...]:
        """The mappings that the principal sees, by event.

        Raises:
            Forbidden: without `permission`.
        """
        principal.require(permission)
        return await self._store.mappings.list(principal.tenant_id, principal.organization_id)

    async def set(self, principal: Principal, mapping: EventMapping, permission: Permission) -> EventMapping:
        """Set `mapping` for the principal's tenant and organisation, whatever it names itself.

        Raises:
            Forbidden: without `permission`, which the door asks for.
            InvalidInput: each fault with its path.
            NotFound: the workflow is not on the tenant's allow-list.
        """
        principal.require(permission)
        faults = [*_faults(mapping)]
        if faults:
            raise InvalidInput("The event mapping is not valid.", faults=tuple(faults))
        check_template(mapping.input)
        await require_allowed(self._gateway, principal, mapping.workflow_id)
        own = replace(mapping, tenant_id=principal.tenant_id, organization_id=principal.organization_id)
        known = await self._store.mappings.list(principal.tenant_id, None)
        if len(known) >= MOST_MAPPINGS and not any(_is_same(own, each) for each in known):
            raise InvalidInput(f"A tenant has at most {MOST_MAPPINGS} event mappings; remove some first.")
        return await self._store.mappings.set(principal, own)

    async def remove(
        self, principal: Principal, event: str, permission: Permission, *, workflow_id: str | None = None
    ) -> int:
        """Take off the event's mapping to `workflow_id`, or all of it; how many went.

        Raises:
            Forbidden: without `permission`.
            InvalidInput: `event` cannot name an event.
            NotFound: there is no such mapping of this principal's.
        """
        principal.require(permission)
        if not is_event_name(event):
            raise InvalidInput(unknown_event(event), faults=(Fault("event", "is no event name"),))
        removed = await self._store.mappings.remove(
            principal.tenant_id, principal.organization_id, event, workflow_id
        )
        if not removed:
            raise NotFound("There is no such event mapping.")
        return removed


def unknown_event(name: str) -> str:
    """Why `name` is no event, and what would be one."""
    return (
        f"{without_credentials(name)[:100]!r} cannot name an event: write noun.verb in lower case. Known "
        f"events are {', '.join(SUPPORTED_EVENTS)}; others may be used too."
    )


def _faults(mapping: EventMapping) -> list[Fault]:
    faults: list[Fault] = []
    if not is_event_name(mapping.event):
        faults.append(Fault("event", unknown_event(mapping.event)))
    if not mapping.workflow_id.strip():
        faults.append(Fault("workflowId", "must name a workflow"))
    if not 0 <= mapping.delay_s <= LONGEST_DELAY_S:
        faults.append(Fault("delayS", f"must be 0 to {LONGEST_DELAY_S:.0f} seconds"))
    if not FIRST_PRIORITY <= mapping.priority <= LAST_PRIORITY:
        faults.append(Fault("priority", f"must be {FIRST_PRIORITY} (first) to {LAST_PRIORITY} (last)"))
    if len(mapping.conditions) > MOST_CONDITIONS:
        faults.append(Fault("filter", f"has at most {MOST_CONDITIONS} conditions"))
    for at, condition in enumerate(mapping.conditions):
        path = f"filter[{at}]"
        fault = check_pointer(condition.pointer, f"{path}.pointer")
        if fault is not None:
            faults.append(fault)
        has_range = condition.at_least is not None or condition.at_most is not None
        if condition.has_equals and has_range:
            faults.append(Fault(path, "has a value or a range, not both"))
    return faults


def _is_same(one: EventMapping, other: EventMapping) -> bool:
    return (one.event, one.workflow_id, one.organization_id) == (
        other.event,
        other.workflow_id,
        other.organization_id,
    )
