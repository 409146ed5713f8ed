"""The one place where JSON's shape is spelt out for the type checker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias, TypeGuard

Json: TypeAlias = "str | int | float | bool | Mapping[str, Json] | Sequence[Json] | None"
JsonObject: TypeAlias = "Mapping[str, Json]"


def is_object(value: object) -> TypeGuard[JsonObject]:
    """Whether a *parsed JSON value* is an object (its keys are strings by construction)."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Json]]:
    """Whether a *parsed JSON value* is an array."""
    return isinstance(value, list)


def nests_deeper_than(value: Json, levels: int) -> bool:
    """Whether arrays and objects stand more than `levels` deep in each other; itself without recursion."""
    layer = [value]
    for _ in range(levels + 1):
        layer = [inner for item in layer for inner in _inside(item)]
        if not layer:
            return False
    return True


def _inside(value: Json) -> Iterator[Json]:
    if is_object(value):
        yield from value.values()
    elif is_array(value):
        yield from value
