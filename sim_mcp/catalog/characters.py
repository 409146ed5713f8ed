"""Which characters one element of a regular expression reads: sets as whole numbers, one bit for each.

ASCII and Latin have a bit each. All others share one, so two elements that may read any of them are
taken to overlap: strict, and never wrong.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any, TypeAlias

Item: TypeAlias = tuple[Any, Any]
"""One element of `re`'s own parse tree: an opcode and its arguments."""
SINGLE = frozenset({"LITERAL", "NOT_LITERAL", "IN", "ANY"})
"""The opcodes that read exactly one character."""
_SAMPLED = 0x250
_OTHERS = 1 << _SAMPLED
EVERYTHING = (_OTHERS << 1) - 1
NOTHING = 0


def read_by(item: Item) -> int:
    """The characters that one single-character element may read, or more; case is ignored."""
    opcode, value = str(item[0]), item[1]
    match opcode:
        case "LITERAL":
            return _with_cases(_literal(int(value)))
        case "NOT_LITERAL":
            return EVERYTHING & ~_literal(int(value)) | _OTHERS
        case "IN":
            found = NOTHING
            for element in value:
                found |= _class_element(element)
            if value and str(value[0][0]) == "NEGATE":
                return EVERYTHING & ~found | _OTHERS
            return _with_cases(found)
        case _:
            return EVERYTHING


def _literal(code: int) -> int:
    return 1 << code if code < _SAMPLED else _OTHERS


def _class_element(element: Item) -> int:
    opcode, value = str(element[0]), element[1]
    match opcode:
        case "LITERAL":
            return _literal(int(value))
        case "RANGE":
            low, high = int(value[0]), int(value[1])
            sampled = (1 << min(high + 1, _SAMPLED)) - (1 << min(low, _SAMPLED))
            return sampled | (_OTHERS if high >= _SAMPLED else 0)
        case "CATEGORY":
            return _category(str(value))
        case _:
            return NOTHING


@cache
def _category(name: str) -> int:
    """The digits, spaces and word characters, and their opposites."""
    escape = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}[name.rsplit("_", 1)[-1]]
    matching = sum(1 << code for code in range(_SAMPLED) if re.match(escape, chr(code)))
    return (EVERYTHING & ~matching if "_NOT_" in name else matching) | _OTHERS


@lru_cache(maxsize=4096)
def _with_cases(characters: int) -> int:
    """`(?i)` is not looked for, but always assumed."""
    for bit, others in _cases().items():
        if characters & bit:
            characters |= others
    return characters


@cache
def _cases() -> dict[int, int]:
    """For each character that has other cases: its bit, and those of the others.

    A few have partners far away (the Kelvin sign is a `k`): these are tied to the bit of all others.
    """
    families: dict[str, int] = {}
    for code in range(_SAMPLED):
        for each in {chr(code).upper(), chr(code).lower().upper(), chr(code).casefold().upper()}:
            families[each] = (
                families.get(each, 0) | _literal(code) | (_literal(ord(each)) if len(each) == 1 else 0)
            )
    found: dict[int, int] = {}
    for family in families.values():
        for code in range(_SAMPLED):
            if family >> code & 1:
                found[1 << code] = found.get(1 << code, 0) | family
    found[_OTHERS] = _OTHERS | sum(_literal(ord(character)) for character in "kKåÅß")
    for character in "kKåÅß":
        found[_literal(ord(character))] |= _OTHERS
    return {bit: others for bit, others in found.items() if others != bit}
