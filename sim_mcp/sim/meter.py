"""Counting the requests that one piece of work really sends to SIM."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Meter:
    """How many requests left for SIM inside one `metered` block."""

    sent: int = 0


_METER: ContextVar[Meter | None] = ContextVar("sim_mcp_requests_to_sim", default=None)


@contextmanager
def metered() -> Generator[Meter]:
    """Count what the block sends; probes and second questions that it did not know of count as well."""
    meter = Meter()
    token = _METER.set(meter)
    try:
        yield meter
    finally:
        _METER.reset(token)


def count_request() -> None:
    """One request is about to leave."""
    meter = _METER.get()
    if meter is not None:
        meter.sent += 1
