"""Time, as something that is handed in. Nothing else in the project reads a clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

import anyio
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

    async def until(self, event: anyio.Event, *, within_s: float) -> None:
        """Return when `event` is set, or after `within_s` seconds, whichever comes first. Cancellable."""
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

    async def until(self, event: anyio.Event, *, within_s: float) -> None:
        """Return when `event` is set, or after `within_s` seconds, whichever comes first. Cancellable."""
        with anyio.move_on_after(within_s):
            await event.wait()


class ManualClock:
    """Time that moves only when told to: for tests.

    `sleep` returns when `advance` has carried the clock past its end; `slept_s` records what was
    asked for; `sleepers_changed` wakes a test that waits for somebody to fall asleep.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic_s = 1000.0
        self._sleepers: list[tuple[float, anyio.Event]] = []
        self._fell_asleep = anyio.Event()
        self.slept_s: list[float] = []

    def now(self) -> datetime:
        """The moment that the test has reached."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that the test has let pass, plus a constant."""
        return self._monotonic_s

    def advance(self, delay_s: float) -> None:
        """Move both clocks forward by `delay_s` seconds and wake whoever is due."""
        self._now += timedelta(seconds=delay_s)
        self._monotonic_s += delay_s
        for ends_at_s, event in self._sleepers:
            if ends_at_s <= self._monotonic_s:
                event.set()

    async def sleep(self, delay_s: float) -> None:
        """Return once the clock has moved `delay_s` seconds on. Cancellable."""
        self.slept_s.append(delay_s)
        if delay_s <= 0:
            await anyio.lowlevel.checkpoint()
            return
        sleeper = (self._monotonic_s + delay_s, anyio.Event())
        self._sleepers.append(sleeper)
        self._fell_asleep.set()
        self._fell_asleep = anyio.Event()
        try:
            await sleeper[1].wait()
        finally:
            self._sleepers.remove(sleeper)

    async def until(self, event: anyio.Event, *, within_s: float) -> None:
        """Return when `event` is set, or once the clock has moved `within_s` seconds on. Cancellable."""
        async with anyio.create_task_group() as group:

            async def sleep() -> None:
                await self.sleep(within_s)
                group.cancel_scope.cancel()

            group.start_soon(sleep)
            await event.wait()
            group.cancel_scope.cancel()

    def is_slept_on(self, delay_s: float) -> bool:
        """Whether somebody sleeps who would wake within `delay_s` seconds."""
        return any(ends_at_s <= self._monotonic_s + delay_s for ends_at_s, _ in self._sleepers)

    async def sleeper(self, *, within_s: float) -> None:
        """Return once somebody sleeps who would wake within `within_s` seconds."""
        while not self.is_slept_on(within_s):
            await self._fell_asleep.wait()
