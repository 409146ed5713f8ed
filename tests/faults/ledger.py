"""Our rows held against the sandbox's own book: what really ran, how often, and how it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from sim_mcp.app import ExecutionFilter
from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.execution import Execution, Status
from sim_mcp.model.json import is_object
from sim_mcp.sim.fake import FakeSim, Run
from tests.world import TENANTS, World, principal

LATER = timedelta(days=1)


async def all_rows(world: World) -> list[Execution]:
    """Every row of both tenants."""
    rows: list[Execution] = []
    for tenant in TENANTS:
        cursor: str | None = None
        while True:
            page = await world.app.runs.page(principal(tenant), ExecutionFilter(), limit=100, cursor=cursor)
            rows += page.executions
            cursor = page.next_cursor
            if cursor is None:
                break
    return rows


async def settled(world: World, *, rounds: int = 1500) -> list[Execution]:
    """Every row of both tenants, once each has an end."""
    for _ in range(rounds):
        await world.follow_up(advance_s=10)
        unfinished = await world.app.store.database.fetch_one(
            "SELECT COUNT(*) AS total FROM executions WHERE finished_at IS NULL"
        )
        if unfinished is not None and unfinished["total"] == 0:
            break
    rows = await all_rows(world)
    unfinished = [(row.id, row.status, row.error) for row in rows if not row.status.is_final]
    assert unfinished == []
    return rows


def hold_against_the_ledger(rows: list[Execution], sim: FakeSim) -> None:
    """Each run has its one row; each row ends as its run did; no call has two runs.

    A call is known by its `text`, which no two calls share.
    """
    runs = {run.run_id: run for run in sim.runs}
    assert [run for run in runs.values() if run.starts != 1] == []
    assert doubles(text_of(run.input) for run in runs.values()) == {}
    by_run = Counter(row.run_id for row in rows if row.run_id is not None)
    assert {run_id for run_id, count in by_run.items() if count != 1} == set()
    assert runs.keys() - by_run.keys() == set(), "runs that no row tells of"
    told = {row.id: (row.status, runs.get(row.run_id or "")) for row in rows}
    wrong = {each: (status, run) for each, (status, run) in told.items() if status is not end_of(run)}
    assert wrong == {}
    for row in rows:
        if row.run_id not in runs and row.status is Status.FAILED:
            assert row.error is not None
            assert row.error.code is ErrorCode.SIM_UNAVAILABLE, row.error


def end_of(run: Run | None) -> Status:
    """What a row must say of `run` in the end; of none: that the call failed, as nothing ran."""
    return Status.FAILED if run is None else Status(run.standing(datetime.now(UTC) + LATER))


def text_of(given: object) -> str:
    """The text by which a call is known."""
    assert is_object(given)
    return str(given["text"])


def doubles(texts: Iterable[str]) -> dict[str, int]:
    """What is in there more than once."""
    return {text: count for text, count in Counter(texts).items() if count > 1}
