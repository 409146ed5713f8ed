"""Moving an embedded database to PostgreSQL: every table, whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.model.errors import Conflict
from sim_mcp.store import columns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sim_mcp.store.database import Database, Row, Statements, Value

TABLES = (
    "counters",
    "changes",
    "integration_revisions",
    "allow_list",
    "allow_list_versions",
    "tokens",
    "setup_links",
    "executions",
    "execution_totals",
    "spent_tickets",
    "tasks",
    "sim_budget",
    "event_mappings",
    "events",
    "event_senders",
    "schedules",
    "jobs",
    "workers",
    "tool_locks",
    "tool_secrets",
    "audit_links",
    "audit_anchors",
    "audit_keys",
)
"""All tables but the record of migrations. A test holds the list against the schema."""
_SEEDED = ("counters", "sim_budget")
"""Tables in which a migration puts rows: those of the source take their place."""
_BATCH = 200
_UNCOUNTED = "ALTER TABLE executions DISABLE TRIGGER USER"
"""While its rows are copied: their totals come with them, as a table of its own."""
_COUNTED = "ALTER TABLE executions ENABLE TRIGGER USER"
_COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = ? ORDER BY ordinal_position
"""


async def copy_all(
    source: Database, target: Database, *, tell: Callable[[str, int], None] | None = None
) -> dict[str, int]:
    """Copy every table of `source` (SQLite) into `target` (PostgreSQL, empty); how many rows each has.

    One transaction of the target: a failure leaves it as it was. The source is only read. `tell` hears of
    each table once it is copied. The counts are those of the target, compared with the source's at the end.

    Raises:
        Conflict: the target is not empty, or the source changed meanwhile; nothing was copied.
        StoreUnavailable: one of them cannot be read or written; nothing was copied.
    """
    copied: dict[str, int] = {}
    async with target.transaction() as transaction:
        for table in TABLES:
            if table in _SEEDED:
                await transaction.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
            elif await _count(transaction, table):
                raise Conflict(
                    f"The table {table} of the target is not empty. Copy into a fresh database; nothing was "
                    "changed."
                )
        await transaction.execute(_UNCOUNTED)
        for table in TABLES:
            copied[table] = await _copy(source, transaction, table)
            if tell is not None:
                tell(table, copied[table])
        await transaction.execute(_COUNTED)
        for table in TABLES:
            if copied[table] != await _count(source, table) or copied[table] != await _count(
                transaction, table
            ):
                raise Conflict(
                    f"The table {table} changed while it was copied: stop every server and copy again. "
                    "Nothing was copied."
                )
    return copied


async def _copy(source: Database, target: Statements, table: str) -> int:
    names = [columns.text(row, "column_name") for row in await target.fetch_all(_COLUMNS, [table])]
    read = f"SELECT rowid AS place, * FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT {_BATCH}"  # noqa: S608 - our own names
    place = copied = 0
    while rows := await source.fetch_all(read, [place]):
        await target.execute(_insert(table, names, len(rows)), _values(rows, names))
        place, copied = columns.whole(rows[-1], "place"), copied + len(rows)
    return copied


def _insert(table: str, names: Sequence[str], count: int) -> str:
    marks = "(" + ", ".join("?" * len(names)) + ")"
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([marks] * count)}"  # noqa: S608 - our own names


def _values(rows: Sequence[Row], names: Sequence[str]) -> list[Value]:
    return [row[name] for row in rows for name in names]


async def _count(statements: Statements, table: str) -> int:
    row = await statements.fetch_one(f"SELECT COUNT(*) AS total FROM {table}")  # noqa: S608 - our own names
    return 0 if row is None else columns.whole(row, "total")
