"""A page of a long history against one of a short history, first and in the middle, on both databases.

Run: `uv run python -m benchmarks.history_pages [EXECUTIONS]`, with 10,000,000 of them unless told otherwise:
some gigabytes of disk and some minutes for each database. Both histories are made by the database itself and
asked in turn for pages of 20 with their totals. The promise is the ratio of their medians, at most 1.5.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import anyio

from sim_mcp.model.execution import Status, Trigger
from sim_mcp.model.tool import WorkflowId
from sim_mcp.store import ExecutionFilter, Store
from tests.postgres import Server, start
from tests.store.crowd import crowd, cursor_after
from tests.store.rows import ACME, opened

PROMISE = 1.5
SHORT = 10_000
LONG = 10_000_000
PAGE = 20
ROUNDS = 101
FILTERS = {
    "everything": ExecutionFilter(),
    "one workflow": ExecutionFilter(workflow_id=WorkflowId("w2")),
    "failed": ExecutionFilter(status=Status.FAILED),
    "failed of one workflow": ExecutionFilter(workflow_id=WorkflowId("w2"), status=Status.FAILED),
    "by events (there are none)": ExecutionFilter(triggered_by=Trigger.EVENT),
}


@dataclass(frozen=True)
class History:
    """A store, and how many executions it holds."""

    store: Store
    executions: int

    async def page_s(self, matching: ExecutionFilter, *, is_deep: bool) -> float:
        """How long a page takes, in seconds."""
        cursor = cursor_after(self.executions // 2, self.executions) if is_deep else None
        begun_s = time.perf_counter()
        await self.store.executions.page(ACME, None, matching, limit=PAGE, cursor=cursor)
        return time.perf_counter() - begun_s


async def compare(name: str, short: History, long: History) -> float:
    """Print a line for each filter; return the worst ratio."""
    worst = 0.0
    for label, matching in FILTERS.items():
        took: dict[tuple[int, bool], list[float]] = {}
        for _ in range(ROUNDS):
            for history in (short, long):
                for is_deep in (False, True):
                    seconds = await history.page_s(matching, is_deep=is_deep)
                    took.setdefault((history.executions, is_deep), []).append(seconds)
        median_ms = {key: statistics.median(times) * 1000 for key, times in took.items()}
        base = median_ms[short.executions, False]
        ratios = [median_ms[long.executions, is_deep] / base for is_deep in (False, True)]
        worst = max(worst, *ratios)
        print(
            f"{name:10} {label:26} of {short.executions:,}: {base:5.2f} ms; of {long.executions:,}: first "
            f"{median_ms[long.executions, False]:5.2f}, middle {median_ms[long.executions, True]:5.2f} ms; "
            f"ratios {ratios[0]:4.2f}, {ratios[1]:4.2f}"
        )
    return worst


async def both(name: str, places: list[Path | str], executions: int) -> float:
    """Make the two histories in `places` and compare them."""
    async with contextlib.AsyncExitStack() as stack:
        made: list[History] = []
        for place, size in zip(places, (SHORT, executions), strict=True):
            store = await stack.enter_async_context(opened(place))
            begun_s = time.perf_counter()
            await crowd(store, size)
            print(f"{name:10} {size:,} executions made in {time.perf_counter() - begun_s:.0f} s", flush=True)
            made.append(History(store, size))
        return await compare(name, *made)


async def main(executions: int, server: Server | None) -> float:
    """Compare on both databases, where there are two; the worst ratio."""
    with tempfile.TemporaryDirectory() as folder:
        worst = await both("SQLite", [Path(folder) / kind / "sim-mcp.db" for kind in "sl"], executions)
    if server is not None:
        worst = max(worst, await both("PostgreSQL", [server.database(), server.database()], executions))
    return worst


if __name__ == "__main__":
    postgres = start()
    try:
        found = anyio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else LONG, postgres)
    finally:
        if postgres is not None:
            postgres.stop()
    is_kept = found <= PROMISE
    print(f"worst ratio {found:.2f}, wanted at most {PROMISE:g}{'' if is_kept else '  MISSED'}")
    sys.exit(0 if is_kept else 1)
