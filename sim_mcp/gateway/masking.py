"""Values that must not come back: masked wherever they turn up in an output, an error or a stream.

Searching costs what the text and the number of secrets cost, never more: every search is the
linear one of `str`, and what would still take seconds is hidden whole instead.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from urllib.parse import quote, quote_plus

from sim_mcp.model.credentials import REDACTED
from sim_mcp.model.json import Json, is_array, is_object

MOST_SECRETS = 500
"""With more, the whole output is hidden: looking for thousands of words takes seconds."""
MOST_WORK = 2_000_000_000
"""Characters compared for one output, about; beyond, it is hidden whole."""
LONGEST_STREAMED = 2048
"""With a longer secret a stream is not passed on: as much would have to be held back at every piece."""
_SHORTEST_MASKED = 4
"""Shorter secrets are masked only where they are a whole value: masking every `1` helps nobody."""
_WORK_OF_A_TEXT = 64
_MARKS = range(0xE000, 0xF900)


class Secrets:
    """Values that must not come back. Its repr tells only how many there are."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = frozenset(value for value in values if value)
        self._are_too_many = len(self._values) > MOST_SECRETS
        sought = () if self._are_too_many else self._values
        spellings = {spelling for value in sought for spelling in _spellings(value)}
        self._spellings = tuple(sorted(spellings, key=lambda spelling: (-len(spelling), spelling)))

    def __repr__(self) -> str:
        return f"Secrets({len(self._values)})"

    @property
    def values(self) -> frozenset[str]:
        """The secrets themselves, to be sealed. Never log them."""
        return self._values

    @property
    def are_too_many(self) -> bool:
        """Whether they are so many that everything is hidden."""
        return self._are_too_many

    @property
    def longest(self) -> int:
        """The length of the longest spelling that is looked for; 0 without any."""
        return len(self._spellings[0]) if self._spellings else 0

    def with_(self, *values: str) -> Secrets:
        """These secrets and `values`."""
        return Secrets((*self._values, *values))

    def mask(self, value: Json) -> Json:
        """A copy of `value` in which none of these secrets stands any more."""
        if not self._values:
            return value
        if self._are_too_many:
            return REDACTED
        written = json.dumps(value, ensure_ascii=False)
        present = [spelling for spelling in self._spellings if _as_written(spelling) in written]
        mark = _mark_beside(written, present)
        if mark is None:
            return REDACTED
        try:
            return _Masking(self._values, present, mark).walk(value)
        except _TooMuchWork:
            return REDACTED

    def mask_text(self, text: str) -> str:
        """`text` with every occurrence of a secret replaced, however it is escaped."""
        return str(self.mask(text))


class MaskedText:
    """Streamed text without secrets, even one that is cut over several pieces.

    Holds back as much of the end as the longest secret could need to be completed. With a very
    long one, or very many, nothing is passed on: the output alone tells, in the end.
    """

    def __init__(self, secrets: Secrets, tell: Callable[[str], Awaitable[None]]) -> None:
        self._secrets = secrets
        self._tell = tell
        self._held = ""
        self._is_silent = secrets.are_too_many or secrets.longest > LONGEST_STREAMED

    async def add(self, text: str) -> None:
        """Pass on what of `text` is certain."""
        if self._is_silent:
            return
        masked = self._secrets.mask_text(self._held + text)
        keep = max(0, self._secrets.longest - 1)
        sure, self._held = (masked[:-keep], masked[-keep:]) if keep else (masked, "")
        if sure:
            await self._tell(sure)

    async def end(self) -> None:
        """Pass on the rest: nothing more comes."""
        if self._held:
            rest, self._held = self._secrets.mask_text(self._held), ""
            await self._tell(rest)


class _TooMuchWork(Exception):
    """Masking this value would take seconds."""


class _Masking:
    """Masking of one value; `present` are the spellings that occur in it somewhere."""

    def __init__(self, values: frozenset[str], present: list[str], mark: str) -> None:
        self._values = values
        self._present = present
        self._mark = mark
        self._work = 0

    def walk(self, value: Json) -> Json:
        if is_object(value):
            return {self._text(key): self.walk(item) for key, item in value.items()}
        if is_array(value):
            return [self.walk(item) for item in value]
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return REDACTED if len(str(value)) >= _SHORTEST_MASKED and str(value) in self._values else value
        return value

    def _text(self, text: str) -> str:
        if text in self._values:
            return REDACTED
        if not self._present:
            return text
        self._work += len(self._present) * (len(text) + _WORK_OF_A_TEXT)
        if self._work > MOST_WORK:
            raise _TooMuchWork
        marked = text
        for spelling in self._present:  # longest first; the mark is in none of them
            marked = marked.replace(spelling, self._mark)
        return marked.replace(self._mark, REDACTED) if marked is not text else text


def _mark_beside(written: str, present: list[str]) -> str | None:
    """A character that stands in none of the texts; `None` when somebody has used up all of them."""
    for code in _MARKS:
        mark = chr(code)
        if mark not in written and not any(mark in spelling for spelling in present):
            return mark
    return None


def _as_written(spelling: str) -> str:
    """How `spelling` reads inside a JSON text."""
    return json.dumps(spelling, ensure_ascii=False)[1:-1]


def _spellings(value: str) -> Iterator[str]:
    if len(value) >= _SHORTEST_MASKED:
        yield value
        yield json.dumps(value)[1:-1]
        yield json.dumps(value, ensure_ascii=False)[1:-1]
        for escaped in (quote(value, safe="", errors="replace"), quote(value, errors="replace")):
            yield escaped
            yield re.sub("%[0-9A-F]{2}", lambda match: match.group(0).lower(), escaped)
        yield quote_plus(value, errors="replace")
        yield base64.b64encode(value.encode("utf-8", "replace")).decode().rstrip("=")
