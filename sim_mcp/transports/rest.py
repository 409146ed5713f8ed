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

from starlette.routing import Route, Router

from sim_mcp.model.errors import SimMcpError
from sim_mcp.transports import rest_executions, rest_integration
from sim_mcp.transports.http_answers import plain_problem, problem, request_id_of
from sim_mcp.transports.problems import INTERNAL_ERROR_CODE
from sim_mcp.transports.rest_views import BASE_PATH

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


ROUTES = (
    _Row("POST", "/setup", rest_integration.set_up),
    _Row("GET", "/settings", rest_integration.settings),
    _Row("DELETE", "/settings", rest_integration.remove),
    _Row("GET", "/settings/revisions", rest_integration.revisions),
    _Row("POST", "/settings/revisions/{revision}/restore", rest_integration.restore),
    _Row("GET", "/status/{integrationTenantId}", rest_integration.status),
    _Row("GET", "/integration-tenant/{integrationTenantId}", rest_integration.integration),
    _Row("GET", "/health", rest_integration.health),
    _Row("GET", "/workflows", rest_integration.workflows),
    _Row("GET", "/workflows/{workflowId}/validate", rest_integration.validate),
    _Row("POST", "/workflows/{workflowId}/execute", rest_executions.execute),
    _Row("GET", "/jobs/{jobId}/status", rest_executions.job),
    _Row("GET", "/executions", rest_executions.page),
    _Row("GET", "/executions/{id}", rest_executions.one),
    _Row("POST", "/executions/{id}/cancel", rest_executions.cancel),
    _Row("POST", "/executions/{id}/resume", rest_executions.resume),
)


def rest_router(app: App) -> Router:
    """The routes below `BASE_PATH`. Every request must have passed `RequireBearer`."""
    methods: dict[str, dict[str, Endpoint]] = {}
    for row in ROUTES:
        methods.setdefault(row.path, {})[row.method] = row.endpoint
    return Router(
        [
            Route(path, partial(_answer, app, endpoints), methods=[*endpoints])
            for path, endpoints in methods.items()
        ],
        redirect_slashes=False,
    )


async def _answer(app: App, endpoints: dict[str, Endpoint], request: Request) -> Response:
    """The edge: whatever happens inside becomes one well-formed answer."""
    request_id = request_id_of(request.scope)
    try:
        endpoint = endpoints["GET" if request.method == "HEAD" else request.method]
        return await endpoint(app, request)
    except SimMcpError as error:
        if error.detail:
            log.info("request %s failed: %s", request_id, error.detail)
        return problem(error, request_id)
    except Exception:  # a bug of ours: the caller gets an id, the log gets the rest
        log.exception("request %s failed", request_id)
        message = f"The server made a mistake; its log tells more under the request id {request_id!r}."
        return plain_problem(500, message, request_id, code=INTERNAL_ERROR_CODE)
