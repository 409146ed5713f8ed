"""When a cron expression ticks, in a time zone: the only place that knows the parser.

Daylight saving as Debian's cron has it (cronsim): a time that the clock skips ticks once right after
the gap, a time that comes twice ticks once; expressions with `*` hours follow the real hours.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sim_mcp.model.credentials import without_credentials
from sim_mcp.model.errors import Fault, InvalidInput

LONGEST_CRON = 200
FURTHEST = timedelta(days=5 * 366)


class Timetable:
    """The ticks of one expression."""

    def __init__(self, cron: str, time_zone: str) -> None:
        """Read the expression.

        Raises:
            InvalidInput: it or the zone is not understood, or it never ticks; says what would be.
        """
        self._zone = _zone(time_zone)
        self._cron = cron
        try:
            self.next_after(datetime(2026, 1, 1, tzinfo=UTC))
        except (ValueError, StopIteration) as error:
            raise InvalidInput(
                "The cron expression is not understood: write five fields (minute, hour, day, month, "
                "weekday), as in '30 9 * * 1-5'.",
                faults=(Fault("cron", "is no cron expression that ever ticks"),),
            ) from error

    def next_after(self, moment: datetime) -> datetime:
        """The first tick after `moment`, in UTC."""
        from cronsim import CronSim, CronSimError

        if len(self._cron) > LONGEST_CRON or len(self._cron.split()) != 5:
            raise ValueError("a cron expression has five fields")
        try:
            ticks = CronSim(self._cron, moment.astimezone(self._zone))
        except CronSimError as error:
            raise ValueError(str(error)) from error
        return next(ticks).astimezone(UTC)

    def upcoming(self, moment: datetime, count: int) -> tuple[datetime, ...]:
        """The next `count` ticks after `moment`, in UTC."""
        ticks: list[datetime] = []
        for _ in range(count):
            moment = self.next_after(moment)
            ticks.append(moment)
        return tuple(ticks)

    def last_before(self, now: datetime, first: datetime) -> datetime:
        """The newest tick at `now` or before, of those from the tick `first` on."""
        # Ticks may have been missed for months: halve the way there instead of walking through all.
        newest, step = first, now - first
        while step > timedelta(minutes=1):
            step /= 2
            tick = self.next_after(newest + step)
            if tick <= now:
                newest = tick
        while (tick := self.next_after(newest)) <= now:
            newest = tick
        return newest


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(
            f"The time zone {without_credentials(name)[:60]!r} is not known: use an IANA name such as "
            "'Europe/Berlin' or 'UTC'.",
            faults=(Fault("timeZone", "is no IANA time zone"),),
        ) from error
