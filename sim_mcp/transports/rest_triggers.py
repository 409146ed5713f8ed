"""REST about events, schedules and jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from sim_mcp.model.principal import Permission
from sim_mcp.transports import trigger_schemas as schemas
from sim_mcp.transports import trigger_views as views
from sim_mcp.transports.http_answers import Answer
from sim_mcp.transports.http_bearer import principal_of
from sim_mcp.transports.rest_requests import read_body, read_query
from sim_mcp.transports.schemas import Nothing

if TYPE_CHECKING:
    from starlette.requests import Request

    from sim_mcp.app import App


async def supported(_: App, request: Request) -> Response:
    """GET /events/supported: the known events."""
    principal_of(request.scope).require(Permission.VIEW)
    return Answer(views.supported_json())


async def mappings(app: App, request: Request) -> Response:
    """GET /events/mappings: which event starts which workflow."""
    found = await app.mappings.list(principal_of(request.scope), Permission.VIEW)
    return Answer(views.mappings_json(found))


async def map_event(app: App, request: Request) -> Response:
    """POST /events/mappings: set one."""
    body = await read_body(request, schemas.MappingRequest)
    made = await app.mappings.set(principal_of(request.scope), body.mapping(), Permission.EDIT)
    return Answer(views.mapping_json(made))


async def unmap_event(app: App, request: Request) -> Response:
    """DELETE /events/mappings/{event}: take off one, or all of the event."""
    query = read_query(request, schemas.UnmapQuery)
    event = request.path_params["event"]
    removed = await app.mappings.remove(
        principal_of(request.scope), event, Permission.EDIT, workflow_id=query.workflow_id
    )
    return Answer({"event": event, "removed": removed})


async def post_event(app: App, request: Request) -> Response:
    """POST /events: store what it starts, and answer 202 before anything runs."""
    read_query(request, schemas.SignedQuery)
    body = await read_body(request, schemas.EventRequest)
    accepted = await app.events.accept(principal_of(request.scope), body.noun())
    return Answer(views.accepted_json(accepted), 202)


async def schedules(app: App, request: Request) -> Response:
    """GET /schedules: each with its next runs."""
    return Answer(views.schedules_json(await app.schedules.list(principal_of(request.scope))))


async def set_schedule(app: App, request: Request) -> Response:
    """POST /schedules: set one."""
    body = await read_body(request, schemas.ScheduleRequest)
    made = await app.schedules.set(principal_of(request.scope), body.schedule())
    return Answer(views.schedule_json(made))


async def remove_schedule(app: App, request: Request) -> Response:
    """DELETE /schedules/{scheduleName}: take one off; 204."""
    await app.schedules.remove(principal_of(request.scope), request.path_params["scheduleName"])
    return Response(status_code=204)


async def jobs(app: App, request: Request) -> Response:
    """GET /jobs: one page, newest first."""
    query = read_query(request, schemas.JobsQuery)
    page = await app.jobs.page(
        principal_of(request.scope), state=query.state, limit=query.limit, cursor=query.cursor
    )
    return Answer(views.jobs_json(page))


async def replay(app: App, request: Request) -> Response:
    """POST /jobs/{triggeredJobId}/replay: run a dead letter anew."""
    await read_body(request, Nothing)
    job = await app.jobs.replay(principal_of(request.scope), request.path_params["triggeredJobId"])
    return Answer(views.job_json(job))


async def discard(app: App, request: Request) -> Response:
    """POST /jobs/{triggeredJobId}/discard: put it away."""
    await read_body(request, Nothing)
    job = await app.jobs.discard(principal_of(request.scope), request.path_params["triggeredJobId"])
    return Answer(views.job_json(job))
