"""Dashboard and MCP App in a real browser: drawn, reachable by keyboard, silent on the console, refreshed.

Skipped where there is no Chromium. Screenshots go to the test's own folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import anyio
import pytest

from sim_mcp.model.clock import SystemClock
from sim_mcp.sim.fake import FakeSim
from sim_mcp.transports.auth import Authenticator
from sim_mcp.transports.dashboard_sessions import DashboardSessions
from sim_mcp.transports.http import serve_http
from sim_mcp.transports.text_files import text_file
from tests.journeys.mcp_clients import connected, structured
from tests.transports.test_setup_browser import ARGUMENTS, CHROMIUM, LIMIT_S
from tests.world import World, open_world, principal

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.sockets,
    pytest.mark.requirement("R43", "R25"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]

Scheme = Literal["light", "dark"]
NAMELESS = """
[...document.querySelectorAll("a, button, select, input, [tabindex]")].filter(
  (one) => !(one.labels?.length || one.textContent.trim() || one.getAttribute("aria-label"))).length
"""
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
async def browser() -> AsyncGenerator[Browser]:
    """Headless Chromium."""
    api = pytest.importorskip("playwright.async_api", reason="needs playwright")
    with anyio.fail_after(LIMIT_S):
        async with api.async_playwright() as playwright:
            started = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            yield started
            await started.close()


@asynccontextmanager
async def served(folder: Path) -> AsyncGenerator[tuple[World, str]]:
    """A server with a short history of acme; the address that enters its dashboard."""
    async with open_world(folder, clock=SystemClock(), sim=FakeSim()) as world:
        for workflow in ("quick", "failing"):
            await world.allow("acme", workflow)
            for _ in range(3):
                await world.app.gateway.call(world.call("acme", workflow, {}))
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
            secret = DashboardSessions(world.app, Authenticator(world.app)).link(principal("acme"))
            yield world, f"{urls[0]}/dashboard/enter?link={secret}"
            group.cancel_scope.cancel()


async def opened(browser: Browser, scheme: Scheme, heard: list[str], width: int = 1200) -> Page:
    """A page that writes down what the console says, and every address beside the server's."""
    context = await browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = await context.new_page()
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_dashboard_draws_its_charts_in_both_schemes(
    tmp_path: Path, browser: Browser, scheme: Scheme
) -> None:
    """From the one-time link to an execution and back, without a word on the console."""
    heard: list[str] = []
    async with served(tmp_path) as (_, address):
        page = await opened(browser, scheme, heard)
        await page.goto(address)
        assert page.url.endswith("/dashboard")
        bars = page.locator("svg.chart rect")
        assert await bars.count() == 2
        colours = await bars.evaluate_all("all => all.map(one => getComputedStyle(one).fill)")
        assert len(set(colours)) == 2
        await page.screenshot(path=tmp_path / f"dashboard-{scheme}.png", full_page=True)
        await page.locator("td.status.failed + th a").first.click()
        await page.wait_for_selector("#timeline")
        assert "EXECUTION_ERROR" in await page.inner_text("main")
        await page.go_back()
        assert await page.locator("h1").inner_text() == "Executions"
    assert heard == []
    assert (tmp_path / f"dashboard-{scheme}.png").stat().st_size > 10_000


async def test_the_keyboard_reaches_everything_and_small_screens_need_no_sideways_scrolling(
    tmp_path: Path, browser: Browser
) -> None:
    """The first stop leads to the content; every control has a name; tables scroll in themselves."""
    async with served(tmp_path) as (_, address):
        page = await opened(browser, "light", [], width=360)
        await page.goto(address)
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
        nameless = await page.evaluate(NAMELESS)
        assert nameless == 0
        sideways = await page.evaluate(SIDEWAYS)
        assert sideways == 0


async def test_the_numbers_refresh_by_themselves(tmp_path: Path, browser: Browser) -> None:
    """The frame and the filters stay; only the numbers are put in anew."""
    async with served(tmp_path) as (world, address):
        page = await opened(browser, "light", [])
        await page.clock.install()
        await page.goto(address)
        first = await page.locator(".tiles dd").first.inner_text()
        await page.evaluate("document.querySelector('h1').dataset.kept = 'yes'")
        await world.app.gateway.call(world.call("acme", "quick", {}))
        async with page.expect_response(re.compile(r"/dashboard/live\?")):
            await page.clock.run_for(10_500)
        await page.wait_for_function("document.querySelector('.tiles dd').textContent === '7'")
        assert first == "6"
        assert await page.evaluate("document.querySelector('h1').dataset.kept") == "yes"


HOST = """
<!doctype html><iframe sandbox="allow-scripts" style="width:900px;height:700px"></iframe>
<script>
const frame = document.querySelector("iframe");
window.heard = [];
addEventListener("message", (event) => {
  const message = event.data;
  window.heard.push(message.method || "answer");
  if (message.method === "ui/initialize")
    frame.contentWindow.postMessage({ jsonrpc: "2.0", id: message.id, result: RESULT }, "*");
  if (message.method === "ui/notifications/initialized")
    frame.contentWindow.postMessage(
      { jsonrpc: "2.0", method: "ui/notifications/tool-result", params: PARAMS }, "*");
});
frame.srcdoc = PAGE;
</script>
"""
INITIALIZED = {
    "protocolVersion": "2026-01-26",
    "hostInfo": {"name": "test", "version": "1"},
    "hostCapabilities": {},
    "hostContext": {"theme": "dark"},
}


def quoted(value: Any) -> str:
    """`value` as a literal that ends no script."""
    return json.dumps(value).replace("</", "<\\/")


async def test_the_history_app_shows_the_same_in_a_chat_client(tmp_path: Path, browser: Browser) -> None:
    """In a sandboxed frame without network: what the tool answered becomes tiles, bars and a table."""
    async with open_world(tmp_path, clock=SystemClock(), sim=FakeSim()) as world:
        for workflow in ("quick", "failing"):
            await world.allow("acme", workflow)
            await world.app.gateway.call(world.call("acme", workflow, {}))
        async with connected(world, "auto") as client:
            answer = structured(await client.call_tool("sim_list_executions", {}))
    heard: list[str] = []
    page = await opened(browser, "light", heard)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    text = HOST.replace("RESULT", quoted(INITIALIZED)).replace("PAGE", quoted(text_file("history_page.html")))
    await page.set_content(text.replace("PARAMS", quoted({"structuredContent": answer})))
    frame = page.frame_locator("iframe")
    await frame.locator("#rows tr").first.wait_for()
    assert await frame.locator("#rows tr").count() == 2
    assert await frame.locator("#chart rect").count() >= 1
    assert await frame.locator("html").get_attribute("data-theme") == "dark"
    assert "EXECUTION_ERROR" in await frame.locator("#rows").inner_text()
    await page.screenshot(path=tmp_path / "history-app.png")
    assert [url for url in asked if not url.startswith("about:")] == []
    assert heard == []
