"""Retention: what is old goes, archived first when asked; what is young, open or another's stays."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from sim_mcp.gateway import Keeping
from sim_mcp.gateway.archive import folder_of
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import StoreUnavailable
from sim_mcp.sim.fake import FakeSim
from tests.triggers import dead_job
from tests.world import SandboxTime, World, open_world, principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R29", "R62")]

DAY_S = 86_400.0


def keeping(world: World, *, days: int = 90, archive: Path | None = None) -> Keeping:
    """What a worker purges with."""
    return Keeping(
        retention=world.app.store.retention, clock=world.clock, retention_days=days, archive=archive
    )


async def lived(world: World, clock: ManualClock) -> None:
    """Both tenants: a call and a dead letter of 91 days ago, a paused run as old, a call of 89 days ago."""
    for tenant in ("acme", "globex"):
        for workflow in ("echo", "asking"):
            await world.allow(tenant, workflow)
        await world.app.gateway.call(world.call(tenant, "echo", {"text": "old", "password": "hunter2"}))
        await world.app.gateway.call(world.call(tenant, "asking"))
        await dead_job(world, tenant, "echo", "evt-old")
    clock.advance(2 * DAY_S)
    for tenant in ("acme", "globex"):
        await world.app.gateway.call(world.call(tenant, "echo", {"text": "young"}))
        await dead_job(world, tenant, "echo", "evt-young")
    clock.advance(89 * DAY_S)


async def test_what_is_older_than_the_retention_goes_and_nothing_else(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rows of 91 days go, of 89 days stay; a paused run stays however old; once an hour, by one of many."""
    async with open_world(tmp_path, clock=clock, sim=FakeSim(time=SandboxTime(clock))) as world:
        await lived(world, clock)
        purged = await keeping(world).run_due()
        assert purged is not None
        assert (purged.counts, purged.files) == ({"executions": 2, "jobs": 2, "events": 2}, [])
        assert await keeping(world).run_due() is None
        clock.advance(3600)
        assert await keeping(world, days=0).run_due() is None
        again = await keeping(world).run_due()
        assert again is not None
        assert set(again.counts.values()) == {0}
        for tenant in ("acme", "globex"):
            rows = await world.rows(tenant)
            assert sorted(row.status for row in rows) == ["completed", "paused"]
            [job] = (await world.app.jobs.page(principal(tenant))).jobs
            assert job.source_id == "evt-young"


async def test_the_archive_has_every_purged_execution_and_each_tenant_its_own(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Redacted as the rows are, only for its owner; a batch that cannot be archived is not deleted."""
    archive = tmp_path / "archive"
    async with open_world(tmp_path / "data", clock=clock, sim=FakeSim(time=SandboxTime(clock))) as world:
        await lived(world, clock)
        archive.write_text("no directory", encoding="utf-8")
        with pytest.raises(StoreUnavailable, match="SIM_MCP_RETENTION_ARCHIVE_DIR"):
            await keeping(world, archive=archive).run_due()
        assert [len(await world.rows(tenant)) for tenant in ("acme", "globex")] == [3, 3]
        archive.unlink()
        clock.advance(3600)
        purged = await keeping(world, archive=archive).run_due()
    assert purged is not None
    assert sorted(file.parent.name for file in purged.files) == ["acme", "globex"]
    for file in purged.files:
        assert file.stat().st_mode & 0o777 == 0o600
        [record] = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
        told = (record["tenantId"], record["status"], record["input"]["text"])
        assert told == (file.parent.name, "completed", "old")
        assert "hunter2" not in json.dumps(record)
    assert [*archive.rglob("*.part")] == []


async def test_a_crash_between_archive_and_delete_repeats_and_loses_nothing(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is whole before the first row goes; the next run archives the rows again."""

    class Crash(Exception):
        pass

    async def crash(*_: Any) -> int:
        raise Crash

    archive = tmp_path / "archive"
    async with open_world(tmp_path / "data", clock=clock, sim=FakeSim(time=SandboxTime(clock))) as world:
        await lived(world, clock)
        with monkeypatch.context() as patch:
            patch.setattr("sim_mcp.store.Retention.forget", crash)
            with pytest.raises(Crash):
                await keeping(world, archive=archive).run_due()
        assert len([*archive.rglob("*.ndjson.gz")]) == 2
        clock.advance(3600)
        purged = await keeping(world, archive=archive).run_due()
        assert purged is not None
        assert purged.counts["executions"] == 2


async def test_the_file_shrinks(tmp_path: Path, clock: ManualClock) -> None:
    """Freed space goes back to the system."""
    async with open_world(tmp_path, clock=clock, sim=FakeSim(time=SandboxTime(clock))) as world:
        await world.allow("acme", "echo")
        database = world.app.store.database
        for _ in range(20):
            await world.app.gateway.call(world.call("acme", "echo", {"text": "x" * 100_000}))
        full = await database.fetch_one("PRAGMA page_count")
        clock.advance(91 * DAY_S)
        await keeping(world).run_due()
        left = await database.fetch_one("PRAGMA page_count")
        assert full is not None
        assert left is not None
        assert int(str(left["page_count"])) < int(str(full["page_count"])) / 3


def test_a_tenants_folder_is_a_plain_name() -> None:
    """Whatever the tenant is called, its folder lies below the archive and is nobody else's."""
    hostile = ["../etc", "/root", "a/b", "..", ".", "", "x" * 300, "a\0b", "\ud800"]
    folders = {name: folder_of(name) for name in hostile}
    assert len(set(folders.values())) == len(hostile)
    assert all("/" not in each and each not in {"", ".", ".."} for each in folders.values())
    assert folder_of("acme") == "acme"
