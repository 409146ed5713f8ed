"""A client that read its tool list once: workflows that were allowed later are found and called, too."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.principal import Permission
from sim_mcp.sim.fake import FakeSim, workflow_id
from tests.journeys.mcp_clients import Era, connected, names, structured, words
from tests.world import SandboxTime, World, open_world

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("F18")]


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[World]:
    """Both tenants connected; globex has a tool of its own."""
    async with open_world(tmp_path, clock=clock, sim=FakeSim(time=SandboxTime(clock))) as opened:
        await opened.allow("globex", "echo", "theirs")
        yield opened


async def test_a_workflow_is_used_in_the_session_in_which_it_was_allowed(world: World, era: Era) -> None:
    """Without another look at the list: allowed, found, called; the row is that of any other call."""
    async with connected(world, era) as client:
        known = await names(client)
        assert {"sim_find_tools", "sim_call_tool"} <= {*known}
        allowed = await client.call_tool(
            "sim_allow_workflow", {"workflow_id": workflow_id("acme", "quick"), "name": "late"}
        )
        assert "sim_call_tool" in words(allowed)
        found = structured(await client.call_tool("sim_find_tools", {"query": "late"}))
        assert [tool["name"] for tool in found["tools"]] == ["late"]
        assert found["tools"][0]["input_schema"]["properties"]["employee"]["type"] == "string"
        result = await client.call_tool("sim_call_tool", {"name": "late", "arguments": {"employee": "Ada"}})
    assert structured(result)["status"] == "completed"
    [row] = await world.rows("acme")
    assert (row.tool_name, row.id) == ("late", structured(result)["execution_id"])


async def test_it_checks_arguments_and_confirms_like_the_tool_itself(world: World) -> None:
    """No way around anything: schema, confirmation, permission."""
    schema = {"type": "object", "properties": {"hours": {"type": "number"}}, "additionalProperties": False}
    await world.allow("acme", "quick", "strict", input_schema=schema)
    await world.allow("acme", "quick", "asked", confirm=True)
    async with connected(world, "auto") as client:
        wrong = await client.call_tool("sim_call_tool", {"name": "strict", "arguments": {"hours": "x"}})
        unasked = await client.call_tool("sim_call_tool", {"name": "asked"})
        faulty = await client.call_tool("sim_call_tool", {"arguments": {}})
    assert structured(wrong)["error"]["code"] == "INVALID_INPUT"
    assert structured(unasked)["status"] == "cancelled"
    assert structured(faulty)["error"]["code"] == "INVALID_INPUT"
    assert world.started == []


@pytest.mark.requirement("R35")
@pytest.mark.parametrize("name", ["theirs", "no_such_tool", "sim_remove_integration", "sim_call_tool"])
async def test_it_reaches_nothing_but_the_callers_own_workflow_tools(world: World, name: str) -> None:
    """Another tenant's, an unknown one and the server's own get the same words."""
    async with connected(world, "auto") as client:
        with pytest.raises(Exception, match="Unknown tool"):
            await client.call_tool("sim_call_tool", {"name": name, "arguments": {}})
        found = structured(await client.call_tool("sim_find_tools", {}))
    assert (found["tools"], found["total"]) == ([], 0)
    assert world.started == []


async def test_only_those_who_may_run_workflows_have_them(world: World) -> None:
    """As with the tools themselves; a server that offers fewer admin tools leaves them out."""
    async with connected(world, "auto", permissions=[Permission.VIEW]) as client:
        assert "sim_call_tool" not in await names(client)
    async with connected(world, "auto", admin_tools="read") as client:
        assert "sim_call_tool" not in await names(client)
