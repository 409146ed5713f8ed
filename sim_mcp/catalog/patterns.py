"""Judges regular expressions by how long they could take at worst.

Python's `re` tries every way to match and cannot be interrupted: `^(a+)+$` on forty characters
would stop this process, and every tenant in it, for hours. A pattern that can take exponential time
is therefore refused, and each trial of another has a price, which grows with the text.

The judgement errs on the strict side: some harmless patterns are refused, with a hint. Its own work
is bounded too, since a pattern may be written to be hard to judge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib import import_module
from math import comb
from typing import TYPE_CHECKING, Any, final

from sim_mcp.catalog.characters import EVERYTHING, NOTHING, SINGLE, Item, read_by
from sim_mcp.catalog.work import OutOfWork, Work

if TYPE_CHECKING:
    from collections.abc import Sequence

PATTERN_LENGTH = 1_000
MANY = 16
"""Repetitions that differ by so much are counted as unbounded."""
WAYS = 100_000
"""How many ways the bounded parts of a pattern may match, all multiplied."""
MAX_DEGREE = 5
MAX_TRIAL_STEPS = 100_000
"""The price of one trial at most. A trial cannot be interrupted, from another thread neither."""
READS_PER_STEP = 50
"""How many characters `re` looks at in one step."""
TEXT_MAX = 1_000_000
TEXT_MIN = 16
"""A pattern that could be tried on shorter texts only is of no use."""
JUDGE_STEPS = 20_000
_WIDE = 0x400
_LOOPS = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_IGNORES_CASE = re.compile(r"\(\?[a-zA-Z]*i")


class RiskyPattern(ValueError):
    """The pattern is no regular expression, or could take too long; the message says what to do."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPattern:
    """A pattern that may be tried, and what that costs."""

    compiled: re.Pattern[str]
    degree: int
    """Of the polynomial by which the time of the worst case grows with the text."""
    weight: int
    """The work for each of the ways that the polynomial counts, in looks at a character."""
    effort: int
    """The steps that judging it took."""
    limit: int = TEXT_MAX
    """The longest text, in characters, that it may be tried on."""

    def price(self, length: int) -> int:
        """The steps that a trial on a text of `length` characters may take at worst."""
        return 1 + self.weight * comb(length + self.degree, self.degree) // READS_PER_STEP


@dataclass(frozen=True, slots=True)
class _Cost:
    """What a part of a pattern adds: choices multiplied, open loops counted, characters collected."""

    ways: int = 1
    degree: int = 0
    characters: int = NOTHING
    reads: int = 0
    """Looks at a character in one go, open loops left out."""
    toil: int = 1
    """How much more than one look a round of the dearest open loop takes."""

    def and_then(self, other: _Cost) -> _Cost:
        return _Cost(
            min(self.ways * other.ways, WAYS + 1),
            self.degree + other.degree,
            self.characters | other.characters,
            self.reads + other.reads,
            max(self.toil, other.toil),
        )


@lru_cache(maxsize=4096)
def judged(pattern: str) -> JudgedPattern:
    """`pattern`, ready to be tried.

    Raises:
        RiskyPattern: it cannot be used at all.
    """
    if len(pattern) > PATTERN_LENGTH:
        raise RiskyPattern(f"is longer than {PATTERN_LENGTH} characters; shorten it")
    work = Work(JUDGE_STEPS)
    try:
        tree = _parser().parse(pattern)
        items: list[Item] = list(tree)
        cost = _Judge(work, ignores_case=_IGNORES_CASE.search(pattern) is not None).sequence(items)
        compiled = re.compile(pattern)  # only now: compiling wide ranges can take long as well
    except (re.error, RecursionError, OverflowError) as error:
        raise RiskyPattern(f"is no regular expression ({error})") from error
    except OutOfWork as error:
        raise RiskyPattern("is too intricate to be judged; write a simpler one") from error
    if cost.ways > WAYS:
        raise RiskyPattern("can match in too many ways; write fewer optional parts")
    is_anchored = (
        bool(items)
        and str(items[0][0]) == "AT"
        and "BEGINNING" in str(items[0][1])
        and not compiled.flags & re.MULTILINE
    )
    degree = cost.degree + (0 if is_anchored else 1)
    if degree > MAX_DEGREE:
        raise RiskyPattern(
            "has too many open repetitions (`*`, `+`); bound them, as in `{1,9}`, or begin with `^`"
        )
    weight = cost.ways * (cost.toil + cost.reads // 8)
    found = JudgedPattern(compiled=compiled, degree=degree, weight=weight, effort=work.spent)
    limit = _longest(found)
    if limit < TEXT_MIN:
        raise RiskyPattern("can match in too many ways; write fewer optional and repeated parts")
    return replace(found, limit=limit)


def _longest(pattern: JudgedPattern) -> int:
    """The longest text that the pattern may be tried on: by halving, as its price only grows."""
    low, high = 0, TEXT_MAX
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if pattern.price(middle) <= MAX_TRIAL_STEPS else (low, middle - 1)
    return low


@cache
def _parser() -> Any:
    """Python's own parser of patterns: private, but the only one that surely agrees with `re`."""
    return import_module("re._parser")


@final
class _Judge:
    """Adds up the cost of a parse tree; each element that it looks at is a step."""

    __slots__ = ("_ignores_case", "_work")

    def __init__(self, work: Work, *, ignores_case: bool) -> None:
        self._work = work
        self._ignores_case = ignores_case

    def sequence(self, items: Sequence[Item]) -> _Cost:
        cost = _Cost()
        for place, item in enumerate(items):
            one = self._item(item)
            if _is_optional(item) and one.characters & self._first(items, place + 1):
                # Else the next character alone decides whether it is there.
                one = replace(one, ways=min(one.ways * 2, WAYS + 1))
            cost = cost.and_then(one)
        return cost

    def _item(self, item: Item) -> _Cost:
        self._work.spend(1)
        opcode, value = str(item[0]), item[1]
        if opcode in SINGLE:
            return _Cost(characters=self._characters(item), reads=1)
        if opcode in _LOOPS:
            return self._loop(*value)
        match opcode:
            case "SUBPATTERN":
                return self.sequence(value[-1])
            case "ATOMIC_GROUP":
                return self.sequence(value)
            case "BRANCH":
                return self._branch([list(each) for each in value[1]])
            case "ASSERT" | "ASSERT_NOT":
                return self.sequence(value[1])
            case "AT":
                return _Cost()
            case _:
                raise RiskyPattern(
                    r"refers to a group (`\1`, `(?(1)…)`), which is not supported; write it out"
                )

    def _branch(self, alternatives: list[list[Item]]) -> _Cost:
        """The dearest alternative; as many ways as there are alternatives that may begin alike."""
        costs = [self.sequence(each) for each in alternatives]
        firsts = [self._first(each, 0) for each in alternatives]
        others = _unions_of_others(firsts)
        is_ambiguous = any(one & rest for one, rest in zip(firsts, others, strict=True))
        ways = sum(cost.ways for cost in costs) if is_ambiguous else max(cost.ways for cost in costs)
        everything = NOTHING
        for cost in costs:
            everything |= cost.characters
        return _Cost(
            min(ways, WAYS + 1),
            max(cost.degree for cost in costs),
            everything,
            sum(cost.reads for cost in costs),
            max(cost.toil for cost in costs),
        )

    def _loop(self, least: int, most: int, body: Any) -> _Cost:
        items: list[Item] = list(body)
        cost = self.sequence(items)
        if most <= 1:
            return cost
        width = most - least + 1
        is_open = width > MANY
        is_single = len(items) == 1 and str(items[0][0]) in SINGLE
        reads = cost.reads if is_single else cost.reads * 3
        if not is_open and cost.degree == 0:
            ways = min(width * cost.ways ** min(most, 64), WAYS + 1)
            return replace(cost, ways=ways, reads=min(reads * most, MAX_TRIAL_STEPS * READS_PER_STEP * 8))
        if cost.ways == 1 and cost.degree == 0:
            shortest: int = body.getwidth()[0]
            toil = 1 if is_single else max(cost.toil, -(-reads // max(1, shortest)))
            return _Cost(1, 1, cost.characters, toil=toil)
        if cost.ways == 1 and cost.degree == 1 and self._has_separator(items):
            return _Cost(1, 2, cost.characters, toil=cost.toil)
        raise RiskyPattern(
            "repeats something that itself repeats or chooses, as `(a+)+` does, which can take for ever; "
            "put a character between the repetitions that occurs nowhere else in them"
        )

    def _has_separator(self, items: list[Item]) -> bool:
        """Whether each round of a loop must read a character that nothing else in the round can read."""
        flat = self._flattened(items)
        read = [self.sequence([item]).characters for item in flat]
        return any(
            str(item[0]) in SINGLE and not own & rest
            for item, own, rest in zip(flat, read, _unions_of_others(read), strict=True)
        )

    def _flattened(self, items: Sequence[Item]) -> list[Item]:
        flat: list[Item] = []
        for item in items:
            self._work.spend(1)
            flat.extend(self._flattened(item[1][-1]) if str(item[0]) == "SUBPATTERN" else [item])
        return flat

    def _first(self, items: Sequence[Item], start: int) -> int:
        """The characters that `items` may begin with, or more; all of them when it may read nothing."""
        for place in range(start, len(items)):
            item = items[place]
            self._work.spend(1)
            opcode = str(item[0])
            if opcode in SINGLE:
                return self._characters(item)
            if opcode in _LOOPS and item[1][0] > 0:
                return self._first(list(item[1][2]), 0)
            if opcode == "BRANCH":
                found = NOTHING
                for each in item[1][1]:
                    found |= self._first(list(each), 0)
                return found
            if opcode == "SUBPATTERN":
                return self._first(list(item[1][-1]), 0)
            if opcode != "AT":
                break
        return EVERYTHING

    def _characters(self, item: Item) -> int:
        if str(item[0]) == "IN":
            self._work.spend(5)
            for opcode, value in item[1]:
                wide = int(value[1]) - int(value[0]) if str(opcode) == "RANGE" else 0
                # `re` compiles a range one character at a time where case is ignored.
                self._work.spend(wide // 10 if self._ignores_case and wide > _WIDE else 1)
        return read_by(item)


def _is_optional(item: Item) -> bool:
    return str(item[0]) in _LOOPS and (item[1][0], item[1][1]) == (0, 1)


def _unions_of_others(sets: Sequence[int]) -> list[int]:
    """For each set the union of all others, in linear time."""
    before, seen = list[int](), NOTHING
    for each in sets:
        before.append(seen)
        seen |= each
    unions, seen = list[int](), NOTHING
    for each, earlier in zip(reversed(sets), reversed(before), strict=True):
        unions.append(earlier | seen)
        seen |= each
    return unions[::-1]
