"""More sessions than a server takes: the rest are refused, and those that are open go on."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import httpx
import pytest

from sim_mcp.transports import http
from tests.transports.web import HELLO, bearer, open_web

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R66", "F25")]

LIMIT, TOO_MANY = 100, 1000
HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
LIST: dict[str, object] = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}


async def begin(client: httpx.AsyncClient, tenant: str) -> httpx.Response:
    """Open a session of the older protocol, which lives in the server's memory."""
    return await client.post("/mcp", json=HELLO, headers=HEADERS | bearer(tenant))


async def test_sessions_beyond_the_limit_are_refused_and_cost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times the limit: the refused ones hold no memory, the open ones answer, the other tenant's too."""
    monkeypatch.setattr(http, "MOST_SESSIONS", LIMIT)
    async with open_web(tmp_path, has_tools=True) as web:
        await begin(web.client, "acme")  # what is loaded at first use is no session's memory
        tracemalloc.start()
        try:
            at_first = used()
            opened = [await begin(web.client, ("acme", "globex")[n % 2]) for n in range(LIMIT - 1)]
            full = used()
            statuses = {(await begin(web.client, "globex")).status_code for _ in range(TOO_MANY - LIMIT)}
            overfull = used()
        finally:
            tracemalloc.stop()
        assert {answer.status_code for answer in opened} == {200}
        refused = await begin(web.client, "globex")
        assert statuses == {refused.status_code}
        assert (refused.status_code, "session" in refused.text.lower()) == (503, True)
        assert overfull - full < (full - at_first) / 4
        for number in (0, 1):
            session = {"mcp-session-id": opened[number].headers["mcp-session-id"]}
            headers = HEADERS | session | bearer(("acme", "globex")[number])
            assert (await web.client.post("/mcp", json=LIST, headers=headers)).status_code == 200
        ended = {"mcp-session-id": opened[2].headers["mcp-session-id"]}
        await web.client.delete("/mcp", headers=HEADERS | ended | bearer("acme"))
        assert (await begin(web.client, "globex")).status_code == 200


def used() -> int:
    """The bytes in use now."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
