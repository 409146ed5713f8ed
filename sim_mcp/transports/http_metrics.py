"""`/metrics` for the operator: what the process counts about all tenants, in Prometheus's format.

A bearer token with the permission `metrics` opens it. Without a token, only who asks from this machine by
a loopback name may look, and only where no public URL is set: behind a proxy everybody comes from there.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from starlette.responses import Response

from sim_mcp.model.errors import NotFound, SimMcpError, Unauthorized
from sim_mcp.model.principal import Permission
from sim_mcp.transports.http_answers import problem, request_id_of
from sim_mcp.transports.http_bearer import authorization_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Scope

    from sim_mcp.app import App
    from sim_mcp.transports.auth import Authenticator

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


async def metrics(app: App, authenticator: Authenticator, request: Request) -> Response:
    """GET /metrics."""
    try:
        await _check(app, authenticator, request)
    except SimMcpError as error:
        headers = {"www-authenticate": f'Bearer scope="{Permission.METRICS}"'}
        named = headers if isinstance(error, Unauthorized) else {}
        return problem(error, request_id_of(request.scope), headers=named)
    body, media_type = app.process_metrics.text(request.headers.get("accept", ""))  # pyright: ignore[reportOptionalMemberAccess]  # `_check` saw it
    return Response(body, media_type=media_type, headers={"cache-control": "no-store"})


async def _check(app: App, authenticator: Authenticator, request: Request) -> None:
    if app.process_metrics is None:
        raise NotFound("This server counts nothing.")
    header = authorization_of(request.scope)
    if header is None and app.settings.public_url is None and _is_from_here(request.scope):
        return
    caller = await authenticator.authenticate(header)
    caller.principal.require(Permission.METRICS)


def _is_from_here(scope: Scope) -> bool:
    """Whether a program on this machine asks, by the machine's own name, and for nobody else."""
    client = scope.get("client")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    if client is None or any(name in headers for name in _FORWARDED):
        return False
    host = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
    return _is_loopback(client[0]) and _is_loopback(host)


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name.lower() == "localhost"
