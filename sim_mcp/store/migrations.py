"""Migrations: numbered SQL files, each applied once, in its own transaction, and never altered again.

A file may say `-- runs with: 7`: programs that know schema 7 or a newer one also run on the schema that the
file makes. So replicas are upgraded one after the other: what a migration adds may be absent from what older
programs write, and what nothing needs any more is dropped a release later. Without it they are refused.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sim_mcp.model.errors import StoreUnavailable
from sim_mcp.store import columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sim_mcp.model.clock import Clock
    from sim_mcp.store.database import Database, Statements

DIRECTORY = Path(__file__).parent / "migrations"
_RUNS_WITH = re.compile(r"^-- runs with: (\d+)$", re.MULTILINE)
_ONLY_ON = re.compile(r"^-- only on: (\w+)$")
_FILE_NAME = re.compile(r"(\d{4})_(\w+)\.sql")

_CREATE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
  version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL
)
"""


class SchemaMismatch(StoreUnavailable):
    """The database's tables are not the ones this program was written for."""

    retryable = False


class Statement(NamedTuple):
    """One statement of a migration, and the only kind of database that it is for; `None`: for all."""

    sql: str
    only_on: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step. `checksum` is of the file's text, whatever its line ends.

    Programs that know at least schema `runs_with` may use the result.
    """

    version: int
    name: str
    checksum: str
    statements: tuple[Statement, ...]
    runs_with: int | None = None

    @classmethod
    def parse(cls, file_name: str, content: str) -> Migration:
        """The migration in a file. A statement ends with `;` at the end of a line; `--` lines are comments.

        One that follows `-- only on: sqlite` (or `postgresql`) is for that kind of database only.

        Raises:
            ValueError: for a file name that is not `0001_words.sql`.
        """
        match = _FILE_NAME.fullmatch(file_name)
        if match is None:
            raise ValueError(f"{file_name!r} is no migration's name")
        lines = content.replace("\r\n", "\n").split("\n")
        runs_with = _RUNS_WITH.search("\n".join(lines))
        return cls(
            version=int(match[1]),
            name=match[2],
            checksum=hashlib.sha256("\n".join(lines).encode()).hexdigest(),
            statements=tuple(_statements(lines)),
            runs_with=int(runs_with[1]) if runs_with else None,
        )


def load_migrations(directory: Path = DIRECTORY) -> tuple[Migration, ...]:
    """The program's migrations, oldest first."""
    files = sorted(directory.glob("*.sql"))
    return tuple(Migration.parse(file.name, file.read_text(encoding="utf-8")) for file in files)


async def upgrade(
    database: Database, *, clock: Clock, migrations: Sequence[Migration] | None = None
) -> tuple[int, ...]:
    """Apply what is missing, in order; return the versions applied. Safe for many openers at once.

    Raises:
        SchemaMismatch: when the database is too new for this program, or a migration was altered
            after it had been applied. Nothing is changed then.
    """
    known = load_migrations() if migrations is None else migrations
    applied: list[int] = []
    # Looking first costs no lock: an up-to-date database is never written just because it is opened.
    while _missing(await _recorded(database), known):
        async with database.transaction() as transaction:
            await transaction.execute(_CREATE)
            # Asked again inside: another opener may have been quicker.
            missing = _missing(await _read(transaction), known)
            if not missing:
                continue
            await _apply(transaction, missing[0], clock, kind=database.kind)
        applied.append(missing[0].version)
    return tuple(applied)


async def verify(database: Database, *, migrations: Sequence[Migration] | None = None) -> None:
    """Return when the database is up to date, or newer and made for this program too. Changes nothing.

    Raises:
        SchemaMismatch: when it is not.
    """
    known = load_migrations() if migrations is None else migrations
    missing = _missing(await _recorded(database), known)
    if missing:
        raise SchemaMismatch(
            f"The database is not up to date ({len(missing)} migrations are missing):"
            " run `sim-mcp db upgrade`."
        )


class _Recorded(NamedTuple):
    """An applied migration, as the database tells."""

    checksum: str
    runs_with: int | None


def _statements(lines: Iterable[str]) -> Iterator[Statement]:
    code: list[str] = []
    only_on: str | None = None
    for line in (line.rstrip() for line in lines):
        if line.lstrip().startswith("--"):
            marked = _ONLY_ON.match(line)
            only_on = marked[1] if marked else only_on
        elif line:
            code.append(line)
            if line.endswith(";"):
                yield Statement("\n".join(code).removesuffix(";"), only_on)
                code, only_on = [], None
    if code:
        yield Statement("\n".join(code), only_on)


async def _apply(transaction: Statements, migration: Migration, clock: Clock, *, kind: str) -> None:
    for statement in migration.statements:
        if statement.only_on in {None, kind}:
            await transaction.execute(statement.sql)
    await transaction.execute(
        "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (?, ?, ?, ?)",
        [migration.version, migration.name, migration.checksum, columns.micros(clock.now())],
    )
    if migration.runs_with is not None:
        await transaction.execute(
            "UPDATE schema_migrations SET runs_with = ? WHERE version = ?",
            [migration.runs_with, migration.version],
        )


async def _recorded(database: Database) -> dict[int, _Recorded]:
    return await _read(database) if await database.has_table("schema_migrations") else {}


async def _read(statements: Statements) -> dict[int, _Recorded]:
    # Every column: tables from before migration 4 lack the last one.
    rows = await statements.fetch_all("SELECT * FROM schema_migrations ORDER BY version")
    return {
        columns.whole(row, "version"): _Recorded(
            columns.text(row, "checksum"),
            columns.maybe_whole(row, "runs_with") if "runs_with" in row.keys() else None,  # noqa: SIM118 - rows of sqlite3 iterate over values
        )
        for row in rows
    }


def _missing(recorded: dict[int, _Recorded], known: Sequence[Migration]) -> list[Migration]:
    newest = known[-1].version if known else 0
    newer = [each for version, each in recorded.items() if version > newest]
    if any(each.runs_with is None or each.runs_with > newest for each in newer):
        raise SchemaMismatch(
            f"The database was written by a newer sim-mcp (schema {max(recorded)}, this one knows {newest}):"
            " upgrade sim-mcp."
        )
    for migration in known:
        found = recorded.get(migration.version)
        if found is not None and found.checksum != migration.checksum:
            raise SchemaMismatch(
                f"Migration {migration.version} ({migration.name}) differs from what this database"
                " was made with: install the release that made it, or restore the file."
            )
    return [migration for migration in known if migration.version not in recorded]
