"""Charts as numbers for SVG: bars over time, drawn on the server, readable without scripts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sim_mcp.model.execution import Status

if TYPE_CHECKING:
    from datetime import datetime

    from sim_mcp.app import Timeline

WIDTH, HEIGHT, LOW = 720.0, 160.0, 150.0
"""The drawing's size in its own units, and where its bars stand."""
_GAP = 0.15
_ENDS = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True, slots=True)
class Bar:
    """One coloured part of a bar."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Slot:
    """One bar with its words; `counts` by status, in the order of the legend."""

    label: str
    counts: tuple[int, ...]
    parts: tuple[Bar, ...]

    @property
    def total(self) -> int:
        """How many executions it stands for."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class BarChart:
    """Executions over time, stacked by how they ended."""

    slots: tuple[Slot, ...]
    kinds: tuple[str, ...]
    most: int
    slot_words: str
    first: str
    last: str

    @property
    def is_empty(self) -> bool:
        """Whether nothing was run in all that time."""
        return self.most == 0


def chart_of(timeline: Timeline) -> BarChart:
    """The bars of `timeline`; slots without executions are there too, so that time runs evenly."""
    counts: dict[tuple[datetime, Status], int] = {
        (each.began_at, each.status): each.executions for each in timeline.counts
    }
    moments = _moments(timeline)
    rows = [tuple(counts.get((began, status), 0) for status in _ENDS) for began in moments]
    most = max((sum(row) for row in rows), default=0)
    step = WIDTH / max(1, len(moments))
    return BarChart(
        slots=tuple(
            Slot(_label(began, timeline.slot), row, _parts(place * step, step, row, most))
            for place, (began, row) in enumerate(zip(moments, rows, strict=True))
        ),
        kinds=tuple(status.value for status in _ENDS),
        most=most,
        slot_words=_slot_words(timeline.slot),
        first=_label(moments[0], timeline.slot) if moments else "",
        last=_label(moments[-1], timeline.slot) if moments else "",
    )


def _moments(timeline: Timeline) -> list[datetime]:
    found: list[datetime] = []
    began = timeline.since
    while began <= timeline.until:  # what was made at this very moment has its bar too
        found.append(began)
        began += timeline.slot
    return found


def _parts(x: float, step: float, row: tuple[int, ...], most: int) -> tuple[Bar, ...]:
    parts: list[Bar] = []
    top = LOW
    for status, count in zip(_ENDS, row, strict=True):
        if count:
            height = max(1.0, count / most * (LOW - 10))
            top -= height
            width = step * (1 - 2 * _GAP)
            parts.append(
                Bar(round(x + step * _GAP, 2), round(top, 2), round(width, 2), round(height, 2), status.value)
            )
    return tuple(parts)


def _label(at: datetime, slot: timedelta) -> str:
    return f"{at:%Y-%m-%d}" if slot >= timedelta(days=1) else f"{at:%m-%d %H:%M}"


def _slot_words(slot: timedelta) -> str:
    if slot >= timedelta(days=1):
        return "1 day" if slot.days == 1 else f"{slot.days} days"
    minutes = int(slot.total_seconds() // 60)
    hours, rest = divmod(minutes, 60)
    if not rest:
        return "1 hour" if hours == 1 else f"{hours} hours"
    return "1 minute" if minutes == 1 else f"{minutes} minutes"
