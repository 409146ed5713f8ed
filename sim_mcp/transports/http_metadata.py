"""RFC 9728: what this resource is called, who issues tokens for it, and which scopes it knows."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sim_mcp.model.principal import PERMISSIONS
from sim_mcp.transports.http_answers import Answer
from sim_mcp.transports.http_bearer import METADATA_PATH, base_url

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from sim_mcp.config import Settings

WELL_KNOWN = "/.well-known/oauth-protected-resource"
RESOURCE_PATH = "/mcp"


def metadata_routes(settings: Settings) -> list[BaseRoute]:
    """The document at every path where a client may look for it.

    Clients are pointed to `METADATA_PATH`. Those that were not, insert the well-known path between
    host and resource path (RFC 9728 section 3.1), where a public URL with a path prefix shows, or
    fall back to the root.
    """
    from starlette.routing import Route

    prefix = urlsplit(settings.public_url or "").path.rstrip("/")
    paths = dict.fromkeys([METADATA_PATH, WELL_KNOWN + prefix + RESOURCE_PATH, WELL_KNOWN])
    return [Route(path, partial(_metadata, settings)) for path in paths]


async def _metadata(settings: Settings, request: Request) -> Response:
    document: dict[str, Any] = {
        "resource": base_url(request.scope, settings.public_url) + RESOURCE_PATH,
        "resource_name": "sim-mcp",
        "scopes_supported": list(PERMISSIONS),
        "bearer_methods_supported": ["header"],
    }
    if settings.auth_issuer is not None and _is_server(settings.auth_issuer):
        document["authorization_servers"] = [settings.auth_issuer]
    return Answer(
        document, headers={"access-control-allow-origin": "*", "cache-control": "public, max-age=3600"}
    )


def _is_server(issuer: str) -> bool:
    """Whether clients can ask `issuer` for a token: an https URL, or http on this machine."""
    parts = urlsplit(issuer)
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or ""))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
