"""The setup page over HTTP: what it says, whom it refuses, and that a key is nowhere to be seen."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from inline_snapshot import snapshot

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.setup_link import MOST_TRIES
from sim_mcp.sim.fake import FakeSim
from tests.setup_visits import KEY, OUR_FORM, WORKSPACES, Network, Visitor, said
from tests.transports.web import HOST, PassingTime, Web, open_web
from tests.world import principal

pytestmark = pytest.mark.anyio

ADA = principal("acme")
HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}"
HEADERS = {
    "content-security-policy": re.compile(
        r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; form-action 'self'; base-uri 'none'; "
        r"frame-ancestors 'none'"
    ),
    "referrer-policy": re.compile("no-referrer"),
    "cache-control": re.compile("no-store"),
    "x-content-type-options": re.compile("nosniff"),
    "x-frame-options": re.compile("DENY"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The HTTP doors, the network behind them, and a way to the page."""

    web: Web
    network: Network

    async def visitor(self, who: object = ADA, **wishes: object) -> Visitor:
        """Somebody with a fresh link."""
        issued = await self.web.world.app.setup.issue(who, **wishes)  # pyright: ignore[reportArgumentType]  # passed on
        return Visitor(client=self.web.client, url=f"/setup/{issued.secret}")

    async def key(self, tenant: str = "acme") -> str | None:
        """The stored key of a tenant."""
        store = self.web.world.app.store.integrations
        current = await store.current(principal(tenant).tenant_id, None)
        return None if current is None else await store.api_key(current)


@pytest.fixture
async def opened(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[Opened]:
    """Nobody is connected yet."""
    network = Network(FakeSim(time=PassingTime(clock)))
    async with open_web(tmp_path, clock=clock, sim=network.sim, transport_of=network.of, connect={}) as web:
        yield Opened(web=web, network=network)


@pytest.mark.requirement("R2", "R8", "R31")
async def test_a_person_types_the_key_and_hears_what_was_found(opened: Opened) -> None:
    """The whole way, without a script and without a token."""
    ada = await opened.visitor()
    form = await ada.open()
    assert form.status_code == 200
    assert said(form) == snapshot(
        [
            "Connect your SIM account",
            "Type the API key once. It goes to SIM to be checked and is stored encrypted. No assistant",
            "sees it.",
            "Tenant",
            "acme",
            "SIM address",
            "https://sim.example.com",
            "Asked for by",
            "ada",
            "Link works until",
            "00:10 UTC",
            ", once",
            "SIM API key",
            "From the API key settings of your SIM account.",
            "Check and connect",
            "Go on only if you know who asked: everybody whom this tenant lets run its tools will work",
            "with your",
            "SIM account.",
        ]
    )
    done = await ada.send(api_key=f"  {KEY}\n")
    assert done.status_code == 200
    assert said(done) == snapshot(
        [
            "Connected",
            "SIM accepts the key, and it is stored encrypted for tenant",
            "acme",
            ".",
            "SIM address",
            "https://sim.example.com",
            "API",
            "v2",
            "Workspace",
            "acme's Workspace",
            "Plan",
            "free",
            "Runs a minute",
            "999999 sync, 999999 async",
            "Used in this period",
            "0.00 of 99999.00",
            "You can close this page and go back to your assistant.",
        ]
    )
    assert await opened.key() == KEY
    for answer in ada.seen:
        assert KEY not in answer.text + str(answer.headers)
        assert "<script" not in answer.text
        assert re.findall(r"<a\b|href|src=|https?://(?!sim\.example\.com)", answer.text) == []


async def test_the_form_can_be_used_by_everybody(opened: Opened) -> None:
    """Language, title, one main heading, a label, no autocomplete, and an error tied to its field."""
    ada = await opened.visitor()
    text = (await ada.open()).text
    assert '<html lang="en">' in text
    assert "<title>Connect your SIM account · sim-mcp</title>" in text
    assert (text.count("<h1"), text.count("<main>"), text.count('<label for="api_key">')) == (1, 1, 1)
    [field] = re.findall(r'<input type="password"[^>]*>', text)
    assert 'id="api_key"' in field
    assert 'autocomplete="off"' in field
    assert "value=" not in field
    wrong = (await ada.send(api_key="sk-sim-mistyped")).text
    assert "<title>Error: " in wrong
    [field] = re.findall(r'<input type="password"[^>]*>', wrong)
    assert 'aria-invalid="true"' in field
    assert 'aria-describedby="hint problem"' in field
    assert '<p class="problem" id="problem" role="alert">' in wrong


@pytest.mark.requirement("R60")
@pytest.mark.parametrize(
    ("key", "status", "words"),
    [
        ("", 400, "Type or paste the API key."),
        ("   ", 400, "Type or paste the API key."),
        ("sk-sim-mistyped", 400, "create a new one in SIM's settings. 4 tries left."),
        ("sk sim", 400, "copy it again from SIM's settings. 4 tries left."),
        ("schlüssel", 400, "copy it again from SIM's settings. 4 tries left."),
        ("k" * 1001, 400, "copy it again from SIM's settings. 4 tries left."),
        (HOSTILE.replace(" ", ""), 400, "SIM does not accept this API key"),
    ],
)  # fmt: skip
async def test_a_key_that_does_not_work_is_told_beside_its_field(
    opened: Opened, key: str, status: int, words: str
) -> None:
    """With the remedy, never with the key; and the right one works afterwards."""
    ada = await opened.visitor()
    await ada.open()
    answer = await ada.send(api_key=key)
    assert answer.status_code == status
    assert words in " ".join(said(answer))
    if key.strip():
        assert key not in answer.text + str(answer.headers)
    assert await opened.key() is None
    assert (await ada.send(api_key=KEY)).status_code == 200
    assert await opened.key() == KEY


async def test_a_sim_that_cannot_be_reached_is_no_fault_of_the_key(opened: Opened) -> None:
    """502 above the form; nothing is stored, and the same link works when SIM is back."""
    ada = await opened.visitor()
    await ada.open()
    opened.network.is_cut = True
    answer = await ada.send(api_key=KEY)
    assert answer.status_code == 502
    [banner] = re.findall(r'<p class="banner" role="alert">([^<]*)</p>', answer.text)
    assert "sim.example.com" in banner
    assert banner.endswith("4 tries left. Nothing was stored.")
    assert 'aria-invalid="true"' not in answer.text
    opened.network.is_cut = False
    assert (await ada.send(api_key=KEY)).status_code == 200


async def test_used_expired_spent_and_unknown_links_each_say_so(opened: Opened, clock: ManualClock) -> None:
    """410 with the reason for those that were links once, 404 for all others; GET and POST alike."""
    used, spent, expired = [await opened.visitor() for _ in range(3)]
    for each in (used, spent, expired):
        await each.open()
    await used.send(api_key=KEY)
    last = [await spent.send(api_key="sk-sim-guessed") for _ in range(MOST_TRIES)][-1]
    clock.advance(600)
    told = {}
    for name, visitor in (("used", used), ("spent", spent), ("expired", expired)):
        shown, sent = await visitor.open(), await visitor.send(api_key=KEY)
        assert (shown.status_code, sent.status_code) == (410, 410)
        assert said(shown) == said(sent)
        told[name] = said(shown)
    assert said(last) == told["spent"]
    assert told == snapshot(
        {
            "used": [
                "This link was used",
                "A key was stored with it. Each link works once. Ask your assistant to connect SIM again;",
                "it gives you a new link.",
            ],
            "spent": [
                "This link is closed",
                "SIM did not accept several keys in a row. Nothing was stored. Ask your assistant to",
                "connect SIM again; it gives you a new link.",
            ],
            "expired": [
                "This link has expired",
                "A link works for ten minutes. Ask your assistant to connect SIM again; it gives you a new",
                "link.",
            ],
        }
    )


@pytest.mark.requirement("R60")
async def test_a_forged_link_looks_like_an_unknown_one(opened: Opened) -> None:
    """Byte for byte, whatever it looks like."""
    real = (await opened.visitor()).url.removeprefix("/setup/")
    forged = [
        real[:-1] + ("A" if real[-1] != "A" else "B"),
        "A" * 43,
        "x",
        "%2e%2e",
        "%00" * 8,
        "%3Cscript%3E",
        "é" * 43,
        "A" * 5000,
    ]
    answers: list[httpx.Response] = []
    for secret in forged:
        visitor = Visitor(client=opened.web.client, url=f"/setup/{secret}", csrf="x")
        answers += [await visitor.open(), await visitor.send(api_key=KEY)]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1
    assert said(answers[0]) == snapshot(
        [
            "There is no such link",
            "It is mistyped, or older than a day. Ask your assistant to connect SIM again; it gives you",
            "a new link.",
        ]
    )
    assert all("set-cookie" not in answer.headers for answer in answers)
    assert opened.network.sent == []


@pytest.mark.requirement("R60")
async def test_every_page_keeps_the_browser_on_a_short_leash(opened: Opened, clock: ManualClock) -> None:
    """The same strict headers on the form, its errors, its success, its end and its refusals."""
    ada = await opened.visitor()
    nobody = Visitor(client=opened.web.client, url="/setup/unknown")
    await ada.open()
    await ada.send(api_key="sk-sim-mistyped")
    await ada.post({"csrf": "wrong", "api_key": KEY})
    await ada.post(b"x" * 70_000)
    await ada.send(api_key=KEY)
    await ada.open()
    await nobody.open()
    assert [answer.status_code for answer in ada.seen] == [200, 400, 403, 413, 200, 410]
    for answer in (*ada.seen, *nobody.seen):
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        for name, pattern in HEADERS.items():
            assert pattern.fullmatch(answer.headers[name]), name
        assert "access-control-allow-origin" not in answer.headers
    clock.advance(1)


@pytest.mark.requirement("R60")
async def test_the_style_sheet_is_the_one_that_the_policy_names(opened: Opened) -> None:
    """A browser hashes what stands between the tags."""
    import base64
    import hashlib

    answer = await (await opened.visitor()).open()
    [css] = re.findall(r"<style>(.*?)</style>", answer.text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert "style=" not in answer.text


@pytest.mark.requirement("R60")
async def test_a_form_from_elsewhere_is_refused(opened: Opened) -> None:
    """No nonce, another browser's or link's, a foreign origin or site: nothing is sent to SIM."""
    ada, eve = await opened.visitor(), await opened.visitor(principal("globex"))
    await ada.open()
    await eve.open()
    sent = {"csrf": ada.csrf, "api_key": KEY}
    no_cookie = replace(ada, cookies={})
    others_cookie = replace(ada, cookies=dict(eve.cookies))
    broken_cookie = replace(ada, cookies={"sim_mcp_setup": "short"})
    answers = [
        await no_cookie.post(sent),
        await others_cookie.post(sent),
        await broken_cookie.post(sent),
        await ada.post({**sent, "csrf": ""}),
        await ada.post({**sent, "csrf": eve.csrf}),
        await ada.post({**sent, "csrf": "ü" + ada.csrf}),
        await ada.post(sent, headers={**OUR_FORM, "sec-fetch-site": "cross-site"}),
        await ada.post(sent, headers={**OUR_FORM, "sec-fetch-site": "same-site"}),
        await ada.post(sent, headers={**OUR_FORM, "sec-fetch-site": "none"}),
        await ada.post(sent, headers={"origin": "https://evil.example", "sec-fetch-site": "same-origin"}),
    ]
    assert [answer.status_code for answer in answers] == [403] * len(answers)
    assert opened.network.sent == []
    assert KEY not in "".join(answer.text for answer in answers)
    assert (
        await ada.post(sent, headers={"origin": HOST, "sec-fetch-site": "same-origin"})
    ).status_code == 200


async def test_an_old_browser_that_says_nothing_about_origins_gets_through(opened: Opened) -> None:
    """The nonce alone then tells its form from a foreign one."""
    ada = await opened.visitor()
    await ada.open()
    fields = {"csrf": ada.csrf, "api_key": KEY}
    cookie = "; ".join(f"{name}={value}" for name, value in ada.cookies.items())
    answer = await opened.web.client.post(ada.url, data=fields, headers={"cookie": cookie})
    assert answer.status_code == 200


async def test_two_tabs_of_one_browser_both_work(opened: Opened) -> None:
    """Opening the link again keeps the nonce, so the first tab's form is still good."""
    ada = await opened.visitor()
    await ada.open()
    first = ada.csrf
    await ada.open()
    assert ada.csrf == first
    assert (await ada.send(api_key=KEY)).status_code == 200


@pytest.mark.requirement("R60")
async def test_the_cookie_tells_nothing_and_goes_nowhere_else(opened: Opened) -> None:
    """A nonce for this path alone, for no script, for no other site, until the browser is closed."""
    ada = await opened.visitor()
    [cookie] = (await ada.open()).headers.get_list("set-cookie")
    assert re.fullmatch(
        rf"sim_mcp_setup=[A-Za-z0-9_-]{{32}}; HttpOnly; Path={re.escape(ada.url)}; SameSite=strict", cookie
    )


async def test_behind_a_public_url_the_cookie_is_for_https_and_its_path(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Whatever the proxy calls us; and a page that came in the clear warns before anything is typed."""
    async with open_web(
        tmp_path / "one", clock=clock, public_url="https://mcp.example.com/sim", allowed_hosts=("proxy",)
    ) as web:
        url = f"/setup/{(await web.world.app.setup.issue(ADA)).secret}"
        answer = await web.client.get(url, headers={"host": "mcp.example.com"})
        assert f"Path=/sim{url}; SameSite=strict; Secure" in answer.headers["set-cookie"]
        assert "not encrypted" not in answer.text
    async with open_web(tmp_path / "two", clock=clock, allowed_hosts=("intranet",)) as web:
        url = f"/setup/{(await web.world.app.setup.issue(ADA)).secret}"
        answer = await web.client.get(url, headers={"host": "intranet"})
        assert "This connection is not encrypted" in answer.text
        assert "Secure" not in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"x" * (64 * 1024 + 1), {}, 413),
        (b"", {}, 403),
        (b"&".join(b"a=1" for _ in range(11)), {}, 403),
        (b"\xff\xfe%ff=%zz", {}, 403),
        (b'{"api_key": "sk-sim-json"}', {"content-type": "application/json"}, 403),
        (b"--x\r\n", {"content-type": "multipart/form-data; boundary=x"}, 403),
    ],
)
async def test_strange_bodies_are_refused_and_not_repeated(
    opened: Opened, body: bytes, headers: dict[str, str], status: int
) -> None:
    """Too large, too many fields, no form at all."""
    ada = await opened.visitor()
    await ada.open()
    form = {"content-type": "application/x-www-form-urlencoded", **OUR_FORM, **headers}
    answer = await ada.post(body, headers=form)
    assert answer.status_code == status
    assert "sk-sim-json" not in answer.text
    assert opened.network.sent == []


@pytest.mark.requirement("R60")
async def test_whatever_stands_on_the_page_is_escaped(opened: Opened) -> None:
    """Names of people, organisations and workspaces are other people's text."""
    opened.network.workspaces = (("ws-1", HOSTILE), ("ws-2", "b"))
    ada = await opened.visitor(replace(ADA, subject=HOSTILE, organization_id=HOSTILE))
    await ada.open()
    await ada.send(api_key=KEY)
    for answer in ada.seen:
        assert "<script" not in answer.text
        assert HOSTILE in said(answer)


async def test_one_of_several_workspaces_is_picked_in_a_second_step(opened: Opened) -> None:
    """By the browser that typed the key; somebody else with the link is told that it was used."""
    opened.network.workspaces = WORKSPACES
    ada = await opened.visitor()
    await ada.open()
    asked = await ada.send(api_key=KEY)
    assert said(asked) == snapshot(
        [
            "Connected",
            "SIM accepts the key, and it is stored encrypted for tenant",
            "acme",
            ".",
            "SIM address",
            "https://sim.example.com",
            "API",
            "v2",
            "Plan",
            "free",
            "Runs a minute",
            "999999 sync, 999999 async",
            "Used in this period",
            "0.00 of 99999.00",
            "The key sees 2 workspaces. Which one should be offered?",
            "Marketing",
            "ws-1",
            "Finance <b>&</b> controlling",
            "ws-2",
            "Use this workspace",
        ]
    )
    stranger = Visitor(client=opened.web.client, url=ada.url)
    assert (await stranger.open()).status_code == 410
    assert (await stranger.send(workspace="ws-1")).status_code == 403
    assert said(await ada.open()) == said(asked)
    wrong = await ada.send(workspace="ws-3")
    assert wrong.status_code == 400
    assert "Choose one of these." in said(wrong)
    done = await ada.send(workspace="ws-2")
    assert done.status_code == 200
    assert said(done) == snapshot(
        [
            "Connected",
            "SIM accepts the key, and it is stored encrypted for tenant",
            "acme",
            ".",
            "SIM address",
            "https://sim.example.com",
            "API",
            "v2",
            "Workspace",
            "Finance <b>&</b> controlling",
            "Plan",
            "free",
            "Runs a minute",
            "999999 sync, 999999 async",
            "Used in this period",
            "0.00 of 99999.00",
            "You can close this page and go back to your assistant.",
        ]
    )
    settings = await opened.web.world.app.administration.settings(ADA)
    assert settings is not None
    assert (settings.workspace_id, settings.has_api_key) == ("ws-2", True)
    assert (await ada.send(workspace="ws-1")).status_code == 410


async def test_a_choice_after_the_settings_moved_on_is_told(opened: Opened) -> None:
    """409 with what to do instead."""
    opened.network.workspaces = WORKSPACES
    ada = await opened.visitor()
    await ada.open()
    await ada.send(api_key=KEY)
    await opened.web.world.app.administration.set_enabled(ADA, is_enabled=False)
    late = await ada.send(workspace="ws-1")
    assert late.status_code == 409
    assert "--workspace" in " ".join(said(late))


async def test_a_legacy_sim_that_tells_little_is_shown_as_it_is(tmp_path: Path, clock: ManualClock) -> None:
    """No workspaces there; and what is switched off says so."""
    sim = FakeSim(time=PassingTime(clock), v2_enabled=False)
    async with open_web(tmp_path, clock=clock, sim=sim, connect={}) as web:
        issued = await web.world.app.setup.issue(ADA, is_enabled=False)
        ada = Visitor(client=web.client, url=f"/setup/{issued.secret}")
        assert "The integration stays switched off for now." in " ".join(said(await ada.open()))
        assert said(await ada.send(api_key=KEY)) == snapshot(
            [
                "Connected",
                "SIM accepts the key, and it is stored encrypted for tenant",
                "acme",
                ". The integration is switched off.",
                "SIM address",
                "https://sim.example.com",
                "API",
                "legacy (before v2)",
                "Workspace",
                "SIM does not tell",
                "Plan",
                "free",
                "Runs a minute",
                "999999 sync, 999999 async",
                "Used in this period",
                "0.00 of 99999.00",
                "You can close this page and go back to your assistant.",
            ]
        )


@pytest.mark.requirement("R10", "R60")
async def test_the_page_wants_no_token_and_gives_no_other_door_away(opened: Opened) -> None:
    """Methods that it does not know, and paths beside it, answer as everywhere."""
    ada = await opened.visitor()
    client = opened.web.client
    assert (await client.head(ada.url)).status_code == 200
    assert (await client.put(ada.url)).status_code == 405
    assert (await client.get("/setup")).status_code == 404
    assert (await client.get(f"{ada.url}/more")).status_code == 404
    assert (await client.get(ada.url, headers={"host": "evil.example"})).status_code == 421
    assert (await client.get("/healthz", headers={"origin": "null"})).status_code == 200
    assert (await client.post("/mcp", headers={"origin": "null"})).status_code == 403


def files_below(folder: Path) -> bytes:
    """Everything that is written there."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.requirement("R31", "R32", "R60")
async def test_the_key_is_in_no_answer_log_row_or_history(
    opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Right, wrong, too late, and while SIM is down: only SIM ever gets it; and no log knows the link."""
    caplog.set_level(logging.DEBUG)
    ada = await opened.visitor()
    await ada.open()
    opened.network.is_cut = True
    await ada.send(api_key=KEY)
    opened.network.is_cut = False
    wrong = "sk-sim-planted-and-rejected"
    await ada.send(api_key=wrong)
    await ada.send(api_key=KEY)
    await ada.send(api_key=KEY)
    secret = ada.url.removeprefix("/setup/")
    kept = files_below(tmp_path)
    history = await opened.web.world.app.administration.history(ADA)
    lines = "\n".join(record.getMessage() + str(record.exc_info) for record in caplog.records
                      if not record.name.startswith(("aiosqlite", "httpx")))  # fmt: skip
    for key in (KEY, wrong):
        assert key.encode() not in kept
        assert key not in lines + repr(history)
        for answer in ada.seen:
            assert key not in answer.text + str(answer.headers) + str(answer.url)
    assert secret.encode() not in kept
    assert secret not in lines
