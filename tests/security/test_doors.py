"""What stands in front of everything: no door but the known ones, no other host, no token that goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from sim_mcp.sim.fake import workflow_id
from sim_mcp.transports.http_guards import UNGUARDED_PATHS
from sim_mcp.transports.rest import ROUTES
from sim_mcp.transports.rest_views import BASE_PATH
from tests.journeys.mcp_clients import ERAS, Era, over_http, structured
from tests.leaks import Watchlist, all_that_is_logged, files_in
from tests.transports.web import Web, bearer, claims, signed
from tests.world import principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R60")]

DOORS = {
    "/healthz": "GET",
    "/readyz": "GET",
    "/metrics": "GET",
    "/.well-known/oauth-protected-resource/mcp": "GET",
    "/.well-known/oauth-protected-resource": "GET",
    "/mcp": "*",
    "/sse": "GET",
    "/messages": "*",
    f"{BASE_PATH}/openapi.json": "*",
    BASE_PATH: "*",
    "/setup/{secret}": "GET POST",
    "/dashboard": "GET",
    "/dashboard/live": "GET",
    "/dashboard/executions/{id}": "GET",
    "/dashboard/live.js": "GET",
    "/dashboard/enter": "GET POST",
    "/dashboard/leave": "POST",
}
"""Everything that is reached over HTTP. Whoever adds a door says so here, and asks what it lets in."""
OAUTH = (
    "/authorize",
    "/token",
    "/register",
    "/revoke",
    "/callback",
    "/oauth/authorize",
    "/oauth/callback",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/mcp/.well-known/oauth-authorization-server",
)
REBOUND = (
    ({"host": "evil.example"}, 421),
    ({"host": "127.0.0.1.evil.example:8765"}, 421),
    ({"host": "169.254.169.254"}, 421),
    ({"origin": "https://evil.example"}, 403),
    ({"origin": "https://127.0.0.1.evil.example"}, 403),
)


def doors(web: Web) -> dict[str, str]:
    """The routes of the application with their methods; `*` is whatever the door itself allows."""
    found: dict[str, str] = {}
    for each in cast("Starlette", web.application).routes:
        assert isinstance(each, Route | Mount)
        methods = sorted((getattr(each, "methods", None) or {"*"}) - {"HEAD"})
        found[each.path] = " ".join(methods)
    return found


async def test_there_is_no_door_but_the_known_ones(web: Web) -> None:
    """Above all none that gives out tokens: a proxy in front of somebody else's login can be confused."""
    assert doors(web) == DOORS
    for path in OAUTH:
        for method in ("GET", "POST"):
            answer = await web.client.request(method, path, headers=bearer())
            assert answer.status_code == 404, (method, path)


async def test_every_door_refuses_rebound_names_and_foreign_pages(web: Web) -> None:
    """With a good token, on each route of the application and each one below it; the probes tell nothing."""
    below = [(row.method, BASE_PATH + row.path) for row in ROUTES]
    paths = [("GET" if "GET" in methods else "POST", path) for path, methods in doors(web).items()]
    paths += [("POST", path) for path, methods in doors(web).items() if "POST" in methods or methods == "*"]
    for method, path in [*paths, *below, ("GET", "/nothing"), ("POST", "/setup/x")]:
        for headers, status in REBOUND:
            answer = await web.client.request(method, path, headers=bearer() | headers)
            if path in UNGUARDED_PATHS:
                assert set(answer.json()) == {"status"}
            else:
                assert (answer.status_code, answer.json()["statusCode"]) == (status, status), (path, headers)


@pytest.mark.requirement("R35")
@pytest.mark.parametrize("era", ERAS)
async def test_no_argument_and_no_header_chooses_the_tenant(web: Web, era: Era) -> None:
    """The token alone does: other words for a tenant change nothing, or are refused."""
    names = ("tenant", "tenant_id", "tenantId", "organization_id", "x-tenant-id", "_meta")
    async with over_http(web, era, lambda: signed(claims("acme"))) as client:
        for name in names:
            result = structured(await client.call_tool("echo", {"text": "x", name: "globex"}))
            assert result["status"] == "completed"
            refused = await client.call_tool("sim_list_executions", {name: "globex"})
            assert refused.is_error
            meta: dict[str, object] = {name: "globex", f"sim-mcp/{name}": "globex"}
            result = structured(await client.call_tool("echo", {"text": "x"}, meta=meta))  # pyright: ignore[reportArgumentType]  # what no client sends
            assert result["status"] == "completed"
    for header in ("X-Tenant-Id", "X-Tenant", "X-Organization-Id", "X-User", "X-Forwarded-User"):
        answer = await web.ask("GET", "/executions", headers={header: "globex"})
        assert {row["tenantId"] for row in answer.json()["data"]} <= {"acme"}
    refused = await web.ask("GET", "/executions", headers={"Tenant-Id": "globex"})
    assert refused.status_code == 403
    assert await web.world.rows("globex") == ()
    assert {asked.key for asked in web.world.sim.requests if asked.method == "POST"} == {
        "sk-sim-sandbox-acme"
    }


async def test_the_callers_token_goes_nowhere(
    web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Through every door, in success and failure: SIM, log and disk see none of it; SIM sees its own key."""
    with all_that_is_logged(caplog) as logged:
        tokens = await _used_everywhere(web)
        said = logged()
    asked = web.world.sim.requests
    assert {each.key for each in asked} == {"sk-sim-sandbox-acme", "sk-sim-sandbox-globex"}
    assert {name for each in asked for name in each.headers} & {"authorization", "cookie"} == set()
    watched = Watchlist(tokens)
    sent = [json.dumps([each.path, each.query, each.headers, each.body]) for each in asked]
    assert watched.leaks_in(*sent) == []
    assert "call of echo ended" in said
    assert watched.leaks_in(said) == []
    assert "structuredContent" not in said, "results are the tenant's: no library may write them at DEBUG"
    assert watched.leaks_in(*files_in(tmp_path)) == []


async def _used_everywhere(web: Web) -> dict[str, str]:
    """The parts of two tokens with which somebody came through every door."""
    _, own = await web.world.app.tokens.create(
        principal("acme"), name="ci", expires_at=None, created_by="ada"
    )
    tokens = {"session token": signed(claims("acme")), "own token": own}
    for token in tokens.values():
        for era in ERAS:
            async with over_http(web, era, lambda token=token: token) as client:
                await client.call_tool("echo", {"text": "x"}, meta={"traceparent": token})
                for name in ("sim_status", "sim_discover_workflows"):
                    await client.call_tool(name, {})
        by = {"authorization": f"Bearer {token}", "Cookie": f"session={token}", "X-Api-Key": token}
        done = await web.ask(
            "POST", f"/workflows/{workflow_id('acme', 'echo')}/execute", by=by, json={"input": {"text": "x"}}
        )
        assert done.json()["status"] == "completed"
        await web.ask("GET", f"/workflows/{workflow_id('acme', 'echo')}/validate", by=by)
        await web.client.post("/dashboard/enter", headers=by, data={"token": token})
    return {
        "own token": own.removeprefix("simmcp_"),
        "claims": tokens["session token"].split(".")[1],
        "signature": tokens["session token"].split(".")[2],
    }
