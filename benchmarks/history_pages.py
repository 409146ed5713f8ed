"""A page of a long history against the first one, by cursor, on both databases.

Run: `uv run python -m benchmarks.history_pages [EXECUTIONS]`. The history is made by the database itself;
pages of 20 are asked for in turn, the first and the ten-thousandth, and their medians compared. The promise
is their ratio, at most 1.5. A page also tells the total, which is counted inside an index: shown beside it.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from sim_mcp.model.execution import Status
from sim_mcp.model.tool import WorkflowId
from sim_mcp.store import ExecutionFilter, Store
from tests.postgres import start
from tests.store.crowd import crowd, cursor_after
from tests.store.rows import ACME, opened
from tests.store.test_query_plans import Eavesdropper

PROMISE = 1.5
PAGE = 20
DEPTH = 10_000
ROUNDS = 51
FILTERS = {
    "everything": ExecutionFilter(),
    "one workflow": ExecutionFilter(workflow_id=WorkflowId("w2")),
    "failed": ExecutionFilter(status=Status.FAILED),
    "failed of one workflow": ExecutionFilter(workflow_id=WorkflowId("w2"), status=Status.FAILED),
}


async def median_s(ask: Callable[[], Awaitable[object]]) -> float:
    """How long `ask` usually takes, in seconds."""
    took: list[float] = []
    for _ in range(ROUNDS):
        begun_s = time.perf_counter()
        await ask()
        took.append(time.perf_counter() - begun_s)
    return statistics.median(took)


async def compare(store: Store, name: str, executions: int) -> float:
    """Print a line for each filter; return the worst ratio."""
    worst = 0.0
    for label, matching in FILTERS.items():
        heard = Eavesdropper(store.database)
        history = type(store.executions)(heard, store.executions.chain)
        deep = min(PAGE * DEPTH, executions // 2)
        for cursor in (None, cursor_after(deep, executions)):
            await history.page(ACME, None, matching, limit=PAGE, cursor=cursor)
        (first_sql, first), (deep_sql, deeper) = heard.asked
        first_s = await median_s(lambda sql=first_sql, values=first: store.database.fetch_all(sql, values))
        deep_s = await median_s(lambda sql=deep_sql, values=deeper: store.database.fetch_all(sql, values))
        ratio = deep_s / first_s
        worst = max(worst, ratio)
        begun_s = time.perf_counter()
        await store.executions.page(ACME, None, matching, limit=PAGE)
        whole_s = time.perf_counter() - begun_s
        print(
            f"{name:10} {label:24} first {first_s * 1000:6.2f} ms, deep {deep_s * 1000:6.2f} ms, "
            f"ratio {ratio:4.2f}; with its total {whole_s * 1000:6.1f} ms"
        )
    return worst


async def main(executions: int) -> None:
    """Compare on both databases, and hold the promise."""
    server = start()
    with tempfile.TemporaryDirectory() as folder:
        places: dict[str, Path | str] = {"SQLite": Path(folder) / "data" / "sim-mcp.db"}
        if server is not None:
            places["PostgreSQL"] = server.database()
        ratios: list[float] = []
        for name, place in places.items():
            async with opened(place) as store:
                await crowd(store, executions)
                ratios.append(await compare(store, name, executions))
    if server is not None:
        server.stop()
    kept = "kept" if max(ratios) <= PROMISE else "BROKEN"
    print(f"worst ratio {max(ratios):.2f}, promised at most {PROMISE:g}: {kept}")


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
