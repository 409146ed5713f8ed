"""What a credential looks like: one rule for rows, answers and log lines."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator

REDACTED = "[redacted]"

# A look-behind instead of a word border: each run of characters is tried once, so that a long text that
# almost looks like a key costs no more than its length.
CREDENTIAL = re.compile(
    r"""
    (?<![\w-])(?:sk|pk|rk)-[A-Za-z0-9_-]{8,}          # SIM's and many model providers' keys
    | (?<![\w-])sim_(?=[a-z_-]*[0-9A-Z])[A-Za-z0-9_-]{12,}   # SIM's older keys, not our tools' names
    | (?<![\w-])simmcp_[A-Za-z0-9_-]{16,}             # our own tokens
    | (?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}   # JSON Web Tokens
    | \b[Bb]earer\s+[A-Za-z0-9._~+/=-]{8,}
    | \bgh[pousr]_[A-Za-z0-9]{20,}
    | \bxox[abprs]-[A-Za-z0-9-]{10,}
    | \bAKIA[0-9A-Z]{16}\b
    | \b[Bb]asic\s+[A-Za-z0-9+/]{8,}={0,2}
    | (?<=://)[^\s/:@]{1,200}:[^\s/@]{1,200}(?=@)     # a password in an address
    | (?i:x-api-key)['"]?\s*[:=]\s*['"]?[^\s'",]+
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)


# Text that stands in every match, and how many characters before it the match begins.
_ANCHORS = {
    **dict.fromkeys(("sk-", "pk-", "rk-", "sim_", "simmcp_", "eyJ", "xox", "AKIA", "-----BEGIN"), 0),
    **dict.fromkeys(("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), 0),
    **dict.fromkeys(("earer", "asic"), 1),
    "://": -3,
}
_HEADER = re.compile("[xX]-[aA][pP][iI]-")
LONG_TEXT = 4096
"""From here on, looking only where a match can begin is faster than trying every character."""


def credentials_in(text: str) -> Iterator[tuple[int, int]]:
    """Where in `text` something looks like a credential: start and end of each, in order, not overlapping."""
    if len(text) < LONG_TEXT:
        yield from (match.span() for match in CREDENTIAL.finditer(text))
        return
    end = 0
    for start in heapq.merge(*(_starts(text, *anchor) for anchor in _ANCHORS.items()), _header_starts(text)):
        match = CREDENTIAL.match(text, start) if start >= end else None
        if match is not None:
            end = match.end()
            yield match.span()


def without_credentials(text: str) -> str:
    """`text` with everything that looks like a credential replaced."""
    if len(text) < LONG_TEXT:
        return CREDENTIAL.sub(REDACTED, text)
    kept: list[str] = []
    at = 0
    for start, end in credentials_in(text):
        kept += (text[at:start], REDACTED)
        at = end
    return "".join((*kept, text[at:])) if at else text


def _starts(text: str, anchor: str, before: int) -> Iterator[int]:
    at = text.find(anchor)
    while at >= 0:
        if at >= before:
            yield at - before
        at = text.find(anchor, at + 1)


def _header_starts(text: str) -> Iterator[int]:
    return (match.start() for match in _HEADER.finditer(text))
