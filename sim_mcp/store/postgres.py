"""The PostgreSQL driver: a pool of connections, and transactions that go one after the other.

The seam promises that what a transaction has read is still true when it writes. Each transaction therefore
holds one advisory lock of the database while it lasts; single statements carry their guards and need none.
Transactions here are short and few (settings, events, looks). Calls are opened by single statements; what
closes them takes turns only among the closings of one tenant, whose chain it makes longer.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING

import anyio
import asyncpg

from sim_mcp.model.errors import Conflict, InvalidInput
from sim_mcp.store.database import Trouble

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from types import TracebackType

    from sim_mcp.model.errors import SimMcpError
    from sim_mcp.store.database import Row, Then, Transaction, Value

CONNECTIONS = 10
CONNECT_WITHIN_S = 10.0
LOCK_WITHIN_S = 30.0
_TURN = 0x51A_3C9
"""The advisory lock of transactions: any number that nobody else on this database takes."""
_TURN_OF_SOME = 0x51A_3CA
"""The same for transactions that take turns among a few only."""

_BELL = "sim_mcp_changes"

_CUT = asyncpg.exceptions.InternalClientError
"""The driver's own confusion about a connection that was cut in the middle of a statement."""
_GONE = (asyncpg.PostgresError, asyncpg.InterfaceError, _CUT, OSError)
_MARK = re.compile(r"'[^']*'|\?")
_HAS_TABLE = """
SELECT 1 AS found FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = ?
"""
_COUNT = re.compile(r"(?:INSERT \d+|UPDATE|DELETE|SELECT) (\d+)")


async def open_postgres(url: str, *, may_write: bool = True) -> PostgresDatabase:
    """The database at `url`.

    Raises:
        StoreUnavailable: it cannot be reached, or does not let us in. The URL is in no message.
    """
    settings = {"application_name": "sim-mcp", "lock_timeout": f"{LOCK_WITHIN_S:.0f}s"}
    if not may_write:
        settings["default_transaction_read_only"] = "on"
    with _Translated():
        pool = await asyncpg.create_pool(
            url, min_size=1, max_size=CONNECTIONS, timeout=CONNECT_WITHIN_S, server_settings=settings
        )
    return PostgresDatabase(pool, lambda: asyncpg.connect(url, timeout=CONNECT_WITHIN_S))


class PostgresDatabase:
    """An open PostgreSQL database. Use `open_postgres`."""

    kind = "postgresql"

    def __init__(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        connect: Callable[[], Awaitable[asyncpg.Connection[asyncpg.Record]]],
    ) -> None:
        self._pool = pool
        self._connect = connect
        self._ear: asyncpg.Connection[asyncpg.Record] | None = None
        """A connection beside the pool, that only listens."""
        self._heard = anyio.Event()
        self._is_open = True

    async def fetch_all(self, sql: str, parameters: Sequence[Value] = ()) -> Sequence[Row]:
        """Every row that `sql` yields."""
        with _Translated():
            return await self._opened().fetch(_numbered(sql), *parameters)

    async def fetch_one(self, sql: str, parameters: Sequence[Value] = ()) -> Row | None:
        """The first row that `sql` yields."""
        with _Translated():
            return await self._opened().fetchrow(_numbered(sql), *parameters)

    async def execute(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        """Run one writing statement as its own transaction; return how many rows it touched."""
        status = ""
        with _Translated(), anyio.CancelScope(shield=True):  # once sent it happens, so its end is awaited
            status = await self._opened().execute(_numbered(sql), *parameters)
        return _count(status)

    async def change(
        self, sql: str, parameters: Sequence[Value] = (), *, then: Then | None = None, turn: str | None = None
    ) -> Row | None:
        """Run a writing statement that returns rows, and what `then` makes of the first: all or nothing."""
        row: Row | None = None
        with _Translated(), anyio.CancelScope(shield=True):
            if then is None:
                return await self._opened().fetchrow(_numbered(sql), *parameters)
            async with self.transaction(turn=turn) as transaction:
                row = await transaction.fetch_one(sql, parameters)
                more = None if row is None else then(row)
                if more is not None:
                    await transaction.execute(*more)
        return row

    @asynccontextmanager
    async def transaction(self, *, turn: str | None = None) -> AsyncGenerator[Transaction]:
        """Commit on a clean exit; roll back on an error or a cancellation."""
        with _Translated():
            connection = await self._opened().acquire()
        try:
            began = connection.transaction()
            with _Translated(), anyio.CancelScope(shield=True):
                await began.start()
            try:
                with _Translated():
                    if turn is None:
                        await connection.execute("SELECT pg_advisory_xact_lock($1)", _TURN)
                    else:
                        await connection.execute(
                            "SELECT pg_advisory_xact_lock($1, hashtext($2))", _TURN_OF_SOME, turn
                        )
                yield _Transaction(connection)
                with _Translated(), anyio.CancelScope(shield=True):
                    await began.commit()
            except BaseException:
                # A rollback that fails must not hide why there was one.
                with (
                    anyio.CancelScope(shield=True),
                    suppress(*_GONE),
                ):
                    await began.rollback()
                raise
        finally:
            with (
                anyio.CancelScope(shield=True),
                suppress(*_GONE),
            ):
                await self._pool.release(connection)

    async def rung(self) -> None:
        """Return when any process has rung since this was last asked. One task at a time may ask."""
        self._opened()
        if self._ear is None or self._ear.is_closed():
            with _Translated():
                ear = await self._connect()
                await ear.add_listener(_BELL, self._hear)
                self._ear = ear
            return  # what was rung before it listened is to be looked up
        await self._heard.wait()
        self._heard = anyio.Event()

    def member(self, column: str, name: str) -> str:
        """SQL for the text under `name` in the JSON object that `column` holds."""
        return f"({column}::json ->> '{name}')"

    async def has_table(self, name: str) -> bool:
        """Whether a table of that name exists."""
        return await self.fetch_one(_HAS_TABLE, [name]) is not None

    async def shrink(self) -> None:
        """Nothing: autovacuum does it."""

    async def close(self) -> None:
        """Let running statements end, then close every connection."""
        self._is_open = False
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(CONNECT_WITHIN_S) as late:
                with suppress(*_GONE):
                    if self._ear is not None:
                        await self._ear.close()
                    await self._pool.close()
            if late.cancelled_caught:
                self._pool.terminate()

    def _hear(self, *_: object) -> None:
        self._heard.set()

    def _opened(self) -> asyncpg.Pool[asyncpg.Record]:
        if not self._is_open:
            raise Trouble.CLOSED.error("used after close")
        return self._pool


class _Transaction:
    """One connection, while a transaction is open on it."""

    def __init__(self, connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]) -> None:
        self._connection = connection

    async def fetch_all(self, sql: str, parameters: Sequence[Value] = ()) -> Sequence[Row]:
        """Every row that `sql` yields, the transaction's own changes included."""
        with _Translated():
            return await self._connection.fetch(_numbered(sql), *parameters)

    async def fetch_one(self, sql: str, parameters: Sequence[Value] = ()) -> Row | None:
        """The first row that `sql` yields."""
        with _Translated():
            return await self._connection.fetchrow(_numbered(sql), *parameters)

    async def execute(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        """Run one statement; return how many rows it touched."""
        with _Translated():
            return _count(await self._connection.execute(_numbered(sql), *parameters))

    async def ring(self) -> None:
        """Wake whoever waits in `rung`, once this transaction is committed."""
        await self.execute(f"NOTIFY {_BELL}")


@lru_cache(maxsize=1000)
def _numbered(sql: str) -> str:
    """`?` as `$1`, `$2` …, but not inside of quoted text."""
    parts: list[str] = []
    end = number = 0
    for match in _MARK.finditer(sql):
        if match[0] == "?":
            number += 1
            parts += [sql[end : match.start()], f"${number}"]
            end = match.end()
    return "".join([*parts, sql[end:]])


def _count(status: str) -> int:
    match = _COUNT.fullmatch(status)
    return int(match[1]) if match else 0


class _Translated:
    """The edge where the driver's errors become ours."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
            raise _our(error) from error
        if isinstance(error, OSError | TimeoutError | _CUT):
            raise Trouble.UNREACHABLE.error(type(error).__name__) from error
        if isinstance(error, UnicodeEncodeError | OverflowError):
            raise InvalidInput(
                "A value is not valid text or too large a number: correct it and call again."
            ) from error


def _our(error: asyncpg.PostgresError | asyncpg.InterfaceError) -> SimMcpError:
    name = type(error).__name__
    match error:
        case asyncpg.UniqueViolationError():
            detail = f"{name}: {error.constraint_name}"
            return Conflict("Something with the same id exists already: call again.", detail=detail)
        case asyncpg.DataError() | asyncpg.exceptions.CharacterNotInRepertoireError():
            return InvalidInput("A value is not valid text or too large a number: correct it and call again.")
        case (
            asyncpg.SerializationError()
            | asyncpg.DeadlockDetectedError()
            | asyncpg.LockNotAvailableError()
            | asyncpg.InvalidCachedStatementError()  # the tables were upgraded while we were connected
            | asyncpg.TooManyConnectionsError()
        ):
            return Trouble.LOCKED.error(name)
        case asyncpg.DiskFullError():
            return Trouble.FULL.error(name)
        case asyncpg.ReadOnlySQLTransactionError() | asyncpg.InsufficientPrivilegeError():
            return Trouble.READ_ONLY.error(name)
        case asyncpg.DataCorruptedError() | asyncpg.IndexCorruptedError():
            return Trouble.CORRUPT.error(name)
        case (
            asyncpg.PostgresConnectionError()
            | asyncpg.InvalidAuthorizationSpecificationError()
            | asyncpg.InvalidCatalogNameError()
            | asyncpg.AdminShutdownError()
            | asyncpg.CannotConnectNowError()
            | asyncpg.InterfaceError()
        ):
            return Trouble.UNREACHABLE.error(name)
        case _:
            return Trouble.OTHER.error(f"{name}: {error}")
