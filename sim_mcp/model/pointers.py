"""JSON pointers (RFC 6901) into an output: written, read, followed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sim_mcp.model.errors import Fault, InvalidInput
from sim_mcp.model.json import Json, is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_POINTER = 2_000
"""In characters. What lies deeper is read as a part of what stands above it, or in the whole resource."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_STRAY = re.compile(r"~(?![01])")
_MOST_NAMED = 5
_LONGEST_QUOTE = 60


def below(pointer: str, key: str | int) -> str:
    """The pointer to the member `key` of what is at `pointer`."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def at_pointer(value: Json, pointer: str) -> Json:
    """What is at `pointer` in `value`; the empty pointer is all of it.

    Raises:
        InvalidInput: It is no pointer, or nothing is there: what is there instead is told.
    """
    walked = ""
    for token in _tokens(pointer):
        value = _member(value, token, walked)
        walked = below(walked, token)
    return value


def wrong(field: str, message: str) -> InvalidInput:
    """The refusal of one field of a selection."""
    return InvalidInput(f"{field} {message}.", faults=(Fault(f"$.{field}", message),))


def _tokens(pointer: str) -> Sequence[str]:
    if len(pointer) > LONGEST_POINTER:
        raise wrong("path", f"may have at most {LONGEST_POINTER} characters; select something further up")
    if pointer and not pointer.startswith("/"):
        raise wrong("path", "must be empty (the whole output) or begin with '/', as in '/rows/0'")
    if _STRAY.search(pointer):
        raise wrong("path", "must write '~' in a name as '~0' and '/' as '~1'")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _member(value: Json, token: str, walked: str) -> Json:
    if is_object(value):
        if token in value:
            return value[token]
        raise _absent(token, walked, f"has {_names(list(value))}")
    if is_array(value):
        if _INDEX.fullmatch(token) and int(token) < len(value):
            return value[int(token)]
        last = f"items 0 to {len(value) - 1}" if value else "no items"
        raise _absent(token, walked, f"is an array with {last}")
    raise _absent(token, walked, "is null" if value is None else f"is a {kind_of(value)}")


def kind_of(value: Json) -> str:
    """JSON's word for the kind of `value`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if is_array(value) else "object"


def _absent(token: str, walked: str, instead: str) -> InvalidInput:
    where = f"what is at {_short(walked)!r}" if walked else "the output"
    return wrong("path", f"leads nowhere: {where} {instead}, and no {_short(token)!r}")


def _names(names: Sequence[str]) -> str:
    if not names:
        return "no fields"
    shown = ", ".join(repr(_short(name)) for name in names[:_MOST_NAMED])
    more = len(names) - _MOST_NAMED
    return f"the fields {shown}" + (f" and {more} more" if more > 0 else "")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"
