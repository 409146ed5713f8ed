"""REST about the connection to SIM: setting it up, looking at it, and what the account offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from sim_mcp.model.errors import NotFound
from sim_mcp.model.tool import WorkflowId
from sim_mcp.transports import rest_views as views
from sim_mcp.transports.http_answers import Answer
from sim_mcp.transports.http_bearer import principal_of
from sim_mcp.transports.metrics_answers import MetricsQuery
from sim_mcp.transports.metrics_views import metrics_json
from sim_mcp.transports.rest_requests import read_body, read_query
from sim_mcp.transports.schemas import RestoreRequest, RevisionsQuery, SetupRequest, WorkflowsQuery

if TYPE_CHECKING:
    from starlette.requests import Request

    from sim_mcp.app import App
    from sim_mcp.model.integration import Integration


async def set_up(app: App, request: Request) -> Response:
    """POST /setup: try the key at SIM, store it sealed, answer 201 with the integration's id."""
    body = await read_body(request, SetupRequest)
    report = await app.administration.set_up(
        principal_of(request.scope),
        api_key=body.api_key.get_secret_value(),
        base_url=body.base_url,
        is_enabled=body.enabled,
        organization_id=body.organization_id,
        workspace_id=body.workspace_id,
    )
    return Answer({"integrationTenantId": report.integration.id}, 201)


async def settings(app: App, request: Request) -> Response:
    """GET /settings: what is in force, never the key."""
    principal = principal_of(request.scope)
    found = await app.administration.settings(principal)
    if found is None:
        return Answer(views.no_integration_json(principal.tenant_id, app.settings.sim_base_url))
    return Answer(views.integration_json(found))


async def remove(app: App, request: Request) -> Response:
    """DELETE /settings: remove the integration and destroy its key; 204."""
    await app.administration.remove(principal_of(request.scope))
    return Response(status_code=204)


async def revisions(app: App, request: Request) -> Response:
    """GET /settings/revisions: who changed which settings when, newest first; never a key."""
    query = read_query(request, RevisionsQuery)
    found = await app.administration.history(principal_of(request.scope))
    return Answer(views.revisions_json(found, limit=query.limit, offset=query.offset))


async def restore(app: App, request: Request) -> Response:
    """POST /settings/revisions/{revision}/restore: earlier settings in force again; the new ones."""
    body = await read_body(request, RestoreRequest)
    restored = await app.administration.restore(
        principal_of(request.scope),
        _revision(request.path_params["revision"]),
        api_key=None if body.api_key is None else body.api_key.get_secret_value(),
    )
    return Answer(views.integration_json(restored))


async def status(app: App, request: Request) -> Response:
    """GET /status/{integrationTenantId}: whether it is switched on."""
    return Answer({"enabled": (await _own(app, request)).is_enabled})


async def integration(app: App, request: Request) -> Response:
    """GET /integration-tenant/{integrationTenantId}: the settings by their id, redacted."""
    return Answer(views.integration_json(await _own(app, request)))


async def health(app: App, request: Request) -> Response:
    """GET /health: whether SIM answers this tenant; 503 when it does not, so that monitors notice."""
    answer = views.health_json(await app.status.health(principal_of(request.scope)))
    return Answer(answer, 503 if answer["status"] == "failing" else 200)


async def metrics(app: App, request: Request) -> Response:
    """GET /metrics: the tenant's own, from its history."""
    query = read_query(request, MetricsQuery)
    return Answer(metrics_json(await app.metrics.of(principal_of(request.scope), since=query.since)))


async def workflows(app: App, request: Request) -> Response:
    """GET /workflows: one page of what the SIM account offers."""
    query = read_query(request, WorkflowsQuery)
    found = await app.workflows.discover(
        principal_of(request.scope), search=query.search, limit=query.limit, cursor=query.cursor
    )
    return Answer(views.discovery_json(found))


async def validate(app: App, request: Request) -> Response:
    """GET /workflows/{workflowId}/validate: whether it is deployed and matches what is pinned."""
    workflow_id = WorkflowId(request.path_params["workflowId"])
    found = await app.workflows.validate(principal_of(request.scope), workflow_id)
    return Answer(views.validation_json(found))


def _revision(text: str) -> int:
    """The number in a path; 0, which no revision has, when it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


async def _own(app: App, request: Request) -> Integration:
    found = await app.administration.settings(principal_of(request.scope))
    if found is None or found.id != request.path_params["integrationTenantId"]:
        raise NotFound("There is no such integration.")
    return found
