"""Judges regular expressions by how long they could take at worst.

Python's `re` tries every way to match and cannot be interrupted: `^(a+)+$` on forty characters
would stop this process, and every tenant in it, for hours. A pattern that can take exponential time
is therefore refused, and the texts that another is tried on are bounded by its worst case.

The judgement errs on the strict side: some harmless patterns are refused, with a hint.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PATTERN_LENGTH = 1_000
MANY = 16
"""Repetitions that differ by so much are counted as unbounded."""
WAYS = 100_000
"""How many ways the bounded parts of a pattern may match, all multiplied."""
TEXT_LIMITS = (1_000_000, 1_000_000, 4_000, 300, 100, 50)
"""Longest text by the degree of the worst case's polynomial: each about a second at most."""
TEXT_MIN = 16
"""A pattern that could be tried on shorter texts only is of no use."""
_SAMPLE = frozenset(range(0x250))
"""The characters by which two sets are compared: ASCII, Latin, and all others by likeness."""
_LOOPS = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_SINGLE = frozenset({"LITERAL", "NOT_LITERAL", "IN", "ANY"})

_Item: TypeAlias = tuple[Any, Any]
"""One element of `re`'s own parse tree: an opcode and its arguments."""


class RiskyPattern(ValueError):
    """The pattern is no regular expression, or could take too long; the message says what to do."""


@dataclass(slots=True)
class _Cost:
    """Bounded choices multiplied, unbounded loops counted, and every character that can be read."""

    ways: int = 1
    degree: int = 0
    characters: frozenset[int] = field(default_factory=frozenset[int])

    def and_then(self, other: _Cost) -> _Cost:
        return _Cost(
            min(self.ways * other.ways, WAYS + 1),
            self.degree + other.degree,
            self.characters | other.characters,
        )


@lru_cache(maxsize=4096)
def text_limit(pattern: str) -> int:
    """The longest text, in characters, that `pattern` may be tried on.

    Raises:
        RiskyPattern: it cannot be used at all.
    """
    if len(pattern) > PATTERN_LENGTH:
        raise RiskyPattern(f"is longer than {PATTERN_LENGTH} characters; shorten it")
    try:
        re.compile(pattern)
        items: list[_Item] = list(_parser().parse(pattern))
    except (re.error, RecursionError, OverflowError) as error:
        raise RiskyPattern(f"is no regular expression ({error})") from error
    cost = _sequence(items)
    if cost.ways > WAYS:
        raise RiskyPattern("can match in too many ways; write fewer optional parts")
    is_anchored = bool(items) and str(items[0][0]) == "AT" and "BEGINNING" in str(items[0][1])
    degree = cost.degree + (0 if is_anchored else 1)
    if degree >= len(TEXT_LIMITS):
        raise RiskyPattern(
            "has too many open repetitions (`*`, `+`); bound them, as in `{1,9}`, or begin with `^`"
        )
    limit = int(TEXT_LIMITS[degree] / cost.ways ** (1 / max(1, degree)))
    if limit < TEXT_MIN:
        raise RiskyPattern("can match in too many ways; write fewer optional and repeated parts")
    return limit


@cache
def _parser() -> Any:
    """Python's own parser of patterns: private, but the only one that surely agrees with `re`."""
    return import_module("re._parser")


def _sequence(items: Sequence[_Item]) -> _Cost:
    cost = _Cost()
    for place, item in enumerate(items):
        one = _item(item)
        if _is_optional(item) and not one.characters & _first(items[place + 1 :]):
            # The next character alone decides whether it is there: both ways are never tried in full.
            one = _sequence(list(item[1][2]))
        cost = cost.and_then(one)
    return cost


def _is_optional(item: _Item) -> bool:
    return str(item[0]) in _LOOPS and (item[1][0], item[1][1]) == (0, 1)


def _item(item: _Item) -> _Cost:
    opcode, value = str(item[0]), item[1]
    if opcode in _SINGLE:
        return _Cost(characters=_characters(item))
    if opcode in _LOOPS:
        return _loop(*value)
    match opcode:
        case "SUBPATTERN":
            return _sequence(value[-1])
        case "ATOMIC_GROUP":
            return _sequence(value)
        case "BRANCH":
            return _branch([list(each) for each in value[1]])
        case "ASSERT" | "ASSERT_NOT":
            return _sequence(value[1])
        case "AT":
            return _Cost()
        case _:
            raise RiskyPattern(r"refers to a group (`\1`, `(?(1)…)`), which is not supported; write it out")


def _branch(alternatives: list[list[_Item]]) -> _Cost:
    """The dearest alternative; as many ways as there are alternatives that may begin alike."""
    costs = [_sequence(each) for each in alternatives]
    firsts = [_first(each) for each in alternatives]
    overlapping = sum(
        any(one & other for index, other in enumerate(firsts) if index != place)
        for place, one in enumerate(firsts)
    )
    ways = sum(cost.ways for cost in costs) if overlapping else max(cost.ways for cost in costs)
    everything = frozenset[int]().union(*(cost.characters for cost in costs))
    return _Cost(min(ways, WAYS + 1), max(cost.degree for cost in costs), everything)


def _loop(least: int, most: int, body: Sequence[_Item]) -> _Cost:
    items = list(body)
    cost = _sequence(items)
    if most <= 1:
        return _Cost(min(cost.ways * (2 - least), WAYS + 1), cost.degree, cost.characters)
    width = most - least + 1
    is_open = width > MANY
    if not is_open and cost.degree == 0:
        return _Cost(min(width * cost.ways ** min(most, 64), WAYS + 1), 0, cost.characters)
    if cost.ways == 1 and (cost.degree == 0 or (cost.degree == 1 and _has_separator(items))):
        return _Cost(1, cost.degree + 1, cost.characters)
    raise RiskyPattern(
        "repeats something that itself repeats or chooses, as `(a+)+` does, which can take for ever; "
        "put a character between the repetitions that occurs nowhere else in them"
    )


def _has_separator(items: list[_Item]) -> bool:
    """Whether each round of a loop must read a character that nothing else in the round can read."""
    flat = _flattened(items)
    for place, item in enumerate(flat):
        if str(item[0]) in _SINGLE:
            others = _sequence(flat[:place] + flat[place + 1 :]).characters
            if not _characters(item) & others:
                return True
    return False


def _flattened(items: Sequence[_Item]) -> list[_Item]:
    flat: list[_Item] = []
    for item in items:
        flat.extend(_flattened(item[1][-1]) if str(item[0]) == "SUBPATTERN" else [item])
    return flat


def _first(items: Sequence[_Item]) -> frozenset[int]:
    """The characters that `items` may begin with, or more; all of them when it may read nothing."""
    for item in _flattened(items):
        opcode = str(item[0])
        if opcode in _SINGLE:
            return _characters(item)
        if opcode in _LOOPS and item[1][0] > 0:
            return _first(list(item[1][2]))
        if opcode == "BRANCH":
            return frozenset[int]().union(*(_first(list(each)) for each in item[1][1]))
        if opcode != "AT":
            break
    return _SAMPLE


def _characters(item: _Item) -> frozenset[int]:
    """The sample's characters that one single-character element reads, case ignored."""
    opcode, value = str(item[0]), item[1]
    match opcode:
        case "LITERAL":
            found = {int(value)}
        case "NOT_LITERAL":
            return _SAMPLE - {int(value)} if value in _SAMPLE else _SAMPLE
        case "IN":
            found = set[int]()
            for element in value:
                found |= _class_element(element)
            if value and str(value[0][0]) == "NEGATE":
                return _SAMPLE - found
        case _:
            return _SAMPLE
    return frozenset(found | {ord(each) for code in found for each in _cases(code)})


def _class_element(element: _Item) -> frozenset[int]:
    opcode, value = str(element[0]), element[1]
    match opcode:
        case "LITERAL":
            return frozenset({int(value)})
        case "RANGE":
            return frozenset(range(value[0], min(value[1], 0x250) + 1)) | {int(value[1])}
        case "CATEGORY":
            escape = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}[str(value).rsplit("_", 1)[-1]]
            is_negated = "_NOT_" in str(value)
            matching = {code for code in _SAMPLE if re.match(escape, chr(code))}
            return _SAMPLE - matching if is_negated else frozenset(matching)
        case _:
            return frozenset()


def _cases(code: int) -> Iterable[str]:
    """The other case of a character: `(?i)` is not looked for, but always assumed."""
    return tuple(each for each in (chr(code).lower(), chr(code).upper()) if len(each) == 1)
