"""A stream stays open as long as the token that opened it counts; a session is nobody else's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from sim_mcp.model.facts import SettingsChanged
from sim_mcp.model.principal import TenantId
from tests.transports.test_http import LIST, echo_server, open_session
from tests.transports.web import NOW_S, Web, bearer, open_web
from tests.world import principal

pytestmark = pytest.mark.anyio


@pytest.fixture
async def web(tmp_path: Path) -> AsyncGenerator[Web]:
    """The application, with nothing connected."""
    async with open_web(tmp_path, connect={}, server_factory=echo_server) as opened:
        yield opened


@asynccontextmanager
async def open_stream(
    web: Web, path: str, headers: dict[str, str]
) -> AsyncGenerator[Callable[[], int | None]]:
    """A GET that stays open; the result tells the answer's status once it has ended, `None` before."""
    ended: list[httpx.Response] = []

    async def listen() -> None:
        ended.append(await web.client.get(path, headers=headers))

    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        yield lambda: ended[0].status_code if ended else None
        group.cancel_scope.cancel()


async def settle() -> None:
    """Let everybody do what can be done without time passing."""
    for _ in range(3):
        await anyio.wait_all_tasks_blocked()


async def own_token(web: Web, tenant: str, **lifetime: Any) -> tuple[str, dict[str, str]]:
    """One of the server's own tokens, and its header."""
    expires_at = web.clock.now() + timedelta(**lifetime) if lifetime else None
    token, secret = await web.world.app.tokens.create(
        principal(tenant), name="t", expires_at=expires_at, created_by="ada"
    )
    return token.id, {"authorization": f"Bearer {secret}"}


async def revoke(web: Web, token_id: str) -> None:
    """Revoke a token of acme's, and let the change be noticed."""
    assert await web.world.app.tokens.revoke(TenantId("acme"), token_id)
    web.world.app.facts(SettingsChanged(tenant_id=TenantId("acme"), kind="tokens"))
    await settle()


async def paths(web: Web, by: dict[str, str]) -> list[tuple[str, dict[str, str]]]:
    """What stays open in earlier revisions: the session's own stream, and the SSE transport."""
    session = await open_session(web, by)
    return [("/mcp", session | by), ("/sse", by)]


@pytest.mark.requirement("R10")
@pytest.mark.parametrize("number", [0, 1])
async def test_a_stream_ends_with_its_jwt(web: Web, number: int) -> None:
    """At the expiry, with the same half minute that clocks may differ by."""
    path, headers = (await paths(web, bearer(exp=NOW_S + 100)))[number]
    async with open_stream(web, path, headers) as status:
        web.clock.advance(129)
        await settle()
        assert status() is None
        web.clock.advance(2)
        await settle()
        assert status() == 200


@pytest.mark.requirement("R10")
@pytest.mark.parametrize("number", [0, 1])
async def test_a_stream_ends_with_its_own_token(web: Web, number: int) -> None:
    """One of the server's own that expires."""
    _, by = await own_token(web, "acme", seconds=100)
    path, headers = (await paths(web, by))[number]
    async with open_stream(web, path, headers) as status:
        web.clock.advance(99)
        await settle()
        assert status() is None
        web.clock.advance(2)
        await settle()
        assert status() == 200


@pytest.mark.requirement("R10", "R35")
@pytest.mark.parametrize("number", [0, 1])
async def test_a_revoked_token_ends_its_streams_and_no_other(web: Web, number: int) -> None:
    """As soon as the change is noticed; another token of the same tenant keeps its stream."""
    revoked, by = await own_token(web, "acme")
    kept, other = await own_token(web, "acme")
    path, headers = (await paths(web, by))[number]
    path_too, headers_too = (await paths(web, other))[number]
    async with (
        open_stream(web, path, headers) as status,
        open_stream(web, path_too, headers_too) as status_too,
    ):
        await revoke(web, revoked)
        assert (status(), status_too()) == (200, None)
        await revoke(web, kept)
        assert status_too() == 200


@pytest.mark.requirement("R10")
async def test_a_revoked_token_counts_no_more_in_a_session_that_it_opened(web: Web) -> None:
    """The very next message is refused."""
    revoked, by = await own_token(web, "acme")
    session = await open_session(web, by)
    assert (await web.client.post("/mcp", headers=session | by, json=LIST)).status_code == 200
    assert await web.world.app.tokens.revoke(TenantId("acme"), revoked)
    answer = await web.client.post("/mcp", headers=session | by, json=LIST)
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")


@pytest.mark.requirement("R35", "R60")
@pytest.mark.parametrize(
    "thief", [{"tenant": "globex"}, {"id": "another-person"}, {"organizationId": "org-2"}]
)
async def test_a_session_is_only_its_owner_s(web: Web, thief: dict[str, Any]) -> None:
    """Another tenant, another person, another organisation: the session does not exist for them."""
    session = await open_session(web, bearer("acme"))
    stolen = await web.client.post("/mcp", headers=session | bearer(**thief), json=LIST)
    assert stolen.status_code == 404
