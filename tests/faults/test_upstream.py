"""Every fault of SIM, in both dialects and all three modes: what the caller is told, and what it comes to.

The table is the whole truth about a call that met a fault: what it was told at first, how its row ended, how
often it was sent, and how often it ran. Nothing else of the corridor may depend on the fault.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.execution import Execution, Status
from sim_mcp.sim.fake import FakeSim, faults
from tests.patience import PATIENCE_S
from tests.world import SandboxTime, World, flowing, open_world

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R36", "R37", "R58", "F1", "F3")]

DIALECTS, MODES = ("v2", "legacy"), ("sync", "async", "stream")
WORKFLOWS = {"sync": "echo", "async": "echo", "stream": "streaming"}
Told = tuple[Status, ErrorCode | None]

DONE: Told = (Status.COMPLETED, None)
IN_DOUBT: Told = (Status.PROCESSING, ErrorCode.OUTCOME_UNKNOWN)
NEVER_BEGAN: Told = (Status.FAILED, ErrorCode.SIM_UNAVAILABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What becomes of a call: at first, in the end; how often it was sent, and how often it ran."""

    first: Told
    end: Told
    sent: int
    ran: int


AT_ONCE = Story(first=DONE, end=DONE, sent=1, ran=1)
SENT_AGAIN = Story(first=DONE, end=DONE, sent=2, ran=1)
FOUND = Story(first=IN_DOUBT, end=DONE, sent=1, ran=1)
NOT_FOUND = Story(first=IN_DOUBT, end=NEVER_BEGAN, sent=1, ran=0)


def refused(code: ErrorCode) -> Story:
    """It ends at once: SIM said no, and says it again however often it is asked."""
    told = (Status.FAILED, code)
    return Story(first=told, end=told, sent=1, ran=0)


RATE = refused(ErrorCode.RATE_LIMIT_EXCEEDED)


@dataclass(frozen=True, slots=True)
class Row:
    """One fault and its story, with the exceptions by dialect, by mode or by both."""

    fault: faults.Fault
    story: Story
    but: Mapping[str, Story] = field(default_factory=dict[str, Story])

    def told(self, dialect: str, mode: str) -> Story:
        """The story in one dialect and mode."""
        for name in (f"{dialect} {mode}", dialect, mode):
            if name in self.but:
                return self.but[name]
        return self.story


TABLE = [
    # The legacy dialect does not say when its minute is over, so there it is the caller's to come again.
    Row(faults.RateLimited(kind="rate"), SENT_AGAIN, {"legacy": RATE}),
    Row(faults.RateLimited(kind="rate", retry_after=7), SENT_AGAIN, {"legacy": RATE}),
    Row(faults.RateLimited(kind="concurrency"), SENT_AGAIN),
    Row(faults.RateLimited(kind="gate"), SENT_AGAIN),
    Row(faults.Unavailable503(), SENT_AGAIN),
    Row(faults.Unavailable503(retry_after=7), SENT_AGAIN),
    Row(faults.AmbiguousEnqueue(starts_run=True), FOUND),
    Row(faults.AmbiguousEnqueue(starts_run=False), NOT_FOUND),
    Row(faults.LostAnswer(), FOUND),
    Row(faults.NotBegunReset(), NOT_FOUND),
    Row(faults.ResetMidBody(), FOUND),
    Row(faults.MalformedJson(), FOUND),
    Row(faults.HtmlPage(status=200, run_started=True), FOUND),
    Row(faults.HtmlPage(status=200), NOT_FOUND),
    Row(faults.HtmlPage(status=404), NOT_FOUND),
    Row(faults.HtmlPage(status=429), SENT_AGAIN),
    Row(faults.HtmlPage(status=502, run_started=True), FOUND),
    Row(faults.HtmlPage(status=502), NOT_FOUND),
    Row(faults.HtmlPage(status=503, run_started=True), FOUND),
    Row(faults.HtmlPage(status=503), NOT_FOUND),
    Row(faults.HtmlPage(status=504, run_started=True), FOUND),
    Row(faults.HtmlPage(status=504), NOT_FOUND),
    Row(faults.Redirect(), NOT_FOUND),
    Row(faults.Unauthorized401(), refused(ErrorCode.UNAUTHORIZED)),
    Row(faults.Unauthorized401(limiter_broken=True), SENT_AGAIN),
    Row(faults.UsageExceeded402(), refused(ErrorCode.USAGE_LIMIT_EXCEEDED)),
    Row(faults.Forbidden403(), refused(ErrorCode.FORBIDDEN)),
    Row(faults.NotFound404(), refused(ErrorCode.NOT_FOUND)),
    Row(faults.RunConflict(run_exists=True), FOUND),
    Row(faults.RunConflict(), NOT_FOUND),
    Row(faults.SnapshotNotReady(), SENT_AGAIN),  # nothing began, and it passes
    # A receipt of another dialect is no proof; and SIM sends a stream to whoever asked for one.
    Row(faults.OldReceipt(shape="2025"), AT_ONCE, {"v2 async": FOUND, "stream": FOUND}),
    Row(faults.OldReceipt(shape="legacy"), AT_ONCE, {"v2 async": FOUND, "stream": FOUND}),
    Row(faults.OldReceipt(shape="v2"), AT_ONCE, {"stream": FOUND}),
]

SLOW = [
    Row(faults.Hang(run_started=True), FOUND),
    Row(faults.Hang(), NOT_FOUND),
    Row(faults.SlowLoris(run_started=True), FOUND),
    Row(faults.SlowLoris(), NOT_FOUND),
]


def test_the_tables_have_every_fault_that_the_sandbox_can_play() -> None:
    """A new fault without a row would be one that nobody thought through."""
    assert {type(row.fault) for row in [*TABLE, *SLOW]} == set(faults.Fault.__args__)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("row", TABLE, ids=lambda row: repr(row.fault))
async def test_a_fault_has_its_story(
    tmp_path: Path, clock: ManualClock, row: Row, dialect: str, mode: str
) -> None:
    """As the caller is told it at first, and the follower finds out; the other tenant meets nothing of it."""
    async with faulty(tmp_path, clock, row, dialect, mode) as world:
        call = world.call("acme", "tool", {"text": "hello", "topic": "rain"})
        with anyio.fail_after(PATIENCE_S):
            async with flowing(clock):
                first = await world.app.gateway.call(call, patience_s=30)
        assert await story_of(world, first) == as_seen(row.told(dialect, mode), mode)
        assert await world.rows("globex") == ()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_sim_that_never_answers_has_its_story(tmp_path: Path, dialect: str, mode: str) -> None:
    """After the tool's own timeout, which is real time here: all four at once.

    A receipt that does not come is a lost answer: in the background the timeout is the run's alone.
    """

    async def hang(row: Row, folder: Path) -> None:
        async with faulty(folder, ManualClock(), row, dialect, mode, timeout_s=1) as world:
            began = await world.app.gateway.call(world.call("acme", "tool", {"text": "x"}), patience_s=0)
            while world.app.follower.live_count:
                await anyio.lowlevel.checkpoint()
            first = await world.row(began)
            late = IN_DOUBT if mode == "async" else (Status.PROCESSING, ErrorCode.TIMEOUT)
            expected = row.told(dialect, mode)
            told = await story_of(world, first)
            assert told == Story(first=late, end=expected.end, sent=1, ran=expected.ran), row.fault

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as group:
            for number, row in enumerate(SLOW):
                group.start_soon(hang, row, tmp_path / f"{number}")


@asynccontextmanager
async def faulty(
    folder: Path, clock: ManualClock, row: Row, dialect: str, mode: str, timeout_s: float = 60
) -> AsyncGenerator[World]:
    """A world whose SIM plays the fault of `row` once, at the next execute."""
    sim = FakeSim(time=SandboxTime(clock), v2_enabled=dialect == "v2")
    async with open_world(folder, clock=clock, sim=sim) as world:
        for tenant in ("acme", "globex"):
            await world.allow(tenant, WORKFLOWS[mode], "tool", mode=mode, timeout_s=timeout_s)
        sim.script(row.fault)
        yield world


async def story_of(world: World, first: Execution) -> Story:
    """What became of the call whose caller was told `first`."""
    last = first
    for _ in range(20):
        if last.status.is_final:
            break
        await world.follow_up(advance_s=10)
        last = await world.row(first)
    sent = [each for each in world.sim.requests if each.verb == "execute"]
    assert (last.attempts, [run.starts for run in world.sim.runs]) == (len(sent), [1] * len(world.sim.runs))
    assert last.duration_ms is None or last.duration_ms >= 0
    return Story(first=told(first), end=told(last), sent=len(sent), ran=len(world.sim.runs))


def told(row: Execution) -> Told:
    """What a row says: its status, and the code of its error."""
    return row.status, row.error.code if row.error else None


def as_seen(story: Story, mode: str) -> Story:
    """Who asks for a run in the background is told at first that it is queued, when all went well."""
    if mode == "async" and story.first == DONE:
        return replace(story, first=(Status.QUEUED, None))
    return story
