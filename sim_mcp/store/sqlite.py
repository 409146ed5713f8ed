"""The SQLite driver: one connection writes, a few read, and none waits for the other (WAL)."""

from __future__ import annotations

import os
import sqlite3
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import aiosqlite
import anyio

from sim_mcp.model.errors import Conflict, InvalidInput
from sim_mcp.store.database import Trouble

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    from sim_mcp.model.errors import SimMcpError
    from sim_mcp.store.database import Row, Transaction, Value

BUSY_TIMEOUT_S = 30.0
_READERS = 4
_OLDEST = (3, 35, 0)  # the first with RETURNING
_WAL_TRIES = 50
_PAGES = 256
"""A megabyte at a time: as long as a writer may have to wait."""
_SHRINKS = 10_000

_TROUBLES = {
    sqlite3.SQLITE_BUSY: Trouble.LOCKED,
    sqlite3.SQLITE_LOCKED: Trouble.LOCKED,
    sqlite3.SQLITE_FULL: Trouble.FULL,
    sqlite3.SQLITE_IOERR: Trouble.DISK,
    sqlite3.SQLITE_CORRUPT: Trouble.CORRUPT,
    sqlite3.SQLITE_NOTADB: Trouble.CORRUPT,
    sqlite3.SQLITE_READONLY: Trouble.READ_ONLY,
    sqlite3.SQLITE_PERM: Trouble.READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: Trouble.UNREACHABLE,
}


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

    def __init__(self, uri: str, *, busy_timeout_s: float) -> None:
        self._uri = uri
        self._busy_timeout_s = busy_timeout_s
        self._writer: aiosqlite.Connection | None = None
        self._writing = anyio.Lock()
        self._reading = anyio.Semaphore(_READERS)
        self._readers: list[aiosqlite.Connection] = []
        self._idle: list[aiosqlite.Connection] = []

    async def open(self, *, may_write: bool = True, survives_power_loss: bool = False) -> None:
        """Connect the writer and prepare the file for readers beside it."""
        with _Unbroken():
            self._writer = await self._connect()
            if not may_write:
                await self._writer.execute("PRAGMA query_only = ON")
                return
            if await _is_empty(self._writer):
                # Only counts for a file without tables: freed space can go back to the system later. Others
                # it would write to, and opening must not write: the file may be another release's.
                await self._writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
            await _switch_to_wal(self._writer)
            # NORMAL: a commit survives the death of the process (kill -9), since it is in the
            # operating system's hands by then. A loss of power may take back the last commits, but
            # never damages the file; FULL pays an fsync for each call's row.
            await self._writer.execute(f"PRAGMA synchronous = {'FULL' if survives_power_loss else 'NORMAL'}")
            # A key that was replaced or removed is overwritten with zeros, not just unlinked.
            await self._writer.execute("PRAGMA secure_delete = FAST")

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
        async with self._writing:
            # Shielded: once handed to the connection's thread it will run, so its end is awaited.
            with _Unbroken():
                return (await self._open_writer().execute(sql, parameters)).rowcount

    @asynccontextmanager
    async def transaction(self, *, turn: str | None = None) -> AsyncGenerator[Transaction]:
        """Commit on a clean exit; roll back on an error or a cancellation. All take turns here."""
        del turn
        async with self._writing:
            writer = self._open_writer()
            try:
                with _Unbroken():
                    # IMMEDIATE: take the write lock now, where waiting for it is possible.
                    await writer.execute("BEGIN IMMEDIATE")
                yield _Transaction(writer)
                with _Unbroken():
                    await writer.execute("COMMIT")
            except BaseException:
                # A rollback that fails must not hide why there was one.
                with anyio.CancelScope(shield=True), suppress(sqlite3.Error):
                    await writer.rollback()
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
            async with self._writing:
                with _Unbroken():
                    await self._open_writer().execute_fetchall(f"PRAGMA incremental_vacuum({_PAGES})")

    async def close(self) -> None:
        """Let the running statements end, then close every connection and its thread."""
        with anyio.CancelScope(shield=True):
            async with self._writing:
                connections = [*self._readers, *([self._writer] if self._writer else [])]
                self._writer = None
                self._readers.clear()
                for connection in connections:
                    with suppress(sqlite3.Error):
                        await connection.close()

    def _open_writer(self) -> aiosqlite.Connection:
        if self._writer is None:
            raise Trouble.CLOSED.error("used after close")
        return self._writer

    @asynccontextmanager
    async def _reader(self) -> AsyncGenerator[aiosqlite.Connection]:
        async with self._reading:
            self._open_writer()
            reader = self._idle.pop() if self._idle else await self._new_reader()
            try:
                yield reader
            finally:
                # A cancelled query may still run: the connection's thread ends it before the next.
                self._idle.append(reader)

    async def _new_reader(self) -> aiosqlite.Connection:
        with _Unbroken():
            reader = await self._connect()
            if self._writer is None:  # closed while this reader was being opened
                await reader.close()
                raise Trouble.CLOSED.error("closed while connecting")
            self._readers.append(reader)
            await reader.execute("PRAGMA query_only = ON")
        return reader

    async def _connect(self) -> aiosqlite.Connection:
        # isolation_level None: the module begins no transaction on its own account.
        connection = await aiosqlite.connect(
            self._uri, uri=True, isolation_level=None, timeout=self._busy_timeout_s
        )
        connection.row_factory = sqlite3.Row
        await connection.execute("PRAGMA foreign_keys = ON")
        return connection


class _Transaction:
    """The writer, while a transaction is open on it."""

    def __init__(self, writer: aiosqlite.Connection) -> None:
        self._writer = writer

    async def fetch_all(self, sql: str, parameters: Sequence[Value] = ()) -> Sequence[Row]:
        """Every row that `sql` yields, the transaction's own changes included."""
        return await _fetch(self._writer, sql, parameters)

    async def fetch_one(self, sql: str, parameters: Sequence[Value] = ()) -> Row | None:
        """The first row that `sql` yields."""
        rows = await self.fetch_all(sql, parameters)
        return rows[0] if rows else None

    async def execute(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        """Run one statement; return how many rows it touched."""
        with _Translated():
            return (await self._writer.execute(sql, parameters)).rowcount

    async def ring(self) -> None:
        """Nothing: other processes look by themselves."""


async def _fetch(connection: aiosqlite.Connection, sql: str, parameters: Sequence[Value]) -> Sequence[Row]:
    with _Translated():
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


class _Translated:
    """The edge where the driver's errors become ours."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, sqlite3.Error):
            raise _our(error) from error
        if isinstance(error, UnicodeEncodeError | OverflowError):
            raise InvalidInput(
                "A value is not valid text or too large a number: correct it and call again."
            ) from error


class _Unbroken(_Translated):
    """The same for what must not be cut short: a cancellation is delivered after its end."""

    def __init__(self) -> None:
        self._scope = anyio.CancelScope(shield=True)

    def __enter__(self) -> None:
        self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scope.__exit__(kind, error, trace)
        super().__exit__(kind, error, trace)


def _our(error: sqlite3.Error) -> SimMcpError:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    detail = f"{getattr(error, 'sqlite_errorname', type(error).__name__)}: {error}"
    if code in (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE):
        return Conflict("Something with the same id exists already: call again.", detail=detail)
    if code is None:
        return Trouble.OTHER.error(detail)
    if code == sqlite3.SQLITE_IOERR_SHMSIZE:  # the index of the log does not fit on the disk any more
        return Trouble.FULL.error(detail)
    return _TROUBLES.get(code & 0xFF, Trouble.OTHER).error(detail)
