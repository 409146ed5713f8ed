"""What a schema costs before any value is known: the steps to judge one value, at the least lucky.

A schema of a few lines can ask for a billion rules by naming the same subschema twice, thirty levels
deep. Each call would run out of steps, so such a tool is never listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from sim_mcp.catalog.patterns import judged
from sim_mcp.catalog.schema_walk import Position, children, positions, target_of
from sim_mcp.model.json import Json, is_array, is_object

if TYPE_CHECKING:
    from sim_mcp.model.json import JsonObject

MAX_STEPS_PER_VALUE = 5_000
"""Of one subschema and all others that judge the same value with it."""
_USUAL_TEXT = 32
"""The length of the text by which patterns are compared."""
_MANY = 1_000_000_000


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """The rule that makes a subschema too expensive."""

    path: str
    keyword: str
    steps: int


def excess_in(schema: JsonObject) -> Excess | None:
    """The innermost subschema that costs more than `MAX_STEPS_PER_VALUE`, and its dearest rule.

    The schema must be admissible otherwise: its references resolve, and none goes round in a circle.
    """
    known: dict[int, int] = {}

    def price(position: Position) -> int:
        key = id(position.schema)
        if key not in known:
            known[key] = min(_MANY, 1 + sum(rules(position).values()))
            if known[key] > MAX_STEPS_PER_VALUE:
                dearest = max(rules(position).items(), key=lambda rule: rule[1])
                raise _TooDear(Excess(path=position.path, keyword=dearest[0], steps=known[key]))
        return known[key]

    def rules(position: Position) -> dict[str, int]:
        prices = {keyword: _own_price(keyword, rule) for keyword, rule in position.schema.items()}
        looks = 1 + 2 * sum(keyword in prices for keyword in ("unevaluatedProperties", "unevaluatedItems"))
        for child in children(position):
            if child.is_in_place:
                prices[child.keyword] += looks * price(child)
        reference = position.schema.get("$ref")
        target = target_of(reference, schema) if isinstance(reference, str) else None
        if target is not None:
            at = Position(path=position.path, schema=target, is_plain_property=False)
            prices["$ref"] += looks * price(at)
        return prices

    try:
        for position in positions(schema):
            price(position)
    except _TooDear as found:
        return found.excess
    return None


class _TooDear(Exception):
    def __init__(self, excess: Excess) -> None:
        super().__init__()
        self.excess = excess


def _own_price(keyword: str, rule: Json) -> int:
    """The steps of one rule, without the subschemas that it names."""
    if keyword == "pattern" and isinstance(rule, str):
        return 1 + _trial_price(rule)
    if keyword == "patternProperties" and is_object(rule):
        return 1 + sum(_trial_price(pattern) for pattern in rule)
    if keyword == "enum" and is_array(rule):
        return 1 + _nodes(rule)
    if keyword == "const":
        return 1 + _nodes([rule])
    return 1 + (len(rule) // 16 if is_object(rule) or is_array(rule) else 0)


def _trial_price(pattern: str) -> int:
    found = judged(pattern)
    return found.price(min(_USUAL_TEXT, found.limit)) + found.effort // 16


def _nodes(values: list[Json]) -> int:
    count, waiting = 0, [*values]
    while waiting:
        each = waiting.pop()
        count += 1
        waiting.extend(each.values() if is_object(each) else each if is_array(each) else ())
    return count
