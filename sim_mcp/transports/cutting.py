"""Cuts an output that is too large for a model down to valid JSON that shows its beginning."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sim_mcp.model.json import Json, JsonObject, is_array, is_object


@dataclass(frozen=True, slots=True)
class _Bounds:
    items: int
    characters: int
    depth: int


_BOUNDS = (
    _Bounds(200, 4_000, 12),
    _Bounds(100, 2_000, 10),
    _Bounds(50, 1_000, 8),
    _Bounds(20, 400, 8),
    _Bounds(10, 200, 6),
    _Bounds(5, 100, 4),
    _Bounds(3, 60, 3),
    _Bounds(2, 30, 2),
    _Bounds(1, 20, 1),
)
"""Tried in turn until the preview fits."""

LONGEST_KEY = 100
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
"""Made once: pages ask for the length of every single item."""


def compact(value: Json) -> str:
    """`value` as JSON without blanks."""
    return _COMPACT.encode(value)


def size_bytes(text: str) -> int:
    """The length of `text` in UTF-8; half surrogate pairs count as three bytes."""
    return len(text.encode("utf-8", "surrogatepass"))


def cut(value: Json, *, whole_bytes: int, limit_bytes: int) -> JsonObject:
    """A stand-in for `value` that is itself at most `limit_bytes` of compact JSON (and never below 60).

    Shape: `{"truncated": true, "size_bytes": whole_bytes, "preview": …}`. The preview keeps the
    first items of arrays and objects and the beginning of texts; whatever was left out is counted
    in its place (`"… 997 more items"`).
    """
    for bounds in _BOUNDS:
        shown: JsonObject = {
            "truncated": True,
            "size_bytes": whole_bytes,
            "preview": _shrunk(value, bounds, bounds.depth),
        }
        if size_bytes(compact(shown)) <= limit_bytes:
            return shown
    return {"truncated": True, "size_bytes": whole_bytes, "preview": None}


def is_cut(value: Json) -> bool:
    """Whether `value` stands for an output that was too large even for the store."""
    return is_object(value) and value.get("truncated") is True and "limit_bytes" in value


def _shrunk(value: Json, bounds: _Bounds, depth: int) -> Json:
    if is_object(value):
        return _shrunk_object(value, bounds, depth)
    if is_array(value):
        if depth == 0:
            return f"… {len(value)} items"
        head = [_shrunk(item, bounds, depth - 1) for item in value[: bounds.items]]
        left_out = len(value) - len(head)
        return [*head, f"… {left_out} more items"] if left_out else head
    if isinstance(value, str) and len(value) > bounds.characters:
        return f"{value[: bounds.characters]}… ({len(value)} characters)"
    return value


def _shrunk_object(value: JsonObject, bounds: _Bounds, depth: int) -> Json:
    if depth == 0:
        return f"… {len(value)} fields"
    shown: dict[str, Json] = {}
    for key in list(value)[: bounds.items]:
        shown[key[:LONGEST_KEY]] = _shrunk(value[key], bounds, depth - 1)
    left_out = len(value) - bounds.items
    if left_out > 0:
        shown["…"] = f"{left_out} more fields"
    return shown
