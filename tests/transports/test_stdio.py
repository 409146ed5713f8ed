"""The stdio door: a real process, its pipes, and a session of each era."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from mcp.shared.memory import create_client_server_memory_streams
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest
from mcp_types.version import LATEST_MODERN_VERSION

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.execution import Status
from sim_mcp.sim.fake import FakeSim
from sim_mcp.transports.stdio import serve_streams
from tests.journeys.mcp_clients import server_for
from tests.patience import PATIENCE_S
from tests.world import open_world

pytestmark = pytest.mark.anyio

PROGRAM = """
import sys
from pathlib import Path
import anyio
from sim_mcp.app import Needs, open_app
from sim_mcp.config import Settings
from sim_mcp.transports.stdio import serve_stdio

async def main() -> None:
    settings = Settings(data_dir=Path(sys.argv[1]), tenant_id="acme")
    async with open_app(settings, needs=Needs(follows_up=False, drain_s=0)) as app:
        print("stray output")
        await serve_stdio(app, admin_tools="read")

anyio.run(main)
"""
ENVELOPE: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": LATEST_MODERN_VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}
HANDSHAKE: list[dict[str, Any]] = [
    {
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    },
    {"method": "notifications/initialized"},
    {"id": 1, "method": "tools/list"},
]
MODERN: list[dict[str, Any]] = [{"id": 1, "method": "tools/list", "params": {"_meta": ENVELOPE}}]


@pytest.mark.requirement("R66", "R69")
@pytest.mark.parametrize("messages", [HANDSHAKE, MODERN], ids=["legacy", "modern"])
def test_a_session_over_pipes_ends_with_its_input(tmp_path: Path, messages: list[dict[str, Any]]) -> None:
    """Standard output carries the protocol alone once serving began; the end of input ends it well."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=Path(__file__).parents[2],
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        for message in messages:
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        server.stdin.flush()
        answers: list[dict[str, Any]] = []
        while not answers or answers[-1].get("id") != 1:
            line = server.stdout.readline()
            assert line, server.stderr.read() if server.stderr else ""
            if line.strip() != "stray output":
                answers.append(json.loads(line))
        rest, errors = server.communicate(timeout=PATIENCE_S)
    assert rest == ""
    assert server.returncode == 0, errors
    listed = [tool["name"] for tool in answers[-1]["result"]["tools"]]
    assert "sim_status" in listed
    assert "sim_allow_workflow" not in listed


@pytest.mark.requirement("R58")
async def test_the_end_of_input_is_no_cancel(tmp_path: Path, clock: ManualClock) -> None:
    """2026-07-28 on a pipe: a client that is gone leaves its run going, and nothing is stopped at SIM."""
    sim = FakeSim(time=clock)
    async with open_world(tmp_path, clock=clock, sim=sim) as world:
        await world.allow("acme", "slow", timeout_s=120)
        async with (
            create_client_server_memory_streams() as (client, server),
            anyio.create_task_group() as group,
        ):
            group.start_soon(serve_streams, server_for(world), *server)
            call = JSONRPCRequest(
                jsonrpc="2.0",
                id=1,
                method="tools/call",
                params={"name": "slow", "arguments": {"seconds": 10}, "_meta": ENVELOPE},
            )
            with anyio.fail_after(PATIENCE_S):
                await client[1].send(SessionMessage(call))
                while not world.started:
                    await anyio.lowlevel.checkpoint()
                await clock.sleeper(within_s=2)
                await client[1].aclose()
        assert "cancel" not in [request.verb for request in sim.requests]
        clock.advance(11)
        with anyio.fail_after(PATIENCE_S):
            while (await world.rows("acme"))[0].status is not Status.COMPLETED:
                await anyio.lowlevel.checkpoint()
