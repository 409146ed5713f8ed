"""The six metrics of the product design, by every door, from one history."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from inline_snapshot import snapshot

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Forbidden, InvalidInput, SimMcpError
from sim_mcp.model.principal import Permission, Principal, TenantId
from sim_mcp.sim.fake import faults, workflow_id
from sim_mcp.transports.admin_tools import ADMIN_TOOLS
from sim_mcp.transports.metrics_views import metrics_json, metrics_view
from tests.journeys.mcp_clients import connected, structured
from tests.patience import PATIENCE_S
from tests.transports.web import open_web
from tests.world import World, open_world, principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R43")]


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[World]:
    """Two tenants with a history each: acme's is mixed, globex's one run."""
    async with open_world(tmp_path, clock=clock) as opened:
        for tenant in ("acme", "globex"):
            for workflow in ("quick", "failing"):
                await opened.allow(tenant, workflow)
        for _ in range(3):
            await ran(opened, "acme", "quick", {"employee": "Ada"})
        await ran(opened, "acme", "failing")
        with pytest.raises(SimMcpError):
            await opened.app.gateway.call(opened.call("acme", "nothing_of_the_kind"))
        await ran(opened, "globex", "quick", {"employee": "Bo"})
        yield opened


async def ran(world: World, tenant: str, tool: str, arguments: dict[str, Any] | None = None) -> None:
    """A call that was carried out to its end."""
    with anyio.fail_after(PATIENCE_S):
        await world.app.gateway.call(world.call(tenant, tool, arguments))


async def test_the_metrics_are_those_of_the_history(world: World) -> None:
    """Success rate is completed / (completed + failed); a refused call is no failed run."""
    found = await world.app.metrics.of(principal("acme"))
    assert metrics_json(found) == snapshot(
        {
            "since": "2025-12-02T00:00:00.000Z",
            "until": "2026-01-01T00:00:00.000Z",
            "executions": 4,
            "completed": 3,
            "failed": 1,
            "cancelled": 0,
            "successRate": 0.75,
            "averageDurationMs": 0,
            "cost": 0.0,
            "refused": 1,
            "unfinished": 0,
            "tools": [
                {
                    "toolName": "failing",
                    "executions": 1,
                    "completed": 0,
                    "failed": 1,
                    "cancelled": 0,
                    "successRate": 0.0,
                    "averageDurationMs": 0,
                    "cost": 0.0,
                    "p50Ms": None,
                    "p95Ms": None,
                },
                {
                    "toolName": "quick",
                    "executions": 3,
                    "completed": 3,
                    "failed": 0,
                    "cancelled": 0,
                    "successRate": 1.0,
                    "averageDurationMs": 0,
                    "cost": 0.0,
                    "p50Ms": 0,
                    "p95Ms": 0,
                },
            ],
            "errors": [
                {"code": "EXECUTION_ERROR", "calls": 1, "share": 0.2},
                {"code": "NOT_FOUND", "calls": 1, "share": 0.2},
            ],
            "rateLimit": {"perMinute": 6000, "usedShare": 0.004, "runningCalls": 0, "maxConcurrency": 64},
            "simUsage": {
                "plan": "free",
                "syncPerMinute": 999999,
                "syncRemaining": 999999,
                "asyncPerMinute": 999999,
                "asyncRemaining": 999999,
                "periodCost": 0.0,
                "periodLimit": 99999.0,
            },
            "breaker": {"state": "closed", "since": "2026-01-01T00:00:00.000Z", "retryAfterS": None},
        }
    )
    other = await world.app.metrics.of(principal("globex"))
    assert (other.ends.executions, other.ends.success_rate, other.errors) == (1, 1.0, ())


async def test_every_door_tells_the_same(tmp_path: Path, world: World) -> None:
    """`sim_metrics` over MCP and `GET /metrics` over REST; the command line prints the same view."""
    expected = metrics_view(await world.app.metrics.of(principal("acme")))
    async with connected(world, "auto") as client:
        shown = structured(await client.call_tool("sim_metrics", {}))
    assert shown == expected
    assert ADMIN_TOOLS["sim_metrics"].permission is Permission.VIEW
    async with open_web(tmp_path / "web") as web:
        await web.allow("acme", "quick")
        await web.execute("acme", workflow_id("acme", "quick"), input={"employee": "Ada"})
        answer = await web.ask("GET", "/metrics", by="acme")
        assert answer.status_code == 200
        assert (answer.json()["executions"], answer.json()["successRate"]) == (1, 1.0)
        later = await web.ask("GET", "/metrics?since=2100-01-01T00:00:00Z", by="acme")
        assert (later.status_code, later.json()["code"]) == (400, "INVALID_INPUT")


async def test_the_breaker_and_the_limits_of_a_tenant_are_told_to_it_alone(world: World) -> None:
    """Five answers that are none open acme's breaker; globex's stays closed."""
    world.sim.script(*[faults.HtmlPage(status=502)] * 5, key="sk-sim-sandbox-acme")
    for _ in range(5):
        await world.app.gateway.call(world.call("acme", "quick", {"employee": "Ada"}), patience_s=0)
        with anyio.fail_after(PATIENCE_S):
            while world.app.follower.live_count:
                await anyio.lowlevel.checkpoint()
    acme = await world.app.metrics.of(principal("acme"))
    globex = await world.app.metrics.of(principal("globex"))
    assert acme.breaker is not None
    assert globex.breaker is not None
    assert (acme.breaker.name, globex.breaker.name) == ("open", "closed")
    assert acme.proximity.used_share > globex.proximity.used_share > 0


async def test_executions_are_shown_over_time_in_slots_that_fit_the_window(
    world: World, clock: ManualClock
) -> None:
    """An hour in minutes, a month in days: never more than sixty slots."""
    clock.advance(3000)
    await ran(world, "acme", "quick", {"employee": "Ada"})
    hour = await world.app.metrics.timeline(principal("acme"), since=clock.now() - timedelta(minutes=59))
    assert hour.slot == timedelta(minutes=1)
    assert sum(each.executions for each in hour.counts) == 5
    assert len({each.began_at for each in hour.counts}) == 2
    month = await world.app.metrics.timeline(principal("acme"))
    assert month.slot == timedelta(days=1)
    assert sum(each.executions for each in month.counts) == 5


async def test_only_those_who_may_look_are_told(world: World, clock: ManualClock) -> None:
    """And only of times that make sense."""
    runner = Principal(
        tenant_id=TenantId("acme"), subject="bo", permissions=frozenset({Permission.EDIT, Permission.ADD})
    )
    with pytest.raises(Forbidden, match="INTEGRATION_VIEW"):
        await world.app.metrics.of(runner)
    with pytest.raises(Forbidden, match="INTEGRATION_VIEW"):
        await world.app.metrics.timeline(runner)
    with pytest.raises(InvalidInput, match="since"):
        await world.app.metrics.of(principal("acme"), since=clock.now() + timedelta(seconds=1))
    found = await world.app.metrics.of(principal("acme"), since=clock.now() - timedelta(days=300_000))
    assert found.until - found.since < timedelta(days=3700)
    timeline = await world.app.metrics.timeline(principal("acme"), since=found.since)
    assert (timeline.until - timeline.since) / timeline.slot <= 60
