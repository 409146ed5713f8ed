"""When two values are one to JSON Schema: 1 and 1.0 are, 1 and true are not. Every step is counted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sim_mcp.catalog.work import CHARACTERS_PER_STEP
from sim_mcp.model.json import Json, is_array, is_object

if TYPE_CHECKING:
    from sim_mcp.catalog.work import Work


def is_same(one: Json, other: Json, work: Work) -> bool:
    """Whether both are the same value.

    Raises:
        OutOfWork: they are larger than there is work left.
    """
    work.spend(1)
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if is_object(one):
        return (
            is_object(other)
            and len(one) == len(other)
            and all(key in other and is_same(each, other[key], work) for key, each in one.items())
        )
    if is_array(one):
        return (
            is_array(other)
            and len(one) == len(other)
            and all(is_same(each, its, work) for each, its in zip(one, other, strict=True))
        )
    return one == other


def has_twins(values: list[Json], work: Work) -> bool:
    """Whether any value occurs twice, in linear time: by one text for each value.

    Texts, because their hashes cannot be foretold; numbers could be chosen to fall on one another.

    Raises:
        OutOfWork: they are larger than there is work left.
    """
    seen: set[str] = set()
    for value in values:
        text = json.dumps(_normal(value, work), sort_keys=True)
        if text in seen:
            return True
        seen.add(text)
    return False


def _normal(value: Json, work: Work) -> Json:
    work.spend(2)
    if isinstance(value, str):
        work.spend(len(value) // CHARACTERS_PER_STEP)
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if is_object(value):
        return {key: _normal(each, work) for key, each in value.items()}
    return [_normal(each, work) for each in value] if is_array(value) else value
