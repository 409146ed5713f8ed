"""How our values look in columns, and back: moments, flags, JSON, text of foreign origin."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sim_mcp.model.errors import InvalidInput
from sim_mcp.store.database import Trouble

if TYPE_CHECKING:
    from sim_mcp.model.json import Json
    from sim_mcp.store.database import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """An aware moment as microseconds since 1970 in UTC: exact, sortable, the same in every dialect.

    Raises:
        ValueError: for a moment without time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("moments are aware datetimes")
    return (moment - _EPOCH) // _MICROSECOND


def maybe_micros(moment: datetime | None) -> int | None:
    """`micros`, or `None` for none."""
    return None if moment is None else micros(moment)


def from_micros(value: int) -> datetime:
    """The moment that `micros` made `value` of."""
    return _EPOCH + timedelta(microseconds=value)


def clean(value: str) -> str:
    """Foreign text made storable: halves of a surrogate pair and NUL become U+FFFD.

    For content only. Keys are never cleaned: two different ids must not become the same.
    """
    if value.isascii():
        return value.replace("\0", "\ufffd")
    # A detour over UTF-16 also joins pairs that arrived as two separate escapes.
    return value.replace("\0", "\ufffd").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def json_text(value: Json) -> str:
    """Compact JSON text, legible (letters are not escaped), storable whatever it holds.

    Raises:
        InvalidInput: when `value` is nested too deeply to be written.
    """
    try:
        return clean(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain))
    except RecursionError as error:
        raise InvalidInput("The value is nested too deeply to be stored: flatten it.") from error


def maybe_json_text(value: Json) -> str | None:
    """`json_text`, but SQL's null for JSON's."""
    return None if value is None else json_text(value)


def _plain(value: object) -> object:
    """What `json` does not know by itself: mappings and sequences that are no dict and no list."""
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # JSON by the caller's type
    if isinstance(value, Sequence):
        return list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # JSON by the caller's type
    raise TypeError(f"{type(value).__name__} is not JSON")


def text(row: Row, column: str) -> str:
    """The text in a column that is never null."""
    value = row[column]
    if not isinstance(value, str):
        raise Trouble.CORRUPT.error(f"column {column} holds no text")
    return value


def maybe_text(row: Row, column: str) -> str | None:
    """The text in a column, if any."""
    return None if row[column] is None else text(row, column)


def whole(row: Row, column: str) -> int:
    """The whole number in a column that is never null."""
    value = row[column]
    if not isinstance(value, int):
        raise Trouble.CORRUPT.error(f"column {column} holds no whole number")
    return value


def maybe_whole(row: Row, column: str) -> int | None:
    """The whole number in a column, if any."""
    return None if row[column] is None else whole(row, column)


def real(row: Row, column: str) -> float:
    """The number in a column that is never null."""
    value = row[column]
    if not isinstance(value, int | float):
        raise Trouble.CORRUPT.error(f"column {column} holds no number")
    return float(value)


def maybe_real(row: Row, column: str) -> float | None:
    """The number in a column, if any."""
    return None if row[column] is None else real(row, column)


def flag(row: Row, column: str) -> bool:
    """The truth value in a column of 0 and 1."""
    return whole(row, column) != 0


def moment(row: Row, column: str) -> datetime:
    """The moment in a column of microseconds, aware, in UTC."""
    return from_micros(whole(row, column))


def maybe_moment(row: Row, column: str) -> datetime | None:
    """The moment in a column, if any."""
    return None if row[column] is None else moment(row, column)


def json_value(row: Row, column: str) -> Json:
    """The JSON in a column; SQL's null is JSON's."""
    stored = maybe_text(row, column)
    if stored is None:
        return None
    try:
        return json.loads(stored)
    except ValueError as error:
        raise Trouble.CORRUPT.error(f"column {column} holds no JSON") from error
