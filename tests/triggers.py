"""Mappings, schedules and jobs for tests of the doors."""

from __future__ import annotations

from typing import Any

from sim_mcp.model.events import Event, EventMapping, Job, JobState, Schedule
from sim_mcp.model.principal import Permission, TenantId
from sim_mcp.model.tool import WorkflowId
from sim_mcp.sim.fake import workflow_id
from tests.world import World, principal


def mapping(tenant: str, workflow: str, event: str = "timer.stopped", **fields: Any) -> EventMapping:
    """That `event` starts one of the sandbox's workflows of `tenant`."""
    return EventMapping(
        id="",
        tenant_id=TenantId(tenant),
        organization_id=None,
        event=event,
        workflow_id=WorkflowId(workflow_id(tenant, workflow)),
        **fields,
    )


def schedule(tenant: str, workflow: str, name: str = "weekly", **fields: Any) -> Schedule:
    """That one of the sandbox's workflows of `tenant` starts every Monday at nine in UTC."""
    known: dict[str, Any] = {"cron": "0 9 * * 1", "time_zone": "UTC", "input": {}}
    return Schedule(
        id="",
        tenant_id=TenantId(tenant),
        organization_id=None,
        name=name,
        workflow_id=WorkflowId(workflow_id(tenant, workflow)),
        **(known | fields),
    )


async def map_event(
    world: World, tenant: str, workflow: str, event: str = "timer.stopped", **fields: Any
) -> EventMapping:
    """Let `event` start the workflow."""
    wanted = mapping(tenant, workflow, event, **fields)
    return await world.app.mappings.set(principal(tenant), wanted, Permission.ADD)


def event(event_id: str, name: str = "timer.stopped", **fields: Any) -> Event:
    """Something that happened."""
    known: dict[str, Any] = {"data": {}}
    return Event(id=event_id, name=name, **(known | fields))


async def dead_job(world: World, tenant: str, workflow: str, event_id: str) -> Job:
    """A dead letter: the mapping's template wants what the event does not have."""
    await map_event(world, tenant, workflow, "poison.sent", input={"text": {"$from": "/nowhere"}})
    accepted = await world.app.events.accept(principal(tenant), event(event_id, "poison.sent"))
    [job] = accepted.jobs
    assert job.state is JobState.DEAD
    return job
