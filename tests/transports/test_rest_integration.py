"""The connection to SIM over REST: set up, shown without its key, removed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from dirty_equals import IsUUID
from inline_snapshot import snapshot

from sim_mcp.sim.fake import demo_account, faults, workflow_id
from sim_mcp.transports.http_bearer import CallerToken
from sim_mcp.transports.tokens_jwt import Verified
from tests.authority import MAPPING, SCHEDULE
from tests.transports.web import ALL, Web, bearer, open_web
from tests.world import principal

pytestmark = pytest.mark.anyio

KEY = demo_account("acme").api_key
QUICK = workflow_id("acme", "quick")


@pytest.fixture
async def web(tmp_path: Path) -> AsyncGenerator[Web]:
    """Two tenants that connected nothing yet; no answer may ever show a key."""
    async with open_web(tmp_path, connect={}) as opened:
        yield opened
        shown = "".join(str(answer.headers) + answer.text for answer in opened.seen)
        for key in (KEY, demo_account("globex").api_key, "wrong-key-of-acme"):
            assert key not in shown


async def set_up(web: Web, tenant: str = "acme", **changes: Any) -> str:
    """Connect `tenant` and return the integration's id."""
    body = {"apiKey": demo_account(tenant).api_key} | changes
    answer = await web.ask("POST", "/setup", by=tenant, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["integrationTenantId"]


@pytest.mark.requirement("R8", "R9", "R31", "R45", "R46")
async def test_a_key_is_given_once_and_never_shown(web: Web) -> None:
    """201 with an id; afterwards only a boolean tells that there is a key."""
    assert (await web.ask("GET", "/settings")).json()["hasApiKey"] is False
    integration_id = await set_up(web)
    answer = await web.ask("GET", "/settings")
    assert answer.json() == snapshot(
        {
            "integrationTenantId": IsUUID,
            "tenantId": "acme",
            "organizationId": None,
            "isEnabled": True,
            "hasApiKey": True,
            "baseUrl": "https://sim.example.com",
            "workspaceId": "b37771a7-8619-57d9-9168-6ae664fa6b01",
            "revision": 1,
            "updatedAt": "2026-01-01T00:00:00.000Z",
            "updatedBy": "4b7f2d5e-5f0c-4d6c-9a0e-0f9f6f1f6b11",
        }
    )
    assert answer.headers["cache-control"] == "no-store"
    by_id = await web.ask("GET", f"/integration-tenant/{integration_id}")
    assert by_id.json() == answer.json()
    assert (await web.ask("GET", f"/status/{integration_id}")).json() == {"enabled": True}


@pytest.mark.requirement("R45")
async def test_a_key_that_sim_rejects_is_not_stored(web: Web) -> None:
    """400 naming the field; nothing has changed."""
    answer = await web.ask("POST", "/setup", json={"apiKey": "wrong-key-of-acme"})
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_INPUT")
    assert answer.json()["faults"][0]["path"].endswith("apiKey")
    assert (await web.ask("GET", "/settings")).json()["hasApiKey"] is False


@pytest.mark.requirement("R45")
async def test_a_sim_that_does_not_answer_is_502(web: Web) -> None:
    """Nothing is stored that could not be tried."""
    web.world.sim.script(*[faults.Unavailable503()] * 50, verb="any")
    answer = await web.ask("POST", "/setup", json={"apiKey": KEY})
    assert (answer.status_code, answer.json()["code"]) == (502, "SIM_UNAVAILABLE")
    assert (await web.ask("GET", "/settings")).json()["hasApiKey"] is False


@pytest.mark.requirement("R34", "R45", "R53", "R60")
@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "$.apiKey"),
        ({"apiKey": ""}, "$.apiKey"),
        ({"apiKey": 7}, "$.apiKey"),
        ({"apiKey": f"{KEY}\r\nX-Evil: 1"}, "$.apiKey"),
        ({"apiKey": KEY + "é"}, "$.apiKey"),
        ({"apiKey": KEY, "enabled": "yes"}, "$.enabled"),
        ({"apiKey": KEY, "tenantId": "globex"}, "$.tenantId"),
        ({"apiKey": KEY, "api_key": KEY}, "$.api_key"),
        ({"apiKey": KEY, "baseUrl": ""}, "$.baseUrl"),
        ({"apiKey": KEY, "baseUrl": "https://127.0.0.1"}, None),
        ({"apiKey": KEY, "baseUrl": "http://sim.example.com"}, None),
        ({"apiKey": KEY, "baseUrl": "https://169.254.169.254/"}, None),
    ],
)
async def test_a_wrong_setup_is_refused_before_sim_is_asked(
    web: Web, body: dict[str, Any], path: str | None
) -> None:
    """Each fault with its path, never with its value; private addresses are not reached."""
    answer = await web.ask("POST", "/setup", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_INPUT")
    if path is not None:
        assert [fault["path"] for fault in answer.json()["faults"]] == [path]
    assert not web.world.sim.requests


async def test_a_body_must_say_that_it_is_json(web: Web) -> None:
    """A form of a web page cannot post to us."""
    headers = bearer("acme") | {"content-type": "text/plain"}
    answer = await web.ask("POST", f"/workflows/{QUICK}/execute", by=headers, content=b"{}")
    assert answer.status_code == 400


@pytest.mark.requirement("R3", "R46")
async def test_a_removed_integration_leaves_nothing_to_run_with(web: Web) -> None:
    """204; then everything says that nothing is connected; removing again is 404."""
    integration_id = await set_up(web)
    assert (await web.ask("DELETE", "/settings")).status_code == 204
    refused = await web.execute("acme", QUICK)
    assert (refused.status_code, refused.json()["code"]) == (409, "NOT_CONFIGURED")
    assert (await web.ask("GET", f"/status/{integration_id}")).status_code == 404
    assert (await web.ask("DELETE", "/settings")).status_code == 404


@pytest.mark.requirement("R3")
async def test_a_disabled_integration_runs_nothing(web: Web) -> None:
    """409 DISABLED, and the status says so."""
    integration_id = await set_up(web, enabled=False)
    assert (await web.ask("GET", f"/status/{integration_id}")).json() == {"enabled": False}
    answer = await web.execute("acme", QUICK)
    assert (answer.status_code, answer.json()["code"]) == (409, "DISABLED")


@pytest.mark.requirement("R11", "R35")
async def test_a_foreign_integration_answers_exactly_like_an_unknown_one(web: Web) -> None:
    """Byte for byte, whether or not the asker has one of its own."""
    foreign = await set_up(web, "acme")
    for _ in range(2):
        for path in ("/status/{}", "/integration-tenant/{}"):
            unknown = await web.ask("GET", path.format("unknown"), by="globex")
            answer = await web.ask("GET", path.format(foreign), by="globex")
            assert (answer.status_code, answer.content) == (404, unknown.content)
        await set_up(web, "globex")


@pytest.mark.requirement("R48")
async def test_a_workflow_is_validated(web: Web) -> None:
    """Deployed, not deployed, unknown; and another tenant's is unknown."""
    await set_up(web)
    await set_up(web, "globex")
    deployed = (await web.ask("GET", f"/workflows/{QUICK}/validate")).json()
    assert (deployed["workflowId"], deployed["isDeployed"]) == (QUICK, True)
    draft = workflow_id("acme", "undeployed")
    assert (await web.ask("GET", f"/workflows/{draft}/validate")).json()["isDeployed"] is False
    unknown = await web.ask("GET", "/workflows/00000000-0000-4000-8000-000000000000/validate", by="globex")
    foreign = await web.ask("GET", f"/workflows/{QUICK}/validate", by="globex")
    assert (foreign.status_code, foreign.content) == (404, unknown.content)


async def test_the_account_s_workflows_are_discovered_page_by_page(web: Web) -> None:
    """Each with its inputs and whether it is allow-listed; only the tenant's own."""
    await set_up(web)
    names: list[str] = []
    cursor = ""
    while True:
        page = (await web.ask("GET", f"/workflows?limit=4{cursor}")).json()
        names += [each["name"] for each in page["data"]]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert len(names) == len(set(names)) == len(demo_account("acme").workflows)


async def test_health_is_503_while_sim_refuses_the_key(web: Web) -> None:
    """Monitors notice by the status alone."""
    assert (await web.ask("GET", "/health")).json()["status"] == "not_configured"
    await set_up(web)
    assert (await web.ask("GET", "/health")).json()["status"] == "ok"
    web.world.sim.rotate_key("acme", "sk-another")
    answer = await web.ask("GET", "/health")
    assert (answer.status_code, answer.json()["isKeyAccepted"]) == (503, False)


ROUTES: list[tuple[str, str, str]] = [
    ("POST", "/setup", "INTEGRATION_ADD"),
    ("GET", "/settings", "INTEGRATION_VIEW"),
    ("DELETE", "/settings", "INTEGRATION_DELETE"),
    ("GET", "/settings/revisions", "INTEGRATION_VIEW"),
    ("POST", "/settings/revisions/1/restore", "INTEGRATION_ADD"),
    ("POST", f"/workflows/{QUICK}/execute", "INTEGRATION_EDIT"),
    ("GET", f"/workflows/{QUICK}/validate", "INTEGRATION_VIEW"),
    ("GET", "/workflows", "INTEGRATION_VIEW"),
    ("GET", "/jobs/x/status", "INTEGRATION_VIEW"),
    ("GET", "/jobs", "INTEGRATION_VIEW"),
    ("POST", "/jobs/x/replay", "INTEGRATION_EDIT"),
    ("POST", "/jobs/x/discard", "INTEGRATION_EDIT"),
    ("GET", "/events/supported", "INTEGRATION_VIEW"),
    ("GET", "/events/mappings", "INTEGRATION_VIEW"),
    ("POST", "/events/mappings", "INTEGRATION_EDIT"),
    ("DELETE", "/events/mappings/timer.started", "INTEGRATION_EDIT"),
    ("POST", "/events", "INTEGRATION_EDIT"),
    ("GET", "/schedules", "INTEGRATION_VIEW"),
    ("POST", "/schedules", "INTEGRATION_ADD"),
    ("DELETE", "/schedules/x", "INTEGRATION_DELETE"),
    ("GET", "/executions", "INTEGRATION_VIEW"),
    ("GET", "/executions/x", "INTEGRATION_VIEW"),
    ("POST", "/executions/x/cancel", "INTEGRATION_EDIT"),
    ("POST", "/executions/x/resume", "INTEGRATION_EDIT"),
    ("GET", "/status/x", "INTEGRATION_VIEW"),
    ("GET", "/integration-tenant/x", "INTEGRATION_VIEW"),
    ("GET", "/health", "INTEGRATION_VIEW"),
    ("GET", "/metrics", "INTEGRATION_VIEW"),
]
BODIES: dict[str, dict[str, Any]] = {
    "/setup": {"apiKey": KEY},
    "/executions/x/resume": {"input": {}},
    "/events/mappings": dict(MAPPING),
    "/events": {"id": "1", "event": "timer.started"},
    "/schedules": dict(SCHEDULE),
}


@pytest.mark.requirement("R33")
@pytest.mark.parametrize(("method", "path", "permission"), ROUTES)
async def test_every_route_wants_its_permission_and_no_other(
    web: Web, method: str, path: str, permission: str
) -> None:
    """With all others: 403 that names it. With it alone: anything but 403."""
    body = {"json": BODIES.get(path, {})} if method == "POST" else {}
    without = bearer("acme", permissions=[each for each in ALL if each != permission])
    refused = await web.ask(method, path, by=without, **body)
    assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
    assert permission in refused.json()["message"]
    alone = bearer("acme", permissions=[permission])
    assert (await web.ask(method, path, by=alone, **body)).status_code not in {401, 403}


@pytest.mark.requirement("R10")
@pytest.mark.parametrize(("method", "path", "permission"), [*ROUTES, ("GET", "/nothing", "")])
async def test_every_route_wants_a_token(web: Web, method: str, path: str, permission: str) -> None:
    """401 before anything else, for paths that do not exist too."""
    answer = await web.ask(method, path, by={}, **({"json": {}} if method == "POST" else {}))
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
    assert permission not in answer.text or not permission
    assert "error=" not in answer.headers["www-authenticate"]


async def test_the_table_of_routes_is_the_one_that_is_served() -> None:
    """A new route needs a row in the permission matrix above."""
    from sim_mcp.transports.rest import ROUTES as SERVED

    served = {(row.method, row.path.count("/")) for row in SERVED}
    assert len(SERVED) == len(ROUTES)
    assert served == {(method, path.count("/")) for method, path, _ in ROUTES}


async def test_a_missing_path_and_a_wrong_method_speak_the_error_format(web: Web) -> None:
    """404 and 405 look like every other error."""
    missing = await web.ask("GET", "/nothing")
    assert missing.json() == snapshot(
        {
            "statusCode": 404,
            "message": "There is nothing at this path.",
            "error": "Not Found",
            "code": "NOT_FOUND",
            "requestId": "generated-id",
            "executionId": None,
        }
    )
    wrong = await web.ask("PUT", "/settings")
    assert (wrong.status_code, wrong.json()["error"]) == (405, "Method Not Allowed")
    assert set(wrong.headers["allow"].split(", ")) >= {"GET", "DELETE"}


@pytest.mark.requirement("R60")
async def test_a_mistake_of_ours_tells_the_caller_nothing(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    """500 with the request's id; the rest is in the log."""
    from sim_mcp.transports.rest import _answer, _Row
    from sim_mcp.transports.rest_operations import SETTINGS

    async def broken(*_: object) -> Any:
        raise RuntimeError("at /secret/path with a key")

    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
    from starlette.requests import Request

    verified = Verified(principal=principal("acme"), issuer="test")
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [],
        "query_string": b"",
        "user": AuthenticatedUser(CallerToken.of(verified)),
        "sim_mcp_request_id": "r-1",
    }
    answer = await _answer(web.world.app, {"GET": _Row("GET", "/", broken, SETTINGS)}, Request(scope))
    assert answer.status_code == 500
    assert b"secret" not in answer.body
    assert b'"requestId":"r-1"' in bytes(answer.body)
    assert "RuntimeError" in caplog.text
