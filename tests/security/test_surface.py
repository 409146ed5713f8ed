"""What this server offers to strangers, and what of a caller's request goes any further."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import pytest
from inline_snapshot import snapshot
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from sim_mcp.sim.fake import workflow_id
from tests.leaks import Watchlist, files_in
from tests.transports.web import Web, bearer, signed
from tests.transports.web import claims as claims_of

pytestmark = pytest.mark.anyio

MCP = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
UNGUARDED = {"/healthz", "/readyz"}
"""Probes ask by address; they tell nothing about anybody."""


def paths_of(web: Web) -> list[str]:
    """Every address that the application routes, as it is declared."""
    routes = cast("Starlette", web.application).routes
    return sorted(
        {route.path + ("/*" if isinstance(route, Mount) else "")
         for route in routes if isinstance(route, Route | Mount)}
    )  # fmt: skip


@pytest.mark.requirement("R10", "R60")
async def test_the_routes_are_these_and_none_hands_out_tokens(web: Web) -> None:
    """No authorisation, token or registration endpoint: nobody can be made somebody's deputy here."""
    assert paths_of(web) == snapshot(
        [
            "/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource/mcp",
            "/api/integration/sim/*",
            "/api/integration/sim/openapi.json",
            "/dashboard",
            "/dashboard/enter",
            "/dashboard/executions/{id}",
            "/dashboard/leave",
            "/dashboard/live",
            "/dashboard/live.js",
            "/healthz",
            "/mcp",
            "/messages/*",
            "/metrics",
            "/readyz",
            "/setup/{secret}",
            "/sse",
        ]
    )
    for path in ("/authorize", "/token", "/register", "/revoke", "/.well-known/oauth-authorization-server"):
        for method in ("GET", "POST"):
            assert (await web.client.request(method, path)).status_code == 404, path


@pytest.mark.requirement("R60")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example:8765"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://127.0.0.1.evil.example"}, 403),
    ],
)
async def test_every_route_refuses_an_unknown_host_and_origin(
    web: Web, headers: dict[str, str], status: int
) -> None:
    """Before anything else is looked at, and whatever the token; metrics and pages are no exception."""
    asked = [path.replace("/*", "/x").replace("{token}", "x") for path in paths_of(web)]
    assert {"/metrics", "/mcp", "/sse"} <= set(asked)
    for path in asked:
        answer = await web.client.get(path, headers=bearer() | headers)
        if path in UNGUARDED:
            assert answer.status_code == 200, path
        else:
            assert answer.status_code == status, path


async def called(web: Web, headers: dict[str, str], arguments: dict[str, Any]) -> str:
    """The raw answer to a call of `echo` in a session of the legacy era."""
    begin: dict[str, Any] = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "globex", "version": "1"},
    }
    opened = await web.client.post(
        "/mcp",
        headers=MCP | headers,
        json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": begin},
    )
    assert opened.status_code == 200, opened.text
    session = {"mcp-session-id": opened.headers["mcp-session-id"], "mcp-protocol-version": "2025-06-18"}
    call = {"name": "echo", "arguments": arguments}
    answer = await web.client.post(
        "/mcp",
        headers=MCP | headers | session,
        json={"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call},
    )
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.requirement("R12", "R31", "R60")
async def test_the_callers_token_goes_nowhere(
    web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not to SIM, which gets the tenant's own key; not into a log line or a row of the database."""
    caplog.set_level(logging.DEBUG)
    token = signed(claims_of())
    by = {"authorization": f"Bearer {token}"}
    assert '"isError":true' not in await called(web, by, {"a": 1})
    executed = await web.ask(
        "POST", f"/workflows/{workflow_id('acme', 'echo')}/execute", by=by, json={"input": {"a": 2}}
    )
    assert executed.status_code == 200
    assert len(web.world.started) == 2
    parts = {f"part {nth} of the token": part for nth, part in enumerate(token.split(".")) if nth}
    watched = Watchlist(parts)
    received = [repr(request) for request in web.world.sim.requests]
    assert received
    assert watched.leaks_in(*received, caplog.text, *files_in(tmp_path)) == []


@pytest.mark.requirement("R11", "R35", "R60")
async def test_who_asks_is_what_the_token_says_and_nothing_else(web: Web) -> None:
    """A tenant named in arguments, client names or made-up headers changes nothing: acme's key was used."""
    spoofed = {
        "x-tenant-id": "globex",
        "x-forwarded-user": "globex",
        "x-organization-id": "globex",
        "x-api-key": "globex",
        "cookie": "tenantId=globex",
    }
    wanted = {"tenant": "globex", "tenantId": "globex", "tenant_id": "globex"}
    assert '"isError":true' not in await called(web, bearer() | spoofed, wanted)
    assert len(await web.world.rows("acme")) == 1
    assert await web.world.rows("globex") == ()
    assert {run.account for run in web.world.sim.runs} == {"acme"}
