"""What is listed to whom: the admin contract, permissions, pages, capabilities, and change notices."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import anyio
import pytest
from inline_snapshot import snapshot
from mcp import MCPError
from mcp_types import (
    PromptsCapability,
    ResourcesCapability,
    SubscriptionFilter,
    ToolListChangedNotification,
)

from sim_mcp.catalog import ToolSpec
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.principal import ALL_PERMISSIONS, Permission
from sim_mcp.sim.fake import FakeSim
from sim_mcp.transports.admin_tools import ADMIN_TOOLS, AdminTools
from sim_mcp.transports.mcp import INSTRUCTIONS
from sim_mcp.transports.tool_list import ToolList
from tests.journeys.mcp_clients import Era, connected, names
from tests.patience import PATIENCE_S
from tests.world import SandboxTime, World, open_world, principal, spec

pytestmark = pytest.mark.anyio

CONTRACT = Path(__file__).parents[2] / "tool_specs" / "admin-tools.json"


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[World]:
    """Two tenants with one tool each."""
    async with open_world(tmp_path, clock=clock, sim=FakeSim(time=SandboxTime(clock))) as opened:
        await opened.allow("acme", "echo", title="Echo", description="Says it again.")
        await opened.allow("globex", "quick")
        yield opened


@pytest.mark.requirement("R64")
async def test_the_admin_tools_are_those_of_the_reviewed_contract(world: World, era: Era) -> None:
    """`python -m tests.journeys.admin_contract` writes the file anew; read its diff before committing."""
    async with connected(world, era, "nobody") as client:
        page = await client.list_tools()
    listed = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in page.tools]
    assert {"tools": listed} == json.loads(CONTRACT.read_text(encoding="utf-8"))


@pytest.mark.requirement("R25", "R26")
async def test_a_workflow_tool_is_listed_as_its_spec_says(world: World, era: Era) -> None:
    """Name, title, description, schema and cautious annotations, each from the allow-list."""
    async with connected(world, era, admin_tools="off") as client:
        [tool] = (await client.list_tools()).tools
    shown = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert sorted(shown.pop("outputSchema")["properties"]) == snapshot(
        [
            "duration_ms",
            "error",
            "execution_id",
            "output",
            "pauses",
            "plan",
            "run_id",
            "status",
            "workflow_id",
        ]
    )
    assert shown == snapshot(
        {
            "name": "echo",
            "title": "Echo",
            "description": "Says it again.",
            "inputSchema": {"type": "object"},
            "annotations": {
                "title": "Echo",
                "readOnlyHint": False,
                "destructiveHint": True,
                "idempotentHint": False,
                "openWorldHint": True,
            },
        }
    )


@pytest.mark.requirement("R33")
@pytest.mark.parametrize("count", range(5))
async def test_everybody_sees_exactly_what_the_permissions_allow(world: World, count: int) -> None:
    """Every combination of permissions, with every setting of the admin tools."""
    for held in combinations(sorted(ALL_PERMISSIONS), count):
        for offered in ("full", "read", "off"):
            allowed = [
                name
                for name, tool in ADMIN_TOOLS.items()
                if tool.permission in held
                and (offered == "full" or (offered == "read" and tool.permission is Permission.VIEW))
            ]
            mode: AdminTools = offered
            async with connected(world, "auto", permissions=held, admin_tools=mode) as client:
                assert await names(client) == [*allowed, *(["echo"] if Permission.EDIT in held else [])]


@pytest.mark.requirement("R33", "R35")
async def test_what_is_hidden_cannot_be_called_by_its_name(world: World, era: Era) -> None:
    """A tool for which the permission is missing answers as one that never was."""
    answers: list[Any] = []
    async with connected(world, era, permissions={Permission.VIEW}) as client:
        for name in ("echo", "sim_cancel_execution", "sim_allow_workflow", "never_heard_of"):
            with pytest.raises(MCPError) as refused:
                await client.call_tool(name, {})
            answers.append(refused.value.error.model_dump())
    assert answers == [answers[0]] * 4
    assert world.started == []


async def test_a_long_list_comes_in_pages_of_a_hundred(world: World, era: Era) -> None:
    """All of them, once each, in the same order every time; an invented cursor is refused."""
    specs = [
        ToolSpec.from_json(spec("acme", "echo", f"tool_{number:03}", input_schema={"type": "object"}))
        for number in range(120)
    ]
    await world.app.workflows.replace_allow_list(principal("acme"), specs)
    async with connected(world, era) as client:
        first = await client.list_tools(cache_mode="bypass")
        found = await names(client)
        again = await names(client)
        for cursor in ("", "nonsense", "MDpTSU0", "OTp4", "é"):
            with pytest.raises(MCPError, match="cursor"):
                await client.list_tools(cursor=cursor, cache_mode="bypass")
    assert len(first.tools) == 100
    assert len(found) == len(set(found)) == len(ADMIN_TOOLS) + 120
    assert found == again == [*sorted(ADMIN_TOOLS), *sorted(set(found) - set(ADMIN_TOOLS))]


@pytest.mark.requirement("R26", "R69")
async def test_a_client_learns_how_to_use_the_tools_and_that_they_may_change(world: World, era: Era) -> None:
    """Instructions that fit every client, the server's name, and list changes in both eras."""
    async with connected(world, era) as client:
        assert client.instructions == INSTRUCTIONS
        assert client.server_info is not None
        assert (client.server_info.name, client.server_info.title) == ("sim-mcp", "SIM workflows")
        assert client.server_capabilities.tools is not None
        assert client.server_capabilities.tools.list_changed is True
    assert len(INSTRUCTIONS.encode()) <= 2048
    assert "sim_get_execution" in INSTRUCTIONS


@pytest.mark.requirement("R69")
async def test_no_change_is_promised_that_is_never_told(world: World, era: Era) -> None:
    """Prompts are the same for ever and resources are read when wanted: only the tool list is announced."""
    async with connected(world, era) as client:
        told = client.server_capabilities
        assert (told.prompts, told.resources) == (
            PromptsCapability(list_changed=False),
            ResourcesCapability(subscribe=False, list_changed=False),
        )
        if era == "legacy":
            return
        async with client.listen(
            tools_list_changed=True,
            prompts_list_changed=True,
            resources_list_changed=True,
            resource_subscriptions=["sim://history"],
        ) as stream:
            assert stream.honored == SubscriptionFilter(tools_list_changed=True)


async def test_the_list_may_be_cached_by_its_owner_alone(world: World) -> None:
    """A minute, private: a shared cache would show one tenant another's tools."""
    async with connected(world, "auto") as client:
        page = await client.list_tools()
    assert (page.ttl_ms, page.cache_scope) == (60_000, "private")


@pytest.mark.requirement("R35")
async def test_remembered_schemas_never_cross_tenants_or_permissions(world: World) -> None:
    """One server, many callers: a name leads to the caller's own schema or to none."""
    tools = ToolList(world.app, "full")
    acme, globex = principal("acme"), principal("globex")
    viewer = replace(acme, permissions=frozenset({Permission.VIEW}))
    elsewhere = replace(acme, organization_id="branch")
    assert tools.input_schema(acme, "echo") is None
    for caller in (acme, globex, viewer):
        await tools.page(caller, None)
    assert tools.input_schema(acme, "echo") == {"type": "object"}
    for caller in (globex, viewer, elsewhere):
        assert tools.input_schema(caller, "echo") is None
    assert tools.input_schema(acme, "quick") is None
    assert tools.input_schema(viewer, "sim_status") is not None
    assert tools.input_schema(viewer, "sim_cancel_execution") is None


@pytest.mark.requirement("R11")
async def test_a_listening_client_hears_of_its_own_tenants_changes_alone(world: World) -> None:
    """2026-07-28: one stream for each client, filled by its tenant's facts."""
    heard: list[str] = []

    async def listen(tenant: str, ready: anyio.Event) -> None:
        async with (
            connected(world, "auto", tenant) as client,
            client.listen(tools_list_changed=True) as stream,
        ):
            ready.set()
            async for event in stream:
                heard.append(f"{tenant}: {type(event).__name__}")
                break

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as group:
            for tenant in ("acme", "globex"):
                ready = anyio.Event()
                group.start_soon(listen, tenant, ready)
                await ready.wait()
            await world.allow("acme", "quick")
            while not heard:
                await anyio.lowlevel.checkpoint()
            async with connected(world, "auto", "globex") as other:
                await other.list_tools()
            assert heard == ["acme: ToolsListChanged"]
            await world.app.administration.set_enabled(principal("globex"), is_enabled=False)
    assert heard == ["acme: ToolsListChanged", "globex: ToolsListChanged"]


async def test_a_session_of_an_earlier_revision_hears_of_its_own_tenants_changes_alone(
    world: World,
) -> None:
    """The notice comes unasked, to the sessions of that tenant."""
    heard: list[str] = []
    came = anyio.Event()

    async def hear_acme(message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            heard.append("acme")
            came.set()

    async def hear_globex(message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            heard.append("globex")

    async with (
        connected(world, "legacy", hears=hear_acme),
        connected(world, "legacy", "globex", hears=hear_globex) as other,
    ):
        await other.list_tools()
        await world.allow("acme", "quick")
        with anyio.fail_after(PATIENCE_S):
            await came.wait()
        await other.list_tools(cache_mode="bypass")
    assert heard == ["acme"]
