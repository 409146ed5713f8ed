"""Pages of the origins that the operator names may call REST and MCP from a browser; nobody else's."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from sim_mcp.transports.rest_views import BASE_PATH
from tests.transports.test_http import INITIALIZE, METADATA, echo_server
from tests.transports.web import HOST, Web, bearer, open_web

pytestmark = pytest.mark.anyio

PAGE = {"origin": "https://app.example.com"}
PATHS = ["/mcp", "/sse", "/messages/", f"{BASE_PATH}/settings", f"{BASE_PATH}/openapi.json", METADATA]


@pytest.fixture
async def web(tmp_path: Path) -> AsyncGenerator[Web]:
    """A server whose operator names one page."""
    async with open_web(
        tmp_path,
        connect={},
        server_factory=echo_server,
        allowed_origins=("https://app.example.com", "http://localhost:*"),
    ) as opened:
        yield opened


def preflight(*headers: str, method: str = "POST", origin: str = PAGE["origin"]) -> dict[str, str]:
    """What a browser asks before a page's request."""
    return {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": ",".join(headers),
    }


@pytest.mark.requirement("R60")
@pytest.mark.parametrize("path", PATHS)
async def test_a_known_page_may_ask_without_a_token_whether_it_may_ask(web: Web, path: str) -> None:
    """Browsers send preflight requests bare."""
    asked = preflight("authorization", "content-type", "idempotency-key", "mcp-session-id")
    answer = await web.client.options(path, headers=asked)
    assert (answer.status_code, answer.content) == (204, b"")
    assert {name: value for name, value in answer.headers.items() if name != "x-request-id"} == snapshot(
        {
            "access-control-allow-origin": "https://app.example.com",
            "access-control-allow-methods": "GET, HEAD, POST, DELETE",
            "access-control-allow-headers": "authorization, content-type, idempotency-key, mcp-session-id",
            "access-control-max-age": "600",
            "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        }
    )


async def test_only_what_we_read_is_allowed(web: Web) -> None:
    """Cookies and made-up headers are not; what the MCP protocol adds is."""
    asked = preflight(
        "Authorization", "Cookie", "X-Evil", "Mcp-Method", "mcp-param-region", "Last-Event-ID", "", "*"
    )
    answer = await web.client.options(PATHS[0], headers=asked)
    assert answer.headers["access-control-allow-headers"] == (
        "authorization, mcp-method, mcp-param-region, last-event-id"
    )
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.requirement("R60")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://app.example.com.evil.example"])
async def test_an_unknown_page_may_nothing(web: Web, path: str, origin: str) -> None:
    """Neither ask, nor read why."""
    for method, headers in (("OPTIONS", preflight(origin=origin)), ("GET", bearer() | {"origin": origin})):
        answer = await web.client.request(method, path, headers=headers)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.requirement("R66")
async def test_a_known_page_reads_what_rest_and_mcp_answer(web: Web) -> None:
    """Good and bad answers alike, with the headers that it needs to go on."""
    answers = [
        await web.ask("GET", "/settings", headers=PAGE),
        await web.ask("GET", "/executions/x", headers=PAGE),
        await web.ask("GET", "/settings", by={}, headers=PAGE),
        await web.client.post(
            "/mcp",
            headers=bearer() | PAGE | {"accept": "application/json, text/event-stream"},
            json=INITIALIZE,
        ),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 401, 200]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == PAGE["origin"]
        assert "Origin" in answer.headers["vary"]
        assert answer.headers["access-control-expose-headers"] == snapshot(
            "Idempotency-Replayed, Location, Mcp-Session-Id, Retry-After, WWW-Authenticate, X-Request-Id"
        )
    assert "mcp-session-id" in answers[3].headers


async def test_each_page_is_told_its_own_origin(web: Web) -> None:
    """Also one that a pattern allows, and the server's own; without an origin nothing is said."""
    for origin in ("http://localhost:3000", "http://localhost:5173", HOST):
        answer = await web.ask("GET", "/settings", headers={"origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
    assert "access-control-allow-origin" not in (await web.ask("GET", "/settings")).headers


async def test_the_metadata_stays_open_and_the_probes_closed(web: Web) -> None:
    """RFC 9728's document says `*` itself; the probes answer any page, so they name none."""
    answer = await web.client.get(METADATA, headers=PAGE)
    assert answer.headers["access-control-allow-origin"] == "*"
    for origin in (PAGE["origin"], "https://evil.example"):
        probed = await web.client.get("/healthz", headers={"origin": origin})
        assert (probed.status_code, "access-control-allow-origin" in probed.headers) == (200, False)


async def test_a_plain_options_request_is_an_ordinary_one(web: Web) -> None:
    """Without the browser's question it needs a token and finds no such method."""
    bare = await web.client.options(PATHS[3], headers=PAGE)
    assert bare.status_code == 401
    assert (await web.ask("OPTIONS", "/settings", headers=PAGE)).status_code == 405
