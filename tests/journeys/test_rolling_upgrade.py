"""This release on the tables of the next one: replicas are upgraded one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.execution import Status
from sim_mcp.sim.fake import FakeSim
from sim_mcp.store.database import Database
from sim_mcp.store.migrations import Migration, load_migrations, upgrade
from tests.journeys.test_events import worked_off
from tests.triggers import event, map_event
from tests.world import SandboxTime, open_world, principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R56", "R36")]

TABLES = ("executions", "jobs", "events", "integration_revisions", "allow_list", "tokens", "schedules")


def next_release() -> Migration:
    """What a later release may do at once: new tables, new columns, new indexes."""
    newest = load_migrations()[-1].version
    added = [f"ALTER TABLE {table} ADD COLUMN colour TEXT;" for table in TABLES]
    lines = [f"-- runs with: {newest}", *added, "CREATE TABLE colours (name TEXT NOT NULL);"]
    lines.append("CREATE INDEX executions_by_colour ON executions (tenant_id, colour);")
    return Migration.parse(f"{newest + 1:04}_next.sql", "\n".join(lines) + "\n")


async def upgraded(database: Database) -> None:
    """Do what the first replica of the next release does at its start."""
    migrations = (*load_migrations(), next_release())
    assert await upgrade(database, clock=ManualClock(), migrations=migrations) == (migrations[-1].version,)


async def test_the_release_before_goes_on_while_and_after_the_tables_are_upgraded(
    tmp_path: Path, clock: ManualClock, shared: dict[str, Any]
) -> None:
    """Calls, events and settings; the replica that is running, and one that starts only then."""
    sim = FakeSim(time=SandboxTime(clock))
    async with open_world(tmp_path, clock=clock, sim=sim, **shared) as running:
        await running.allow("acme", "echo")
        await map_event(running, "acme", "echo")
        before = await running.app.gateway.call(running.call("acme", "echo"))
        await upgraded(running.app.store.database)
        during = await running.app.gateway.call(running.call("acme", "echo"))
        await running.app.events.accept(principal("acme"), event("e1"))
        async with open_world(tmp_path, clock=clock, sim=sim, **shared) as started:
            await started.allow("globex", "quick")
            after = await started.app.gateway.call(started.call("globex", "quick"))
            async with started.app.working():
                await worked_off(started)
            rows = [*await started.rows("acme"), *await started.rows("globex")]
    assert {row.status for row in (before, during, after, *rows)} == {Status.COMPLETED}
    assert len(rows) == len(sim.runs) == 4
