"""Clients of both protocol eras, in the same process as the server, and what they were told."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal, cast

import anyio
from mcp import Client
from mcp_types import CallToolResult, TextContent

from sim_mcp.model.principal import ALL_PERMISSIONS, Permission, Principal, TenantId
from sim_mcp.transports.mcp import SimServer, build_server
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    import httpx
    from mcp.client.session import ElicitationFnT, MessageHandlerFnT

    from sim_mcp.transports.admin_tools import AdminTools
    from tests.transports.web import Web
    from tests.world import World

HOST = "http://127.0.0.1:8765"

Era = Literal["auto", "legacy"]
"""`auto` is the newest revision, `legacy` everything with a handshake."""

ERAS: tuple[Era, ...] = ("auto", "legacy")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def server_for(
    world: World,
    tenant: str = "acme",
    *,
    permissions: Iterable[Permission] = ALL_PERMISSIONS,
    admin_tools: AdminTools = "full",
) -> SimServer:
    """The server of a session that belongs to somebody of `tenant`."""
    own = Principal(tenant_id=TenantId(tenant), subject="ada", permissions=frozenset(permissions))
    return build_server(world.app, own=own, admin_tools=admin_tools)


@asynccontextmanager
async def connected(
    world: World,
    era: Era,
    tenant: str = "acme",
    *,
    permissions: Iterable[Permission] = ALL_PERMISSIONS,
    admin_tools: AdminTools = "full",
    answers: ElicitationFnT | None = None,
    hears: MessageHandlerFnT | None = None,
) -> AsyncGenerator[Client]:
    """A client of `era` in a session of `tenant`; `answers` makes it able to ask its user."""
    server = server_for(world, tenant, permissions=permissions, admin_tools=admin_tools)
    with anyio.fail_after(PATIENCE_S):
        async with Client(server, mode=era, elicitation_callback=answers, message_handler=hears) as client:
            yield client


@asynccontextmanager
async def over_http(web: Web, era: Era, token: Callable[[], str]) -> AsyncGenerator[Client]:
    """A client of `era` at the HTTP door of `web`; `token` is asked for the bearer of each request."""
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    async def sign(request: httpx2.Request) -> None:
        request.headers["authorization"] = f"Bearer {token()}"

    application = cast("httpx.ASGITransport", web.client._transport).app
    inner = httpx2.ASGITransport(cast("Any", application))
    with anyio.fail_after(PATIENCE_S):
        async with (
            httpx2.AsyncClient(transport=inner, event_hooks={"request": [sign]}) as http,
            Client(streamable_http_client(f"{HOST}/mcp", http_client=http), mode=era) as client,
        ):
            yield client


async def names(client: Client) -> list[str]:
    """The names of all listed tools, page after page."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor, cache_mode="bypass")
        found += [tool.name for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            return found


def told(result: CallToolResult) -> dict[str, Any]:
    """What the client was told, with ids and durations made the same for every run of a test.

    Each text block is wrapped into lines, for readers of snapshots.
    """
    known: dict[str, str] = {}

    def named(text: str) -> str:
        return _UUID.sub(lambda found: known.setdefault(found.group(), f"id-{len(known) + 1}"), text)

    texts = [wrap(named(block.text), 80) for block in result.content if isinstance(block, TextContent)]
    content: dict[str, Any] = json.loads(named(json.dumps(result.structured_content)))
    if isinstance(content.get("duration_ms"), int):
        content["duration_ms"] = "some ms"
    if content.get("error"):
        content["error"]["message"] = wrap(content["error"]["message"], 70)
    return {"is_error": result.is_error, "text": texts, "structured": content}


def words(result: CallToolResult) -> str:
    """All text of a result."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def structured(result: CallToolResult) -> dict[str, Any]:
    """The structured content, which is always an object."""
    content: Any = result.structured_content
    assert isinstance(content, dict)
    return cast("dict[str, Any]", content)
