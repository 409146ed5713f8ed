"""The whole history, page by page: nothing lost and nothing twice, while new calls keep arriving."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sim_mcp.sim.fake import workflow_id
from sim_mcp.transports.rest_views import moment
from tests.transports.web import Web, open_web

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R50", "R53")]

QUICK = workflow_id("acme", "quick")
ROWS = 9
ISO = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")


@pytest.fixture
async def web(tmp_path: Path) -> AsyncGenerator[Web]:
    """One workflow."""
    async with open_web(tmp_path) as opened:
        await opened.allow("acme", "quick")
        yield opened


async def add(web: Web, count: int, *, apart_s: float = 0.0) -> list[str]:
    """New executions; without time between them they differ by id alone."""
    made: list[str] = []
    for _ in range(count):
        web.clock.advance(apart_s)
        made.append((await web.execute("acme", QUICK)).json()["id"])
    return made


async def page(web: Web, **query: Any) -> dict[str, Any]:
    """One page."""
    return (await web.ask("GET", "/executions", params=query)).json()


@pytest.mark.parametrize("limit", [1, 2, 3, ROWS, 100])
@pytest.mark.parametrize("apart_s", [0.0, 0.001, 7.0])
async def test_a_cursor_walks_the_history_once_while_rows_are_added(
    web: Web, limit: int, apart_s: float
) -> None:
    """Whatever arrives after the first page belongs before it, so it is in none of the next."""
    before = await add(web, ROWS, apart_s=apart_s)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        found = await page(web, limit=limit, **({} if cursor is None else {"cursor": cursor}))
        seen += [row["id"] for row in found["data"]]
        cursor = found["nextCursor"]
        if cursor is None:
            break
        assert len(found["data"]) == limit
        web.clock.advance(0.001)
        await add(web, 1)
    assert len(seen) == len(set(seen))
    assert set(seen) == set(before)
    if apart_s:
        assert seen == before[::-1]


@pytest.mark.parametrize("limit", [1, 2, 4, ROWS])
@pytest.mark.parametrize("apart_s", [0.0, 7.0])
async def test_an_offset_walks_a_history_with_an_end_once_while_rows_are_added(
    web: Web, limit: int, apart_s: float
) -> None:
    """`until` holds the end still; `total` says when it is over."""
    before = await add(web, ROWS, apart_s=apart_s)
    web.clock.advance(1)
    until = moment(web.clock.now())
    seen: list[str] = []
    while True:
        found = await page(web, limit=limit, offset=len(seen), until=until)
        assert found["total"] == ROWS
        seen += [row["id"] for row in found["data"]]
        if len(seen) >= found["total"]:
            break
        await add(web, 1)
    assert len(seen) == len(set(seen))
    assert set(seen) == set(before)
    assert (await page(web, limit=limit, offset=ROWS, until=until))["data"] == []


@pytest.mark.parametrize("limit", [1, 2, 4])
async def test_an_offset_without_an_end_loses_nothing(web: Web, limit: int) -> None:
    """New rows push old ones down: one may be met again, none is missed."""
    before = await add(web, ROWS, apart_s=1)
    seen: list[str] = []
    while True:
        found = await page(web, limit=limit, offset=len(seen))
        seen += [row["id"] for row in found["data"]]
        if not found["data"]:
            break
        if len(seen) < ROWS:
            await add(web, 1, apart_s=1)
    assert set(before) <= set(seen)


async def test_since_includes_its_moment_and_until_does_not(web: Web) -> None:
    """So neighbouring spans share nothing and leave nothing out."""
    await add(web, 1, apart_s=1)
    middle = web.clock.now()
    await add(web, 1)
    web.clock.advance(1)
    await add(web, 1)
    early, late = moment(middle - timedelta(hours=1)), moment(middle + timedelta(hours=1))
    earlier = (await page(web, since=early, until=moment(middle)))["total"]
    later = (await page(web, since=moment(middle), until=late))["total"]
    assert earlier + later == 3
    assert later >= 1
    nobody = await page(web, since=moment(middle), until=moment(middle))
    assert (nobody["total"], nobody["data"]) == (0, [])


async def test_every_time_is_utc_with_milliseconds(web: Web) -> None:
    """One form, which every language reads and text order sorts."""
    await add(web, 2, apart_s=0.1234567)
    for row in (await page(web))["data"]:
        times = [row["createdAt"], row["startedAt"], row["finishedAt"]]
        assert all(ISO.fullmatch(time) for time in times), times
        assert times == sorted(times)
    settings = (await web.ask("GET", "/settings")).json()
    assert ISO.fullmatch(settings["updatedAt"])
