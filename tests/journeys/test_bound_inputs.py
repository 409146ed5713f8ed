"""Inputs that no caller fills in: they reach SIM, and nothing else."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from sim_mcp.catalog import ToolSpec
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Conflict, Forbidden, InvalidInput, NotConfigured, NotFound
from sim_mcp.model.principal import Permission, Principal, TenantId
from sim_mcp.sim.fake import FakeSim, workflow_id
from tests.journeys.mcp_clients import connected, structured, words
from tests.store.rows import content
from tests.world import SandboxTime, World, open_world, principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("F14")]

SECRET = "correct-horse-battery-staple"
FIXED = "an-internal-department-number"
INPUTS: dict[str, Any] = {
    "message": {"from": "model"},
    "token": {"from": "secret", "key": "portal"},
    "department": {"from": "fixed", "value": FIXED},
    "who": {"from": "principal", "key": "subject"},
    "tenant": {"from": "tenant", "key": "tenant_id"},
    "organisation": {"from": "tenant", "key": "organization_id"},
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in INPUTS},
    "required": ["message", "token"],
    "additionalProperties": False,
}


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[World]:
    """Both tenants have the tool; each has a secret of its own under the same name."""
    async with open_world(tmp_path, clock=clock, sim=FakeSim(time=SandboxTime(clock))) as opened:
        for tenant in ("acme", "globex"):
            await opened.allow(tenant, "echo", input_schema=SCHEMA, inputs=INPUTS)
            await opened.app.bindings.put(principal(tenant), "portal", f"{SECRET}-of-{tenant}")
        yield opened


def sent(world: World) -> dict[str, Any]:
    """The input of the last run that SIM was asked for."""
    bodies = [request.body for request in world.sim.requests if request.method == "POST"]
    body: Any = bodies[-1]
    return dict(body.get("input", body))


async def test_bound_inputs_reach_sim_and_are_in_no_schema(world: World) -> None:
    """Each tenant's own; what nobody has (no organisation) is left to the workflow's default."""
    async with connected(world, "auto", "globex") as client:
        [tool] = [tool for tool in (await client.list_tools()).tools if tool.name == "echo"]
        await client.call_tool("echo", {"message": "hello"})
    assert set(tool.input_schema["properties"]) == {"message"}
    assert tool.input_schema["required"] == ["message"]
    values = sent(world)
    assert {name: values.get(name) for name in INPUTS} == {
        "message": "hello",
        "token": f"{SECRET}-of-globex",
        "department": FIXED,
        "who": "ada",
        "tenant": "globex",
        "organisation": None,
    }


async def test_nothing_that_is_bound_shows_anywhere(
    tmp_path: Path, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The workflow echoes all it gets: the secret is masked in the result, the row and the stream."""
    caplog.set_level(logging.DEBUG)
    async with connected(world, "auto") as client:
        result = await client.call_tool("echo", {"message": "hello"})
        shown = await client.call_tool(
            "sim_get_execution", {"execution_id": structured(result)["execution_id"]}
        )
        listed = (await client.list_tools()).model_dump_json()
    [row] = await world.rows("acme")
    assert row.input == {"message": "hello"}
    ours = "\n".join(each.getMessage() for each in caplog.records if each.name.startswith("sim_mcp"))
    everything = [words(result), json.dumps(structured(result)), words(shown), listed, repr(row), caplog.text]
    for text in everything:
        assert SECRET not in text
    for text in (listed, repr(row.input), ours):  # the workflow itself may tell what it was sent
        assert FIXED not in text
    assert SECRET.encode() not in content(tmp_path / "sim-mcp.db")


async def test_a_caller_has_no_say_in_what_is_bound(world: World) -> None:
    """Also where the schema would let it through."""
    await world.allow("acme", "echo", "open", inputs=INPUTS)
    for tool in ("echo", "open"):
        with pytest.raises(InvalidInput, match=r"\$\.token is filled in by the server"):
            await world.app.gateway.call(world.call("acme", tool, {"message": "x", "token": "mine"}))
    assert world.started == []


async def test_a_missing_secret_refuses_the_call_and_names_the_remedy(world: World) -> None:
    """Before any run; of one tenant only."""
    await world.app.bindings.remove(principal("acme"), "portal")
    with pytest.raises(Conflict, match="sim-mcp secrets set portal"):
        await world.app.gateway.call(world.call("acme", "echo", {"message": "x"}))
    assert world.started == []
    await world.app.gateway.call(world.call("globex", "echo", {"message": "x"}))
    assert len(world.started) == 1


async def test_secrets_are_listed_by_name_alone_and_only_for_those_who_may(world: World) -> None:
    """Nobody reads one again."""
    [known] = await world.app.bindings.names(principal("acme"))
    assert (known.name, known.changed_by) == ("portal", "ada")
    nobody = Principal(tenant_id=TenantId("acme"), permissions=frozenset({Permission.EDIT}))
    for attempt in (
        world.app.bindings.names(nobody),
        world.app.bindings.put(nobody, "portal", "x"),
        world.app.bindings.remove(nobody, "portal"),
    ):
        with pytest.raises(Forbidden):
            await attempt
    with pytest.raises(NotFound):
        await world.app.bindings.remove(principal("acme"), "other")
    for name, value in (("no name", "x"), ("", "x"), ("name", ""), ("name", "x" * 10_001)):
        with pytest.raises(InvalidInput):
            await world.app.bindings.put(principal("acme"), name, value)


@pytest.mark.requirement("R30")
async def test_a_secret_that_is_copied_elsewhere_does_not_open(world: World) -> None:
    """It is sealed for its tenant and name."""
    database = world.app.store.database
    row = await database.fetch_one("SELECT sealed FROM tool_secrets WHERE tenant_id = 'acme'")
    assert row is not None
    await world.app.bindings.put(principal("acme"), "other", "for another purpose")
    await database.execute("UPDATE tool_secrets SET sealed = ? WHERE tenant_id = 'globex'", [row["sealed"]])
    await database.execute("UPDATE tool_secrets SET sealed = ? WHERE name = 'other'", [row["sealed"]])
    with pytest.raises(NotConfigured, match="cannot be opened"):
        await world.app.gateway.call(world.call("globex", "echo", {"message": "x"}))
    with pytest.raises(NotConfigured, match="cannot be opened"):
        await world.app.store.tool_secrets.value(TenantId("acme"), "other")
    assert world.started == []


@pytest.mark.parametrize(
    "source",
    [
        {"from": "somewhere"},
        {"from": "secret"},
        {"from": "secret", "key": "no name"},
        {"from": "tenant", "key": "subject"},
        {"from": "principal"},
        {"from": "fixed"},
        {"from": "model", "key": "x"},
        {"from": "tenant", "key": "tenant_id", "value": "x"},
        {},
    ],
)
def test_a_binding_that_means_nothing_is_refused_with_its_place(source: dict[str, Any]) -> None:
    """In the words of specs."""
    entry = {"name": "t", "workflow_id": "w", "description": "d", "inputs": {"token": source}}
    with pytest.raises(InvalidInput) as refused:
        ToolSpec.from_json(entry)
    assert all(fault.path.startswith("$.inputs.token") for fault in refused.value.faults)


def test_a_spec_with_bindings_is_written_as_it_was_read() -> None:
    """`export` and `apply` keep `from`."""
    entry = {
        "name": "t",
        "workflow_id": workflow_id("acme", "echo"),
        "description": "d",
        "input_schema": SCHEMA,
        "inputs": {"token": {"from": "secret", "key": "portal"}},
    }
    written = ToolSpec.from_json(entry).to_json()
    assert written["inputs"] == {"token": {"from": "secret", "key": "portal"}}
    assert ToolSpec.from_json(written).to_json() == written
