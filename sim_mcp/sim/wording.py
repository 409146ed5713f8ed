"""Words about SIM that are safe to show: foreign text tidied, origins instead of addresses, no key."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import replace
from urllib.parse import quote, urljoin, urlsplit

from sim_mcp.model.json import Json, is_array, is_object
from sim_mcp.model.run import Run

MAX_QUOTE = 300
MAX_DETAIL = 2_000
_MASK = "[key]"
_SHORTEST_KEY = 8
"""A shorter one may be a word of SIM's answers, which must stay readable."""

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")
"""Control characters, and those that hide or reorder text."""


class Wording:
    """Knows the key only to keep it out, and the base URL only to name its origin."""

    def __init__(self, *, base_url: str, api_key: str) -> None:
        self.origin = origin_of(base_url)
        self._base_url = base_url
        self._api_key = api_key
        spellings = sorted(_spellings(api_key), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, spellings)))
        self._bytes_pattern = re.compile(self._pattern.pattern.encode())

    def __repr__(self) -> str:
        """The origin only."""
        return f"<Wording for {self.origin}>"

    def tidy(self, text: str, *, limit: int = MAX_QUOTE) -> str:
        """Foreign `text` made fit to be shown: one line, without the key, at most `limit` characters."""
        line = UNPRINTABLE.sub(" ", self._masked_text(text)).strip()
        return line if len(line) <= limit else f"{line[: limit - 1]}\u2026"

    def without_key(self, run: Run) -> Run:
        """`run` with the key taken out of its output, should a workflow have put it there."""
        if json.dumps(self._api_key)[1:-1] not in json.dumps(run.output):  # fast, where a walk is not
            return run
        return replace(run, output=self._masked(run.output))

    def _masked(self, value: Json) -> Json:
        if is_object(value):
            return {self._masked_text(name): self._masked(item) for name, item in value.items()}
        if is_array(value):
            return [self._masked(item) for item in value]
        return self._masked_text(value) if isinstance(value, str) else value

    def without_key_bytes(self, raw: bytes) -> bytes:
        """An answer of SIM, or a frame of one, as it came, without the key: nothing above can pass it on."""
        return raw if len(self._api_key) < _SHORTEST_KEY else self._bytes_pattern.sub(_MASK.encode(), raw)

    def split_at_key(self, text: str) -> tuple[str, str]:
        """Streamed `text` without the key, and an end that may be the beginning of it: to be held back."""
        masked = self._masked_text(text)
        for size in range(min(len(self._api_key) - 1, len(masked)), 0, -1):
            if self._api_key.startswith(masked[-size:]):
                return masked[:-size], masked[-size:]
        return masked, ""

    def _masked_text(self, text: str) -> str:
        return self._pattern.sub(_MASK, text)

    def detail(self, text: str) -> str:
        """Foreign `text` for our own log: longer, but without the key too."""
        return self.tidy(text, limit=MAX_DETAIL)

    def target_of(self, location: str) -> str:
        """The origin that a redirect points to; the rest of its address stays unsaid."""
        try:
            return origin_of(urljoin(f"{self._base_url}/", location))
        except ValueError:
            return "an unreadable address"


def _spellings(key: str) -> set[str]:
    """The key as it is, and as JSON, addresses and base64 spell it."""
    return {
        key,
        json.dumps(key)[1:-1],
        quote(key, safe=""),
        quote(key),
        b64encode(key.encode()).decode().rstrip("="),
    }


def origin_of(url: str) -> str:
    """Scheme, host and port of `url`, without credentials."""
    parts = urlsplit(url)
    host = UNPRINTABLE.sub("", parts.netloc.rpartition("@")[2])[:200]
    return f"{parts.scheme}://{host}" if host else "another address"
