"""The dashboard without a browser: who gets in, what is shown to whom, and how it holds together."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from sim_mcp.model.errors import Forbidden
from sim_mcp.model.execution import Status
from sim_mcp.model.principal import Permission, Principal, TenantId
from sim_mcp.sim.fake import workflow_id
from sim_mcp.transports.auth import Authenticator
from sim_mcp.transports.charts import chart_of
from sim_mcp.transports.dashboard import COOKIE
from sim_mcp.transports.dashboard_sessions import LINK_LASTS_S, SESSION_LASTS_S, DashboardSessions
from sim_mcp.transports.dashboard_words import seconds
from tests.transports.web import Web, open_web
from tests.world import principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R43", "R13")]

EVIL = "<script>alert(1)</script>"


@pytest.fixture
async def web(tmp_path: Path) -> AsyncGenerator[Web]:
    """Two tenants with a history each; acme's holds markup and a failure."""
    async with open_web(tmp_path) as opened:
        await opened.allow("acme", "quick", "echo", "failing")
        await opened.allow("globex", "quick")
        await opened.execute(
            "acme", workflow_id("acme", "echo"), input={"message": EVIL, "password": "hunter2"}
        )
        await opened.execute("acme", workflow_id("acme", "failing"))
        await opened.execute("globex", workflow_id("globex", "quick"), input={"employee": "Bo"})
        yield opened


def link(web: Web, tenant: str = "acme") -> str:
    """What `sim-mcp dashboard` prints, after the host."""
    app = web.world.app
    secret = DashboardSessions(app, Authenticator(app)).link(principal(tenant))
    return f"/dashboard/enter?link={secret}"


async def entered(web: Web, tenant: str = "acme") -> dict[str, str]:
    """The cookie of a session that began with a link."""
    answer = await web.client.get(link(web, tenant))
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard")
    session = answer.cookies[COOKIE]
    web.client.cookies.clear()
    return {"cookie": f"{COOKIE}={session}"}


async def shown(web: Web, path: str = "/dashboard", *, tenant: str = "acme") -> httpx.Response:
    """A page as somebody of `tenant` sees it."""
    return await web.client.get(path, headers=await entered(web, tenant))


async def test_a_link_opens_once_and_not_for_long(web: Web) -> None:
    """After that it says how to get another; nobody else's name opens it."""
    address = link(web)
    assert (await web.client.get(address)).status_code == 303
    again = await web.client.get(address)
    assert (again.status_code, "sim-mcp dashboard" in again.text) == (401, True)
    late = link(web)
    web.clock.advance(LINK_LASTS_S)
    assert (await web.client.get(late)).status_code == 401
    mine, theirs = link(web).split("=", 1)[1], link(web, "globex").split("=", 1)[1]
    mixed = f"{theirs.split('.')[0]}.{mine.split('.', 1)[1]}"
    for secret in (mixed, "", "x", "....", mine[:-2]):
        assert (await web.client.get(f"/dashboard/enter?link={secret}")).status_code == 401


async def test_a_session_ends_and_its_cookie_is_for_this_page_alone(web: Web) -> None:
    """Not for scripts, not for other sites, not for other paths."""
    answer = await web.client.get(link(web))
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/dashboard" in cookie
    headers = {"cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}
    web.client.cookies.clear()
    assert (await web.client.get("/dashboard", headers=headers)).status_code == 200
    web.clock.advance(SESSION_LASTS_S)
    assert (await web.client.get("/dashboard", headers=headers)).status_code == 401
    assert (await web.client.get("/dashboard")).status_code == 401
    left = await web.client.post("/dashboard/leave")
    assert 'sim_mcp_dashboard=""' in left.headers["set-cookie"]


async def test_each_tenant_sees_its_own_history_alone(web: Web) -> None:
    """Another's execution looks like one that does not exist."""
    acme, globex = await shown(web), await shown(web, tenant="globex")
    assert (acme.status_code, globex.status_code) == (200, 200)
    assert ">failing</a>" in acme.text
    assert ">failing</a>" not in globex.text
    [foreign] = await web.world.rows("globex")
    refused = await shown(web, f"/dashboard/executions/{foreign.id}")
    unknown = await shown(web, "/dashboard/executions/no-such-thing")
    assert refused.status_code == unknown.status_code == 404
    assert refused.text == unknown.text
    assert (await shown(web, f"/dashboard/executions/{foreign.id}", tenant="globex")).status_code == 200


async def test_what_others_wrote_is_text_and_secrets_are_not_there(web: Web) -> None:
    """Markup in an input or output is shown, never run; nothing but our own script and style may act."""
    [row] = [row for row in await web.world.rows("acme") if row.tool_name == "echo"]
    page = await shown(web, f"/dashboard/executions/{row.id}")
    assert EVIL not in page.text
    assert "&lt;script&gt;alert(1)" in page.text
    assert "hunter2" not in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src 'self'; connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"


async def test_one_execution_is_told_in_full(web: Web) -> None:
    """What happened when, why it failed, and what may be done."""
    [row] = [row for row in await web.world.rows("acme") if row.status is Status.FAILED]
    text = (await shown(web, f"/dashboard/executions/{row.id}")).text
    for words in (
        "EXECUTION_ERROR",
        "Division by zero",
        "Attempt 1 sent to SIM",
        "Ended: failed",
        row.run_id or "",
    ):
        assert words in text


async def test_the_history_is_filtered_and_paged_by_link(web: Web) -> None:
    """Each filter in the address; an older page begins where the newer ended."""
    for _ in range(30):
        await web.execute("acme", workflow_id("acme", "quick"), input={"employee": "Ada"})
    first = (await shown(web, "/dashboard?window=1h&status=completed")).text
    assert "31 in all" in first
    assert '<td class="status failed">' not in first
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older is not None
    second = (await shown(web, older[1].replace("&amp;", "&"))).text
    ids = [
        set(re.findall(r"/dashboard/executions/([0-9a-f-]+)", page.split('id="history"')[1]))
        for page in (first, second)
    ]
    assert [len(each) for each in ids] == [25, 6]
    assert ids[0].isdisjoint(ids[1])
    only = (await shown(web, f"/dashboard?workflow={workflow_id('acme', 'failing')}")).text
    assert "1 in all" in only
    for query in ("window=1y", "status=odd", "cursor=nonsense"):
        assert (await shown(web, f"/dashboard?{query}")).status_code == 400


async def test_the_live_part_is_the_page_without_its_frame(web: Web) -> None:
    """So that it can be put into the page as it is."""
    whole, part = (await shown(web)).text, (await shown(web, "/dashboard/live")).text
    assert part.strip() in whole
    assert "<html" not in part
    script = await web.client.get("/dashboard/live.js")
    assert script.headers["content-type"].startswith("text/javascript")


async def test_a_token_opens_as_long_as_it_is_valid(web: Web) -> None:
    """A revoked one closes the page at once; one that may not look never opens it."""
    tokens = web.world.app.tokens
    viewer = Principal(tenant_id=TenantId("acme"), subject="eve", permissions=frozenset({Permission.VIEW}))
    token, secret = await tokens.create(viewer, name="t", expires_at=None, created_by="ada")
    answer = await web.client.post("/dashboard/enter", data={"token": secret})
    assert answer.status_code == 303
    assert secret not in answer.cookies[COOKIE]
    headers = {"cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}
    web.client.cookies.clear()
    assert (await web.client.get("/dashboard", headers=headers)).status_code == 200
    await tokens.revoke(TenantId("acme"), token.id)
    assert (await web.client.get("/dashboard", headers=headers)).status_code == 401
    runner = Principal(tenant_id=TenantId("acme"), permissions=frozenset({Permission.EDIT}))
    _, blind = await tokens.create(runner, name="t", expires_at=None, created_by="ada")
    for wrong, status in ((blind, 403), ("nonsense", 401), ("", 401), ("x" * 5000, 401)):
        refused = await web.client.post("/dashboard/enter", data={"token": wrong})
        assert refused.status_code == status
        assert 'role="alert"' in refused.text
    foreign = await web.client.post(
        "/dashboard/enter", data={"token": secret}, headers={"sec-fetch-site": "cross-site"}
    )
    assert foreign.status_code == 401


async def test_only_those_who_may_look_get_a_link(web: Web) -> None:
    """The permission is asked for where the link is made."""
    runner = Principal(tenant_id=TenantId("acme"), permissions=frozenset({Permission.EDIT}))
    with pytest.raises(Forbidden, match="INTEGRATION_VIEW"):
        DashboardSessions(web.world.app, Authenticator(web.world.app)).link(runner)


async def test_behind_a_proxy_with_a_path_of_its_own_every_link_leads_through_it(tmp_path: Path) -> None:
    """And the cookie goes to that path alone, encrypted."""
    async with open_web(tmp_path, public_url="https://mcp.example.com/sim") as web:
        host = {"host": "mcp.example.com"}
        answer = await web.client.get(link(web), headers=host)
        assert answer.headers["location"] == "/sim/dashboard"
        cookie = answer.headers["set-cookie"].lower()
        assert "path=/sim/dashboard" in cookie
        assert "secure" in cookie
        session = {"cookie": f"{COOKIE}={answer.cookies[COOKIE]}", **host}
        web.client.cookies.clear()
        text = (await web.client.get("/dashboard", headers=session)).text
    assert 'href="/dashboard' not in text
    assert 'src="/sim/dashboard/live.js"' in text


async def test_the_bars_stand_for_every_execution_of_the_time(web: Web) -> None:
    """As high as they are many; the slots run evenly, with or without any."""
    since = web.clock.now() - timedelta(minutes=30)
    chart = chart_of(await web.world.app.metrics.timeline(principal("acme"), since=since))
    assert sum(slot.total for slot in chart.slots) == 2
    assert chart.most == 2
    [slot] = [slot for slot in chart.slots if slot.parts]
    assert [part.kind for part in slot.parts] == ["completed", "failed"]
    assert slot.parts[0].height == slot.parts[1].height
    assert len(chart.slots) == 31


def test_durations_are_said_as_people_say_them() -> None:
    """The unit grows with the number."""
    assert [seconds(each) for each in (None, 0.0234, 1.5, 59.94, 75, 3700)] == [
        "-",
        "23 ms",
        "1.5 s",
        "59.9 s",
        "1 min 15 s",
        "1 h 1 min",
    ]
