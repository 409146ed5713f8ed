"""The HTTP server on a real loopback socket: both transports, and an orderly end."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from sim_mcp.model.clock import SystemClock
from sim_mcp.model.errors import InvalidInput
from sim_mcp.transports.http import serve_http
from tests.journeys.mcp_clients import structured
from tests.patience import PATIENCE_S
from tests.transports.web import bearer
from tests.world import World, open_world

pytestmark = [pytest.mark.anyio, pytest.mark.sockets]


def real_bearer(tenant: str) -> dict[str, str]:
    """A token by the machine's own clock: the SDK's client and server look at it too."""
    now_s = int(SystemClock().now().timestamp())
    return bearer(tenant, iat=now_s, exp=now_s + 600)


@asynccontextmanager
async def served(folder: Path) -> AsyncGenerator[tuple[World, str]]:
    """A world whose HTTP doors are open; its URL."""
    async with open_world(folder, clock=SystemClock()) as world:
        urls: list[str] = []
        listening = anyio.Event()

        def ready(url: str) -> None:
            urls.append(url)
            listening.set()

        async def serve() -> None:
            await serve_http(world.app, host="127.0.0.1", port=0, ready=ready)

        async with anyio.create_task_group() as group:
            group.start_soon(serve)
            await listening.wait()
            yield world, urls[0]
            group.cancel_scope.cancel()


@pytest.mark.requirement("R35", "R66")
async def test_each_tenant_sees_its_own_tools_over_each_transport(tmp_path: Path) -> None:
    """Streamable HTTP in both eras, and the legacy SSE transport."""
    async with served(tmp_path) as (world, url):
        await world.allow("acme", "quick", "acme_only")
        await world.allow("globex", "quick", "globex_only")
        for tenant in ("acme", "globex"):
            headers = real_bearer(tenant)
            async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S) as http:
                for mode in ("auto", "legacy"):
                    transport = streamable_http_client(f"{url}/mcp", http_client=http)
                    async with Client(transport, mode=mode) as client:
                        names = {tool.name for tool in (await client.list_tools()).tools}
                        assert {name for name in names if name.endswith("_only")} == {f"{tenant}_only"}
            async with Client(
                sse_client(f"{url}/sse", headers=headers, timeout=PATIENCE_S), mode="legacy"
            ) as client:
                names = {tool.name for tool in (await client.list_tools()).tools}
                assert {name for name in names if name.endswith("_only")} == {f"{tenant}_only"}


@pytest.mark.requirement("R8", "R66")
async def test_the_setup_link_leads_to_the_host_that_the_client_asked_for(tmp_path: Path) -> None:
    """Over Streamable HTTP and over SSE; the page answers there without a token."""
    async with served(tmp_path) as (_, url):
        headers = real_bearer("acme")
        async with httpx2.AsyncClient(headers=headers) as http:
            for transport in (
                streamable_http_client(f"{url}/mcp", http_client=http),
                sse_client(f"{url}/sse", headers=headers),
            ):
                async with Client(transport, mode="legacy") as client:
                    result = await client.call_tool("sim_setup", {})
                    link = str(structured(result)["url"])
                    assert link.startswith(f"{url}/setup/")
                async with httpx2.AsyncClient() as browser:
                    assert (await browser.get(link)).status_code == 200


@pytest.mark.requirement("R5")
async def test_a_signal_ends_the_server_and_not_the_process(tmp_path: Path) -> None:
    """After SIGTERM `serve_http` returns, so that the rooms behind it can be closed in order."""
    async with open_world(tmp_path, connect={}) as world:
        await serve_http(
            world.app, host="127.0.0.1", port=0, ready=lambda _: signal.raise_signal(signal.SIGTERM)
        )
        await world.app.ping()


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """One line and a remedy instead of a traceback."""
    async with served(tmp_path) as (world, url):
        port = int(url.rpartition(":")[2])
        with pytest.raises(InvalidInput, match=rf"{port}.*--port"):
            await serve_http(world.app, host="127.0.0.1", port=port)
