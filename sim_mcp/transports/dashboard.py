"""`/dashboard`: a tenant's history, charts and health in a browser. It looks, and changes nothing."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import anyio
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from sim_mcp.app import ExecutionFilter
from sim_mcp.model.errors import InvalidInput, NotFound, SimMcpError, Unauthorized
from sim_mcp.model.execution import Status
from sim_mcp.model.tool import WorkflowId
from sim_mcp.transports.charts import chart_of
from sim_mcp.transports.dashboard_sessions import SESSION_LASTS_S, DashboardSessions
from sim_mcp.transports.dashboard_words import execution_page, overview_page
from sim_mcp.transports.html_pages import PAGES, HtmlPages
from sim_mcp.transports.http_answers import request_id_of
from sim_mcp.transports.http_bearer import base_url
from sim_mcp.transports.problems import http_status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from sim_mcp.app import App, SimHealth
    from sim_mcp.model.principal import Principal, TenantId
    from sim_mcp.transports.auth import Authenticator

log = logging.getLogger(__name__)

PATH = "/dashboard"
COOKIE = "sim_mcp_dashboard"
LARGEST_FORM_BYTES = 32 * 1024
PAGE = 25
HEALTH_FOR_S = 30.0
"""How long SIM's health is told as it was found: pages that refresh themselves must not wear it out."""
WINDOWS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
USUAL = "24h"


class Dashboard:
    """Serves the pages. Every question goes through the desks with the session's principal."""

    def __init__(self, app: App, authenticator: Authenticator, *, public_url: str | None) -> None:
        self._app = app
        self._sessions = DashboardSessions(app, authenticator)
        self._public_url = public_url
        self._root = urlsplit(public_url or "").path.rstrip("/")
        """What a proxy puts before our paths, when the public URL has a path of its own."""
        self._html = HtmlPages("dashboard.css", has_script=True)
        self._health: dict[TenantId, tuple[float, SimHealth | None]] = {}

    def routes(self) -> list[Route]:
        """The routes, to be mounted outside every guard that wants a token."""
        looks: dict[str, Callable[[Principal, Request], Awaitable[Response]]] = {
            PATH: self._overview,
            f"{PATH}/live": partial(self._overview, only_live=True),
            f"{PATH}/executions/{{id}}": self._execution,
        }
        return [
            *(
                Route(path, partial(self._answer, partial(self._seen, look)), methods=["GET"])
                for path, look in looks.items()
            ),
            Route(f"{PATH}/live.js", self._script, methods=["GET"]),
            Route(f"{PATH}/enter", partial(self._answer, self._enter), methods=["GET", "POST"]),
            Route(f"{PATH}/leave", partial(self._answer, self._leave), methods=["POST"]),
        ]

    async def _answer(self, look: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        """The edge: whatever happens inside becomes a page."""
        try:
            return await look(request)
        except SimMcpError as error:
            if error.detail:
                log.info("request %s failed: %s", request_id_of(request.scope), error.detail)
            return self._page("notice.html", http_status(error), title="Not shown", words=error.message)
        except Exception:  # a bug of ours: the person gets an id, the log gets the rest
            request_id = request_id_of(request.scope)
            log.exception("request %s failed", request_id)
            words = f"Its log tells more under the request id {request_id}."
            return self._page("notice.html", 500, title="The server made a mistake", words=words)

    async def _seen(
        self, look: Callable[[Principal, Request], Awaitable[Response]], request: Request
    ) -> Response:
        principal = await self._sessions.principal(request.cookies.get(COOKIE))
        if principal is None:
            return self._page("enter.html", 401, problem=None)
        return await look(principal, request)

    async def _overview(self, principal: Principal, request: Request, *, only_live: bool = False) -> Response:
        query = request.query_params
        chosen = {name: query.get(name, "") for name in ("window", "status", "workflow", "cursor")}
        window = chosen["window"] or USUAL
        if window not in WINDOWS:
            raise InvalidInput(f"`window` is none of {', '.join(WINDOWS)}.")
        since = self._app.outside.clock.now() - WINDOWS[window]
        matching = ExecutionFilter(
            workflow_id=WorkflowId(chosen["workflow"]) if chosen["workflow"] else None,
            status=_status(chosen["status"]),
            since=since,
        )
        page = await self._app.runs.page(principal, matching, limit=PAGE, cursor=chosen["cursor"] or None)
        failures = await self._app.runs.page(
            principal, ExecutionFilter(status=Status.FAILED, since=since), limit=5
        )
        values = overview_page(
            principal=principal,
            metrics=await self._app.metrics.of(principal, since=since, asks_sim=False),
            chart=chart_of(await self._app.metrics.timeline(principal, since=since)),
            tools=(await self._app.gateway.catalog(principal.tenant_id)).tools,
            page=page,
            failures=failures.executions,
            health=await self._sim_health(principal),
            chosen={**chosen, "window": window},
            windows=tuple(WINDOWS),
        )
        return self._page("live.html" if only_live else "overview.html", 200, **values)

    async def _execution(self, principal: Principal, request: Request) -> Response:
        try:
            row = await self._app.runs.get(principal, str(request.path_params["id"]))
        except NotFound as error:
            return self._page("notice.html", 404, title="No such execution", words=error.message)
        return self._page("execution.html", 200, **execution_page(principal, row))

    async def _enter(self, request: Request) -> Response:
        """GET with a link's secret, or POST with a token: a session, and on to the dashboard."""
        if request.method == "GET":
            text = request.query_params.get("link")
            if text is None:
                return self._page("enter.html", 200, problem=None)
            return self._welcome(request, await self._sessions.by_link(text))
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            raise Unauthorized("The form was sent from another page. Open the dashboard itself.")
        token = await _token_of(request)
        try:
            return self._welcome(request, await self._sessions.by_token(token))
        except SimMcpError as error:
            return self._page("enter.html", http_status(error), problem=error.message)

    async def _leave(self, request: Request) -> Response:
        del request
        response = self._page("enter.html", 200, problem=None)
        response.delete_cookie(COOKIE, path=self._root + PATH)
        return response

    def _welcome(self, request: Request, session: str) -> Response:
        response = RedirectResponse(self._root + PATH, 303, headers={"cache-control": "no-store"})
        response.set_cookie(
            COOKIE,
            session,
            max_age=int(SESSION_LASTS_S),
            path=self._root + PATH,
            secure=base_url(request.scope, self._public_url).startswith("https://"),
            httponly=True,
            samesite="lax",
        )
        return response

    async def _script(self, request: Request) -> Response:
        del request
        text = await anyio.Path(PAGES / "live.js").read_text(encoding="utf-8")
        return Response(text, media_type="text/javascript", headers={"cache-control": "max-age=3600"})

    async def _sim_health(self, principal: Principal) -> SimHealth | None:
        now_s = self._app.outside.clock.monotonic()
        at_s, known = self._health.get(principal.tenant_id, (-HEALTH_FOR_S, None))
        if now_s - at_s < HEALTH_FOR_S:
            return known
        if len(self._health) >= 1000:
            self._health.clear()
        known = await self._app.status.health(principal)
        self._health[principal.tenant_id] = (now_s, known)
        return known

    def _page(self, name: str, status: int, **values: Any) -> HTMLResponse:
        return HTMLResponse(
            self._html.render(f"dashboard/{name}", root=self._root, **values),
            status,
            dict(self._html.headers),
        )


def _status(text: str) -> Status | None:
    if not text:
        return None
    try:
        return Status(text)
    except ValueError as error:
        raise InvalidInput(f"`status` is none of {', '.join(each.value for each in Status)}.") from error


async def _token_of(request: Request) -> str:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM_BYTES:
            raise Unauthorized("That is too long for a token.")
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=4)
    except ValueError:
        fields = {}
    return fields.get("token", [""])[0].strip()
