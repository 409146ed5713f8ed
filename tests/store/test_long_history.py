"""A page of a long history costs what a page costs: the first, the ten-thousandth, on both databases."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sim_mcp.model.execution import Status
from sim_mcp.model.tool import WorkflowId
from sim_mcp.store import ExecutionFilter, Executions, Store
from sim_mcp.store.database import Value
from tests.postgres import Server
from tests.store.crowd import crowd, cursor_after
from tests.store.rows import ACME, opened
from tests.store.test_query_plans import Eavesdropper

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R28")]

EXECUTIONS = 100_000
DEEP = 80_000
FILTERS = [
    ExecutionFilter(),
    ExecutionFilter(workflow_id=WorkflowId("w2")),
    ExecutionFilter(status=Status.FAILED),
    ExecutionFilter(workflow_id=WorkflowId("w2"), status=Status.FAILED),
]


async def questions(store: Store, pages: Eavesdropper) -> list[tuple[str, Sequence[Value]]]:
    """What a first and a deep page with each filter ask, alternating."""
    for matching in FILTERS:
        for cursor in (None, cursor_after(DEEP, EXECUTIONS)):
            executions = Executions(pages, store.executions.chain)
            page = await executions.page(ACME, None, matching, limit=20, cursor=cursor)
            assert len(page.executions) == 20
    return pages.asked


async def test_sqlite_takes_as_many_steps_for_a_deep_page_as_for_the_first(path: Path) -> None:
    """Counted by the database's own machine, whose speed on the day does not matter."""
    async with opened(path) as store:
        await crowd(store, EXECUTIONS)
        asked = await questions(store, Eavesdropper(store.database))
    steps: list[int] = []
    with closing(sqlite3.connect(path)) as connection:
        for sql, values in asked:
            taken = 0

            def count() -> int:
                nonlocal taken
                taken += 1
                return 0

            connection.set_progress_handler(count, 1)
            connection.execute(sql, list(values)).fetchall()
            steps.append(taken)
    assert all(steps[2 * n + 1] < 1.1 * steps[2 * n] for n in range(len(FILTERS)))
    assert max(steps) < 5_000


async def test_postgres_reads_as_little_for_a_deep_page_as_for_the_first(postgres: Server) -> None:
    """Its plan, carried out: an index in its order, and few pages of storage touched."""
    async with opened(postgres.database()) as store:
        await crowd(store, EXECUTIONS)
        plans: list[dict[str, Any]] = []
        for sql, values in await questions(store, Eavesdropper(store.database)):
            row = await store.database.fetch_one(
                f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}", values
            )
            assert row is not None
            plans.append(json.loads(str(row["QUERY PLAN"]))[0]["Plan"])
    for plan in plans:
        assert plan["Node Type"] == "Limit"
        scan = plan["Plans"][0]
        assert scan["Node Type"] == "Index Scan"
        assert scan["Index Name"].startswith("executions_")
    read = [plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in plans]
    assert max(read) < 500
    assert all(read[2 * n + 1] < 2 * read[2 * n] + 20 for n in range(len(FILTERS)))
