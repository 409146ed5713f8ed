"""What must not be stored or shown: secret-looking inputs, and those same values coming back.

Two rules work together. *By name and look*: in an input, the value under a secret-looking key and
every text that looks like a credential is replaced. *By value*: whatever was replaced in the input,
and the tenant's SIM key, is then masked wherever it turns up in the output or an error of that run.
SIM itself gets the input untouched.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from sim_mcp.gateway.masking import Secrets
from sim_mcp.model.credentials import REDACTED, credentials_in, without_credentials
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


class Redactor:
    """The rules with the operator's further key names (`SIM_MCP_REDACT_KEYS`) added."""

    def __init__(self, extra_keys: Iterable[str] = ()) -> None:
        self._extra = frozenset(_joined(key) for key in extra_keys)

    def split(self, value: Json) -> tuple[Json, Secrets]:
        """A copy of `value` without secrets, and those secrets. What nests too deeply is only noted."""
        if nests_deeper_than(value, DEEPEST):
            return {"truncated": True, "reason": f"nested more than {DEEPEST} levels deep"}, Secrets()
        found: list[str] = []
        redacted = self._walk(value, found=found)
        return redacted, Secrets(found)

    def redact(self, value: Json) -> Json:
        """A copy of `value` without secrets."""
        return self.split(value)[0]

    def secrets_in(self, value: Json) -> Secrets:
        """The secrets that `redact` takes out of `value`, to be masked elsewhere."""
        return self.split(value)[1]

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
            found.extend(value[start:end] for start, end in credentials_in(value))
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
