"""One broken tool hides no other, and says why it is held back: to models, administrators and metrics."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from sim_mcp.app import Needs
from sim_mcp.model.clock import ManualClock
from sim_mcp.sim.fake import FakeSim, workflow_id
from tests.journeys.mcp_clients import connected, structured
from tests.transports.test_http_metrics import samples
from tests.world import SandboxTime, World, open_world, spec

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("F8")]

GOOD = 49
OBJECT: dict[str, Any] = {"type": "object"}
BREAKAGES: dict[str, tuple[dict[str, Any], str]] = {
    "schema not an object": ({"input_schema": {"type": "string"}}, "must have `type: object`"),
    "bad reference": (
        {"input_schema": {**OBJECT, "properties": {"a": {"$ref": "#/$defs/missing"}}}},
        "which is not there",
    ),
    "duplicate name": ({"name": "good_00"}, "is defined 2 times"),
    "unknown key": ({"colour": "red"}, "is no key of a tool spec"),
    "over-large schema": (
        {"input_schema": {**OBJECT, "properties": {f"p{n}": {"description": "x" * 900} for n in range(90)}}},
        "bytes, more than",
    ),
    "bad annotation": ({"annotations": {"read_only": "perhaps"}}, "annotations.read_only"),
}
"""What is wrong with the file itself."""
AT_SIM: dict[str, tuple[dict[str, Any], str]] = {
    "workflow gone": ({"workflow_id": "00000000-0000-4000-8000-000000000000"}, "SIM knows no workflow"),
    "undeployed": ({"workflow_id": workflow_id("acme", "slow")}, "is not deployed"),
}
"""What only SIM can tell: such a tool is listed, and its calls say what is wrong."""


def write(folder: Path, broken: dict[str, Any]) -> None:
    """49 sound tools and one that is not; another tenant has one tool."""
    folder.mkdir()
    tools = [spec("acme", "quick", f"good_{number:02}", input_schema=OBJECT) for number in range(GOOD)]
    tools.append({**spec("acme", "quick", "broken", input_schema=OBJECT), **broken})
    (folder / "acme.json").write_text(json.dumps({"tenant": "acme", "tools": tools}), encoding="utf-8")
    other = {"tenant": "globex", "tools": [spec("globex", "quick", input_schema=OBJECT)]}
    (folder / "globex.json").write_text(json.dumps(other), encoding="utf-8")


@pytest.fixture(params=[*BREAKAGES, *AT_SIM])
def broken(request: pytest.FixtureRequest) -> str:
    """One of the eight ways."""
    return request.param


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock, broken: str) -> AsyncGenerator[World]:
    """A server on these files; SIM has one workflow that is not deployed."""
    change, _ = (BREAKAGES | AT_SIM)[broken]
    write(tmp_path / "specs", change)
    sim = FakeSim(time=SandboxTime(clock))
    sim.set_deployed(workflow_id("acme", "slow"), False)
    async with open_world(
        tmp_path / "data",
        clock=clock,
        sim=sim,
        tool_specs=tmp_path / "specs",
        needs=Needs(counts=True, follows_up=False),
    ) as opened:
        yield opened


async def test_the_other_tools_are_listed_and_the_reason_is_told(world: World, broken: str) -> None:
    """To whoever asks for the status, and to the operator's metrics."""
    _, reason = (BREAKAGES | AT_SIM)[broken]
    async with connected(world, "auto") as client, connected(world, "auto", "globex") as other:
        shown = {tool.name for tool in (await client.list_tools()).tools}
        status = structured(await client.call_tool("sim_status", {}))
        foreign = structured(await other.call_tool("sim_status", {}))
    good = {name for name in shown if name.startswith("good_")}
    assert len(good) == GOOD
    assert ("broken" in shown) == (broken in AT_SIM)
    if broken in BREAKAGES:
        assert any(reason in problem for problem in status["tool_problems"]), status["tool_problems"]
    told = [check["message"] for check in status["checks"] if check["level"] == "failure"]
    looked_up = broken not in AT_SIM or any(reason in message for message in told)
    assert looked_up or any(check["level"] == "skipped" for check in status["checks"])
    assert foreign["tool_problems"] == []
    assert foreign["tool_count"] == 1


async def test_the_metrics_count_what_is_held_back(world: World, broken: str) -> None:
    """By tenant, without names of tools."""
    await world.app.gateway.call(world.call("acme", "good_01", {"employee": "Ada"}))
    assert world.app.process_metrics is not None
    found = samples(world.app.process_metrics.text()[0].decode())
    held = found["sim_mcp_tools", (("state", "held"), ("tenant", "acme"))]
    assert held == (1 if broken in BREAKAGES else 0)


async def test_a_call_of_the_broken_tool_says_what_is_wrong_and_runs_nothing(
    world: World, broken: str
) -> None:
    """A tool that is held back is unknown; one whose workflow is gone or not deployed says so."""
    async with connected(world, "auto") as client:
        if broken in BREAKAGES:
            with pytest.raises(Exception, match="Unknown tool"):
                await client.call_tool("broken", {})
        else:
            result = await client.call_tool("broken", {})
            assert result.is_error
            assert structured(result)["error"]["code"] in {"NOT_FOUND", "NOT_DEPLOYED"}
        good = await client.call_tool("good_01", {"employee": "Ada"})
    assert not good.is_error
    assert len(world.started) == 1
