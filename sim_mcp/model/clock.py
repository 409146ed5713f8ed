"""Time, as something that is handed in. Nothing else in the project reads a clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

import anyio.lowlevel


class Clock(Protocol):
    """What the project may ask of time."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never runs backwards."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds (at once when it is not positive). Cancellable."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never runs backwards."""
        return time.monotonic()

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds (at once when it is not positive). Cancellable."""
        await anyio.sleep(max(0.0, delay_s))


class ManualClock:
    """Time that moves only when told to: for tests.

    `sleep` moves the clock forward by the whole delay and yields to other tasks once, so that
    waits cost no real time and their sum can be read from `slept_s`.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic_s = 1000.0
        self.slept_s: list[float] = []

    def now(self) -> datetime:
        """The moment that the test has reached."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that the test has let pass, plus a constant."""
        return self._monotonic_s

    def advance(self, delay_s: float) -> None:
        """Move both clocks forward by `delay_s` seconds."""
        self._now += timedelta(seconds=delay_s)
        self._monotonic_s += delay_s

    async def sleep(self, delay_s: float) -> None:
        """Record the delay, move time forward by it, and yield once."""
        self.slept_s.append(delay_s)
        self.advance(max(0.0, delay_s))
        await anyio.lowlevel.checkpoint()
