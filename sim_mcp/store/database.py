"""The driver seam: what the room's classes may ask of a database, and what a broken one is called.

SQL above this seam is written once, in the subset that SQLite and PostgreSQL share: `?` marks
parameters, moments are `BIGINT` microseconds, JSON and sealed keys are `TEXT`, flags are 0 and 1.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from sim_mcp.model.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

Value: TypeAlias = "str | int | float | None"
"""What a column may hold."""
Then: TypeAlias = "Callable[[Row], tuple[str, Sequence[Value]] | None]"
"""What else to say after a change, by the row that it returned."""


class Row(Protocol):
    """One row of an answer, read by column name."""

    def __getitem__(self, column: str, /) -> Value:
        """The value of `column`."""
        ...

    def keys(self) -> Iterable[str]:
        """The names of the columns."""
        ...


class Statements(Protocol):
    """Something that SQL can be said to: the database itself, or one open transaction.

    Every method raises `StoreUnavailable` when the database fails, `Conflict` when a row with the
    same unique key exists, and `InvalidInput` for values that no database can hold.
    """

    async def fetch_all(self, sql: str, parameters: Sequence[Value] = ()) -> Sequence[Row]:
        """Every row that `sql` yields. Outside a transaction `sql` must only read."""
        ...

    async def fetch_one(self, sql: str, parameters: Sequence[Value] = ()) -> Row | None:
        """The first row that `sql` yields. Outside a transaction `sql` must only read."""
        ...

    async def execute(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        """Run one writing statement; return how many rows it touched.

        Outside a transaction it is its own: durable on return. A cancellation is delivered only
        after it ended, so that nobody is left wondering whether it happened.
        """
        ...


class Transaction(Statements, Protocol):
    """What is said in here happens wholly or not at all. It begins with the first statement."""

    async def ring(self) -> None:
        """Once this is committed, wake whoever waits in `Database.rung`, in any process."""
        ...


class Database(Statements, Protocol):
    """An open database. Safe to share among all tasks of one event loop."""

    @property
    def kind(self) -> str:
        """`sqlite` or `postgresql`, as migrations name it."""
        ...

    async def change(
        self, sql: str, parameters: Sequence[Value] = (), *, then: Then | None = None, turn: str | None = None
    ) -> Row | None:
        """Run one statement that writes and ends with `RETURNING`, as its own transaction; its first row.

        `then` is told that row and may name another statement for the same transaction. It may run in any
        thread: it must only compute. `turn` as for `transaction`. A cancellation is delivered after the end.
        """
        ...

    def transaction(self, *, turn: str | None = None) -> AbstractAsyncContextManager[Transaction]:
        """Everything said inside commits on a clean exit; an error or a cancellation undoes it all.

        Writers wait for each other, so a value read inside is still true when it is written back. With
        `turn` they may wait only for those of the same turn. Must not be nested.
        """
        ...

    async def rung(self) -> None:
        """Return when somebody rang since this was last asked; never, where a database cannot tell.

        A ring may get lost with a connection, so whoever waits here also looks by himself now and then.
        """
        ...

    def member(self, column: str, name: str) -> str:
        """SQL for the text under `name` in the JSON object that `column` holds; both our own words."""
        ...

    async def has_table(self, name: str) -> bool:
        """Whether a table of that name exists. Creates nothing."""
        ...

    async def shrink(self) -> None:
        """Give freed space back to the system, a little at a time; nothing where that goes by itself."""
        ...

    async def close(self) -> None:
        """Finish what is running and let go of every connection. Idempotent, not cancellable."""
        ...


class Trouble(StrEnum):
    """The ways in which a database fails, each with the sentence that clients and operators read."""

    LOCKED = "The database is busy with another writer: try again in a moment."
    FULL = "The disk of the database is full: free some space, then try again."
    DISK = "The disk of the database failed: see whether it is full, limited or damaged, then try again."
    CORRUPT = "The database file is damaged or is no database: restore it from a backup."
    READ_ONLY = "The database cannot be written: give the server write access to its file and directory."
    UNREACHABLE = "The database cannot be opened: check SIM_MCP_DATABASE_URL and the rights on its directory."
    CLOSED = "The database is closed: the server is shutting down."
    OUTDATED = "The SQLite library is too old: install a Python built with SQLite 3.35 or newer."
    OTHER = "The database failed: see the server's log, and run `sim-mcp doctor`."

    def error(self, detail: str) -> StoreUnavailable:
        """This trouble as an error; `detail` is for the log only."""
        retry_after_s = 1.0 if self is Trouble.LOCKED else None
        return StoreUnavailable(self.value, retry_after_s=retry_after_s, detail=detail)
