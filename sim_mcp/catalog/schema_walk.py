"""Walks a JSON Schema: its nesting as JSON, its positions as a schema, its references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.catalog.text import shortened
from sim_mcp.model.json import Json, JsonObject, is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_IN_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    "items",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
    "not",
    "if",
    "then",
    "else",
)
_IN_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})
"""Keywords whose subschemas judge the same value again, and so can go round in circles."""
MAX_CHAIN = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One subschema: where it stands, and whether only `properties` lead there from the root.

    `keyword` is that of the schema around it by which it stands there.
    """

    path: str
    schema: JsonObject
    is_plain_property: bool
    is_in_place: bool = False
    keyword: str = ""


def depth_of(value: Json, *, at_most: int) -> int:
    """How deep `value` is nested (a scalar: 0), counted no further than `at_most` + 1."""
    layer, depth = [value], 0
    while True:
        inner: list[Json] = []
        for each in layer:
            if is_object(each):
                inner.extend(each.values())
            elif is_array(each):
                inner.extend(each)
        is_container = any(is_object(each) or is_array(each) for each in layer)
        if not is_container or depth > at_most:
            return depth
        layer, depth = inner, depth + 1


def children(position: Position) -> Iterator[Position]:
    """The subschemas directly inside `position`."""
    for keyword, value in position.schema.items():
        path = f"{position.path}.{shortened(keyword)}"
        is_plain = keyword == "properties" and (position.is_plain_property or position.path == "$")
        inside: Iterator[tuple[str, Json]] = iter(())
        if keyword in _NAMED and is_object(value):
            inside = ((f"{path}.{shortened(name)}", each) for name, each in value.items())
        elif keyword in _IN_LISTS and is_array(value):
            inside = ((f"{path}[{index}]", each) for index, each in enumerate(value))
        elif keyword in _SINGLE:
            inside = iter([(path, value)])
        for at, each in inside:
            if is_object(each):
                yield Position(
                    path=at,
                    schema=each,
                    is_plain_property=is_plain,
                    is_in_place=keyword in _IN_PLACE,
                    keyword=keyword,
                )


def positions(schema: JsonObject) -> Iterator[Position]:
    """Every subschema of `schema`, itself first."""
    waiting = [Position(path="$", schema=schema, is_plain_property=False)]
    while waiting:
        position = waiting.pop()
        yield position
        waiting.extend(children(position))


def strings(value: Json, path: str = "$") -> Iterator[tuple[str, str]]:
    """Every string in `value`, keys included, with its path."""
    waiting: list[tuple[str, Json]] = [(path, value)]
    while waiting:
        at, each = waiting.pop()
        if isinstance(each, str):
            yield at, each
        elif is_object(each):
            for key, inner in each.items():
                yield at, key
                waiting.append((f"{at}.{shortened(key)}", inner))
        elif is_array(each):
            waiting.extend((f"{at}[{index}]", inner) for index, inner in enumerate(each))


def target_of(reference: str, schema: JsonObject) -> JsonObject | None:
    """The subschema of `schema` that a local `reference` (`#` or `#/$defs/name`) points to."""
    if reference == "#":
        return schema
    if not reference.startswith("#/"):
        return None
    found: Json = schema
    for part in reference[2:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if is_object(found) and key in found:
            found = found[key]
        elif is_array(found) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found if is_object(found) else None


def circle_in(schema: JsonObject) -> str | None:
    """The path of a subschema that judges the same value by itself again, if any.

    Validating against such a schema would never end. A chain of more than 64 subschemas that judge
    one value is taken for a circle too. References must resolve.
    """
    heights: dict[int, int] = {}

    def height(position: Position, above: frozenset[int]) -> int:
        key = id(position.schema)
        if key in above or len(above) > MAX_CHAIN:
            raise _Endless(position.path)
        if key not in heights:
            below = (height(each, above | {key}) for each in _judging_the_same_value(position, schema))
            heights[key] = 1 + max(below, default=0)
        if heights[key] > MAX_CHAIN:
            raise _Endless(position.path)
        return heights[key]

    try:
        for position in positions(schema):
            height(position, frozenset())
    except _Endless as found:
        return str(found)
    return None


class _Endless(Exception):
    """Says where a chain goes round in a circle, or on for too long."""


def _judging_the_same_value(position: Position, schema: JsonObject) -> Iterator[Position]:
    yield from (child for child in children(position) if child.is_in_place)
    reference = position.schema.get("$ref")
    target = target_of(reference, schema) if isinstance(reference, str) else None
    if target is not None:
        yield Position(path=position.path, schema=target, is_plain_property=False)
