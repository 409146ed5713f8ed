"""A thousand tenants on one server: what an idle one costs, and what a neighbour feels when one's SIM hangs.

Run: `uv run python -m benchmarks.tenants [--tenants N] [--rounds N] [--seconds S]`.

Memory: batch by batch, every tenant calls its tool once and is idle from then on; what the server has grown
by since the first few tenants, for each of the others. Neighbour: one tenant's calls, while another's are
answered like everybody's or hang, in turns; the p99 with it over the p99 without it, of the rounds' medians.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from benchmarks.load import Load, Target, load, mcp_call
from benchmarks.processes import PORT_IN_URL, SERVE, Running, environment_of, running, upstream
from benchmarks.upstream import WORKFLOW_ID
from sim_mcp.app import Needs, open_app
from sim_mcp.config import Settings
from sim_mcp.model.principal import Permission, Principal, TenantId
from sim_mcp.sim.factory import REST_AFTER_S

MOST_BYTES = 20_000
MOST_RATIO = 1.1
WARM = 24
"""Tenants that call before memory is looked at: the first calls load code, and fill what is shared."""
BATCH = 200
"""So many call before they become idle: what is wanted to know is what idle ones cost, not busy ones."""
HANGING, NEIGHBOUR, EQUAL = "tenant-0", "tenant-1", "tenant-2"
HANGING_CALLS, NEIGHBOUR_CALLERS = 32, 4
FOREVER_MS, USUAL_MS = 10_000_000.0, 20.0
SPEC = {
    "name": "echo",
    "workflow_id": WORKFLOW_ID,
    "description": "Answers at once.",
    "input_schema": {
        "type": "object",
        "properties": {"employee": {"type": "string"}},
        "required": ["employee"],
    },
    "rate_per_minute": 100_000,
    "max_concurrency": 1000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A directory with connected tenants, and a token of each."""

    folder: Path
    environment: Mapping[str, str]
    tokens: Mapping[str, str]

    def target(self, server: Running, tenant: str) -> Target:
        """A call of the tenant's tool."""
        return mcp_call(server.port, tool="echo", arguments={"employee": "Ada"}, token=self.tokens[tenant])


async def connected(folder: Path, *, count: int, ports: Mapping[str, int]) -> Site:
    """So many tenants; those that `ports` names have a SIM of their own, the others that of `""`."""
    environment = environment_of(folder, ports[""], hosts=[f"127.0.0.1:{port}" for port in ports.values()])
    settings = Settings(data_dir=folder, sim_base_url=environment["SIM_MCP_SIM_BASE_URL"])
    tokens: dict[str, str] = {}
    async with open_app(settings, needs=Needs(follows_up=False, drain_s=0)) as app:
        for number in range(count):
            tenant = f"tenant-{number}"
            who = Principal(
                tenant_id=TenantId(tenant),
                organization_id=None,
                subject="benchmark",
                permissions=frozenset({Permission.VIEW, Permission.EDIT}),
            )
            await app.store.integrations.save(
                who.tenant_id,
                None,
                api_key="sk-sim-benchmark-only",
                base_url=f"http://127.0.0.1:{ports.get(tenant, ports[''])}",
                is_enabled=True,
                workspace_id=None,
                changed_by="benchmark",
            )
            await app.store.tools.put(who.tenant_id, "echo", SPEC, changed_by="benchmark")
            _, tokens[tenant] = await app.tokens.create(
                who, name="benchmark", expires_at=None, created_by="benchmark"
            )
    return Site(folder=folder, environment=environment, tokens=tokens)


async def call_once(site: Site, server: Running, tenants: list[str]) -> None:
    """One call of each of `tenants`, a few at a time."""
    waiting = iter(tenants)

    async def caller() -> None:
        for tenant in waiting:
            await load(replace(site.target(server, tenant), is_single=True), callers=1, duration_s=60)

    await asyncio.gather(*(caller() for _ in range(8)))


def memory_for_each(site: Site, server: Running) -> bool:
    """Print what an idle tenant costs; whether that is little enough."""
    tenants = list(site.tokens)
    asyncio.run(call_once(site, server, tenants[:WARM] * 4))
    before = server.memory_bytes()
    for start in range(WARM, len(tenants), BATCH):
        asyncio.run(call_once(site, server, tenants[start : start + BATCH]))
        time.sleep(REST_AFTER_S + 1)
        asyncio.run(call_once(site, server, tenants[:1]))  # whoever calls lets the others rest
    each = (server.memory_bytes() - before) / (len(tenants) - WARM)
    held = each <= MOST_BYTES
    print(f"memory: {before / 1e6:.0f} MB with {WARM} tenants; each of {len(tenants) - WARM} others took")
    print(f"  {each / 1000:.1f} KB, wanted at most {MOST_BYTES / 1000:.0f}{'' if held else '  MISSED'}")
    return held


async def beside(site: Site, server: Running, tenant: str, duration_s: float) -> Load:
    """What the neighbour sees while another tenant's calls are under way."""
    seen = Load(calls=0, elapsed_s=0, latencies_s=())
    async with anyio.create_task_group() as group:
        other = site.target(server, tenant)
        for _ in range(HANGING_CALLS):
            group.start_soon(hang_on, other)
        await anyio.sleep(0.5)
        seen = await load(site.target(server, NEIGHBOUR), callers=NEIGHBOUR_CALLERS, duration_s=duration_s)
        group.cancel_scope.cancel()
    return seen


async def hang_on(target: Target) -> None:
    """Call once and wait for the answer for as long as it takes."""
    await load(replace(target, is_single=True), callers=1, duration_s=3600)


def neighbours(site: Site, server: Running, *, rounds: int, seconds: float) -> bool:
    """Print what a neighbour feels; whether that is little enough."""
    seen: dict[str, list[Load]] = {EQUAL: [], HANGING: []}
    for number in range(rounds):
        for tenant in (EQUAL, HANGING) if number % 2 else (HANGING, EQUAL):
            seen[tenant].append(asyncio.run(beside(site, server, tenant, seconds)))
    p50, p99 = (
        {
            name: statistics.median(each.percentile_ms(percent) for each in loads)
            for name, loads in seen.items()
        }
        for percent in (50, 99)
    )
    ratio = p99[HANGING] / p99[EQUAL]
    held = ratio <= MOST_RATIO
    print(f"\nneighbour: {NEIGHBOUR_CALLERS} callers before a SIM of {USUAL_MS:.0f} ms, beside")
    for name, what in ((EQUAL, "a tenant whose calls are over"), (HANGING, "a tenant whose SIM hangs")):
        print(f"  {what:32} p50 {p50[name]:7.1f} ms   p99 {p99[name]:7.1f} ms")
    print(f"  p99 ratio {ratio:.2f}, wanted at most {MOST_RATIO}{'' if held else '  MISSED'}")
    return held


def main() -> int:
    """Print both; 0 when both promises held."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        usual, hanging = (stack.enter_context(running(upstream(ms))) for ms in (USUAL_MS, FOREVER_MS))
        ports = {"": usual.port, HANGING: hanging.port}
        site = asyncio.run(connected(folder, count=options.tenants, ports=ports))
        server = stack.enter_context(running([*SERVE], environment=site.environment, port_in=PORT_IN_URL))
        held = memory_for_each(replace(site, tokens=dict(list(site.tokens.items())[1:])), server)
        held = neighbours(site, server, rounds=options.rounds, seconds=options.seconds) and held
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
