"""How large arguments are as JSON text, found without writing them all out at once."""

from __future__ import annotations

from json.encoder import encode_basestring
from math import isfinite
from typing import TYPE_CHECKING

from sim_mcp.catalog.work import CHARACTERS_PER_STEP
from sim_mcp.model.json import Json, JsonObject, is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sim_mcp.catalog.work import Work

_ITEMS_PER_STEP = 4
_BETWEEN = 2
"""`, ` and `: ` have two characters each, as have the brackets."""


class TooDeep(Exception):
    """Arrays and objects stand deeper in each other than they may."""


def json_bytes(value: JsonObject, work: Work, *, depth_at_most: int) -> int:
    """The bytes that `json.dumps(value, ensure_ascii=False)` has in UTF-8.

    Raises:
        TooDeep: nested deeper than `depth_at_most`.
        ValueError: it is no JSON: NaN, an infinity, half a surrogate pair, an endless number.
        OutOfWork: it is larger than there is work left.
    """
    size = 0
    waiting: list[tuple[Json, int]] = [(value, 1)]
    while waiting:
        container, depth = waiting.pop()
        if depth > depth_at_most:
            raise TooDeep
        items: Iterable[Json] = ()
        count = 0
        if is_object(container):
            items, count = container.values(), len(container)
            size += sum(_text_bytes(key, work) + _BETWEEN for key in container)
        elif is_array(container):
            items, count = container, len(container)
        work.spend(1 + count // _ITEMS_PER_STEP)
        size += _BETWEEN * max(1, count)
        for each in items:
            if is_object(each) or is_array(each):
                waiting.append((each, depth + 1))
            else:
                size += _scalar_bytes(each, work)
    return size


def _scalar_bytes(value: Json, work: Work) -> int:
    if isinstance(value, str):
        return _text_bytes(value, work)
    if value is None or value is True:
        return 4
    if value is False:
        return 5
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("no finite number")
    return len(repr(value))


def _text_bytes(text: str, work: Work) -> int:
    work.spend(len(text) // CHARACTERS_PER_STEP)
    return len(encode_basestring(text).encode())
