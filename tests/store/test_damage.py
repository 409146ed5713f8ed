"""Rows that hold what we never write: an error that operators understand, never a crash or a guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pytest

from sim_mcp.model.errors import StoreUnavailable
from sim_mcp.store import Outcome, Store
from sim_mcp.store.columns import flag, json_text, micros, moment, real, text
from sim_mcp.store.database import Row, Value
from tests.store.rows import ACME, START, after, execution, opened_rows

pytestmark = pytest.mark.anyio

DAMAGED = "restore it from a backup"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("input", "{not json"),
        ("error", "[]"),
        ("error", '{"code": "NO_SUCH_CODE"}'),
        ("mode", "no such mode"),
        ("triggered_by", "nobody at all"),
    ],
)
async def test_a_damaged_execution_is_told_as_damage(store: Store, column: str, value: Value) -> None:
    """The client hears of the database, the log hears of the column."""
    await opened_rows(store, execution("x1"))
    statement = "UPDATE executions SET column = ?".replace("column", column)
    await store.database.execute(statement, [value])
    with pytest.raises(StoreUnavailable, match=DAMAGED) as caught:
        await store.executions.get(ACME, None, "x1")
    assert caught.value.detail


@pytest.mark.parametrize("read", [text, real, flag, moment])
def test_a_column_of_the_wrong_kind_is_damage(read: object) -> None:
    """Each kind of column is checked when it is read."""
    assert callable(read)
    row: Mapping[str, Value] = {"x": None}
    with pytest.raises(StoreUnavailable, match=DAMAGED):
        read(row, "x")


async def test_a_stored_spec_that_is_no_object_is_damage(store: Store) -> None:
    """Nothing is guessed about what a tool might have been."""
    await store.tools.put(ACME, "a", {}, changed_by="ada")
    await store.database.execute("UPDATE allow_list SET spec = '[]'")
    with pytest.raises(StoreUnavailable, match=DAMAGED):
        await store.tools.entries(ACME)


async def test_a_missing_counter_is_damage(store: Store) -> None:
    """Without it no process would notice a change, so nothing is changed."""
    await store.database.execute("DELETE FROM counters")
    with pytest.raises(StoreUnavailable, match=DAMAGED):
        await store.changes.latest()
    with pytest.raises(StoreUnavailable, match=DAMAGED):
        await store.tools.put(ACME, "a", {}, changed_by="ada")
    assert await store.tools.entries(ACME) == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE executions SET status = 'lost'",
        "UPDATE executions SET status = 'failed'",
        "UPDATE executions SET finished_at = 1",
    ],
)
async def test_the_tables_themselves_refuse_what_cannot_be(store: Store, statement: str) -> None:
    """An unknown status, a final row without an end, an unfinished one with an end."""
    await opened_rows(store, execution("x1"))
    with pytest.raises(StoreUnavailable):
        await store.database.execute(statement)


def test_moments_without_time_zone_are_a_mistake() -> None:
    """They would silently be hours off."""
    with pytest.raises(ValueError, match="aware"):
        micros(START.replace(tzinfo=None))
    assert micros(after(0.000001)) - micros(START) == 1


def test_json_of_any_mapping_and_sequence_is_written() -> None:
    """Read-only mappings and tuples are JSON too; other things are a mistake."""

    class Pair(Sequence[int]):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, place: object) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]  # enough for a list
            return [7, 8][place] if isinstance(place, int) else 0

    assert json_text({"a": MappingProxyType({"b": Pair()})}) == '{"a":{"b":[7,8]}}'
    with pytest.raises(TypeError, match="not JSON"):
        json_text(Outcome())  # pyright: ignore[reportArgumentType]  # the mistake under test


def test_a_row_is_anything_with_columns() -> None:
    """The seam asks for no more than reading by name."""
    row: Row = {"x": "y"}
    assert text(row, "x") == "y"
