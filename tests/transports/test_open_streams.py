"""A revoked token, an expired one, a lost permission: they count on what is already open, at every door."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeAlias

import anyio
import anyio.lowlevel
import mcp_types as types
import pytest
from mcp.server.lowlevel import Server

from sim_mcp.app import Needs
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.facts import SettingsChanged
from sim_mcp.model.principal import TenantId
from sim_mcp.transports import open_streams
from sim_mcp.transports.auth import current_principal
from sim_mcp.transports.open_streams import LOOK_EVERY_S
from tests.patience import PATIENCE_S
from tests.transports.streams import OpenAnswer, get
from tests.transports.test_http import INITIALIZE, LIST, MCP, open_session
from tests.transports.web import NOW_S, Web, bearer, open_web
from tests.world import principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R10", "R35", "R60")]

Door: TypeAlias = Literal["/mcp", "/sse"]
DOORS: tuple[Door, ...] = ("/mcp", "/sse")
MODERN_LIST: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 3,
    "method": "tools/list",
    "params": {
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    },
}


async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
    """A tool for the tenant and one for each permission of the message's sender."""
    del ctx, params
    who = current_principal(None)
    names = [f"tenant-{who.tenant_id}", *sorted(who.permissions)]
    return types.ListToolsResult(
        tools=[types.Tool(name=name, input_schema={"type": "object"}) for name in names]
    )


@asynccontextmanager
async def opened(folder: Path, *, needs: Needs | None = None) -> AsyncGenerator[Web]:
    """The doors, with a server that tells whom it takes each message's sender for."""
    async with open_web(
        folder, connect={}, needs=needs, server_factory=lambda: Server("echo", on_list_tools=list_tools)
    ) as web:
        yield web


@pytest.fixture
async def web(tmp_path: Path) -> AsyncGenerator[Web]:
    """Those doors, with nobody noticing changes but the test."""
    async with opened(tmp_path) as found:
        yield found


@asynccontextmanager
async def stream(web: Web, door: Door, by: dict[str, str]) -> AsyncGenerator[OpenAnswer]:
    """A stream that `by` opened at that door, and that has begun."""
    headers = by if door == "/sse" else (await open_session(web, by)) | by | {"accept": "text/event-stream"}
    async with get(web.application, door, headers) as answer:
        if door == "/sse":
            await answer.until("session_id=")
        with anyio.fail_after(PATIENCE_S):
            await web.clock.sleeper(within_s=LOOK_EVERY_S)
        yield answer


async def own_token(web: Web, tenant: str, *, lives_s: float | None = None) -> tuple[str, dict[str, str]]:
    """A token of the server's own: its id, and the header of whoever holds it."""
    expires_at = None if lives_s is None else web.clock.now() + timedelta(seconds=lives_s)
    token, secret = await web.world.app.tokens.create(
        principal(tenant), name="laptop", expires_at=expires_at, created_by="root"
    )
    return token.id, {"authorization": f"Bearer {secret}"}


async def looks(clock: ManualClock, count: int) -> None:
    """Return once open streams have looked at their tokens `count` times in all, and sleep again."""
    with anyio.fail_after(PATIENCE_S):
        while len(clock.slept_s) < count:
            await anyio.lowlevel.checkpoint()


def tell(web: Web, tenant: str | None) -> None:
    """Tell the server that tokens of a tenant changed."""
    web.world.app.facts(SettingsChanged(tenant_id=TenantId(tenant) if tenant else None, kind="tokens"))


async def names_seen(web: Web, session: dict[str, str], by: dict[str, str]) -> list[str]:
    """What `by` is listed in an open session of `/mcp`."""
    answer = await web.client.post("/mcp", headers=session | by, json=LIST)
    assert answer.status_code == 200, answer.text
    return re.findall(r'"name":"([^"]+)"', answer.text)


@pytest.mark.parametrize("door", DOORS)
async def test_a_stream_ends_when_its_token_expires(web: Web, door: Door) -> None:
    """A JSON Web Token's time is over 30 s after `exp`; the answer ends in an orderly way."""
    async with stream(web, door, bearer(exp=NOW_S + 60)) as answer:
        web.clock.advance(60)
        await looks(web.clock, 2)
        web.clock.advance(29)
        await anyio.wait_all_tasks_blocked()
        assert not answer.ended.is_set()
        web.clock.advance(1)
        await answer.until_ended()
        assert (answer.status, answer.is_complete) == (200, True)


@pytest.mark.parametrize("door", DOORS)
async def test_a_stream_ends_with_an_own_token(web: Web, door: Door) -> None:
    """Its expiry is known too, to the second."""
    _, header = await own_token(web, "acme", lives_s=20)
    async with stream(web, door, header) as answer:
        web.clock.advance(20)
        await answer.until_ended()
        assert answer.is_complete


@pytest.mark.parametrize("door", DOORS)
async def test_a_stream_ends_within_a_second_of_a_revocation(
    tmp_path: Path, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever process revoked it: the server looks for changes every second."""
    monkeypatch.setattr(open_streams, "LOOK_EVERY_S", 1e9)  # so that only the change can end it
    async with opened(tmp_path, needs=Needs(drain_s=0)) as web:
        token_id, header = await own_token(web, "acme")
        async with stream(web, door, header) as answer:
            await web.clock.sleeper(within_s=1)
            assert await web.world.app.tokens.revoke(TenantId("acme"), token_id)
            with anyio.fail_after(PATIENCE_S):
                while not answer.ended.is_set():  # the look at the changes may have been under way
                    await web.clock.sleeper(within_s=1)
                    web.clock.advance(1)
                    await anyio.lowlevel.checkpoint()
            assert answer.is_complete


@pytest.mark.parametrize("door", DOORS)
async def test_only_the_revoked_token_s_streams_end(web: Web, door: Door) -> None:
    """Others of the tenant go on, and so does every other tenant's."""
    mine, other, foreign = [await own_token(web, tenant) for tenant in ("acme", "acme", "globex")]
    async with (
        stream(web, door, mine[1]) as ends,
        stream(web, door, other[1]) as goes_on,
        stream(web, door, foreign[1]) as elsewhere,
    ):
        await looks(web.clock, 3)
        await web.world.app.tokens.revoke(TenantId("acme"), mine[0])
        tell(web, "acme")
        await ends.until_ended()
        await looks(web.clock, 4)
        assert not goes_on.ended.is_set()
        assert not elsewhere.ended.is_set()
        assert len(web.clock.slept_s) == 4


@pytest.mark.parametrize("door", DOORS)
async def test_a_missed_revocation_is_found_within_a_minute(web: Web, door: Door) -> None:
    """Nobody told: the token is looked at again anyway."""
    token_id, header = await own_token(web, "acme")
    async with stream(web, door, header) as answer:
        await web.world.app.tokens.revoke(TenantId("acme"), token_id)
        web.clock.advance(LOOK_EVERY_S)
        await answer.until_ended()


async def test_a_stream_survives_a_database_that_is_away(web: Web) -> None:
    """That says nothing about the token."""
    _, header = await own_token(web, "acme")
    async with stream(web, "/sse", header) as answer:
        await web.world.app.store.database.close()
        tell(web, None)
        await looks(web.clock, 2)
        assert not answer.ended.is_set()


@pytest.mark.parametrize("door", DOORS)
async def test_a_client_that_leaves_is_not_watched_any_more(web: Web, door: Door) -> None:
    """No task and no observer stays behind."""
    before = len(web.world.app.facts._observers)
    async with stream(web, door, bearer()) as answer:
        assert len(web.world.app.facts._observers) == before + 1
    await answer.until_ended()
    assert len(web.world.app.facts._observers) == before
    assert not web.clock.is_slept_on(LOOK_EVERY_S)


async def test_a_revoked_token_is_refused_at_the_next_call_of_every_door(web: Web) -> None:
    """A session of an earlier revision, the newest revision, SSE messages, REST: each message is checked."""
    token_id, header = await own_token(web, "acme")
    session = await open_session(web, header)
    async with stream(web, "/sse", header) as answer:
        posts = re.findall(r"/messages/\?session_id=\w+", answer.text)[0]
        modern = MCP | {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"}

        async def statuses() -> list[int]:
            return [
                (await web.client.post("/mcp", headers=session | header, json=LIST)).status_code,
                (await web.client.post("/mcp", headers=modern | header, json=MODERN_LIST)).status_code,
                (await web.client.post(posts, headers=MCP | header, json=LIST)).status_code,
                (await web.ask("GET", "/settings", by=header)).status_code,
            ]

        assert await statuses() == [200, 200, 202, 200]
        await web.world.app.tokens.revoke(TenantId("acme"), token_id)
        assert await statuses() == [401, 401, 401, 401]


async def test_a_permission_that_is_gone_counts_at_the_next_message(web: Web) -> None:
    """An open session keeps nobody's rights: each message has those of its own token."""
    session = await open_session(web, bearer())
    assert "INTEGRATION_EDIT" in await names_seen(web, session, bearer())
    less = bearer(permissions=["INTEGRATION_VIEW"])
    assert await names_seen(web, session, less) == ["tenant-acme", "INTEGRATION_VIEW"]
    async with stream(web, "/sse", bearer()) as answer:
        posts = re.findall(r"/messages/\?session_id=\w+", answer.text)[0]
        initialized = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        for message in (INITIALIZE, initialized):
            await web.client.post(posts, headers=MCP | bearer(), json=message)
        await web.client.post(posts, headers=MCP | less, json=LIST)
        listed = await answer.until('"id":2')
        assert "INTEGRATION_VIEW" in listed
        assert "INTEGRATION_EDIT" not in listed


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(bearer("globex"), id="the same person of another tenant"),
        pytest.param(bearer("acme", id="somebody-else"), id="another person of the tenant"),
        pytest.param(bearer("acme", organizationId="org-2"), id="the person in another organisation"),
    ],
)
async def test_a_session_is_of_no_use_to_anybody_else(web: Web, other: dict[str, str]) -> None:
    """Its messages, its stream and its end: as if there were no such session."""
    mine = bearer()
    session = await open_session(web, mine)
    listening = {"accept": "text/event-stream"}
    unknown = session | {"mcp-session-id": "0" * 32}
    for method, body in (("POST", LIST), ("GET", None), ("DELETE", None)):
        head = listening if method == "GET" else {}
        theirs = await web.client.request(method, "/mcp", headers=session | other | head, json=body)
        none = await web.client.request(method, "/mcp", headers=unknown | other | head, json=body)
        assert (theirs.status_code, theirs.content) == (404, none.content)
    assert await names_seen(web, session, mine)
    async with stream(web, "/sse", mine) as answer:
        posts = re.findall(r"/messages/\?session_id=\w+", answer.text)[0]
        theirs = await web.client.post(posts, headers=MCP | other, json=INITIALIZE)
        none = await web.client.post(
            f"/messages/?session_id={'0' * 32}", headers=MCP | other, json=INITIALIZE
        )
        assert (theirs.status_code, theirs.content) == (404, none.content)
        assert json.dumps(INITIALIZE["params"]) not in answer.text
