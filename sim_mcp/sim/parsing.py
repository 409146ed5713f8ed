"""Bytes to JSON, with bounds: what SIM (or whoever answers in its place) sends is not trusted."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import NoReturn

from sim_mcp.model.json import Json, JsonObject, is_array, is_object

MAX_DEPTH = 100
"""Deeper nesting is refused: everything behind us walks the value recursively."""

MAX_RETRY_AFTER_S = 3600.0

_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_json(raw: bytes) -> Json:
    """The JSON value in `raw`.

    Raises:
        ValueError: It is no JSON, not UTF-8, nested deeper than `MAX_DEPTH`, or has numbers that JSON
            does not know (`NaN`).
    """
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _depth(raw) > MAX_DEPTH:
        raise ValueError("JSON nested too deeply")
    try:
        value: Json = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error
    if rb"\ud" in raw.lower():
        value = map_strings(value, _mended)
    return value


def _finite(text: str) -> float | str:
    """A number too large for a float stays text: infinity could not be written as JSON again."""
    value = float(text)
    return value if math.isfinite(value) else text


def map_strings(value: Json, change: Callable[[str], str]) -> Json:
    """`value` with every string, keys included, put through `change`."""
    if isinstance(value, str):
        return change(value)
    if is_array(value):
        return [map_strings(item, change) for item in value]
    if is_object(value):
        return {change(key): map_strings(item, change) for key, item in value.items()}
    return value


def object_at(value: Json, *keys: str) -> JsonObject:
    """The object found by following `keys`; empty when anything on the way is not an object."""
    for key in keys:
        value = value.get(key) if is_object(value) else None
    return value if is_object(value) else {}


def objects_in(value: Json) -> list[JsonObject]:
    """The objects in an array; nothing when it is no array."""
    return [item for item in value if is_object(item)] if is_array(value) else []


def text_at(source: Mapping[str, Json], key: str) -> str:
    """The text under `key`, or the empty one."""
    value = source.get(key)
    return value if isinstance(value, str) else ""


def whole_at(source: Mapping[str, Json], key: str) -> int | None:
    """The number under `key` rounded to a whole one (SIM sends fractions of milliseconds), or `None`."""
    number = number_at(source, key)
    return None if number is None else round(number)


def number_at(source: Mapping[str, Json], key: str) -> float | None:
    """The finite number under `key`, or `None`; a boolean is no number."""
    value = source.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if isfinite(value) else None


def moment_of(value: Json) -> datetime | None:
    """An ISO 8601 text as an aware moment in UTC; `None` when it is not one."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def retry_after_s(text: str | None, *, now: datetime) -> float | None:
    """Seconds meant by a `Retry-After` header: whole seconds or an HTTP date, clipped to 0 to 3600.

    `None` when the header is missing or unreadable.
    """
    if text is None:
        return None
    text = text.strip()
    if re.fullmatch(r"[+-]?\d{1,12}", text):
        return _clipped(float(text))
    try:
        moment = parsedate_to_datetime(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return _clipped((aware - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


def _clipped(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _depth(raw: bytes) -> int:
    deepest = depth = 0
    for byte in _STRINGS.sub(b"", raw).translate(None, _NOT_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _mended(text: str) -> str:
    """Half a surrogate pair (SIM cuts previews anywhere) cannot be written as UTF-8."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def texts_in(value: Json) -> Sequence[str]:
    """The texts in an array; nothing when it is no array."""
    return [item for item in value if isinstance(item, str)] if is_array(value) else []
