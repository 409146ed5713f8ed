"""`sim-mcp dashboard`: a link that opens the tenant's dashboard, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode, urlsplit

import typer

from sim_mcp.cli.exits import Misuse
from sim_mcp.cli.options import AsJson, Config, Organization, Tenant
from sim_mcp.cli.printing import note, print_json, say
from sim_mcp.cli.session import with_app

if TYPE_CHECKING:
    from sim_mcp.app import App
    from sim_mcp.model.principal import Principal

_USUAL = "http://127.0.0.1:8765"


def dashboard(
    *,
    url: Annotated[
        str | None,
        typer.Option("--url", help=f"Where the server is; default: SIM_MCP_PUBLIC_URL, or {_USUAL}."),
    ] = None,
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Print a link to the tenant's dashboard, good for one use within ten minutes.

    The server must be running (`serve --transport http`), on the same database and encryption keys.
    """

    async def link(app: App, principal: Principal) -> str:
        from sim_mcp.transports.auth import Authenticator
        from sim_mcp.transports.dashboard import PATH
        from sim_mcp.transports.dashboard_sessions import DashboardSessions

        base = (url or app.settings.public_url or _USUAL).rstrip("/")
        if urlsplit(base).scheme not in {"http", "https"} or not urlsplit(base).netloc:
            raise Misuse("--url is no address of a server.", remedy=f"write it like {_USUAL}")
        secret = DashboardSessions(app, Authenticator(app)).link(principal)
        return f"{base}{PATH}/enter?{urlencode({'link': secret})}"

    address = with_app(link, config=config, tenant=tenant, organization=organization)
    if as_json:
        print_json({"url": address, "lasts_s": 600})
        return
    say(address)
    note("It works once, within ten minutes; then the browser may look for eight hours.")
