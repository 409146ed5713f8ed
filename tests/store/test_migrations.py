"""Migrations: once each, never altered, and never by accident."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import StoreUnavailable
from sim_mcp.store.database import Database
from sim_mcp.store.migrations import Migration, SchemaMismatch, load_migrations, upgrade, verify
from sim_mcp.store.sqlite import open_sqlite
from tests.patience import PATIENCE_S
from tests.store.rows import ACME, execution, opened, opened_rows

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R56")]

FIRST = Migration.parse("0001_one.sql", "CREATE TABLE one (n INTEGER);\n")
SECOND = Migration.parse(
    "0002_two.sql", "-- a comment;\nINSERT INTO one (n)\nVALUES (1);\n\nINSERT INTO one VALUES (2);"
)
BROKEN = Migration.parse("0003_three.sql", "INSERT INTO one VALUES (3);\nINSERT INTO nowhere VALUES (1);\n")


async def _run(path: Path, migrations: Sequence[Migration]) -> tuple[tuple[int, ...], list[int]]:
    """Upgrade the file; return the versions applied and what is in table `one`."""
    database = await open_sqlite(path, may_create=True)
    try:
        applied = await upgrade(database, clock=ManualClock(), migrations=migrations)
        return applied, await _numbers(database)
    finally:
        await database.close()


async def _numbers(database: Database) -> list[int]:
    rows = await database.fetch_all("SELECT n FROM one ORDER BY n")
    return [number for row in rows if isinstance(number := row["n"], int)]


async def test_each_migration_is_applied_once_and_in_order(path: Path) -> None:
    """A second run does nothing; a later one applies only what is missing."""
    assert await _run(path, [FIRST]) == ((1,), [])
    assert await _run(path, [FIRST]) == ((), [])
    assert await _run(path, [FIRST, SECOND]) == ((2,), [1, 2])
    assert await _run(path, [FIRST, SECOND]) == ((), [1, 2])


async def test_a_failed_migration_leaves_nothing_behind(path: Path) -> None:
    """Those before it stay applied; its own first half is undone."""
    with pytest.raises(StoreUnavailable):
        await _run(path, [FIRST, SECOND, BROKEN])
    assert await _run(path, [FIRST, SECOND]) == ((), [1, 2])


async def test_an_altered_migration_is_refused(path: Path) -> None:
    """What was applied must be what the program has, whatever the line ends."""
    await _run(path, [FIRST, SECOND])
    with pytest.raises(SchemaMismatch, match=r"Migration 1 \(one\) differs"):
        await _run(path, [replace(FIRST, checksum="another"), SECOND])
    windows = Migration.parse("0001_one.sql", "CREATE TABLE one (n INTEGER);\r\n")
    assert windows == FIRST


async def test_a_newer_database_is_refused(path: Path) -> None:
    """An older program must not guess at tables it does not know."""
    await _run(path, [FIRST, SECOND])
    with pytest.raises(SchemaMismatch, match=r"newer sim-mcp .* upgrade sim-mcp") as caught:
        await _run(path, [FIRST])
    assert not caught.value.retryable


ROLLING = Migration.parse("0003_runs.sql", "ALTER TABLE schema_migrations ADD COLUMN runs_with INTEGER;\n")
FOURTH = Migration.parse("0004_four.sql", "-- runs with: 3\nINSERT INTO one VALUES (4);\n")


async def test_a_newer_database_that_is_made_for_this_program_too_is_used(path: Path) -> None:
    """It says so itself, for each migration; one that breaks older programs stops them."""
    await _run(path, [FIRST, SECOND, ROLLING, FOURTH])
    assert await _run(path, [FIRST, SECOND, ROLLING]) == ((), [1, 2, 4])
    database = await open_sqlite(path, may_create=False)
    try:
        await verify(database, migrations=[FIRST, SECOND, ROLLING])
    finally:
        await database.close()
    with pytest.raises(SchemaMismatch, match="newer sim-mcp"):
        await _run(path, [FIRST, SECOND])
    breaking = Migration.parse("0005_five.sql", "INSERT INTO one VALUES (5);\n")
    await _run(path, [FIRST, SECOND, ROLLING, FOURTH, breaking])
    with pytest.raises(SchemaMismatch, match="newer sim-mcp"):
        await _run(path, [FIRST, SECOND, ROLLING, FOURTH])


ADDS = re.compile(
    r"CREATE (UNIQUE INDEX|INDEX|TABLE|TRIGGER|FUNCTION) "
    r"|ALTER TABLE \w+ ADD COLUMN (?!.*NOT NULL(?!.*DEFAULT))"
)
FILLS = re.compile(r"INSERT INTO (\w+)\nSELECT")


@pytest.mark.parametrize("migration", load_migrations()[3:], ids=lambda migration: migration.name)
def test_each_migration_since_the_fourth_only_adds_what_older_programs_need_not_know(
    migration: Migration,
) -> None:
    """So that replicas can be upgraded one after the other, from the release before."""
    assert migration.runs_with is not None
    assert migration.runs_with < migration.version or migration.version == 4
    said = [each.sql for each in migration.statements]
    made = {match[1] for sql in said if (match := re.match(r"CREATE TABLE (\w+)", sql))}
    fills = {sql for sql in said if (match := FILLS.match(sql)) and match[1] in made}
    assert [sql for sql in said if ADDS.match(sql) is None and sql not in fills] == []


async def test_verifying_creates_nothing(path: Path) -> None:
    """An empty database is told to be upgraded, and is still empty afterwards."""
    database = await open_sqlite(path, may_create=True)
    try:
        with pytest.raises(SchemaMismatch, match="sim-mcp db upgrade"):
            await verify(database)
        assert not await database.has_table("schema_migrations")
        await upgrade(database, clock=ManualClock())
        await verify(database)
    finally:
        await database.close()


async def test_opening_without_migrating_needs_an_up_to_date_file(path: Path) -> None:
    """A missing file stays missing; an up-to-date one opens."""
    with pytest.raises(StoreUnavailable, match="SIM_MCP_DATABASE_URL"):
        async with opened(path, migrate=False):
            pass
    assert not await anyio.Path(path).exists()
    async with opened(path) as store:
        await opened_rows(store, execution())
    async with opened(path, migrate=False) as store:
        assert await store.executions.get(ACME, None, "x1") is not None


async def test_many_openers_at_once_migrate_once(path: Path) -> None:
    """A fresh file opened by several at the same time ends up with one schema and no error."""

    async def start(number: int) -> None:
        async with opened(path, prefix=f"n{number}") as store:
            await opened_rows(store, execution(f"x{number}"))

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(start, number)
    async with opened(path) as store:
        assert (await store.executions.page(ACME, None)).total == 6


def test_the_programs_migrations_are_numbered_without_a_hole() -> None:
    """From 1 on; each has statements."""
    migrations = load_migrations()
    assert [migration.version for migration in migrations] == [*range(1, len(migrations) + 1)]
    assert all(migration.statements for migration in migrations)


def test_a_file_that_is_no_migration_is_an_error() -> None:
    """A misnamed file must not be passed over in silence."""
    with pytest.raises(ValueError, match="no migration"):
        Migration.parse("one.sql", "SELECT 1;")
