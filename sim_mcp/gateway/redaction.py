"""What must not be stored or shown: secret-looking inputs, and those same values coming back.

Two rules work together. *By name and look*: in an input, the value under a secret-looking key and
every text that looks like a credential is replaced. *By value*: whatever was replaced in the input,
and the tenant's SIM key, is then masked wherever it turns up in the output or an error of that run.
SIM itself gets the input untouched.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from urllib.parse import quote, quote_plus

from sim_mcp.model.credentials import CREDENTIAL, REDACTED, without_credentials
from sim_mcp.model.json import Json, is_array, is_object, nests_deeper_than

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_PARTS = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "apikey",
    "accesskey",
    "privatekey",
    "authorization",
    "cookie",
    "credential",
)
_SECRET_WORDS = frozenset({"token", "pwd", "auth", "otp", "cvv", "jwt", "bearer", "pin", "oauth"})
DEEPEST = 100
MOST_SECRETS = 500
"""With more, the whole output is hidden: a pattern of thousands of words would take seconds."""
_SHORTEST_MASKED = 4
"""Shorter secrets are masked only where they are a whole value: masking every `1` helps nobody."""


class Redactor:
    """The rules with the operator's further key names (`SIM_MCP_REDACT_KEYS`) added."""

    def __init__(self, extra_keys: Iterable[str] = ()) -> None:
        self._extra = frozenset(_joined(key) for key in extra_keys)

    def redact(self, value: Json) -> Json:
        """A copy of `value` without secrets: for storing inputs. What nests too deeply is only noted."""
        return self.read(value)[0]

    def secrets_in(self, value: Json) -> Secrets:
        """The secrets that `redact` would take out of `value`, to be masked elsewhere."""
        return self.read(value)[1]

    def read(self, value: Json) -> tuple[Json, Secrets]:
        """Both what `redact` and what `secrets_in` say, in one walk."""
        if nests_deeper_than(value, DEEPEST):
            return {"truncated": True, "reason": f"nested more than {DEEPEST} levels deep"}, Secrets()
        found: list[str] = []
        redacted = self._walk(value, found=found)
        return redacted, Secrets(found)

    def text(self, text: str) -> str:
        """`text` without anything that looks like a credential: for foreign error messages."""
        return without_credentials(text)

    def _walk(self, value: Json, *, found: list[str]) -> Json:
        if is_object(value):
            return {
                without_credentials(key): self._take(item, found)
                if self._is_secret(key, item)
                else self._walk(item, found=found)
                for key, item in value.items()
            }
        if is_array(value):
            return [self._walk(item, found=found) for item in value]
        if isinstance(value, str):
            found.extend(match.group(0) for match in CREDENTIAL.finditer(value))
            return self.text(value)
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)  # JSON has no infinity, and a row must stay readable
        return value

    def _take(self, value: Json, found: list[str]) -> Json:
        if value is None or value == "":
            return value
        found.extend(_leaves(value))
        return REDACTED

    def _is_secret(self, key: str, value: Json) -> bool:
        joined = _joined(key)
        words = {word.lower() for word in _WORD.findall(key)}
        if joined in self._extra or joined in _SECRET_WORDS or words & _SECRET_WORDS:
            return True
        if "token" in joined and not joined.startswith("tokeniz"):
            return not isinstance(value, int | float)  # `max_tokens` is a limit, not a secret
        return any(part in joined for part in _SECRET_PARTS)


class Secrets:
    """Values that must not come back. Its repr tells only how many there are."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = frozenset(value for value in values if value)
        self._are_too_many = len(self._values) > MOST_SECRETS
        sought = () if self._are_too_many else self._values
        spellings = {spelling for value in sought for spelling in _spellings(value)}
        ordered = sorted(spellings, key=len, reverse=True)
        self._longest = len(ordered[0]) if ordered else 0
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __repr__(self) -> str:
        return f"Secrets({len(self._values)})"

    @property
    def values(self) -> frozenset[str]:
        """The secrets themselves, to be sealed. Never log them."""
        return self._values

    def with_(self, *values: str) -> Secrets:
        """These secrets and `values`."""
        return Secrets((*self._values, *values))

    def mask(self, value: Json) -> Json:
        """A copy of `value` in which none of these secrets stands any more."""
        if not self._values:
            return value
        if self._are_too_many:
            return REDACTED
        if is_object(value):
            return {self.mask_text(key): self.mask(item) for key, item in value.items()}
        if is_array(value):
            return [self.mask(item) for item in value]
        if isinstance(value, str):
            return self.mask_text(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return REDACTED if len(str(value)) >= _SHORTEST_MASKED and str(value) in self._values else value
        return value

    @property
    def longest(self) -> int:
        """The length of the longest spelling that `mask_text` looks for."""
        return self._longest

    def mask_text(self, text: str) -> str:
        """`text` with every occurrence of a secret replaced, however it is escaped."""
        if text in self._values or self._are_too_many:
            return REDACTED
        return self._pattern.sub(REDACTED, text) if self._pattern else text


class MaskedText:
    """Streamed text without secrets, even one that is cut over several pieces.

    Holds back as much of the end as the longest secret could need to be completed.
    """

    def __init__(self, secrets: Secrets, tell: Callable[[str], Awaitable[None]]) -> None:
        self._secrets = secrets
        self._tell = tell
        self._held = ""

    async def add(self, text: str) -> None:
        """Pass on what of `text` is certain."""
        masked = self._secrets.mask_text(self._held + text)
        keep = max(0, self._secrets.longest - 1)
        sure, self._held = (masked[:-keep], masked[-keep:]) if keep else (masked, "")
        if sure:
            await self._tell(sure)

    async def end(self) -> None:
        """Pass on the rest: nothing more comes."""
        rest, self._held = self._secrets.mask_text(self._held), ""
        if rest:
            await self._tell(rest)


def _joined(key: str) -> str:
    return "".join(character for character in key.lower() if character.isalnum())


def _leaves(value: Json) -> Iterator[str]:
    if is_object(value):
        for item in value.values():
            yield from _leaves(item)
    elif is_array(value):
        for item in value:
            yield from _leaves(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


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
