"""Where SQLite's errors become ours."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import anyio

from sim_mcp.model.errors import Conflict, InvalidInput
from sim_mcp.store.database import Trouble

if TYPE_CHECKING:
    from types import TracebackType

    from sim_mcp.model.errors import SimMcpError

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


class Translated:
    """A block out of which the driver's errors come as ours."""

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


class Unbroken(Translated):
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
