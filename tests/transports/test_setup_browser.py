"""The setup page in a real browser, with scripts switched off; skipped where there is no Chromium."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from sim_mcp.model.clock import SystemClock
from sim_mcp.sim.fake import FakeSim
from sim_mcp.transports.http import serve_http
from tests.setup_visits import KEY, WORKSPACES, Network
from tests.transports.web import claims
from tests.world import open_world, principal

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Request

    from tests.world import World

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--headless=new",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
LIMIT_S = 120

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.sockets,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]


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
async def served(folder: Path, network: Network) -> AsyncGenerator[tuple[World, str]]:
    """A world whose HTTP doors are open; its URL."""
    async with open_world(
        folder, clock=SystemClock(), sim=network.sim, transport_of=network.of, connect={}
    ) as world:
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


async def opened(browser: Browser, *, width: int, heard: list[str], sent: list[Request]) -> Page:
    """A page without scripts, of that width; what the browser complains about and sends is kept."""
    page = await browser.new_page(viewport={"width": width, "height": 844}, java_script_enabled=False)
    page.set_default_timeout(LIMIT_S * 1000)
    page.on("console", lambda message: heard.append(message.text))
    page.on("request", lambda request: sent.append(request))  # noqa: PLW0108 - the library wants a function
    return page


@pytest.mark.requirement("R8", "R31", "R60")
@pytest.mark.parametrize("width", [1280, 390])
async def test_a_person_connects_an_account(tmp_path: Path, browser: Browser, width: int) -> None:
    """A wrong key, then the right one, then the workspace; nothing is blocked, nothing fetched."""
    network = Network(FakeSim(), workspaces=WORKSPACES)
    heard: list[str] = []
    sent: list[Request] = []
    async with served(tmp_path, network) as (world, root):
        issued = await world.app.setup.issue(principal("acme"))
        url = f"{root}/setup/{issued.secret}"
        page = await opened(browser, width=width, heard=heard, sent=sent)
        await page.goto(url)
        key = page.get_by_label("SIM API key")
        assert await key.get_attribute("type") == "password"
        await key.fill("sk-sim-mistyped")
        await page.get_by_role("button", name="Check and connect").click()
        alert = page.get_by_role("alert")
        await alert.wait_for()
        assert "4 tries left" in (await alert.inner_text())
        assert await key.input_value() == ""
        await key.fill(KEY)
        await key.press("Enter")
        await page.get_by_role("heading", name="Connected").wait_for()
        await page.get_by_label("Marketing").check()
        await page.get_by_role("button", name="Use this workspace").click()
        await page.get_by_text("You can close this page").wait_for()
        assert KEY not in await page.content()
        assert page.url == url
        await page.goto(url)
        await page.get_by_role("heading", name="This link was used").wait_for()
        settings = await world.app.administration.settings(principal("acme"))
    assert settings is not None
    assert (settings.has_api_key, settings.workspace_id) == (True, "ws-1")
    assert [text for text in heard if re.search("Content Security Policy|refused", text, re.IGNORECASE)] == []
    assert {request.url for request in sent} == {url}
    for request in sent:
        headers = await request.all_headers()
        assert "referer" not in headers
        if request.method == "POST":
            assert (headers["origin"], headers["sec-fetch-site"]) == ("null", "same-origin")


@pytest.mark.requirement("R60")
async def test_a_form_on_another_site_cannot_be_sent_here(tmp_path: Path, browser: Browser) -> None:
    """Even one that knows the link: the browser says where the form was, and keeps the cookie."""
    network = Network(FakeSim())
    heard: list[str] = []
    sent: list[Request] = []
    async with served(tmp_path, network) as (world, root):
        issued = await world.app.setup.issue(principal("acme"))
        url = f"{root}/setup/{issued.secret}"
        page = await opened(browser, width=1280, heard=heard, sent=sent)
        await page.goto(url)
        csrf = await page.locator("input[name=csrf]").get_attribute("value")
        fields = f'<input name=csrf value="{csrf}"><input name=api_key value="{KEY}"><button>Win</button>'
        await page.goto(f'data:text/html,<form method="post" action="{url}">{fields}</form>')
        async with page.expect_navigation() as navigation:
            await page.get_by_role("button").click()
        answer = await navigation.value
        assert answer is not None
        assert answer.status == 403
        assert await world.app.administration.settings(principal("acme")) is None
    assert network.sent == []


async def test_the_page_fits_a_phone_and_can_be_used_by_keyboard(tmp_path: Path, browser: Browser) -> None:
    """No sideways scrolling with long names; Tab reaches the field first, and its focus can be seen."""
    network = Network(FakeSim())
    long = claims()["id"] * 4
    async with served(tmp_path, network) as (world, root):
        issued = await world.app.setup.issue(principal("acme", long))
        page = await browser.new_page(viewport={"width": 360, "height": 740})
        await page.goto(f"{root}/setup/{issued.secret}")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.id") == "api_key"
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.tagName") == "BUTTON"
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            assert await page.evaluate(CONTRAST) >= 4.5


CONTRAST = """
(() => {
  const parts = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = colour => parts(colour).map(c => c / 255)
    .map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const card = getComputedStyle(document.querySelector('.card')).backgroundColor;
  const texts = document.querySelectorAll('.card h1, .card p, .card dt, .card dd, .card label');
  const worst = [...texts].map(each => {
    const [a, b] = [light(getComputedStyle(each).color), light(card)].sort((x, y) => y - x);
    return (a + .05) / (b + .05);
  });
  const button = getComputedStyle(document.querySelector('button'));
  const [a, b] = [light(button.color), light(button.backgroundColor)].sort((x, y) => y - x);
  return Math.min(...worst, (a + .05) / (b + .05));
})()
"""
