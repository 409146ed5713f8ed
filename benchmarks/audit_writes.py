"""What a call's three writes cost: opened, begun, closed into the audit chain, by durability and database.

Run: `uv run python -m benchmarks.audit_writes [CALLS]`. The stores take turns, round by round; the ratios are
those of the medians, against an embedded database that survives the death of the process (the default).
The PostgreSQL is the tests' own, which syncs nothing: its rounds show the way there and back, not the disk.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import anyio

from sim_mcp.model.clock import SystemClock
from sim_mcp.model.execution import ExecutionId, Status
from sim_mcp.store import Outcome, Sealer, Store, open_store
from tests.postgres import start
from tests.store.rows import ACME, GLOBEX, execution

ROUNDS = 5
DEFAULT = "SQLite, process"
CALLERS = (1, 16)


async def calls(store: Store, prefix: str, count: int, callers: int) -> float:
    """Calls in a second, by so many callers at once."""
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            now = datetime.now(UTC)
            tenant = (ACME, GLOBEX)[number % 2]
            row = replace(execution(f"{prefix}-{number}", tenant_id=tenant), created_at=now)
            await store.executions.open(row, follow_up_at=now)
            name = ExecutionId(row.id)
            await store.executions.begin_attempt(
                tenant, name, run_id=f"run-{row.id}", attempt=1, started_at=now, follow_up_at=now
            )
            outcome = Outcome(output={"summary": "ok"}, duration_ms=1)
            await store.executions.transition(tenant, name, Status.COMPLETED, at=now, outcome=outcome)

    began_s = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(callers):
            group.start_soon(caller)
    return count / (time.perf_counter() - began_s)


async def measure(stores: Mapping[str, Store], count: int, callers: int) -> None:
    """Print a line for each store."""
    rates: dict[str, list[float]] = {name: [] for name in stores}
    for number in range(ROUNDS):
        for name, store in stores.items():
            rates[name].append(await calls(store, f"{callers}-{number}", count, callers))
    usual = statistics.median(rates[DEFAULT])
    for name, values in rates.items():
        per_s = statistics.median(values)
        print(f"{callers:3} callers  {name:18} {per_s:7.0f} calls/s, ratio {per_s / usual:.2f}")


async def main(count: int) -> None:
    """Measure every store, then see that every chain is whole."""
    server = start()
    try:
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            places = {
                DEFAULT: (f"sqlite:///{folder}/process/a.db", False),
                "SQLite, power": (f"sqlite:///{folder}/power/a.db", True),
            }
            if server is not None:
                places["PostgreSQL"] = (server.database(), False)
            stores: dict[str, Store] = {}
            for name, (url, survives_power_loss) in places.items():
                opening = open_store(
                    url,
                    sealer=Sealer([b"of a benchmark, thirty-two bytes"]),
                    clock=SystemClock(),
                    new_id=lambda: "id",
                    survives_power_loss=survives_power_loss,
                )
                stores[name] = await stack.enter_async_context(opening)
            for callers in CALLERS:
                await measure(stores, count, callers)
            for name, store in stores.items():
                for tenant in (ACME, GLOBEX):
                    verdict = await store.audit_trail.verify(tenant)
                    assert not verdict.broken, (name, verdict.broken)
    finally:
        if server is not None:
            server.stop()


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 500)
