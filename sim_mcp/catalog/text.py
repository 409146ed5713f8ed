"""Texts that a model will read: nothing hidden in them, nothing endless."""

from __future__ import annotations

import difflib
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_KEPT = frozenset("\n\t")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co"})
_HIDDEN = frozenset(
    chr(code)
    for code in (
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2028, 0x2029, 0x3164, 0xFFA0),
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
        *range(0xE0100, 0xE01F0),
    )
)
"""Invisible although Unicode counts them as letters, marks or separators: fillers, variation selectors."""


def is_hidden(character: str) -> bool:
    """Whether a reader would not see `character`: control, zero-width, bidi, tag and private characters."""
    if character.isascii():
        return not (character.isprintable() or character in _KEPT)
    return character in _HIDDEN or unicodedata.category(character) in _HIDDEN_CATEGORIES


def has_hidden(text: str) -> bool:
    """Whether any character of `text` is invisible."""
    return any(map(is_hidden, text))


def cleaned(text: str) -> str:
    """`text` with Unix line ends, without invisible characters and without space around it."""
    unix = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    return "".join(character for character in unix if not is_hidden(character)).strip()


def shortened(text: str, limit: int = 64) -> str:
    """`text`, or its first characters and an ellipsis: at most `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def told_prose(text: str, limit: int) -> str:
    """Somebody else's sentences, fit to be read by a model: nothing hidden, nothing endless."""
    return shortened(cleaned(text), limit)


def told_name(text: str, limit: int) -> str:
    """Somebody else's name for something, on one line: what is hidden in it is spelled out."""
    spelled = (
        each.encode("unicode_escape").decode() if is_hidden(each) or each in _KEPT else each for each in text
    )
    return shortened("".join(spelled), limit)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be."""
    found = difflib.get_close_matches(shortened(word).lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def listed(words: Sequence[str], limit: int = 20) -> str:
    """Quoted and joined with commas, at most `limit` of them: `'a', 'b' and 3 more`."""
    rest = len(words) - limit
    quoted = ", ".join(repr(shortened(word)) for word in words[:limit])
    return quoted + (f" and {rest} more" if rest > 0 else "")


def slug(text: str) -> str:
    """A tool name made from a workflow's name: ASCII, lower case, at most 64 characters."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:64].rstrip("_") or "workflow"
    return f"workflow_{name}"[:64].rstrip("_") if name.startswith("sim_") else name
