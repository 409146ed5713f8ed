"""What is particular to SQLite: files and their modes, crashes, locks, cancellation, and what fails how."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from sim_mcp.model.errors import Conflict, InvalidInput, StoreUnavailable
from sim_mcp.model.execution import ExecutionId, Status
from sim_mcp.store.database import Database, Row, Value
from sim_mcp.store.sqlite import SqliteDatabase, open_sqlite
from tests.patience import PATIENCE_S
from tests.store.rows import ACME, START, after, execution, opened, opened_rows

pytestmark = pytest.mark.anyio

X1 = ExecutionId("x1")

_CRASH = """
import os, sys
from pathlib import Path
import anyio
from tests.store.rows import execution, opened, opened_rows

async def main() -> None:
    async with opened(Path(sys.argv[1])) as store:
        await opened_rows(store, execution("x1"))
        async with store.database.transaction() as transaction:
            await transaction.execute("UPDATE executions SET tool_name = 'half done'")
            os._exit(9)

anyio.run(main)
"""


@asynccontextmanager
async def bare(path: Path, *, busy_timeout_s: float = 5.0) -> AsyncGenerator[SqliteDatabase]:
    """A database with one table `one`, without our schema."""
    database = await open_sqlite(path, may_create=True, busy_timeout_s=busy_timeout_s)
    try:
        await database.execute("CREATE TABLE IF NOT EXISTS one (n INTEGER PRIMARY KEY)")
        yield database
    finally:
        await database.close()


async def numbers(database: SqliteDatabase) -> list[object]:
    """What is in table `one`."""
    return [row["n"] for row in await database.fetch_all("SELECT n FROM one ORDER BY n")]


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
async def test_the_file_is_its_owners_alone(path: Path) -> None:
    """So are the log beside it and the directory, whatever the umask allows."""
    before = os.umask(0)
    try:
        async with opened(path) as store:
            await opened_rows(store, execution())
            modes = {file.name: _mode(file) for file in _files(path)}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3
    assert _mode(path.parent) == 0o700


def _files(path: Path) -> list[Path]:
    return list(path.parent.iterdir())


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_closing_leaves_no_thread_and_no_file_beside(path: Path) -> None:
    """Every connection's thread ends, and the log is folded into the file."""
    before = set(threading.enumerate())
    async with opened(path) as store, anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(store.ping)
    started = set(threading.enumerate()) - before
    for thread in started:
        thread.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in started)
    assert _files(path) == [path]


async def test_a_closed_store_says_so(path: Path) -> None:
    """Late callers get an error of ours; closing twice is fine."""
    async with opened(path) as store:
        pass
    await store.database.close()
    for late in (
        store.ping,
        lambda: store.retention.purge("jobs", START),
        lambda: _transact(store.database),
    ):
        with pytest.raises(StoreUnavailable, match="shutting down"):
            await late()


async def _transact(database: Database, *statements: str) -> None:
    async with database.transaction() as transaction:
        for statement in statements:
            await transaction.execute(statement)


async def test_a_row_survives_the_death_of_its_process(path: Path) -> None:
    """Killed in the middle of the next transaction: what was durable is there, what was half is not."""
    done = await anyio.run_process(
        [sys.executable, "-c", _CRASH, str(path)], check=False, stderr=subprocess.PIPE
    )
    assert (done.returncode, done.stderr) == (9, b"")
    async with opened(path) as store:
        row = await store.executions.get(ACME, None, X1)
        assert row == execution("x1")
        assert len(await store.executions.due(after(1), limit=9, per_tenant=9)) == 1
        assert await store.executions.transition(ACME, X1, Status.FAILED, at=after(2))


async def test_an_error_or_a_cancellation_undoes_the_transaction(path: Path) -> None:
    """And the writer is free for the next."""
    async with bare(path) as database:
        with pytest.raises(StoreUnavailable):
            await _transact(database, "INSERT INTO one VALUES (1)", "INSERT INTO nowhere VALUES (1)")
        with anyio.CancelScope() as scope:
            async with database.transaction() as transaction:
                await transaction.execute("INSERT INTO one VALUES (2)")
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO one VALUES (3)")
            assert await transaction.fetch_one("SELECT n FROM one WHERE n = 3") is not None
            assert await numbers(database) == []
        assert await numbers(database) == [3]


async def test_a_change_and_what_follows_from_it_happen_both_or_not_at_all(path: Path) -> None:
    """In one transaction; whatever fails in it undoes all of it, and the writer is free for the next."""

    def twice(row: Row) -> tuple[str, list[Value]]:
        return "INSERT INTO one VALUES (?)", [2 * int(str(row["n"]))]

    async with bare(path) as database:
        changed = await database.change("INSERT INTO one VALUES (1) RETURNING n", then=twice)
        assert changed is not None
        assert changed["n"] == 1
        assert await numbers(database) == [1, 2]
        with pytest.raises(Conflict):
            await database.change("UPDATE one SET n = 7 WHERE n = 1 RETURNING 1 AS n", then=twice)
        assert await database.change("DELETE FROM one WHERE n = 9 RETURNING n", then=twice) is None
        await database.change("DELETE FROM one WHERE n = 1 RETURNING n", then=lambda _: None)
        assert await numbers(database) == [2]
        async with database.transaction():
            pass


async def test_a_write_that_began_is_finished_before_a_cancellation(path: Path) -> None:
    """Nobody is left wondering whether it happened."""
    async with bare(path) as database:

        async def write() -> None:
            await database.execute("INSERT INTO one VALUES (1)")
            written.append(True)

        written: list[bool] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert len(await numbers(database)) == 1


async def test_a_cancelled_reader_does_no_harm(path: Path) -> None:
    """Its connection serves the next reader."""
    async with bare(path) as database:
        for _ in range(6):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(database.fetch_all, "SELECT n FROM one")
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
        with anyio.fail_after(PATIENCE_S):
            assert await numbers(database) == []


async def test_readers_do_not_wait_for_a_writer(path: Path) -> None:
    """While a transaction is open, everybody reads what was there before."""
    async with bare(path) as database, database.transaction() as transaction:
        await transaction.execute("INSERT INTO one VALUES (1)")
        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(numbers, database)


async def test_a_reading_connection_cannot_write(path: Path) -> None:
    """A write that slips in by the reading door fails instead of racing the writer."""
    async with bare(path) as database:
        with pytest.raises(StoreUnavailable, match="cannot be written"):
            await database.fetch_all("INSERT INTO one VALUES (1)")


async def test_a_lock_of_another_process_is_told_with_a_remedy(path: Path) -> None:
    """Retryable, with the wait; no path in the message."""
    async with bare(path, busy_timeout_s=0.01) as database:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for write in (
                lambda: database.execute("DELETE FROM one"),
                lambda: _transact(database, "DELETE FROM one"),
            ):
                with pytest.raises(StoreUnavailable, match="busy with another writer") as caught:
                    await write()
                assert (caught.value.retryable, caught.value.retry_after_s) == (True, 1.0)
                assert path.name not in caught.value.message
            other.execute("ROLLBACK")
        assert await database.execute("INSERT INTO one VALUES (1)") == 1


async def test_a_full_disk_is_told_with_a_remedy(path: Path) -> None:
    """And what did not fit is not there."""
    async with bare(path) as database:
        await database.execute("CREATE TABLE big (content TEXT)")
        assert database._writer is not None
        await database._writer.execute_fetchall("PRAGMA max_page_count = 4")
        with pytest.raises(StoreUnavailable, match="disk of the database is full"):
            await database.execute("INSERT INTO big VALUES (?)", ["x" * 100_000])
        assert await database.fetch_all("SELECT 1 FROM big") == []


async def test_an_old_library_is_told_with_a_remedy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is created."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(StoreUnavailable, match=r"3\.35 or newer"):
        await open_sqlite(path, may_create=True)
    assert not await anyio.Path(path).exists()


async def test_a_first_opener_waits_for_another(path: Path) -> None:
    """Switching a fresh file to WAL while another process writes it waits its turn."""
    _write(path, b"")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE two (n INTEGER)")
        other.execute("BEGIN IMMEDIATE")
        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_open_and_close, path)
                await anyio.wait_all_tasks_blocked()
                other.execute("ROLLBACK")


async def _open_and_close(path: Path) -> None:
    async with bare(path) as database:
        assert await database.has_table("two")


@pytest.mark.parametrize("hold", ["BEGIN IMMEDIATE", "BEGIN; SELECT * FROM two"])
async def test_a_first_opener_does_not_wait_forever(path: Path, hold: str) -> None:
    """Neither for a writer nor for a reader that stays."""
    _write(path, b"")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE two (n INTEGER)")
        for statement in hold.split("; "):
            other.execute(statement)
        with pytest.raises(StoreUnavailable, match="busy with another writer"):
            await open_sqlite(path, may_create=True, busy_timeout_s=0.001)
        other.execute("ROLLBACK")


async def test_closing_while_a_reader_connects_leaves_nothing_open(path: Path) -> None:
    """The late reader is told, and its connection is closed with the others."""
    before = set(threading.enumerate())
    async with opened(path) as store, anyio.create_task_group() as tasks:
        tasks.start_soon(store.ping)  # takes the connection that is there already
        tasks.start_soon(_late, store.ping)
        tasks.start_soon(store.database.close)
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


async def _late(question: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(StoreUnavailable, match="shutting down"):
        await question()


async def test_a_read_only_database_is_told_with_a_remedy(path: Path) -> None:
    """The reason is rights, and the message says so."""
    async with opened(path) as store:
        await store.database.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreUnavailable, match="write access"):
            await opened_rows(store, execution())


async def test_a_file_that_is_no_database_is_told_with_a_remedy(path: Path) -> None:
    """Nothing of it is touched."""
    _write(path, b"these are a few notes, not a database " * 100)
    with pytest.raises(StoreUnavailable, match="restore it from a backup"):
        async with opened(path):
            pass
    assert path.read_bytes().startswith(b"these are")  # noqa: ASYNC240  # one small file


async def test_a_directory_that_cannot_be_made_is_told_with_a_remedy(tmp_path: Path) -> None:
    """A file where the directory should be."""
    _write(tmp_path / "data", b"")
    with pytest.raises(StoreUnavailable, match="SIM_MCP_DATABASE_URL"):
        async with opened(tmp_path / "data" / "sim-mcp.db"):
            pass


async def test_other_failures_keep_their_details_for_the_log(path: Path) -> None:
    """The client's sentence is general; the operator's names the cause."""
    async with bare(path) as database:
        with pytest.raises(StoreUnavailable, match="sim-mcp doctor") as caught:
            await database.execute("INSERT INTO nowhere VALUES (1)")
        assert caught.value.detail == "SQLITE_ERROR: no such table: nowhere"
        with pytest.raises(StoreUnavailable, match="sim-mcp doctor"):
            await database.execute("INSERT INTO one VALUES (?)", [1, 2])
        with pytest.raises(InvalidInput, match="too large a number"):
            await database.execute("INSERT INTO one VALUES (?)", [2**70])


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
