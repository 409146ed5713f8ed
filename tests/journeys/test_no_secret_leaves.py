"""No part of a key or a token leaves by any door, whatever SIM says and wherever somebody types it.

SIM here says the caller's key in every name, message, page and stream. Searched are all answers, notices,
log lines at debug level, and the bytes of the database.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from sim_mcp.app import Needs, Progress
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.integration import Integration
from sim_mcp.sim.fake import FakeSim, demo_account, faults, workflow_id
from sim_mcp.transports.admin_tools import ADMIN_TOOLS
from sim_mcp.transports.rest import ROUTES
from tests.authority import ROUTES as RULES
from tests.authority import SCHEDULE, Ids
from tests.journeys.mcp_clients import ERAS, connected
from tests.leaks import ACME_KEY, GLOBEX_KEY, Blabber, Watchlist, all_that_is_logged, files_in
from tests.transports.web import PassingTime, Web, bearer, claims, open_web, signed
from tests.triggers import dead_job
from tests.world import SECRET, SandboxTime, World, flowing, open_world, principal

pytestmark = pytest.mark.anyio

PASTED_KEY = "sk-sim-Vb5hXc7jNq2tRz8k"
"""Of nobody, but one can see what it is."""
KEYS = {"acme": ACME_KEY, "globex": GLOBEX_KEY}
DIALECTS = pytest.mark.parametrize("v2_enabled", [True, False], ids=["v2", "legacy"])
WORKFLOWS = ("echo", "asking", "failing", "streaming", "quick")
FAULTS = (
    faults.RateLimited(),
    faults.Unavailable503(),
    faults.HtmlPage(),
    faults.MalformedJson(),
    faults.Redirect(location=f"https://elsewhere.invalid/{ACME_KEY}"),
    faults.Unauthorized401(),
    faults.UsageExceeded402(),
    faults.NotBegunReset(),
    faults.RunConflict(),
    faults.LostAnswer(),
    faults.ResetMidBody(),
)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Generator[Callable[[], str]]:
    """What the product's log says at debug level, and what its loggers said before that masked anything."""
    with all_that_is_logged(caplog) as said:
        yield said


def talkative(*, v2_enabled: bool, clock: ManualClock, passing: bool = False) -> FakeSim:
    """A SIM in which both tenants have recognisable keys."""
    accounts = [replace(demo_account(name), api_key=key) for name, key in KEYS.items()]
    time = PassingTime(clock) if passing else SandboxTime(clock)
    return FakeSim(accounts=accounts, v2_enabled=v2_enabled, time=time)


def _blabbing(sim: FakeSim, integration: Integration) -> Blabber:
    del integration
    return Blabber(sim.transport())


@dataclass(slots=True)
class Heard:
    """Everything that came out."""

    texts: list[str] = field(default_factory=list[str])

    def add(self, *said: object) -> None:
        self.texts += [each if isinstance(each, str) else repr(each) for each in said]


@DIALECTS
@pytest.mark.requirement("R31", "R32", "R60")
async def test_a_sim_that_says_the_key_in_every_sentence_is_not_passed_on(
    tmp_path: Path, clock: ManualClock, logged: Callable[[], str], *, v2_enabled: bool
) -> None:
    """Names, messages, forms, pages, streams, ids: through MCP in both eras, in success and every failure."""
    sim = talkative(v2_enabled=v2_enabled, clock=clock)
    heard = Heard()
    async with open_world(
        tmp_path,
        clock=clock,
        sim=sim,
        connect=KEYS,
        transport_of=partial(_blabbing, sim),
        needs=Needs(drain_s=0),
    ) as world:
        for tenant in KEYS:
            await _offer(world, tenant, heard)
        for tenant in KEYS:
            for era in ERAS:
                async with flowing(clock), connected(world, era, tenant) as client:
                    await _use_everything(client, world, tenant, heard)
        heard.add(*[repr(each) for tenant in KEYS for each in await world.rows(tenant)])
        assert len(heard.texts) > 100
        watched = Watchlist(KEYS | {"pasted": PASTED_KEY.removeprefix("sk-sim-")})
        assert watched.leaks_in(*heard.texts) == []
        assert watched.leaks_in(logged()) == []
    assert watched.leaks_in(*files_in(tmp_path)) == []


async def _offer(world: World, tenant: str, heard: Heard) -> None:
    """Everything that setting up tells, and tools whose texts come from SIM."""
    app, who = world.app, principal(tenant)
    heard.add(await app.administration.set_up(who, api_key=KEYS[tenant]))
    for workflow in WORKFLOWS:
        fields: dict[str, Any] = {"name": workflow, "workflow_id": workflow_id(tenant, workflow)}
        if workflow != "quick":
            fields |= {"input_schema": {"type": "object"}}
        if workflow == "streaming":
            fields |= {"mode": "stream", "selected_outputs": ["agent1.content"]}
        heard.add(await app.workflows.allow(who, fields))


async def _use_everything(client: Client, world: World, tenant: str, heard: Heard) -> None:
    heard.add((await client.list_tools(cache_mode="bypass")).model_dump_json())
    paused = ""

    async def told(progress: float, total: float | None, message: str | None) -> None:
        heard.add(f"{progress} {total} {message}")

    async def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            result = await client.call_tool(name, arguments, progress_callback=told)
        except (MCPError, RuntimeError) as error:
            heard.add(str(error))
            return {}
        heard.add(result.model_dump_json())
        return result.structured_content or {}

    typed = {"text": f"it is {PASTED_KEY}", "apiKey": KEYS[tenant]}
    for workflow in WORKFLOWS:
        found = await call(workflow, {**typed, "topic": "tea", "status": 500})
        paused = str(found.get("execution_id", "")) if found.get("status") == "paused" else paused
    streamed: list[str] = []

    async def listen(progress: Progress) -> None:
        streamed.append(progress.text or "")

    await world.app.gateway.call(world.call(tenant, "streaming"), watch=listen)
    assert "sandbox" in "".join(streamed)
    heard.add("".join(streamed))
    for fault in FAULTS:
        world.sim.script(fault, workflow_id=workflow_id(tenant, "echo"))
        await call("echo", {})
    samples = {
        "execution_id": paused,
        "workflow_id": workflow_id(tenant, "quick"),
        "input": {"approved": True},
        "name": "quick",
        "event": "timer.started",
        "cron": "0 9 * * *",
        "job_id": paused,
    }
    for name, tool in ADMIN_TOOLS.items():
        required: Any = tool.input_schema.get("required", [])
        await call(name, {each: samples[each] for each in required})
    for name in (*ADMIN_TOOLS, "quick", PASTED_KEY):
        await call(name, {PASTED_KEY: 1})
        await call(name, dict.fromkeys(samples, PASTED_KEY))


@DIALECTS
@pytest.mark.requirement("R31", "R32", "R53", "R60")
async def test_rest_tells_no_key_and_no_token_in_success_or_failure(
    tmp_path: Path, clock: ManualClock, logged: Callable[[], str], *, v2_enabled: bool
) -> None:
    """Every route, with tokens of both kinds, with keys and tokens typed where they do not belong."""
    sim = talkative(v2_enabled=v2_enabled, clock=clock, passing=True)
    async with open_web(
        tmp_path,
        clock=clock,
        sim=sim,
        connect=KEYS,
        transport_of=partial(_blabbing, sim),
    ) as web:
        made, secret = await web.world.app.tokens.create(
            principal("acme"), name="ci", expires_at=None, created_by="ada"
        )
        jwt = signed(claims("acme"))
        forged = signed(claims("acme"), secret="another-secret-of-more-than-32-bytes")
        watched = Watchlist(
            {
                **KEYS,
                "pasted key": PASTED_KEY.removeprefix("sk-sim-"),
                "signing secret": SECRET,
                "own token": secret.removeprefix("simmcp_"),
                "session token": jwt.partition(".")[2],
                "forged token": forged.rpartition(".")[2],
            }
        )
        async with flowing(clock):
            for token in (secret, jwt, forged):
                await _ask_everything(web, {"authorization": f"Bearer {token}"})
            for misplaced in (PASTED_KEY, secret, jwt):
                await _type_it_everywhere(web, misplaced)
        shown = [f"{answer.headers} {answer.text}" for answer in web.seen]
        assert len(shown) > 60
        assert {answer.status_code for answer in web.seen} >= {200, 201, 204, 400, 401, 404, 409}
        assert watched.leaks_in(*shown) == []
        assert watched.leaks_in(*[repr(row) for row in await web.world.rows("acme")], repr(made)) == []
        assert watched.leaks_in(logged()) == []
    assert watched.leaks_in(*files_in(tmp_path, but=["encryption.key"])) == []


async def _ask_everything(web: Web, by: dict[str, str]) -> None:
    """Every route with a request that succeeds, then with what it does not know."""
    await _connect(web)
    paused = await web.world.app.gateway.call(web.world.call("acme", "asking"))
    integration = await web.world.app.administration.settings(principal("acme"))
    assert integration is not None
    job = await dead_job(web.world, "acme", "quick", str(uuid.uuid4()))
    own = Ids(
        known={
            "id": paused.id,
            "jobid": paused.id,
            "workflowid": workflow_id("acme", "quick"),
            "integrationtenantid": integration.id,
            "revision": "1",
            "triggeredjobid": job.id,
            "event": "timer.started",
            "schedulename": SCHEDULE["name"],
        }
    )
    for row in ROUTES:
        rule = RULES[row.method, row.path]
        body = {**(rule.body or {}), **({"apiKey": ACME_KEY} if "apiKey" in (rule.body or {}) else {})}
        more: dict[str, Any] = {} if rule.body is None else {"json": body}
        await web.ask(row.method, own.fill(row.path), by=by, **more)
    await _connect(web)
    for workflow in WORKFLOWS:
        await web.ask("POST", f"/workflows/{workflow_id('acme', workflow)}/execute", by=by, json={})
    for fault in FAULTS:
        web.world.sim.script(fault, workflow_id=workflow_id("acme", "echo"))
        path = f"/workflows/{workflow_id('acme', 'echo')}/execute"
        await web.ask("POST", path, by=by, json={"timeout": 1000})


async def _connect(web: Web) -> None:
    """Connected, with every tool allowed: some routes undo that."""
    await web.world.app.administration.set_up(principal("acme"), api_key=ACME_KEY)
    for workflow in WORKFLOWS:
        await web.allow("acme", workflow)


async def _type_it_everywhere(web: Web, secret: str) -> None:
    """A secret in paths, queries, bodies, names and headers where somebody pasted it by mistake."""
    execute = f"/workflows/{workflow_id('acme', 'quick')}/execute"
    by = bearer("acme")
    requests: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("GET", f"/executions/{secret}", {}),
        ("GET", f"/jobs/{secret}/status", {}),
        ("GET", f"/workflows/{secret}/validate", {}),
        ("POST", f"/workflows/{secret}/execute", {"json": {}}),
        ("GET", f"/status/{secret}", {}),
        ("DELETE", f"/events/mappings/{secret}", {}),
        ("POST", "/events/mappings", {"json": {"event": secret, "workflowId": secret}}),
        ("POST", "/events/mappings", {"json": {"event": "timer.started", "workflowId": secret}}),
        ("POST", "/events", {"json": {"id": "1", "event": secret}}),
        ("POST", "/events", {"json": {"id": "1", "event": "timer.started", "data": {secret: secret}}}),
        ("POST", "/schedules", {"json": {**SCHEDULE, "timeZone": secret}}),
        ("POST", "/schedules", {"json": {**SCHEDULE, "cron": secret}}),
        ("POST", "/schedules", {"json": {**SCHEDULE, "workflowId": secret}}),
        ("DELETE", f"/schedules/{secret}", {}),
        ("POST", f"/jobs/{secret}/replay", {"json": {}}),
        ("GET", "/jobs", {"params": {"cursor": secret}}),
        ("GET", f"/{secret}", {}),
        ("GET", "/executions", {"params": {secret: "x"}}),
        ("GET", "/executions", {"params": {"cursor": secret}}),
        ("GET", "/executions", {"params": {"since": secret}}),
        ("GET", "/executions", {"params": {"status": secret}}),
        ("GET", "/workflows", {"params": {"cursor": secret}}),
        ("POST", execute, {"json": {secret: 1}}),
        ("POST", execute, {"json": {"timeout": secret}}),
        ("POST", execute, {"json": {"input": secret}}),
        ("POST", execute, {"json": {"input": {"password": secret}}}),
        ("POST", execute, {"content": secret, "headers": {"content-type": "application/json"}}),
        ("POST", execute, {"content": secret, "headers": {"content-type": secret}}),
        ("POST", "/setup", {"json": {"apiKey": [secret]}}),
        ("POST", "/setup", {"json": {"apiKey": "wrong" + secret}}),
        ("POST", "/setup", {"json": {"apiKey": secret + "é"}}),
        ("POST", "/setup", {"json": {"apiKey": ACME_KEY, "baseUrl": f"https://x:{secret}@sim.example.com"}}),
        ("POST", "/setup", {"json": {"apiKey": ACME_KEY, "baseUrl": f"https://127.0.0.1/{secret}"}}),
        ("POST", "/setup", {"json": {"apiKey": ACME_KEY, "baseUrl": f"https://sim.example.com/?k={secret}"}}),
        ("POST", "/setup", {"json": {"apiKey": ACME_KEY, "baseUrl": secret}}),
        ("POST", "/setup", {"json": {"apiKey": ACME_KEY, "organizationId": {"x": secret}}}),
    )
    for method, path, more in requests:
        await web.ask(method, path, by=by, **more)
    for header in (f"Bearer {secret}x", f"Basic {secret}", secret):
        await web.ask("GET", "/settings", by={"authorization": header})
