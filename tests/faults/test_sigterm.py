"""SIGTERM with fifty calls in flight: what can end in time ends and is answered, the rest is handed over."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.execution import Execution, Status
from sim_mcp.sim.fake import FakeSim, serve_fake, workflow_id
from sim_mcp.transports.rest_views import BASE_PATH
from tests.deploy.test_choices import CLOSING_S
from tests.faults.ledger import all_rows, hold_against_the_ledger, settled, text_of
from tests.journeys.mcp_clients import structured
from tests.journeys.test_two_servers import listening
from tests.patience import PATIENCE_S
from tests.transports.test_http_serving import real_bearer
from tests.world import SECRET, TENANTS, World, world_beside

pytestmark = [pytest.mark.anyio, pytest.mark.sockets]

SHORT_S, LONG_S = 2.0, 600.0
KINDS = {"short": 14, "long": 14, "background": 10, "mcp short": 6, "mcp long": 6}
ENDING = ("short", "mcp short")
UNFINISHED = {Status.QUEUED, Status.PROCESSING}
CALLS = sum(KINDS.values())


@asynccontextmanager
async def serving(folder: Path, sim_url: str) -> AsyncGenerator[tuple[anyio.abc.Process, str]]:
    """A real `sim-mcp serve` over HTTP; its process and its URL."""
    environment = {
        "SIM_MCP_DATA_DIR": str(folder),
        "SIM_MCP_SIM_BASE_URL": sim_url,
        "SIM_MCP_SIM_ALLOWED_HOSTS": "127.0.0.1",
        "SIM_MCP_AUTH_JWT_SECRET": SECRET,
        "SIM_MCP_RATE_PER_MINUTE": "60000",
        "SIM_MCP_MAX_CONCURRENCY": "64",
    }
    command = [sys.executable, "-m", "sim_mcp", "serve", "--transport", "http", "--port", "0"]
    async with await anyio.open_process(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, cwd=folder
    ) as process:
        try:
            async with listening(process) as url:
                yield process, url
        finally:
            if process.returncode is None:
                process.kill()


@asynccontextmanager
async def a_world(folder: Path, sim: FakeSim, sim_url: str, *, ahead_s: float) -> AsyncGenerator[World]:
    """The server's own rooms in this process, while the server does not run."""
    clock = ManualClock(datetime.now(UTC) + timedelta(seconds=ahead_s))
    async with world_beside(folder, sim_url, sim=sim, clock=clock) as world:
        yield world


async def call_tool(http: httpx.AsyncClient, url: str, kind: str, number: int, told: dict[str, Any]) -> None:
    """The same over MCP, in one of its eras."""
    del http
    headers = real_bearer(TENANTS[number % 2])
    arguments = {"text": f"{kind}-{number}", "seconds": SHORT_S if kind.endswith("short") else LONG_S}
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S) as own:
        door = streamable_http_client(f"{url}/mcp", http_client=own)
        if number % 3 == 2:
            door = sse_client(f"{url}/sse", headers=headers, timeout=PATIENCE_S)
        async with Client(door, mode="auto" if number % 3 == 1 else "legacy") as client:
            await client.list_tools()  # or it would ask for them after the call, to check the answer
            told[f"{kind}-{number}"] = structured(await client.call_tool("slow", arguments))


async def call(http: httpx.AsyncClient, url: str, kind: str, number: int, told: dict[str, Any]) -> None:
    """One call over REST by one of the tenants; what the caller was told in the end."""
    tenant = TENANTS[number % 2]
    body = {
        "input": {"text": f"{kind}-{number}", "seconds": SHORT_S if kind == "short" else LONG_S},
        "runAsync": kind == "background",
        **({} if kind == "background" else {"timeout": 300_000}),
    }
    path = f"{url}{BASE_PATH}/workflows/{workflow_id(tenant, 'slow')}/execute"
    answer = await http.post(path, json=body, headers=real_bearer(tenant))
    told[f"{kind}-{number}"] = answer.json()
    assert answer.status_code == (200 if kind == "short" else 202)


async def until_all_run(sim: FakeSim) -> None:
    """Return once SIM has begun every call."""
    while len(sim.runs) < CALLS:
        await anyio.lowlevel.checkpoint()


@pytest.mark.requirement("R5", "R27", "R36", "R58", "F1")
async def test_fifty_calls_in_flight_are_drained_or_handed_over(tmp_path: Path) -> None:
    """Within the limit that deployment files count on; after the next start each row tells its run's end."""
    sim, told = FakeSim(), dict[str, Any]()
    async with serve_fake(sim) as sim_url:
        async with a_world(tmp_path, sim, sim_url, ahead_s=0) as world:
            for tenant in TENANTS:
                await world.allow(tenant, "slow", timeout_s=300)
        async with (
            serving(tmp_path, sim_url) as (server, url),
            httpx.AsyncClient(timeout=PATIENCE_S, limits=httpx.Limits(max_connections=CALLS)) as http,
            anyio.create_task_group() as callers,
        ):
            for kind, count in KINDS.items():
                for number in range(count):
                    callers.start_soon(
                        call_tool if kind.startswith("mcp") else call, http, url, kind, number, told
                    )
            with anyio.fail_after(PATIENCE_S):
                await until_all_run(sim)
            server.send_signal(signal.SIGTERM)
            with anyio.fail_after(CLOSING_S):
                assert await server.wait() == 0
        await hold_what_was_left(tmp_path, sim, sim_url, told)


async def hold_what_was_left(folder: Path, sim: FakeSim, sim_url: str, told: dict[str, Any]) -> None:
    """Who could be answered was; the others' rows wait for the follower, which finds their ends."""
    async with a_world(folder, sim, sim_url, ahead_s=60) as world:
        left = by_kind(await all_rows(world))
        assert {kind: len(rows) for kind, rows in left.items()} == KINDS
        for kind, rows in left.items():
            assert {row.status for row in rows} <= ({Status.COMPLETED} if kind in ENDING else UNFINISHED), (
                kind
            )
        assert {row.id: text_of(row.input) for row in [row for rows in left.values() for row in rows]} == {
            answer.get("execution_id") or answer.get("id") or answer["jobId"]: text
            for text, answer in told.items()
        }
        for text, answer in told.items():
            assert (answer["status"] == "completed") == (text.partition("-")[0] in ENDING)
        due = await world.app.store.database.fetch_one(
            "SELECT COUNT(*) AS total FROM executions WHERE run_id IS NOT NULL AND follow_up_at IS NOT NULL"
        )
        assert due is not None
        assert due["total"] == CALLS - sum(KINDS[kind] for kind in ENDING)
        for run in sim.runs:
            if run.mode == "async":
                run.stop(datetime.now(UTC))  # or the rest would take ten minutes of SIM's time
        hold_against_the_ledger(await settled(world), sim)


def by_kind(rows: list[Execution]) -> dict[str, list[Execution]]:
    """The rows of each kind of call."""
    found: dict[str, list[Execution]] = {kind: [] for kind in KINDS}
    for row in rows:
        found[text_of(row.input).partition("-")[0]].append(row)
    return found
