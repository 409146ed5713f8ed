"""REST under `/api/integration/sim`: the same corridor, spoken in HTTP (contract section 8).

A route reads the request, asks the gateway, and shows what it said. Permissions and tenants are the
gateway's; statuses are the table's (`problems`).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from starlette.requests import ClientDisconnect
from starlette.routing import Route, Router

from sim_mcp.model.errors import SimMcpError
from sim_mcp.transports import rest_executions, rest_integration, rest_triggers
from sim_mcp.transports import rest_operations as about
from sim_mcp.transports import rest_trigger_operations as triggers
from sim_mcp.transports.http_answers import mistake, problem, request_id_of
from sim_mcp.transports.http_bearer import principal_of
from sim_mcp.transports.rest_requests import read_query
from sim_mcp.transports.rest_views import BASE_PATH
from sim_mcp.transports.schemas import Nothing

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from sim_mcp.app import App

__all__ = ["BASE_PATH", "rest_router"]

log = logging.getLogger(__name__)

Endpoint: TypeAlias = Callable[["App", "Request"], Awaitable["Response"]]


@dataclass(frozen=True, slots=True)
class _Row:
    method: str
    path: str
    endpoint: Endpoint
    operation: about.Operation


ROUTES = (
    _Row("POST", "/setup", rest_integration.set_up, about.SET_UP),
    _Row("GET", "/settings", rest_integration.settings, about.SETTINGS),
    _Row("DELETE", "/settings", rest_integration.remove, about.REMOVE),
    _Row("GET", "/settings/revisions", rest_integration.revisions, about.REVISIONS),
    _Row("POST", "/settings/revisions/{revision}/restore", rest_integration.restore, about.RESTORE),
    _Row("GET", "/status/{integrationTenantId}", rest_integration.status, about.STATUS),
    _Row("GET", "/integration-tenant/{integrationTenantId}", rest_integration.integration, about.INTEGRATION),
    _Row("GET", "/health", rest_integration.health, about.HEALTH),
    _Row("GET", "/metrics", rest_integration.metrics, about.METRICS),
    _Row("GET", "/workflows", rest_integration.workflows, about.WORKFLOWS),
    _Row("GET", "/workflows/{workflowId}/validate", rest_integration.validate, about.VALIDATE),
    _Row("POST", "/workflows/{workflowId}/execute", rest_executions.execute, about.EXECUTE),
    _Row("GET", "/jobs/{jobId}/status", rest_executions.job, about.JOB),
    _Row("GET", "/jobs", rest_triggers.jobs, triggers.JOBS),
    _Row("POST", "/jobs/{triggeredJobId}/replay", rest_triggers.replay, triggers.REPLAY),
    _Row("POST", "/jobs/{triggeredJobId}/discard", rest_triggers.discard, triggers.DISCARD),
    _Row("GET", "/events/supported", rest_triggers.supported, triggers.SUPPORTED),
    _Row("GET", "/events/mappings", rest_triggers.mappings, triggers.MAPPINGS),
    _Row("POST", "/events/mappings", rest_triggers.map_event, triggers.MAP),
    _Row("DELETE", "/events/mappings/{event}", rest_triggers.unmap_event, triggers.UNMAP),
    _Row("POST", "/events", rest_triggers.post_event, triggers.POST),
    _Row("GET", "/schedules", rest_triggers.schedules, triggers.SCHEDULES),
    _Row("POST", "/schedules", rest_triggers.set_schedule, triggers.SET_SCHEDULE),
    _Row("DELETE", "/schedules/{scheduleName}", rest_triggers.remove_schedule, triggers.REMOVE_SCHEDULE),
    _Row("GET", "/executions", rest_executions.page, about.EXECUTIONS),
    _Row("GET", "/executions/{id}", rest_executions.one, about.EXECUTION),
    _Row("POST", "/executions/{id}/cancel", rest_executions.cancel, about.CANCEL),
    _Row("POST", "/executions/{id}/resume", rest_executions.resume, about.RESUME),
)


def rest_router(app: App) -> Router:
    """The routes below `BASE_PATH`. Every request must have passed `RequireBearer`."""
    methods: dict[str, dict[str, _Row]] = {}
    for row in ROUTES:
        methods.setdefault(row.path, {})[row.method] = row
    return Router(
        [Route(path, partial(_answer, app, rows), methods=[*rows]) for path, rows in methods.items()],
        redirect_slashes=False,
    )


async def _answer(app: App, rows: dict[str, _Row], request: Request) -> Response:
    """The edge: whatever happens inside becomes one well-formed answer."""
    request_id = request_id_of(request.scope)
    try:
        row = rows["GET" if request.method == "HEAD" else request.method]
        _check_named(request)
        if row.operation.query is Nothing:  # what would be ignored is refused instead
            read_query(request, Nothing)
        return await row.endpoint(app, request)
    except SimMcpError as error:
        if error.detail:
            log.info("request %s failed: %s", request_id, error.detail)
        return problem(error, request_id)
    except ClientDisconnect:
        raise  # nobody's mistake: told like everywhere else
    except Exception:  # a bug of ours: the caller gets an id, the log gets the rest
        log.exception("request %s failed", request_id)
        return mistake(request_id)


def _check_named(request: Request) -> None:
    """`Tenant-Id` and `Organization-Id`, as the host platform's clients send them, must be the token's."""
    principal = principal_of(request.scope)
    for tenant_id in request.headers.getlist("tenant-id"):
        principal.require_named(tenant_id=tenant_id or None)
    for organization_id in request.headers.getlist("organization-id"):
        principal.require_named(organization_id=organization_id or None)
