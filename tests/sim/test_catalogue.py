"""Reading SIM's workflows, limits and pulse."""

from __future__ import annotations

import httpx
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import (
    InvalidInput,
    NotASimApi,
    SimUnavailable,
)
from sim_mcp.model.run import InputField
from tests.sim.scripted import (
    WORKFLOW,
    ScriptedSim,
    client_of,
    page,
    says,
)

pytestmark = pytest.mark.anyio


async def test_workflows_need_a_workspace_where_none_is_certain(clock: ManualClock) -> None:
    """A key's only workspace is taken by itself; legacy cannot tell it."""
    one = ScriptedSim(says(200, {"data": [], "nextCursor": None}), v2=True)
    async with client_of(one, clock) as client:
        await client.workflows(workspace_id=None, search="inv", limit=1000, cursor="c1")
    assert dict(one.seen[0].url.params) == {
        "workspaceId": "ws_1",
        "limit": "100",
        "search": "inv",
        "cursor": "c1",
    }
    async with client_of(ScriptedSim(v2=False), clock) as client:
        with pytest.raises(InvalidInput, match="workspace"):
            await client.workflows(workspace_id=None)


async def test_legacy_lists_filter_by_name_and_stop_at_a_repeated_cursor(clock: ManualClock) -> None:
    """V1 knows no search, and restarts at page one with a cursor that it does not understand."""
    items = [
        {"id": "1", "name": "Invoices", "isDeployed": True},
        {"id": "2", "name": "Other"},
        {"name": "no id"},
    ]
    async with client_of(ScriptedSim(says(200, {"data": items, "nextCursor": "c1"})), clock) as client:
        found = await client.workflows(workspace_id="ws", search="INV", cursor="c1")
    assert [item.name for item in found.workflows] == ["Invoices"]
    assert found.next_cursor is None


async def test_inputs_are_the_drafts_where_nothing_else_is_shown(clock: ManualClock) -> None:
    """Legacy only shows the draft, and says so; v2 falls back to it when nothing is deployed."""
    detail = {
        "data": {"id": WORKFLOW, "inputs": [{"name": "topic", "type": "string", "description": "About"}]}
    }
    fields = (InputField(name="topic", type="string", description="About"),)
    async with client_of(ScriptedSim(says(200, detail)), clock) as client:
        draft = await client.inputs(WORKFLOW)
    assert (draft.fields, draft.is_deployed_version) == (fields, False)
    undeployed = {"data": {"isDeployed": False, "activeDeployment": None}}
    async with client_of(ScriptedSim(says(200, undeployed), says(200, detail), v2=True), clock) as client:
        assert await client.inputs(WORKFLOW) == draft


async def test_deployed_defaults_are_typed(clock: ManualClock) -> None:
    """SIM keeps defaults as text; an empty or unfit one is no default."""
    declared = [
        {"name": "text", "type": "string", "value": "5"},
        {"name": "count", "type": "number", "value": "5"},
        {"name": "flag", "type": "boolean", "value": "true"},
        {"name": "meta", "type": "object", "value": '{"a":1}'},
        {"name": "tags", "type": "array", "value": "[1]"},
        {"name": "none", "type": "number", "value": ""},
        {"name": "unfit", "type": "number", "value": "many"},
    ]
    start = {"type": "start_trigger", "subBlocks": {"inputFormat": {"value": declared}}}
    state = {"blocks": {"a": {"type": "function"}, "b": start}}
    deployment = {"data": {"isDeployed": True, "activeDeployment": {"version": 3}}}
    sim = ScriptedSim(says(200, deployment), says(200, {"data": {"version": 3, "state": state}}), v2=True)
    async with client_of(sim, clock) as client:
        inputs = await client.inputs(WORKFLOW)
    assert {field.name: field.default for field in inputs.fields} == {
        "text": "5",
        "count": 5,
        "flag": True,
        "meta": {"a": 1},
        "tags": [1],
        "none": None,
        "unfit": None,
    }


async def test_deployments_are_read_in_both_dialects(clock: ManualClock) -> None:
    """Deployed or not, moved on or not, since when, and (v2) which version."""
    flat = {"isDeployed": True, "deployedAt": "2026-08-20T09:00:00.000Z", "needsRedeployment": True}
    async with client_of(ScriptedSim(says(200, flat)), clock) as client:
        found = await client.deployment(WORKFLOW)
    assert (found.is_deployed, found.needs_redeployment, found.version) == (True, True, None)
    nested = {"data": {**flat, "activeDeployment": {"version": 4}}}
    async with client_of(ScriptedSim(says(200, nested), v2=True), clock) as client:
        assert (await client.deployment(WORKFLOW)).version == 4


async def test_usage_is_unknown_where_the_server_does_not_tell(clock: ManualClock) -> None:
    """No limits are better than invented ones."""
    async with client_of(ScriptedSim(says(404, {"error": "Not found"})), clock) as client:
        assert await client.usage() is None


async def test_health_is_a_round_trip(clock: ManualClock) -> None:
    """SIM's pulse is measured with the project's clock; a stranger's pulse is none."""

    def beating(_: httpx.Request) -> httpx.Response:
        clock.advance(0.25)
        return says(200, {"status": "ok"})

    async with client_of(ScriptedSim(beating, says(200, {"status": "UP"}), page(502)), clock) as client:
        assert await client.health() == 0.25
        with pytest.raises(NotASimApi):
            await client.health()
        with pytest.raises(SimUnavailable):
            await client.health()


async def test_no_cookie_is_ever_sent_back(clock: ManualClock) -> None:
    """A session cookie would turn calls with a key into calls of a person."""
    cookie = says(200, {"status": "ok"}, headers={"set-cookie": "session=abc; Path=/"})
    sim = ScriptedSim(cookie, says(200, {"status": "ok"}))
    async with client_of(sim, clock) as client:
        await client.health()
        await client.health()
    assert "cookie" not in sim.seen[1].headers


async def test_a_client_shows_its_origin_and_never_its_key(clock: ManualClock) -> None:
    """Objects end up in logs."""
    async with client_of(ScriptedSim(), clock, base_url="https://host.example/secret-prefix") as client:
        assert repr(client) == "<SimClient of <Wire to https://host.example>>"
