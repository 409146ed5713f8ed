"""The host platform's own mistakes, each as a test that ours does not make it (its study, 1.8, 2 and 4.2).

Its tokens are those that it really signs. What concerns its events (D5) is tested where events are.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from mcp.shared.exceptions import MCPError

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Conflict
from sim_mcp.model.execution import Status
from sim_mcp.sim.fake import FakeSim, demo_account, faults, workflow_id
from sim_mcp.transports.admin_tools import ADMIN_TOOLS
from sim_mcp.transports.rest import ROUTES
from tests.authority import ROUTES as RULES
from tests.authority import Ids
from tests.journeys.mcp_clients import ERAS, Era, names, over_http, structured
from tests.leaks import Watchlist, files_in
from tests.patience import PATIENCE_S
from tests.transports.web import ALL, NOW_S, PassingTime, Web, open_web, signed
from tests.triggers import dead_job
from tests.world import flowing, principal

pytestmark = pytest.mark.anyio

ACME = "6f1d2c1e-3b5a-4f0e-9a57-0c8d3f6b7a01"
GLOBEX = "b2a94d77-8e11-4c39-b6a4-5d1e9f70c202"
NOWHERE = "00000000-0000-4000-8000-000000000000"
USER = "4b7f2d5e-5f0c-4d6c-9a0e-0f9f6f1f6b11"
METADATA = "/.well-known/oauth-protected-resource/mcp"
MESSAGE = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


def session_token(tenant: str = ACME, **changes: Any) -> str:
    """What the platform signs at login: HS256, all these claims, and no `iss`, `aud`, `sub` or `jti`."""
    known: dict[str, Any] = {
        "id": USER,
        "tenantId": tenant,
        "organizationId": None,
        "employeeId": None,
        "role": "ADMIN",
        "permissions": ["ORG_TASK_VIEW", *ALL, "TIME_TRACKER"],
        "ipAddress": "203.0.113.7",
        "userAgent": "Mozilla/5.0",
        "userId": USER,
        "tokenType": "ACCESS_TOKEN_TYPE",
        "tokenId": "7f9c0c38-7d4b-4a55-8d0a-2f6f0a8f9b10",
        "iat": NOW_S,
        "exp": NOW_S + 86_400,
    }
    return signed({name: value for name, value in (known | changes).items() if value is not ...})


def by(token: str) -> dict[str, str]:
    """The header of a caller with that token."""
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
async def web(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[Web]:
    """Two tenants of the platform, by their UUIDs, with the same tools."""
    accounts = [demo_account(tenant) for tenant in (ACME, GLOBEX)]
    async with open_web(
        tmp_path,
        has_tools=True,
        clock=clock,
        sim=FakeSim(accounts=accounts, time=PassingTime(clock)),
        connect={each.name: each.api_key for each in accounts},
    ) as opened:
        for tenant in (ACME, GLOBEX):
            await opened.allow(tenant, "quick", "echo", "asking", "slow")
        yield opened


def execute(tenant: str, workflow: str = "quick") -> str:
    """The path to execute a tenant's workflow."""
    return f"/workflows/{workflow_id(tenant, workflow)}/execute"


async def furnished(web: Web, tenant: str) -> Ids:
    """Ids of things of `tenant` that exist, for every parameter of every route."""
    paused = await web.world.app.gateway.call(web.world.call(tenant, "asking"))
    integration = await web.world.app.administration.settings(principal(tenant))
    assert integration is not None
    job = await dead_job(web.world, tenant, "quick", str(uuid.uuid4()))
    return Ids(
        known={
            "id": paused.id,
            "jobid": paused.id,
            "workflowid": workflow_id(tenant, "quick"),
            "integrationtenantid": integration.id,
            "revision": "1",
            "triggeredjobid": job.id,
            "event": "poison.sent",
            "schedulename": "weekly",
        }
    )


# --- tokens (2.1) -----------------------------------------------------------------------------------


@pytest.mark.requirement("R10", "R64")
@pytest.mark.parametrize("era", ERAS)
async def test_the_platforms_session_token_opens_rest_and_mcp(web: Web, era: Era) -> None:
    """As it is, without `tokenType` on older servers too; the tenant is that of the token."""
    for token in (session_token(), session_token(tokenType=..., tokenId=..., userId=...)):
        assert (await web.ask("GET", "/settings", by=by(token))).json()["tenantId"] == ACME
        async with over_http(web, era, lambda token=token: token) as client:
            assert set(await names(client)) == {*ADMIN_TOOLS, "quick", "echo", "asking", "slow"}


SAME_SECRET: dict[str, dict[str, Any]] = {
    "password reset": {"id": USER, "tenantId": ACME, "purpose": "RESET_PASSWORD", "email": "ada@example.com"},
    "mail verification": {"userId": USER, "email": "ada@example.com", "tenantId": ACME, "code": "482913"},
    "workspace sign-in": {"id": USER, "tenantId": ACME, "role": "ADMIN", "code": "A1B2C3"},
    "invite": {"email": "ada@example.com", "tenantId": ACME},
    "estimate": {"email": "ada@example.com", "organizationId": NOWHERE},
    "invoice": {"id": USER, "organizationId": NOWHERE, "tenantId": ACME},
    "appointment": {"appointmentId": NOWHERE},
    "refresh": {"id": USER, "tenantId": ACME, "role": "ADMIN", "tokenType": "REFRESH_TOKEN_TYPE"},
    "refresh of older servers": {"id": USER, "email": "ada@example.com", "tenantId": ACME, "role": None},
}


@pytest.mark.requirement("R10", "R60")
@pytest.mark.parametrize("kind", SAME_SECRET)
async def test_what_the_platform_signs_for_other_purposes_opens_nothing(web: Web, kind: str) -> None:
    """The same secret signs links in mails: whoever finds one is nobody here, at REST and at MCP."""
    token = signed({**SAME_SECRET[kind], "iat": NOW_S, "exp": NOW_S + 600})
    assert (await web.ask("GET", "/settings", by=by(token))).status_code == 401
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert (await web.client.post("/mcp", headers=MESSAGE | by(token), json=ping)).status_code == 401
    unending = signed({**SAME_SECRET[kind], "permissions": list(ALL), "iat": NOW_S})
    assert (await web.ask("GET", "/settings", by=by(unending))).status_code == 401


# --- the plugin (1.8) -------------------------------------------------------------------------------


@pytest.mark.requirement("R33")
async def test_d1_a_permission_is_the_callers_own_and_not_that_of_any_role_of_the_tenant(web: Web) -> None:
    """An employee of a tenant whose admins may everything may nothing."""
    employee = session_token(role="EMPLOYEE", permissions=["ORG_TASK_VIEW", "TIME_TRACKER"])
    ids = await furnished(web, ACME)
    asked = len(web.world.sim.requests)
    for row in ROUTES:
        rule = RULES[row.method, row.path]
        if rule.needs is not None:
            more = {} if rule.body is None else {"json": rule.body}
            answer = await web.ask(row.method, ids.fill(row.path), by=by(employee), **more)
            assert answer.status_code == 403, row.path
    async with over_http(web, "auto", lambda: employee) as client:
        assert await names(client) == []
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("quick", {})
    assert len(web.world.sim.requests) == asked


@pytest.mark.requirement("R31", "R52")
async def test_d2_the_integration_record_holds_no_part_of_the_key(web: Web, tmp_path: Path) -> None:
    """Not half of it between asterisks either; nor does the database."""
    ids = await furnished(web, ACME)
    answer = await web.ask("GET", f"/integration-tenant/{ids['integrationTenantId']}", by=by(session_token()))
    assert (answer.status_code, answer.json()["hasApiKey"]) == (200, True)
    key = demo_account(ACME).api_key
    watched = Watchlist({"key": key.removeprefix("sk-sim-sandbox-")})
    assert watched.leaks_in(answer.text.replace(ACME, "the tenant")) == []
    assert "*" not in answer.text
    assert not any(key.encode() in each for each in files_in(tmp_path))


@pytest.mark.requirement("R12", "R35")
async def test_d3_work_of_one_tenant_never_runs_as_another_however_it_is_queued(web: Web) -> None:
    """Calls of both tenants through each other, by REST and MCP: each run under its own tenant's key."""
    tokens = {tenant: session_token(tenant) for tenant in (ACME, GLOBEX)}

    async def run(tenant: str, number: int) -> None:
        body = {"input": {"text": f"{tenant} {number}"}, "runAsync": number % 3 == 0}
        answer = await web.ask("POST", execute(tenant, "echo"), by=by(tokens[tenant]), json=body)
        assert answer.status_code in {200, 202}

    async with anyio.create_task_group() as group:
        for number in range(12):
            for tenant in (ACME, GLOBEX):
                group.start_soon(run, tenant, number)
    for tenant in (ACME, GLOBEX):
        rows = await web.world.rows(tenant)
        runs = {run.run_id: run for run in web.world.sim.runs}
        assert len(rows) == 12
        for row in rows:
            assert row.tenant_id == tenant
            if row.run_id in runs:
                assert runs[row.run_id].account == tenant
                assert str(runs[row.run_id].input["text"]).startswith(tenant)


@pytest.mark.requirement("R58", "R59")
async def test_d4_a_tenant_whose_sim_hangs_holds_up_nobody_else(web: Web) -> None:
    """While one tenant's calls wait for its SIM, all it may have at once, the other's complete."""
    busy = 8
    web.world.sim.script(*[faults.Hang(run_started=True)] * busy, workflow_id=workflow_id(ACME, "quick"))
    stuck: list[object] = []

    async def wait_for_acme() -> None:
        stuck.append(await web.world.app.gateway.call(web.world.call(ACME, "quick")))

    async with anyio.create_task_group() as group:
        for _ in range(busy):
            group.start_soon(wait_for_acme)
        while len(web.world.started) < busy:
            await anyio.lowlevel.checkpoint()
        with anyio.fail_after(60):
            for _ in range(busy):
                row = await web.world.app.gateway.call(web.world.call(GLOBEX, "quick"))
                assert row.status is Status.COMPLETED
        assert stuck == []
        group.cancel_scope.cancel()


@pytest.mark.requirement("R15", "R27", "R49")
@pytest.mark.parametrize("shape", ["2025", "legacy", "v2"])
async def test_d6_a_receipt_of_any_shape_is_not_a_success(
    tmp_path: Path, clock: ManualClock, shape: Any
) -> None:
    """`taskId`, `jobId` or `runId`: queued; and D7: the row ends when the run does."""
    sim = FakeSim(accounts=[demo_account(ACME)], time=clock, v2_enabled=shape == "v2", brief_s=5)
    async with open_web(tmp_path, clock=clock, sim=sim, connect={ACME: demo_account(ACME).api_key}) as web:
        await web.allow(ACME, "quick")
        sim.script(faults.OldReceipt(shape=shape))
        body = {"input": {"employee": "Ada"}, "runAsync": True}
        accepted = await web.ask("POST", execute(ACME), by=by(session_token()), json=body)
        assert accepted.status_code == 202
        assert accepted.json()["status"] in {"queued", "processing"}
        path = f"/jobs/{accepted.json()['jobId']}/status"
        seen = await _until(web, path, "queued", advance_s=0)
        assert seen["output"] is None
        seen = await _until(web, path, "completed", advance_s=2)
        assert seen["output"]["result"]["employee"] == "Ada"
        [row] = await web.world.rows(ACME)
        assert (row.status, row.finished_at is not None) == (Status.COMPLETED, True)


async def _until(web: Web, path: str, status: str, *, advance_s: float) -> dict[str, Any]:
    polled: dict[str, Any] = {}
    for _ in range(200):
        polled = (await web.ask("GET", path, by=by(session_token()))).json()
        if polled["status"] == status:
            return polled
        web.clock.advance(advance_s)
        await anyio.lowlevel.checkpoint()
    raise AssertionError(polled)


@pytest.mark.requirement("R27", "R60")
async def test_d8_what_the_history_shows_of_an_input_is_redacted(web: Web, tmp_path: Path) -> None:
    """The workflow gets everything; the log, its readers and the file get no secret."""
    said = {"email": "ada@example.com", "login": {"password": "Xk3-vR8q-Lw5z"}, "note": "Bearer Qm7sTz4dPb9w"}
    await web.ask("POST", execute(ACME, "echo"), by=by(session_token()), json={"input": said})
    assert [run.input for run in web.world.sim.runs] == [said]
    page = await web.ask("GET", "/executions", by=by(session_token()))
    row = await web.ask("GET", f"/executions/{page.json()['data'][0]['id']}", by=by(session_token()))
    assert row.json()["input"]["email"] == "ada@example.com"
    watched = Watchlist({"password": "Xk3-vR8q-Lw5z", "token": "Qm7sTz4dPb9w"})
    assert watched.leaks_in(page.text, row.text, *files_in(tmp_path)) == []


@pytest.mark.requirement("R37")
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (faults.Unauthorized401(), 401, "UNAUTHORIZED"),
        (faults.UsageExceeded402(), 402, "USAGE_LIMIT_EXCEEDED"),
        (faults.RateLimited(retry_after=90), 429, "RATE_LIMIT_EXCEEDED"),
        (faults.Unavailable503(), 502, "SIM_UNAVAILABLE"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_d9_a_refusal_of_sim_is_not_one_500_for_everything(
    web: Web, fault: Any, status: int, code: str
) -> None:
    """Each in its own status and code, with a remedy."""
    web.world.sim.script(*[fault] * 9, workflow_id=workflow_id(ACME, "quick"))
    async with flowing(web.clock):
        answer = await web.ask("POST", execute(ACME), by=by(session_token()), json={"timeout": 60_000})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert web.world.started == []


@pytest.mark.requirement("R13", "R35", "R49")
async def test_d10_a_job_is_looked_for_among_ones_own_and_not_at_sim(web: Web) -> None:
    """Whatever the tenant's key can see at SIM: an id that is no row of the caller's is unknown."""
    body: dict[str, Any] = {"input": {}, "runAsync": True}
    accepted = await web.ask("POST", execute(GLOBEX), by=by(session_token(GLOBEX)), json=body)
    [row] = await web.world.rows(GLOBEX)
    with anyio.fail_after(PATIENCE_S):
        while row.status is Status.PROCESSING:  # SIM's receipt is not written down
            await anyio.lowlevel.checkpoint()
            [row] = await web.world.rows(GLOBEX)
    asked = len(web.world.sim.requests)
    unknown = await web.ask("GET", f"/jobs/{NOWHERE}/status", by=by(session_token()))
    for any_id in (accepted.json()["jobId"], row.run_id, row.job_id or row.id):
        foreign = await web.ask("GET", f"/jobs/{any_id}/status", by=by(session_token()))
        assert (foreign.status_code, foreign.content) == (404, unknown.content)
    assert len(web.world.sim.requests) == asked


@pytest.mark.requirement("R41")
async def test_d11_no_call_begun_after_a_new_key_uses_the_old_one(web: Web) -> None:
    """Also when clients were being built for the old key at that moment."""
    world = web.world

    async def call() -> None:
        with suppress(Conflict):  # the key of the settings it began with is gone: call again
            await world.app.gateway.call(world.call(ACME, "quick"))

    before = 0
    for number in range(4):
        fresh = f"sk-sim-rotated-{number}"
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(call)  # some of these build a client for the key that is about to go
            world.sim.rotate_key(ACME, fresh)
            await world.app.administration.set_up(principal(ACME), api_key=fresh)
            before = len(world.started)
            group.start_soon(call)
        assert {run.key for run in list(world.sim.runs)[before:]} <= {fresh}
        await call()
        assert [run.key for run in world.sim.runs][-1] == fresh


@pytest.mark.requirement("R3")
async def test_d12_switched_off_is_off_for_all_that_uses_sim_and_can_be_switched_on(web: Web) -> None:
    """Execute, validate, discover and resume are refused and SIM is not asked; what was, can be read."""
    token, ids = by(session_token()), await furnished(web, ACME)
    await web.world.app.administration.set_enabled(principal(ACME), is_enabled=False)
    asked = len(web.world.sim.requests)
    refused_requests: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
        ("POST", execute(ACME), {}),
        ("POST", execute(ACME), {"runAsync": True}),
        ("GET", f"/workflows/{ids['workflowId']}/validate", None),
        ("GET", "/workflows", None),
        ("POST", f"/executions/{ids['id']}/resume", {"input": {"approved": True}}),
    )
    for method, path, body in refused_requests:
        answer = await web.ask(method, path, by=token, **({} if body is None else {"json": body}))
        assert (answer.status_code, answer.json()["code"]) == (409, "DISABLED"), path
    assert len(web.world.sim.requests) == asked
    status = await web.ask("GET", f"/status/{ids['integrationTenantId']}", by=token)
    assert status.json() == {"enabled": False}
    assert (await web.ask("GET", "/executions", by=token)).status_code == 200
    async with over_http(web, "auto", session_token) as client:
        assert set(await names(client)) == set(ADMIN_TOOLS)
        refused = structured(await client.call_tool("quick", {}))
        assert refused["error"]["code"] == "DISABLED"
    assert (await web.ask("POST", execute(GLOBEX), by=by(session_token(GLOBEX)), json={})).status_code == 200
    await web.world.app.administration.set_enabled(principal(ACME), is_enabled=True)
    assert (await web.ask("POST", execute(ACME), by=token, json={})).status_code == 200


@pytest.mark.requirement("R27")
async def test_d13_the_history_survives_the_integration(web: Web) -> None:
    """Removing destroys the key and nothing of what was recorded; connecting again finds it."""
    token = by(session_token())
    await web.ask("POST", execute(ACME), by=token, json={"input": {"employee": "Ada"}})
    before = (await web.ask("GET", "/executions", by=token)).json()
    assert (await web.ask("DELETE", "/settings", by=token)).status_code == 204
    assert (await web.ask("GET", "/executions", by=token)).json() == before
    body = {"apiKey": demo_account(ACME).api_key}
    assert (await web.ask("POST", "/setup", by=token, json=body)).status_code == 201
    assert (await web.ask("GET", "/executions", by=token)).json() == before


@pytest.mark.requirement("R8", "R12", "R35")
async def test_there_is_no_key_for_tenants_that_have_none(tmp_path: Path, clock: ManualClock) -> None:
    """Whatever the environment of the server holds: nobody spends the operator's quota by default."""
    sim = FakeSim(accounts=[demo_account(ACME)], time=PassingTime(clock))
    key = demo_account(ACME).api_key
    async with open_web(tmp_path, clock=clock, sim=sim, connect={}, sim_api_key=key, tenant_id=ACME) as web:
        answer = await web.ask("POST", execute(ACME), by=by(session_token()), json={})
        assert (answer.status_code, answer.json()["code"]) == (409, "NOT_CONFIGURED")
        settings = (await web.ask("GET", "/settings", by=by(session_token()))).json()
        assert settings["hasApiKey"] is False
        assert list(sim.requests) == []


# --- its MCP server (4.2) ---------------------------------------------------------------------------


@pytest.mark.requirement("R32")
def test_no_tool_takes_a_password_or_a_key_as_an_argument() -> None:
    """What is an argument has been in a model's context."""
    found = {
        (name, field) for name, tool in ADMIN_TOOLS.items() for field in _property_names(tool.input_schema)
    }
    secret = re.compile(r"pass(word|phrase|wd)|secret|api_?key|credential|authorization|^(auth_)?token$")
    assert [each for each in found if secret.search(each[1])] == []


def _property_names(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        for name, inner in cast("dict[str, Any]", schema).items():
            if name == "properties":
                yield from inner
            yield from _property_names(inner)
    elif isinstance(schema, list):
        for inner in cast("list[Any]", schema):
            yield from _property_names(inner)


@pytest.mark.requirement("R66")
@pytest.mark.parametrize("method", ["notifications/initialized", "notifications/roots/list_changed"])
async def test_notifications_are_accepted(web: Web, method: str) -> None:
    """A message without an id is not a broken request."""
    headers = MESSAGE | by(session_token())
    opened = await web.client.post(
        "/mcp",
        headers=headers,
        json={
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"},
            },
        },
    )
    session = {"mcp-session-id": opened.headers["mcp-session-id"], "mcp-protocol-version": "2025-06-18"}
    answer = await web.client.post(
        "/mcp", headers=headers | session, json={"jsonrpc": "2.0", "method": method}
    )
    assert (answer.status_code, answer.content) == (202, b"")


@pytest.mark.requirement("R26", "R64")
@pytest.mark.parametrize("era", ERAS)
async def test_the_listed_tools_have_whole_definitions_and_can_be_called(web: Web, era: Era) -> None:
    """Over HTTP: descriptions, annotations, both schemas with their fields; and a call that succeeds."""
    described = {"type": "object", "properties": {"employee": {"type": "string"}}, "required": ["employee"]}
    await web.world.allow(ACME, "quick", "described", input_schema=described)
    async with over_http(web, era, session_token) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools["described"].input_schema == described
        assert tools["sim_get_execution"].input_schema["required"] == ["execution_id"]
        for tool in tools.values():
            assert tool.description
            assert tool.annotations is not None
            assert tool.output_schema is not None
            assert tool.output_schema["properties"]
        result = await client.call_tool("described", {"employee": "Ada"})
    assert structured(result)["status"] == "completed"


@pytest.mark.requirement("R16")
@pytest.mark.parametrize("era", ERAS)
async def test_arguments_arrive_as_they_were_written(web: Web, era: Era) -> None:
    """No HTML escaping, neither on the way to SIM nor on the way back."""
    text = """<b>5 & 6</b> "quoted" 'too' a/b &amp; \\ {{x}} é\u2028\U0001f600"""
    async with over_http(web, era, session_token) as client:
        result = structured(await client.call_tool("echo", {"text": text}))
    assert [run.input for run in web.world.sim.runs] == [{"text": text}]
    assert result["output"]["result"]["text"] == text


async def test_the_metadata_is_spelt_as_clients_read_it(tmp_path: Path) -> None:
    """RFC 9728: snake case, `authorization_servers`; the 401 leads to it."""
    issuer = "https://id.example.com"
    async with open_web(tmp_path, connect={}, auth_issuer=issuer) as web:
        document = (await web.client.get(METADATA)).json()
        assert document["authorization_servers"] == [issuer]
        assert [name for name in document if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name)] == []
        refused = await web.client.post("/mcp", headers=MESSAGE, json={})
        assert METADATA in refused.headers["www-authenticate"]


async def test_nobody_says_in_a_body_or_a_header_which_tenant_they_are(web: Web) -> None:
    """The token alone does: no session, no field, no header changes it."""
    for other in ({"tenant-id": GLOBEX}, {"organization-id": NOWHERE}):
        refused = await web.ask("GET", "/settings", by=by(session_token()) | other)
        assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
    headers = by(session_token())
    assert (await web.ask("GET", "/settings", by=headers)).json()["tenantId"] == ACME
    body: dict[str, Any] = {"input": {}, "tenantId": GLOBEX}
    assert (await web.ask("POST", execute(ACME), by=headers, json=body)).status_code == 400
    assert (await web.ask("GET", "/settings", by=headers, params={"tenantId": GLOBEX})).status_code == 400
