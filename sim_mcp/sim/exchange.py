"""One exchange with SIM: what may be at stake, where it goes, what came back."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import quote, unquote

from sim_mcp.model.errors import InvalidInput
from sim_mcp.model.json import Json, JsonObject, is_object
from sim_mcp.sim.wording import UNPRINTABLE


class Effect(Enum):
    """What a request may have begun when its answer is lost."""

    NOTHING = "nothing"  # a read, or a cancel: may be repeated
    RUN = "run"  # a sync or stream execute: a late answer is a timeout
    QUEUE = "queue"  # an async execute or a resume: a late answer is a lost one


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A JSON answer, read whole. `kept_back`: how many values of it SIM kept in its storage."""

    status: int
    body: Json = field(repr=False)
    retry_after_s: float | None
    request_id: str | None
    kept_back: int = 0

    @property
    def object(self) -> JsonObject:
        """The body when it is an object, else an empty one."""
        return self.body if is_object(self.body) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextStream:
    """An answer of type `text/event-stream`; `chunks` raises our errors and is bounded like any answer."""

    chunks: AsyncGenerator[bytes] = field(repr=False)
    request_id: str | None


def path_of(*segments: str) -> str:
    """`/a/b%3Ac`: each segment percent-encoded whole (sim-api 11.4).

    Raises:
        InvalidInput: A segment is empty, or would climb to another path if a proxy decodes it.
    """
    for segment in segments:
        if len(segment) > 512 or UNPRINTABLE.search(segment) or _climbs(segment):
            raise InvalidInput("An id for SIM is empty or contains characters that no id has.")
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def _climbs(segment: str) -> bool:
    """Whether dots or emptiness would show between slashes, should a proxy decode `segment`, even twice."""
    for _ in range(3):
        if any(part.partition(";")[0] in {"", ".", ".."} for part in re.split(r"[/\\]", segment)):
            return True
        decoded = unquote(segment)
        if decoded == segment:
            return False
        segment = decoded
    return True


def check_api_key(api_key: str) -> str:
    """`api_key`, if it can be sent in a header.

    Raises:
        InvalidInput: It is empty, or has spaces, control or non-ASCII characters. Never quotes it.
    """
    if not re.fullmatch(r"[\x21-\x7e]{1,1000}", api_key):
        raise InvalidInput(
            "The SIM API key is empty or contains spaces, line breaks or non-ASCII characters; "
            "copy it again from SIM's settings."
        )
    return api_key
