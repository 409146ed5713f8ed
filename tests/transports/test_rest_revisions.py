"""The settings' history over REST: read in pages, and put back in force."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from sim_mcp.sim.fake import demo_account
from tests.transports.web import Web, open_web

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R46", "R53")]

KEY = demo_account("acme").api_key
OTHER_URL = "https://other-sim.example.com"


@pytest.fixture
async def web(tmp_path: Path) -> AsyncGenerator[Web]:
    """Acme was connected to one SIM, then to another; no answer may ever show a key."""
    async with open_web(tmp_path) as opened:
        body = {"apiKey": KEY, "baseUrl": OTHER_URL, "enabled": False}
        assert (await opened.ask("POST", "/setup", json=body)).status_code == 201
        yield opened
        shown = "".join(str(answer.headers) + answer.text for answer in opened.seen)
        assert KEY not in shown


async def test_the_history_is_paged_and_shows_no_key(web: Web) -> None:
    """Newest first, with the names that REST uses elsewhere."""
    whole = (await web.ask("GET", "/settings/revisions")).json()
    assert whole["data"][0] == snapshot(
        {
            "revision": 2,
            "organizationId": None,
            "changedAt": "2026-01-01T00:00:00.000Z",
            "changedBy": "4b7f2d5e-5f0c-4d6c-9a0e-0f9f6f1f6b11",
            "changedFields": ["apiKey", "baseUrl", "isEnabled"],
            "isEnabled": False,
            "hasApiKey": True,
            "baseUrl": "https://other-sim.example.com",
            "workspaceId": "b37771a7-8619-57d9-9168-6ae664fa6b01",
            "isRemoved": False,
        }
    )
    page = (await web.ask("GET", "/settings/revisions?limit=1&offset=1")).json()
    assert page == {"data": [whole["data"][1]], "total": 2}
    assert (await web.ask("GET", "/settings/revisions?limit=0")).status_code == 400


async def test_an_earlier_revision_is_restored(web: Web) -> None:
    """400 that names `apiKey` when it must be typed again, then 200 with the settings in force."""
    refused = await web.ask("POST", "/settings/revisions/1/restore", json={})
    assert (refused.status_code, refused.json()["code"]) == (400, "INVALID_INPUT")
    assert refused.json()["faults"][0]["path"] == "apiKey"
    answer = await web.ask("POST", "/settings/revisions/1/restore", json={"apiKey": KEY})
    assert (answer.status_code, answer.json()["revision"]) == (200, 3)
    assert answer.json() == (await web.ask("GET", "/settings")).json()
    assert (await web.ask("POST", "/settings/revisions/3/restore")).status_code == 200


@pytest.mark.parametrize("revision", ["0", "99", "-1", "x", "1.0", "9" * 30, "%C2%B2"])
async def test_an_unknown_revision_is_404(web: Web, revision: str) -> None:
    """Whatever stands in its place."""
    answer = await web.ask("POST", f"/settings/revisions/{revision}/restore", json={"apiKey": KEY})
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


@pytest.mark.requirement("R35")
async def test_another_tenants_history_is_its_own(web: Web) -> None:
    """Globex neither sees acme's revisions nor restores them."""
    assert (await web.ask("GET", "/settings/revisions", by="globex")).json()["total"] == 1
    assert (await web.ask("POST", "/settings/revisions/2/restore", by="globex")).status_code == 404


@pytest.mark.parametrize("key", ["", "a b", 7])
async def test_what_is_no_key_is_400(web: Web, key: object) -> None:
    """As at setup."""
    answer = await web.ask("POST", "/settings/revisions/1/restore", json={"apiKey": key})
    assert (answer.status_code, answer.json()["faults"][0]["path"]) == (400, "$.apiKey")
