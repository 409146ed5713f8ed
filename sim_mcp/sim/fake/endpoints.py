"""The table of paths, and what every answer of a dialect carries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from sim_mcp.sim.fake import dialect_legacy, dialect_v1, dialect_v2, legacy_runs, v2_catalog
from sim_mcp.sim.fake.exchange import Dialect, Exchange, Refused, html, rate_headers
from sim_mcp.sim.fake.world import World

Handler = Callable[[Exchange], Awaitable[Response]]

_LEGACY: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/api/workflows/{id}/execute", dialect_legacy.execute),
    ("POST", "/api/workflows/{id}/executions/{run_id}/cancel", legacy_runs.cancel),
    ("GET", "/api/workflows/{id}/paused", legacy_runs.paused_list),
    ("GET", "/api/workflows/{id}/paused/{run_id}", legacy_runs.paused_detail),
    ("GET", "/api/workflows/{id}/status", legacy_runs.status),
    ("GET", "/api/jobs/{job_id}", legacy_runs.job),
    ("GET", "/api/resume/{id}/{run_id}", legacy_runs.paused_detail),
    ("GET", "/api/resume/{id}/{run_id}/{context_id}", legacy_runs.pause_context),
    ("POST", "/api/resume/{id}/{run_id}/{context_id}", legacy_runs.resume),
    ("GET", "/api/users/me/usage-limits", legacy_runs.usage_limits),
    ("GET", "/api/files/serve/{rest:path}", legacy_runs.file),
    ("GET", "/api/health", legacy_runs.health),
)
_V1: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/api/v1/workflows", dialect_v1.workflows),
    ("GET", "/api/v1/workflows/{id}", dialect_v1.workflow),
)
_V2: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/api/v2/workspaces", v2_catalog.workspaces),
    ("GET", "/api/v2/billing/status", v2_catalog.billing),
    ("GET", "/api/v2/workflows", v2_catalog.workflows),
    ("GET", "/api/v2/workflows/{id}", v2_catalog.workflow),
    ("GET", "/api/v2/workflows/{id}/deployment", v2_catalog.deployment),
    ("GET", "/api/v2/workflows/{id}/versions", v2_catalog.versions),
    ("GET", "/api/v2/workflows/{id}/versions/{version}", v2_catalog.version),
    ("POST", "/api/v2/workflows/{id}/execute", dialect_v2.execute),
    ("GET", "/api/v2/workflows/{id}/runs", dialect_v2.runs),
    ("GET", "/api/v2/workflows/{id}/runs/{run_id}", dialect_v2.run),
    ("POST", "/api/v2/workflows/{id}/runs/{run_id}/cancel", dialect_v2.cancel),
    ("POST", "/api/v2/workflows/{id}/runs/{run_id}/resume", dialect_v2.resume),
)
_ANY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def router(
    world: World, ids: Callable[[], str], *, prefix: str, v2_enabled: bool, has_execution_endpoint: bool
) -> Router:
    """All endpoints below `prefix`.

    A server without the execution endpoint is older than v2 as well: there, `/api/v2` is an unknown page.
    """

    def routes(table: Sequence[tuple[str, str, Handler]], dialect: Dialect) -> list[Route]:
        return [
            Route(prefix + path, _endpoint(handler, world, ids, dialect), methods=[method])
            for method, path, handler in table
        ]

    execution = legacy_runs.execution if has_execution_endpoint else legacy_runs.no_execution
    found = routes(_LEGACY, "legacy")
    found += routes([("GET", "/api/workflows/{id}/executions/{run_id}", execution)], "legacy")
    found += routes(_V1, "v1")
    if has_execution_endpoint:
        found += routes(_V2, "v2") if v2_enabled else []
        rest = _endpoint(v2_catalog.nothing, world, ids, "v2")
        found.append(Route(f"{prefix}/api/v2/{{rest:path}}", rest, methods=list(_ANY_METHOD)))
    unknown = html(404, "404: This page could not be found.")
    return Router(found, default=unknown, redirect_slashes=False)


def _endpoint(
    handler: Handler, world: World, ids: Callable[[], str], dialect: Dialect
) -> Callable[[Request], Awaitable[Response]]:
    """Give `handler` its exchange, and its answer the headers of the dialect."""

    async def endpoint(request: Request) -> Response:
        x = Exchange(request=request, body=await request.body(), world=world, dialect=dialect)
        try:
            response = await handler(x)
        except Refused as refusal:
            response = refusal.response
        response.headers["x-request-id"] = ids().replace("-", "")[:8]
        if dialect == "v2" and response.media_type != "text/event-stream":
            response.headers["cache-control"] = "private, no-store"
        known = world.account_of_key(x.key or "") is not None
        if (
            handler is not v2_catalog.nothing
            and dialect in {"v1", "v2"}
            and known
            and "x-ratelimit-limit" not in response.headers
        ):
            response.headers.update(rate_headers(x.now))
        return response

    return endpoint
