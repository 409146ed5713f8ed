"""The SQLite driver: one connection writes, a few read, and none waits for the other (WAL)."""

from __future__ import annotations

import os
import sqlite3
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import aiosqlite
import anyio

from sim_mcp.store.database import Trouble
from sim_mcp.store.sqlite_errors import Translated, Unbroken

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
    from pathlib import Path

    from sim_mcp.store.database import Row, Then, Transaction, Value

T = TypeVar("T")

BUSY_TIMEOUT_S = 30.0
_READERS = 4
_OLDEST = (3, 35, 0)  # the first with RETURNING
_WAL_TRIES = 50
_PAGES = 256
"""A megabyte at a time: as long as a writer may have to wait."""
_SHRINKS = 10_000
_BEGIN = "BEGIN IMMEDIATE"
"""Takes the write lock now, where waiting for it is possible."""


async def open_sqlite(
    path: Path,
    *,
    may_create: bool,
    may_write: bool = True,
    survives_power_loss: bool = False,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
) -> SqliteDatabase:
    """The database file at `path` (absolute), made with mode 0600 when it is missing and `may_create`.

    Without `may_write` SQLite itself refuses every change. `busy_timeout_s` is how long a statement
    waits for another *process* that writes.

    Raises:
        StoreUnavailable: when it cannot be opened or is no database.
    """
    if sqlite3.sqlite_version_info < _OLDEST:
        raise Trouble.OUTDATED.error(f"SQLite {sqlite3.sqlite_version}")
    if may_create:
        _create(path)
    else:
        _require(path)
    # mode=rw: SQLite itself must never make the file, it would do so with everybody's rights.
    database = SqliteDatabase(f"{path.as_uri()}?mode=rw", busy_timeout_s=busy_timeout_s)
    try:
        await database.open(may_write=may_write, survives_power_loss=survives_power_loss)
    except BaseException:
        await database.close()
        raise
    return database


class SqliteDatabase:
    """An open SQLite file. Use `open_sqlite`."""

    kind = "sqlite"

    def __init__(self, uri: str, *, busy_timeout_s: float) -> None:
        self._uri = uri
        self._busy_timeout_s = busy_timeout_s
        self._writer: _Connection | None = None
        """For what is one way to its thread: its queue is the only thing that has to be waited for."""
        self._transactor: _Connection | None = None
        """For transactions that come back to the event loop in between; one at a time."""
        self._transacting = anyio.Lock()
        self._reading = anyio.Semaphore(_READERS)
        self._readers: list[aiosqlite.Connection] = []
        self._idle: list[aiosqlite.Connection] = []

    async def open(self, *, may_write: bool = True, survives_power_loss: bool = False) -> None:
        """Connect the writer and prepare the file for readers beside it."""
        with Unbroken():
            self._writer = await self._connect()
            self._transactor = await self._connect()
            if not may_write:
                await self._writer.execute("PRAGMA query_only = ON")
                await self._transactor.execute("PRAGMA query_only = ON")
                return
            if await _is_empty(self._writer):
                # Only counts for a file without tables: freed space can go back to the system later. Others
                # it would write to, and opening must not write: the file may be another release's.
                await self._writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
            await _switch_to_wal(self._writer)
            for connection in (self._writer, self._transactor):
                # NORMAL: a commit survives the death of the process (kill -9), since it is in the
                # operating system's hands by then. A loss of power may take back the last commits, but
                # never damages the file; FULL pays an fsync for each call's row.
                level = "FULL" if survives_power_loss else "NORMAL"
                await connection.execute(f"PRAGMA synchronous = {level}")
                # A key that was replaced or removed is overwritten with zeros, not just unlinked.
                await connection.execute("PRAGMA secure_delete = FAST")

    async def fetch_all(self, sql: str, parameters: Sequence[Value] = ()) -> Sequence[Row]:
        """Every row that `sql` yields; never waits for a writer."""
        async with self._reader() as reader:
            return await _fetch(reader, sql, parameters)

    async def fetch_one(self, sql: str, parameters: Sequence[Value] = ()) -> Row | None:
        """The first row that `sql` yields; never waits for a writer."""
        rows = await self.fetch_all(sql, parameters)
        return rows[0] if rows else None

    async def execute(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        """Run one writing statement as its own transaction; return how many rows it touched."""
        # Shielded: once handed to the connection's thread it will run, so its end is awaited.
        with Unbroken():
            return (await self._open(self._writer).execute(sql, parameters)).rowcount

    async def change(
        self, sql: str, parameters: Sequence[Value] = (), *, then: Then | None = None, turn: str | None = None
    ) -> Row | None:
        """Run a writing statement that returns rows, and what `then` makes of the first: all or nothing."""
        del turn
        with Unbroken():
            return await self._open(self._writer).change(sql, parameters, then)

    @asynccontextmanager
    async def transaction(self, *, turn: str | None = None) -> AsyncGenerator[Transaction]:
        """Commit on a clean exit; roll back on an error or a cancellation. All take turns here."""
        del turn
        async with self._transacting:
            connection = self._open(self._transactor)
            transaction = _Transaction(connection)
            try:
                yield transaction
                with Unbroken():
                    await transaction.commit()
            except BaseException:
                # A rollback that fails must not hide why there was one.
                with anyio.CancelScope(shield=True), suppress(sqlite3.Error):
                    await connection.rollback()
                raise

    async def rung(self) -> None:
        """Never: a file cannot call other processes."""
        await anyio.sleep_forever()

    def member(self, column: str, name: str) -> str:
        """SQL for the text under `name` in the JSON object that `column` holds."""
        return f"json_extract({column}, '$.{name}')"

    async def has_table(self, name: str) -> bool:
        """Whether a table of that name exists."""
        sql = "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = ?"
        return await self.fetch_one(sql, [name]) is not None

    async def shrink(self) -> None:
        """Free pages go back to the system, some at a time; files from before this need one `VACUUM`."""
        for _ in range(_SHRINKS):
            row = await self.fetch_one("PRAGMA freelist_count")
            if row is None or row["freelist_count"] == 0:
                return
            with Unbroken():
                await self._open(self._writer).execute_fetchall(f"PRAGMA incremental_vacuum({_PAGES})")

    async def close(self) -> None:
        """Let the running statements end, then close every connection and its thread."""
        with anyio.CancelScope(shield=True):
            async with self._transacting:
                writers = [each for each in (self._writer, self._transactor) if each is not None]
                connections = [*self._readers, *writers]
                self._writer = self._transactor = None
                self._readers.clear()
                for connection in connections:
                    with suppress(sqlite3.Error):
                        await connection.close()

    def _open(self, connection: _Connection | None) -> _Connection:
        if connection is None:
            raise Trouble.CLOSED.error("used after close")
        return connection

    @asynccontextmanager
    async def _reader(self) -> AsyncGenerator[aiosqlite.Connection]:
        async with self._reading:
            self._open(self._writer)
            reader = self._idle.pop() if self._idle else await self._new_reader()
            try:
                yield reader
            finally:
                # A cancelled query may still run: the connection's thread ends it before the next.
                self._idle.append(reader)

    async def _new_reader(self) -> aiosqlite.Connection:
        with Unbroken():
            reader = await self._connect()
            if self._writer is None:  # closed while this reader was being opened
                await reader.close()
                raise Trouble.CLOSED.error("closed while connecting")
            self._readers.append(reader)
            await reader.execute("PRAGMA query_only = ON")
        return reader

    async def _connect(self) -> _Connection:
        def connect() -> sqlite3.Connection:
            # isolation_level None: the module begins no transaction on its own account.
            return sqlite3.connect(self._uri, uri=True, isolation_level=None, timeout=self._busy_timeout_s)

        connection = _Connection(connect, iter_chunk_size=64)
        await connection
        connection.row_factory = sqlite3.Row
        await connection.execute("PRAGMA foreign_keys = ON")
        return connection


class _Connection(aiosqlite.Connection):
    """A connection that takes several statements with it on one way to its thread: ways are what costs."""

    async def change(self, sql: str, parameters: Sequence[Value], then: Then | None) -> Row | None:
        """Run a statement, and what `then` makes of the first row that it returns, in one transaction."""

        def run() -> Row | None:
            if then is None:
                return _first(self._conn.execute(sql, parameters))
            self._conn.execute(_BEGIN)
            try:
                row = _first(self._conn.execute(sql, parameters))
                more = None if row is None else then(row)
                if more is not None:
                    self._conn.execute(*more)
                self._conn.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # one that fails must not hide why there was one
                    self._conn.execute("ROLLBACK")
                raise
            return row

        return await self._run(run)

    async def perform(
        self, sql: str, parameters: Sequence[Value], *, begins: bool
    ) -> tuple[Sequence[Row], int]:
        """Run a statement, a transaction's first if it `begins`; its rows, and how many it touched."""

        def run() -> tuple[Sequence[Row], int]:
            if begins:
                self._conn.execute(_BEGIN)
            cursor = self._conn.execute(sql, parameters)
            return cursor.fetchall(), cursor.rowcount

        return await self._run(run)

    async def _run(self, work: Callable[[], T]) -> T:
        # The library has no public way for it; it is untyped.
        return await self._execute(work)  # pyright: ignore[reportUnknownMemberType]


def _first(cursor: sqlite3.Cursor) -> Row | None:
    rows = cursor.fetchall()  # all of them: a statement is over, and committed, only then
    return rows[0] if rows else None


class _Transaction:
    """A connection, while a transaction is open on it."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._is_begun = False

    async def fetch_all(self, sql: str, parameters: Sequence[Value] = ()) -> Sequence[Row]:
        """Every row that `sql` yields, the transaction's own changes included."""
        return (await self._perform(sql, parameters))[0]

    async def fetch_one(self, sql: str, parameters: Sequence[Value] = ()) -> Row | None:
        """The first row that `sql` yields."""
        rows = await self.fetch_all(sql, parameters)
        return rows[0] if rows else None

    async def execute(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        """Run one statement; return how many rows it touched."""
        return (await self._perform(sql, parameters))[1]

    async def commit(self) -> None:
        """Make all of it last; nothing when nothing was said."""
        if self._is_begun:
            await self._perform("COMMIT")

    async def _perform(self, sql: str, parameters: Sequence[Value] = ()) -> tuple[Sequence[Row], int]:
        begins, self._is_begun = not self._is_begun, True
        with Translated():
            return await self._connection.perform(sql, parameters, begins=begins)

    async def ring(self) -> None:
        """Nothing: other processes look by themselves."""


async def _fetch(connection: aiosqlite.Connection, sql: str, parameters: Sequence[Value]) -> Sequence[Row]:
    with Translated():
        rows: Iterable[sqlite3.Row] = await connection.execute_fetchall(sql, parameters)
        return [*rows]


async def _is_empty(writer: aiosqlite.Connection) -> bool:
    [row] = await writer.execute_fetchall("PRAGMA page_count")
    return row[0] == 0


async def _switch_to_wal(writer: aiosqlite.Connection) -> None:
    for _ in range(_WAL_TRIES):
        try:
            await writer.execute_fetchall("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            # The switch itself does not wait for another opener. Asking for the write lock does, and
            # fails by itself when something else is wrong.
            await writer.execute("BEGIN IMMEDIATE")
            await writer.rollback()
        else:
            return
    raise Trouble.LOCKED.error("the journal mode could not be switched")


def _create(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise Trouble.UNREACHABLE.error(type(error).__name__) from error


def _require(path: Path) -> None:
    # Not left to the driver: its thread survives a failed connect, and may outlive the event loop.
    if not path.is_file():
        raise Trouble.UNREACHABLE.error("no such file")
