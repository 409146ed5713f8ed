"""Two `sim-mcp serve` processes on one database, under load: what happens at one counts at the other."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import httpx
import httpx2
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, InputRequiredResult, ToolListChangedNotification

from sim_mcp.app import Needs, open_app
from sim_mcp.model.clock import SystemClock
from sim_mcp.sim.fake import FakeSim, demo_account, serve_fake, workflow_id
from sim_mcp.transports.rest_views import BASE_PATH
from tests.journeys.mcp_clients import names, structured
from tests.journeys.test_pauses_in_calls import YES, accepted, asked, never
from tests.patience import PATIENCE_S
from tests.postgres import Server
from tests.transports.web import bearer
from tests.world import SECRET, TENANTS, principal, settings, spec

pytestmark = [pytest.mark.anyio, pytest.mark.sockets]

LOAD = 3
"""How many callers of each tenant keep each server busy."""
URL = re.compile(rb"MCP at (http://[^/]+)/mcp")


@dataclass(slots=True)
class Site:
    """Two running servers, the SIM behind them, and who talks to them."""

    folder: Path
    shared: dict[str, str]
    sim: FakeSim
    urls: list[str]
    http: httpx.AsyncClient
    calls: Counter[str]
    """Calls under load that were answered, by tenant."""

    async def ask(
        self, server: int, method: str, path: str, *, by: str = "acme", **more: Any
    ) -> httpx.Response:
        """The REST answer of one of the servers."""
        return await self.http.request(
            method, f"{self.urls[server]}{BASE_PATH}{path}", headers=fresh_bearer(by), **more
        )

    async def allow(self, server: int, tenant: str, workflow: str) -> None:
        """Put one of the sandbox's workflows on the tenant's allow-list, by one of the servers."""
        async with self.client(server, tenant) as client:
            entry = {"input_schema": {"type": "object"}, **spec(tenant, workflow)}
            result = await client.call_tool("sim_allow_workflow", entry)
        assert not result.is_error, result.content

    @asynccontextmanager
    async def client(self, server: int, tenant: str, **more: Any) -> AsyncGenerator[Client]:
        """An MCP client of the newest revision at one of the servers."""
        async with httpx2.AsyncClient(headers=fresh_bearer(tenant), timeout=PATIENCE_S) as http:
            door = streamable_http_client(f"{self.urls[server]}/mcp", http_client=http)
            async with Client(door, mode="auto", **more) as client:
                yield client

    async def begin(self, server: int, workflow: str, **values: Any) -> str:
        """Start a workflow of acme at one of the servers, not waiting for it; its execution id."""
        path = f"/workflows/{workflow_id('acme', workflow)}/execute"
        answer = await self.ask(server, "POST", path, json={"input": values, "runAsync": True})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["jobId"])

    async def until(self, server: int, execution_id: str, status: str) -> dict[str, Any]:
        """The execution as one of the servers tells it, once it has that status."""
        while True:
            row = (await self.ask(server, "GET", f"/executions/{execution_id}")).json()
            if row["status"] == status:
                return row
            await anyio.lowlevel.checkpoint()


def fresh_bearer(tenant: str) -> dict[str, str]:
    """A token by the machine's own clock."""
    now_s = int(SystemClock().now().timestamp())
    return bearer(tenant, iat=now_s, exp=now_s + 600)


@pytest.fixture(params=["sqlite", "postgres"])
def shared(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment by which both servers share what they keep, beside the directory."""
    if request.param == "sqlite":
        return {}
    server: Server = request.getfixturevalue("postgres")
    return {
        "SIM_MCP_DATABASE_URL": server.database(),
        "SIM_MCP_ENCRYPTION_KEYS": base64.urlsafe_b64encode(bytes(32)).decode(),
    }


@asynccontextmanager
async def serving(folder: Path, base_url: str, shared: dict[str, str]) -> AsyncGenerator[str]:
    """One `sim-mcp serve` process; its URL."""
    known = {
        "SIM_MCP_DATA_DIR": str(folder),
        "SIM_MCP_SIM_BASE_URL": base_url,
        "SIM_MCP_SIM_ALLOWED_HOSTS": "127.0.0.1",
        "SIM_MCP_AUTH_JWT_SECRET": SECRET,
        "SIM_MCP_RATE_PER_MINUTE": "60000",
        "SIM_MCP_MAX_CONCURRENCY": "64",
    }
    command = [sys.executable, "-m", "sim_mcp", "serve", "--transport", "http", "--port", "0"]
    process = await anyio.open_process(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | known | shared,
        cwd=folder,
    )
    try:
        async with listening(process) as url:
            yield url
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        with anyio.CancelScope(shield=True):
            await process.aclose()


@asynccontextmanager
async def listening(process: anyio.abc.Process) -> AsyncGenerator[str]:
    """The URL that a server tells once it serves; whatever it says from then on is read and forgotten."""
    assert process.stderr is not None
    said = BufferedByteReceiveStream(process.stderr)
    while not (found := URL.search(await said.receive_until(b"\n", 65_536))):
        pass
    async with anyio.create_task_group() as group:
        group.start_soon(drain, process.stderr)  # a full pipe would hold the server up
        yield found[1].decode()
        group.cancel_scope.cancel()


async def drain(stream: anyio.abc.ByteReceiveStream) -> None:
    """Read and forget."""
    with suppress(anyio.EndOfStream, anyio.ClosedResourceError):
        while True:
            await stream.receive()


@asynccontextmanager
async def two_servers(folder: Path, shared: dict[str, str]) -> AsyncGenerator[Site]:
    """Both servers with both tenants connected, each of which keeps calling at each server."""
    sim = FakeSim()
    async with AsyncExitStack() as stack:
        base_url = await stack.enter_async_context(serve_fake(sim))
        urls = [await stack.enter_async_context(serving(folder, base_url, shared)) for _ in range(2)]
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=PATIENCE_S))
        site = Site(folder=folder, shared=shared, sim=sim, urls=urls, http=http, calls=Counter())
        for tenant in TENANTS:
            body = {"apiKey": demo_account(tenant).api_key}
            answer = await site.ask(0, "POST", "/setup", by=tenant, json=body)
            assert answer.status_code == 201, answer.text
            await site.allow(0, tenant, "echo")
        ending = anyio.Event()
        async with anyio.create_task_group() as group:
            for number in range(2 * LOAD):
                for tenant in TENANTS:
                    group.start_soon(keep_calling, site, number % 2, tenant, ending)
            yield site
            ending.set()


async def keep_calling(site: Site, server: int, tenant: str, ending: anyio.Event) -> None:
    """Call the tenant's tool at one of the servers again and again; each call must succeed."""
    async with site.client(server, tenant) as client:
        while not ending.is_set():
            number = site.calls[tenant]
            site.calls[tenant] += 1
            result = await client.call_tool("echo", {"text": f"{tenant}-{number}"})
            assert structured(result)["status"] == "completed"
            assert structured(result)["output"]["result"]["text"] == f"{tenant}-{number}"


@pytest.mark.requirement("R3", "R6", "R11", "R36", "R41", "F25")
async def test_what_happens_at_one_server_counts_at_the_other(tmp_path: Path, shared: dict[str, str]) -> None:
    """List changes, cancel, and pauses; meanwhile no call of anybody fails or runs twice."""
    with anyio.fail_after(PATIENCE_S):
        async with two_servers(tmp_path, shared) as site:
            await a_list_change_reaches_the_other(site)
            await a_cancel_works_at_the_other(site)
            await a_pause_is_answered_at_the_other(site)
            await a_form_is_answered_at_the_other_within_the_call(site)
            await a_revoked_token_counts_no_more_at_the_other(site)
    ran = Counter(run.input["text"] for run in site.sim.runs if "text" in run.input)
    assert set(ran.values()) == {1}
    assert Counter(text.partition("-")[0] for text in ran) == site.calls
    assert {run.account for run in site.sim.runs if str(run.input.get("text")).startswith("acme")} == {"acme"}
    assert min(site.calls.values()) > 2 * LOAD


async def a_list_change_reaches_the_other(site: Site) -> None:
    """Clients of both ways of listening, at the second server, hear what the first one changed."""
    heard: set[str] = set()

    async def listen(ready: anyio.Event) -> None:
        async with site.client(1, "acme") as client, client.listen(tools_list_changed=True) as stream:
            ready.set()
            async for _ in stream:
                if "quick" in await names(client):
                    heard.add("acme listens")
                    break

    def hear(name: str) -> Any:
        async def hearing(message: object) -> None:
            if isinstance(message, ToolListChangedNotification):
                heard.add(name)

        return hearing

    def session(tenant: str) -> Client:
        door = sse_client(f"{site.urls[1]}/sse", headers=fresh_bearer(tenant), timeout=PATIENCE_S)
        return Client(door, mode="legacy", message_handler=hear(f"{tenant} is told"))

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(session("acme"))
        await site.allow(0, "acme", "echo")
        while not heard:
            await anyio.lowlevel.checkpoint()
        # Changes are told in their order: from here on, none of those that globex made itself is on its way.
        await stack.enter_async_context(session("globex"))
        heard.clear()
        ready = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(listen, ready)
            await ready.wait()
            await site.allow(0, "acme", "quick")
            while len(heard) < 2:
                await anyio.lowlevel.checkpoint()
    assert heard == {"acme listens", "acme is told"}


async def a_cancel_works_at_the_other(site: Site) -> None:
    """Asked for at the second server while the first one waits for the run."""
    await site.allow(0, "acme", "slow")
    execution_id = await site.begin(0, "slow", seconds=600)
    await site.until(1, execution_id, "processing")
    answer = await site.ask(1, "POST", f"/executions/{execution_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert (await site.until(0, execution_id, "cancelled"))["attempts"] == 1
    [run] = [run for run in site.sim.runs if run.input.get("seconds") == 600]
    assert run.cancelled_at is not None


async def a_pause_is_answered_at_the_other(site: Site) -> None:
    """By REST at the second server; the first one tells how it went on."""
    await site.allow(0, "acme", "asking")
    execution_id = await site.begin(0, "asking")
    await site.until(1, execution_id, "paused")
    answer = await site.ask(1, "POST", f"/executions/{execution_id}/resume", json={"input": YES})
    assert answer.status_code == 200, answer.text
    await site.until(0, execution_id, "completed")


async def a_form_is_answered_at_the_other_within_the_call(site: Site) -> None:
    """The call begins at the first server, its second round goes to the other one."""
    async with site.client(0, "acme", elicitation_callback=never()) as client:
        question = await asked(client)
    assert isinstance(question, InputRequiredResult)
    async with site.client(1, "acme", elicitation_callback=never()) as client:
        result = await asked(
            client, input_responses=accepted(question, YES), request_state=question.request_state
        )
    assert isinstance(result, CallToolResult)
    assert structured(result)["status"] == "completed"


async def a_revoked_token_counts_no_more_at_the_other(site: Site) -> None:
    """Made and revoked by a third process, as `sim-mcp token` does; streams that it holds open end."""
    changes = {name.removeprefix("SIM_MCP_").lower(): value for name, value in site.shared.items()}
    async with open_app(settings(site.folder, **changes), needs=Needs(follows_up=False, drain_s=0)) as app:
        token, secret = await app.tokens.create(
            principal("acme"), name="ci", expires_at=None, created_by="operator"
        )
        headers = {"authorization": f"Bearer {secret}"}
        url = f"{site.urls[1]}{BASE_PATH}/settings"
        assert (await site.http.get(url, headers=headers)).status_code == 200
        async with site.http.stream("GET", f"{site.urls[1]}/sse", headers=headers) as stream:
            assert await app.tokens.revoke(token.tenant_id, token.id)
            assert (await site.http.get(url, headers=headers)).status_code == 401
            async for _ in stream.aiter_bytes():
                pass
