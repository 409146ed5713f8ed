"""The rules of JSON Schema that look at one value alone: its type, its bounds, the values it may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

from sim_mcp.catalog.equality import has_twins, is_same
from sim_mcp.model.json import Json, JsonObject, is_array, is_object

if TYPE_CHECKING:
    from sim_mcp.catalog.work import Work


def is_broken(keyword: str, rule: Json, value: Json, work: Work) -> bool:
    """Whether `value` breaks `rule`; an unknown `keyword` is a remark, which nothing breaks.

    Raises:
        OutOfWork: there is no verdict.
        OverflowError: a number is beyond any float.
    """
    if (bound := _NUMBERS.get(keyword)) is not None:
        return _is_number(value) and _is_number(rule) and bound(value, rule)
    if (count := _COUNTS.get(keyword)) is not None:
        kind, breaks = count
        sized = len(value) if isinstance(value, kind) else None
        return sized is not None and _is_number(rule) and breaks(sized, rule)
    match keyword:
        case "type":
            names = rule if is_array(rule) else [rule]
            return not any(_is_of_type(value, name) for name in names)
        case "enum":
            return is_array(rule) and not any(is_same(each, value, work) for each in rule)
        case "const":
            return not is_same(rule, value, work)
        case "uniqueItems":
            return rule is True and is_array(value) and has_twins(value, work)
        case "dependentRequired":
            return is_object(value) and is_object(rule) and _lacks_a_dependent(rule, value, work)
        case _:
            return False


def _is_number(value: Json) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_of_type(value: Json, name: Json) -> bool:
    match name:
        case "string":
            return isinstance(value, str)
        case "integer":
            return _is_number(value) and (isinstance(value, int) or value.is_integer())
        case "number":
            return _is_number(value)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "object":
            return is_object(value)
        case _:
            return name == "array" and is_array(value)


def _lacks_a_dependent(rule: JsonObject, value: JsonObject, work: Work) -> bool:
    for name, needed in rule.items():
        if name in value and is_array(needed):
            work.spend(1 + len(needed) // 16)
            if any(each not in value for each in needed):
                return True
    return False


def _is_no_multiple(value: float, step: float) -> bool:
    if not isinstance(step, float):
        return bool(value % step)
    quotient = value / step
    try:
        return int(quotient) != quotient
    except OverflowError:  # beyond any float, so exactly
        return (Fraction(value) / Fraction(step)).denominator != 1


_Breaks: TypeAlias = Callable[[float, float], bool]

_NUMBERS: Mapping[str, _Breaks] = MappingProxyType(
    {
        "minimum": lambda value, rule: value < rule,
        "maximum": lambda value, rule: value > rule,
        "exclusiveMinimum": lambda value, rule: value <= rule,
        "exclusiveMaximum": lambda value, rule: value >= rule,
        "multipleOf": _is_no_multiple,
    }
)
_COUNTS: Mapping[str, tuple[type[str | list[Json] | dict[str, Json]], _Breaks]] = MappingProxyType(
    {
        "minLength": (str, lambda count, rule: count < rule),
        "maxLength": (str, lambda count, rule: count > rule),
        "minItems": (list, lambda count, rule: count < rule),
        "maxItems": (list, lambda count, rule: count > rule),
        "minProperties": (dict, lambda count, rule: count < rule),
        "maxProperties": (dict, lambda count, rule: count > rule),
    }
)
