"""How long one tenant's expensive calls keep the event loop, where all tenants wait, from turning.

Run: `uv run python -m benchmarks.check_delay [ROUNDS]`. Each input is checked on the loop itself and by
`ToolSource.check`, in turn, while a ticker that wants to run every millisecond notes how late it comes. The
promise is the ratio of the worst delays, at most 0.5 over all inputs; idle is what this machine does anyway.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import anyio

from sim_mcp.catalog import Catalog, ToolSource
from sim_mcp.model.errors import SimMcpError
from sim_mcp.model.integration import Integration, IntegrationId
from sim_mcp.model.json import Json, JsonObject
from sim_mcp.model.principal import ALL_PERMISSIONS, Principal, TenantId
from sim_mcp.model.tool import WorkflowTool

PROMISE = 0.5
TENANT = TenantId("acme")
PATTERN = r"^[a-z]*[a-z]*[a-z]*\d$"
INPUTS: dict[str, tuple[Json, Json]] = {
    "rows, 2 MB": (
        {
            "type": "array",
            "items": {"type": "object", "properties": {"id": {"type": "integer", "minimum": 0}}},
        },
        [{"id": number, "name": f"person {number}"} for number in range(50_000)],
    ),
    "slow pattern": ({"type": "array", "items": {"not": {"pattern": PATTERN}}}, ["a" * 100] * 120),
    "unique items": (
        {"type": "array", "uniqueItems": True},
        [[number, str(number)] for number in range(40_000)],
    ),
    "forms in forms": (
        {"type": "array", "items": {"anyOf": [{"required": [f"f{number}"]} for number in range(60)]}},
        [{"f59": 1} for _ in range(3_000)],
    ),
}


def tool_with(schema: Json) -> tuple[Catalog, WorkflowTool]:
    """A catalog and its only tool, which takes one argument."""
    entry = {
        "name": "report",
        "workflow_id": "report",
        "description": "Reports.",
        "input_schema": {"type": "object", "properties": {"a": schema}},
    }
    catalog = Catalog.build(TENANT, stored=[entry])
    principal = Principal(tenant_id=TENANT, subject="ada", permissions=ALL_PERMISSIONS)
    integration = Integration(
        id=IntegrationId("1"),
        tenant_id=TENANT,
        organization_id=None,
        revision=1,
        base_url="https://sim.example.com",
        is_enabled=True,
        has_api_key=True,
        workspace_id=None,
        updated_at=datetime(2026, 1, 1, tzinfo=UTC),
        updated_by="ada",
    )
    return catalog, catalog.resolve("report", principal, integration)


async def worst_delay_s(work: Callable[[], Awaitable[object]]) -> float:
    """How late the loop came to a task that wanted its turn each millisecond while `work` was done."""
    delays = [0.0]

    async def tick() -> None:
        while True:
            wanted_s = time.perf_counter() + 0.001
            await anyio.sleep(0.001)
            delays.append(time.perf_counter() - wanted_s)

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        await anyio.sleep(0.01)
        with contextlib.suppress(SimMcpError):
            await work()
        await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    return max(delays)


async def measure(rounds: int) -> int:
    """Print a line for each input; 0 when the promise holds."""
    source = ToolSource()
    idle_s = statistics.median([await worst_delay_s(lambda: anyio.sleep(0.1)) for _ in range(rounds)])
    print(
        f"{'input':<16}{'on the loop':>14}{'by ToolSource':>16}{'ratio':>8}   (idle {idle_s * 1000:.1f} ms)"
    )
    ratios: list[float] = []
    for name, (schema, value) in INPUTS.items():
        catalog, tool = tool_with(schema)
        arguments: JsonObject = {"a": value}

        async def on_the_loop(
            catalog: Catalog = catalog, tool: WorkflowTool = tool, arguments: JsonObject = arguments
        ) -> None:
            catalog.check(tool, arguments)

        async def beside_it(
            catalog: Catalog = catalog, tool: WorkflowTool = tool, arguments: JsonObject = arguments
        ) -> None:
            await source.check(catalog, tool, arguments)

        pairs = [(await worst_delay_s(on_the_loop), await worst_delay_s(beside_it)) for _ in range(rounds)]
        without_s, with_s = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratios.append(with_s / without_s)
        print(f"{name:<16}{without_s * 1000:>11.1f} ms{with_s * 1000:>13.1f} ms{with_s / without_s:>8.2f}")
    typical = statistics.geometric_mean(ratios)
    print(f"ratio over all {typical:.2f}, promised at most {PROMISE}")
    return 0 if typical <= PROMISE else 1


def main() -> int:
    """Measure; the exit code says whether the promise holds."""
    return anyio.run(measure, int(sys.argv[1]) if len(sys.argv) > 1 else 5)


if __name__ == "__main__":
    sys.exit(main())
