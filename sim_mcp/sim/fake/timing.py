"""Time as the sandbox sees it: two questions, so that a test can answer them itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

import anyio


class FakeTime(Protocol):
    """What the sandbox asks of time. Any object with these two methods will do."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds. Cancellable."""
        ...


class RealTime:
    """The machine's own time."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds. Cancellable."""
        await anyio.sleep(max(0.0, delay_s))


def iso(moment: datetime) -> str:
    """Write `moment` as SIM does: UTC, milliseconds, a `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
