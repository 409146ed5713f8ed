"""Moving an embedded database to PostgreSQL: all of it or nothing, and the file stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Conflict
from sim_mcp.sim.fake import FakeSim
from sim_mcp.store import ExecutionFilter, copy_all
from sim_mcp.store.copying import TABLES
from tests.postgres import Server
from tests.store.rows import opened
from tests.triggers import dead_job, map_event, schedule
from tests.world import SandboxTime, open_world, principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R40", "R56")]

KEYS = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="


async def test_a_copied_database_goes_on_as_it_was(
    tmp_path: Path, clock: ManualClock, postgres: Server
) -> None:
    """Both tenants' settings, keys, tools, history, mappings, schedules and dead letters; counted."""
    sim, url = FakeSim(time=SandboxTime(clock)), postgres.database()
    async with open_world(tmp_path, clock=clock, sim=sim, encryption_keys=KEYS) as world:
        for tenant in ("acme", "globex"):
            await world.allow(tenant, "echo")
            for number in range(5):
                await world.app.gateway.call(world.call(tenant, "echo", {"text": f"{number} \u2615"}))
            await dead_job(world, tenant, "echo", "evt-1")
            await map_event(world, tenant, "echo")
            await world.app.schedules.set(principal(tenant), schedule(tenant, "echo"))
            await world.app.events.add_sender(principal(tenant), "platform")
        before = {tenant: await world.rows(tenant) for tenant in ("acme", "globex")}
    file = tmp_path / "sim-mcp.db"
    content = file.read_bytes()
    async with opened(file, only_look=True) as source, opened(url) as target:
        counts = await copy_all(source.database, target.database)
        assert (counts["executions"], counts["jobs"], counts["integration_revisions"]) == (10, 2, 2)
        with pytest.raises(Conflict, match="not empty"):
            await copy_all(source.database, target.database)
    assert file.read_bytes() == content
    moved = open_world(tmp_path, clock=clock, sim=sim, encryption_keys=KEYS, database_url=url, connect={})
    async with moved as world:
        assert {tenant: await world.rows(tenant) for tenant in before} == before
        again = await world.app.gateway.call(world.call("globex", "echo", {"text": "after"}))
        assert again.status == "completed"
        page = await world.app.runs.page(principal("globex"), ExecutionFilter(), limit=1)
        assert page.total == len(before["globex"]) + 1
        assert len((await world.app.jobs.page(principal("acme"))).jobs) == 1


async def test_a_failure_leaves_the_target_empty(tmp_path: Path, postgres: Server) -> None:
    """What cannot be copied whole is not copied: the next try finds an empty target again."""
    url = postgres.database()
    async with opened(tmp_path / "sim-mcp.db") as source, opened(url) as target:
        await source.database.execute("INSERT INTO workers (id, seen_at) VALUES (?, ?)", ["w", 1])

        def crash(table: str, _: int) -> None:
            if table == "workers":
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await copy_all(source.database, target.database, tell=crash)
        assert (await copy_all(source.database, target.database))["workers"] == 1


async def test_every_table_is_copied(tmp_path: Path) -> None:
    """A migration that adds a table adds it to the list."""
    async with opened(tmp_path / "sim-mcp.db") as store:
        rows = await store.database.fetch_all("SELECT name FROM sqlite_master WHERE type = 'table'")
    names = {str(row["name"]) for row in rows}
    assert names - {"schema_migrations", "sqlite_sequence"} == set(TABLES)
