"""Progress reports: how often, with which words, never backwards."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sim_mcp.app import Progress
from sim_mcp.model.execution import ExecutionId, Status
from sim_mcp.transports.progress import LEAST_APART_S, LONGEST_MESSAGE, ProgressReporter

if TYPE_CHECKING:
    from mcp.server.session import ServerSession

pytestmark = pytest.mark.anyio


class Ear:
    """The client's side of one request."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, str | None]] = []

    async def report_progress(self, progress: float, total: float | None, message: str | None) -> None:
        """Take note."""
        assert total is None
        self.heard.append((progress, message))


def reporter() -> tuple[ProgressReporter, list[tuple[float, str | None]]]:
    """A reporter, and what its client hears."""
    ear = Ear()
    return ProgressReporter(cast("ServerSession", ear)), ear.heard


def at(elapsed_s: float, text: str | None = None) -> Progress:
    """One report of the gateway."""
    return Progress(execution_id=ExecutionId("e-1"), elapsed_s=elapsed_s, status=Status.PROCESSING, text=text)


async def test_streamed_text_is_told_and_none_of_it_is_lost_between_reports() -> None:
    """What came too soon after the last report comes with the next one."""
    report, heard = reporter()
    for progress in (at(0), at(0.1, "Here "), at(0.2, "is "), at(0.5, "text"), at(2.5)):
        await report(progress)
    assert heard == [(0, "processing, 0 s"), (0.5, "Here is text"), (2.5, "processing, 2 s")]
    assert report.execution_id == "e-1"


async def test_a_flood_of_text_is_cut_to_its_newest_part() -> None:
    """500 characters at most, the end of them."""
    report, heard = reporter()
    await report(at(1, "a" * 5000 + "the end"))
    [(_, message)] = heard
    assert message is not None
    assert len(message) == LONGEST_MESSAGE
    assert message.endswith("the end")


@given(some.lists(some.floats(min_value=0, max_value=100)))
async def test_reports_grow_and_keep_their_distance(moments: list[float]) -> None:
    """Whatever the gateway says, and however often."""
    report, heard = reporter()
    for elapsed_s in sorted(moments):
        await report(at(elapsed_s))
    steps = [step for step, _ in heard]
    assert all(later - earlier > LEAST_APART_S - 0.002 for earlier, later in pairwise(steps))
