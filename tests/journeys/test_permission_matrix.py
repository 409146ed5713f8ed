"""The permission matrix of MCP and REST: every set of permissions against every tool and every route.

Expectations come from the reviewed table in `tests.authority`; `tests/cli/test_cli_permissions.py` holds
the command line against the same table.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.principal import Permission
from sim_mcp.sim.fake import FakeSim, workflow_id
from sim_mcp.transports.admin_tools import ADMIN_TOOLS, AdminTools
from sim_mcp.transports.rest import ROUTES
from tests.authority import ADMIN_TOOL_NEEDS, HELD, WORKFLOW_TOOLS, Ids, parameters_of
from tests.authority import ROUTES as RULES
from tests.journeys.mcp_clients import ERAS, Era, connected, names, told
from tests.transports.web import Web, bearer, open_web
from tests.triggers import dead_job, map_event, schedule
from tests.world import SandboxTime, World, open_world, principal

pytestmark = pytest.mark.anyio

NOWHERE = "00000000-0000-4000-8000-000000000000"
ONE_EACH = [held for held in HELD if len(held) in {0, 1, len(Permission)}]
MODES: tuple[AdminTools, ...] = ("full", "read", "off")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Place:
    """What exists: a value for every parameter, of the caller's own, of another tenant's, of nobody's."""

    own: Ids
    foreign: Ids
    unknown: Ids


async def furnish(world: World) -> Place:
    """Both tenants with a tool of their own and a run that waits for a person; the values to ask for."""
    own, foreign = [await _ids_of(world, tenant) for tenant in ("acme", "globex")]
    unknown = dict.fromkeys(own, NOWHERE) | {"name": "never_heard_of", "event": "never.heard_of"}
    return Place(Ids(known=own), Ids(known=foreign), Ids(known=unknown))


async def _ids_of(world: World, tenant: str) -> dict[str, str]:
    for workflow in ("quick", "asking"):
        await world.allow(tenant, workflow, f"{workflow}_of_{tenant}")
    paused = await world.app.gateway.call(world.call(tenant, f"asking_of_{tenant}"))
    integration = await world.app.administration.settings(principal(tenant))
    job = await dead_job(world, tenant, "quick", str(uuid.uuid4()))
    await map_event(world, tenant, "quick", f"quick.of_{tenant}")
    await world.app.schedules.set(principal(tenant), schedule(tenant, "quick", f"quick_of_{tenant}"))
    assert paused.status == "paused"
    assert integration is not None
    return {
        "id": paused.id,
        "jobid": paused.id,
        "executionid": paused.id,
        "workflowid": workflow_id(tenant, "quick"),
        "integrationtenantid": integration.id,
        "triggeredjobid": job.id,
        "event": f"quick.of_{tenant}",
        "schedulename": f"quick_of_{tenant}",
        "name": f"quick_of_{tenant}",
        "revision": "1",
    }


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[World]:
    """Two tenants, connected."""
    async with open_world(tmp_path, clock=clock, sim=FakeSim(time=SandboxTime(clock))) as opened:
        yield opened


@pytest.fixture
async def web(tmp_path: Path) -> AsyncGenerator[Web]:
    """The HTTP doors of two tenants."""
    async with open_web(tmp_path) as opened:
        yield opened


@pytest.mark.requirement("R33")
def test_every_tool_and_route_is_in_the_reviewed_table() -> None:
    """Whoever adds one says in `tests/authority.py` who may use it."""
    assert set(ADMIN_TOOLS) - set(ADMIN_TOOL_NEEDS) == set()
    assert {name: tool.permission for name, tool in ADMIN_TOOLS.items()} == {
        name: ADMIN_TOOL_NEEDS[name] for name in ADMIN_TOOLS
    }
    assert {(row.method, row.path) for row in ROUTES} - set(RULES) == set()


def expected_tools(held: frozenset[Permission], mode: AdminTools, workflow_tools: Iterable[str]) -> list[str]:
    """What the table says that somebody with `held` sees, in the order of the list."""
    offered = {"full": set(Permission), "read": {Permission.VIEW}, "off": set[Permission]()}[mode]
    admin = [name for name in ADMIN_TOOLS if ADMIN_TOOL_NEEDS[name] in held & offered]
    return sorted(admin) + (sorted(workflow_tools) if WORKFLOW_TOOLS in held else [])


async def refusal(client: Client, name: str, arguments: dict[str, Any] | None = None) -> str | None:
    """How a call is refused by the protocol; `None` when the tool was there, whatever came of it."""
    try:
        await client.call_tool(name, arguments or {})
    except MCPError as error:
        return error.error.model_dump_json().replace(name, "…")
    except RuntimeError:  # the client cannot answer the question that the tool asks first
        return None
    return None


@pytest.mark.requirement("R33", "R35")
@pytest.mark.parametrize("held", HELD, ids=lambda held: "+".join(sorted(held)) or "none")
async def test_each_tool_is_listed_and_callable_for_exactly_those_who_may(
    world: World, held: frozenset[Permission]
) -> None:
    """A tool that is not listed answers as one that never was; nothing of it reaches SIM."""
    await furnish(world)
    own = ("asking_of_acme", "quick_of_acme")
    everything = (*ADMIN_TOOLS, *own, "quick_of_globex", "never_heard_of")
    for mode in MODES:
        async with connected(world, "auto", permissions=held, admin_tools=mode) as client:
            expected = expected_tools(held, mode, own)
            assert await names(client) == expected
            hidden = [name for name in everything if name not in expected]
            before = len(world.sim.requests)
            refusals = {await refusal(client, name) for name in hidden}
            assert len(refusals) == 1
            assert None not in refusals
            assert len(world.sim.requests) == before
            assert [name for name in expected if await refusal(client, name) is not None] == []
        await world.app.administration.set_up(principal("acme"), api_key="sk-sim-sandbox-acme")


@pytest.mark.requirement("R33", "R35")
@pytest.mark.parametrize("era", ERAS)
async def test_a_tool_tells_nothing_of_another_tenants_ids(world: World, era: Era) -> None:
    """Whoever asks with whatever permission: a foreign id answers as an unknown one, in both eras."""
    place = await furnish(world)
    for held in ONE_EACH:
        async with connected(world, era, permissions=held) as client:
            for name, tool in ADMIN_TOOLS.items():
                asked = [each for each in _required(tool.input_schema) if each in _ID_PARAMETERS]
                if not asked:
                    continue
                answers = [
                    await _answer(
                        client, name, {each: ids[each] for each in asked} | _rest(tool.input_schema)
                    )
                    for ids in (place.foreign, place.unknown)
                ]
                assert answers[0] == answers[1], (held, name)
    foreign = await world.app.runs.get(principal("globex"), place.foreign["execution_id"])
    assert foreign.status == "paused"


_ID_PARAMETERS = ("execution_id", "workflow_id", "name")


def _required(schema: Any) -> list[str]:
    return list(schema.get("required", []))


def _rest(schema: Any) -> dict[str, Any]:
    """Something for every other required argument."""
    return {each: {"approved": True} for each in _required(schema) if each not in _ID_PARAMETERS}


async def _answer(client: Client, name: str, arguments: dict[str, Any]) -> str:
    """Everything that the caller is told, without the ids that it brought itself."""
    try:
        shown = json.dumps(told(await client.call_tool(name, arguments)))
    except MCPError as error:
        shown = error.error.model_dump_json()
    except RuntimeError as error:
        shown = str(error)
    for value in arguments.values():
        shown = shown.replace(value, "…") if isinstance(value, str) else shown
    return _ID.sub("…", shown)


@pytest.mark.requirement("R33", "R45", "R46", "R47", "R48", "R49", "R50", "R51", "R52")
@pytest.mark.parametrize("held", HELD, ids=lambda held: "+".join(sorted(held)) or "none")
async def test_each_route_serves_exactly_those_who_may(web: Web, held: frozenset[Permission]) -> None:
    """403 names the one missing permission and nothing happens; with it the request succeeds."""
    for row in ROUTES:
        rule = RULES[row.method, row.path]
        own = await _fresh(web)
        asked, rows = len(web.world.sim.requests), await _settings(web)
        answer = await _ask(web, row.method, own.fill(row.path), held, body=rule.body)
        told_ = (row.method, row.path, answer.text)
        if rule.needs is None or rule.needs in held:
            assert answer.status_code == rule.answers, told_
            continue
        body = answer.json()
        assert (answer.status_code, body["code"]) == (403, "FORBIDDEN"), told_
        assert set(re.findall(r"INTEGRATION_[A-Z]+", answer.text)) == {rule.needs.value}, told_
        assert len(web.world.sim.requests) == asked, told_
        assert await _settings(web) == rows, told_


@pytest.mark.requirement("R33", "R35")
async def test_a_route_tells_nothing_of_another_tenants_ids(web: Web) -> None:
    """The tenant is checked first: whatever the permissions, a foreign id answers as an unknown one."""
    place = await furnish(web.world)
    for row in ROUTES:
        if not parameters_of(row.path):
            continue
        rule = RULES[row.method, row.path]
        for held in ONE_EACH:
            foreign, unknown = [
                await _ask(web, row.method, ids.fill(row.path), held, body=rule.body)
                for ids in (place.foreign, place.unknown)
            ]
            assert foreign.status_code in {403, 404}, (row.path, foreign.text)
            assert _compared(foreign) == _compared(unknown), (held, row.method, row.path)
    assert len(await web.world.rows("globex")) == 1


async def _ask(
    web: Web, method: str, path: str, held: frozenset[Permission], *, body: Any = None
) -> httpx.Response:
    by = bearer("acme", permissions=sorted(each.value for each in held))
    return await web.ask(method, path, by=by, **({} if body is None else {"json": body}))


async def _fresh(web: Web) -> Ids:
    """What every request needs to succeed: connected again, and with a run that waits."""
    if await web.world.app.administration.settings(principal("acme")) is None:
        await web.world.app.administration.set_up(principal("acme"), api_key="sk-sim-sandbox-acme")
    return Ids(known=await _ids_of(web.world, "acme"))


async def _settings(web: Web) -> object:
    """What a refused request must leave as it was."""
    app, who = web.world.app, principal("acme")
    unfinished = [row.status for row in await web.world.rows("acme") if row.tool_name == "asking_of_acme"]
    return await app.administration.settings(who), await app.workflows.allow_list(who), unfinished


def _compared(answer: httpx.Response) -> tuple[int, str]:
    """Status and body, without the ids of our own records about the two refusals."""
    return answer.status_code, _ID.sub("…", answer.text)
