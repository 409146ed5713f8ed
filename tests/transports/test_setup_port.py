"""The setup page of a stdio session: a loopback port that is open for as long as somebody may need it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import httpx
import pytest
from mcp import Client
from mcp_types.version import LATEST_MODERN_VERSION

from sim_mcp.model.clock import ManualClock
from sim_mcp.sim.fake import FakeSim
from sim_mcp.transports.mcp import build_server
from sim_mcp.transports.setup_port import LoopbackPages, open_loopback_pages
from tests.journeys.mcp_clients import ERAS, Era, structured, words
from tests.setup_visits import KEY, WORKSPACES, Network, Visitor
from tests.world import SandboxTime, World, open_world, principal

pytestmark = [pytest.mark.anyio, pytest.mark.sockets]

ADA = principal("acme")
LIMIT_S = 20


@pytest.fixture
def network(clock: ManualClock) -> Network:
    """The way to the fake SIM."""
    return Network(FakeSim(time=SandboxTime(clock)))


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock, network: Network) -> AsyncGenerator[World]:
    """Nobody is connected."""
    with anyio.fail_after(LIMIT_S):
        async with open_world(
            tmp_path, clock=clock, sim=network.sim, transport_of=network.of, connect={}
        ) as opened:
            yield opened


@pytest.fixture
async def browser() -> AsyncGenerator[httpx.AsyncClient]:
    """Connections of its own for every request, so that none keeps a port open."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits, trust_env=False, timeout=LIMIT_S) as client:
        yield client


async def link(world: World, pages: LoopbackPages) -> str:
    """A fresh link to a page of this session."""
    issued = await world.app.setup.issue(ADA)
    return await pages.url_of(issued, ADA, None)


async def until_closed(url: str) -> None:
    """Return once nobody listens there."""
    host, _, port = urlsplit(url).netloc.partition(":")
    while True:
        try:
            async with await anyio.connect_tcp(host, int(port)):
                await anyio.lowlevel.checkpoint()
        except OSError:
            return


async def test_the_port_opens_with_the_first_link_and_closes_with_the_last(
    world: World, clock: ManualClock, browser: httpx.AsyncClient
) -> None:
    """Two links share it; a used one closes at once, a forgotten one when its time is over."""
    async with open_loopback_pages(world.app) as pages:
        assert not pages.is_open
        first, second = await link(world, pages), await link(world, pages)
        assert urlsplit(first).hostname == "127.0.0.1"
        assert urlsplit(first).netloc == urlsplit(second).netloc
        ada = Visitor(client=browser, url=first)
        assert (await ada.open()).status_code == 200
        assert (await ada.send(api_key=KEY)).status_code == 200
        await clock.sleeper(within_s=1)
        clock.advance(1)
        await anyio.wait_all_tasks_blocked()
        assert (await Visitor(client=browser, url=first).open()).status_code == 410
        assert pages.is_open
        await clock.sleeper(within_s=1)
        clock.advance(600)
        await until_closed(second)
        assert not pages.is_open
        third = await link(world, pages)
        assert (await Visitor(client=browser, url=third).open()).status_code == 200


async def test_the_end_of_the_session_closes_the_port(world: World, browser: httpx.AsyncClient) -> None:
    """Whatever is still open there."""
    async with open_loopback_pages(world.app) as pages:
        url = await link(world, pages)
        assert (await Visitor(client=browser, url=url).open()).status_code == 200
    await until_closed(url)


async def test_the_port_stays_for_the_choice_of_a_workspace(
    world: World, network: Network, clock: ManualClock, browser: httpx.AsyncClient
) -> None:
    """The second step is part of it."""
    network.workspaces = WORKSPACES
    async with open_loopback_pages(world.app) as pages:
        ada = Visitor(client=browser, url=await link(world, pages))
        await ada.open()
        await ada.send(api_key=KEY)
        await clock.sleeper(within_s=1)
        clock.advance(1)
        await clock.sleeper(within_s=1)
        assert pages.is_open
        assert (await ada.send(workspace="ws-1")).status_code == 200
        clock.advance(1)
        await until_closed(ada.url)


@pytest.mark.requirement("R60")
async def test_a_page_of_another_site_finds_nothing_on_the_port(
    world: World, browser: httpx.AsyncClient
) -> None:
    """A name that was bent to this machine is refused, and there are no other routes."""
    async with open_loopback_pages(world.app) as pages:
        url = await link(world, pages)
        assert (await browser.get(url, headers={"host": "evil.example"})).status_code == 421
        origin = {"origin": "https://evil.example"}
        assert (await browser.post(url, headers=origin)).status_code == 403
        root = url.partition("/setup/")[0]
        for path in ("/", "/mcp", "/api/integration/sim/settings", "/setup/"):
            assert (await browser.get(root + path)).status_code == 404


@pytest.mark.requirement("R2", "R8")
@pytest.mark.parametrize("era", ERAS)
async def test_a_stdio_session_connects_itself(world: World, era: Era, browser: httpx.AsyncClient) -> None:
    """From the tool to the page to the stored key."""
    async with open_loopback_pages(world.app) as pages:
        server = build_server(world.app, own=ADA, pages=pages)
        async with Client(server, mode=era) as client:
            url = str(structured(await client.call_tool("sim_setup", {}))["url"])
            ada = Visitor(client=browser, url=url)
            await ada.open()
            assert (await ada.send(api_key=KEY)).status_code == 200
            settings = structured(await client.call_tool("sim_get_settings", {}))
    assert settings["has_api_key"]


async def test_a_machine_without_a_port_names_the_terminal(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session goes on, and no link stays open."""

    def refused(*_: object, **__: object) -> None:
        raise OSError("no more ports")

    monkeypatch.setattr("sim_mcp.transports.setup_port.socket.create_server", refused)
    async with open_loopback_pages(world.app) as pages:
        server = build_server(world.app, own=ADA, pages=pages)
        async with Client(server) as client:
            for _ in range(12):
                result = await client.call_tool("sim_setup", {})
                assert result.is_error
                assert "`sim-mcp setup`" in words(result)
            assert not pages.is_open


ENVELOPE: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": LATEST_MODERN_VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def test_a_real_session_over_pipes_serves_its_page_and_ends(tmp_path: Path) -> None:
    """The whole program: the page answers while the session lives, and is gone with it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIM_")}
    environment["SIM_MCP_DATA_DIR"] = str(tmp_path)
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "sim_setup", "arguments": {}, "_meta": ENVELOPE},
    }
    with subprocess.Popen(
        [sys.executable, "-m", "sim_mcp", "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment,
        cwd=Path(__file__).parents[2],
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(call) + "\n")
        server.stdin.flush()
        answer = json.loads(server.stdout.readline())
        url = str(answer["result"]["structuredContent"]["url"])
        page = httpx.get(url, trust_env=False, timeout=60)
        rest, errors = server.communicate(timeout=60)
    assert page.status_code == 200
    assert "Connect your SIM account" in page.text
    assert rest == ""
    assert server.returncode == 0, errors
    assert urlsplit(url).path.rpartition("/")[2] not in errors
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False, timeout=60)
