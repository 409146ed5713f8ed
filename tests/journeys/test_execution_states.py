"""Whatever happens to calls and in whatever order: each row ends where SIM's run really stands.

Random stories of calls, faults of SIM, answers, cancels, restarts and passing time. The sandbox's ledger
knows what truly happened; rows may say that they do not know, and never anything else than the truth.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import ErrorCode, SimMcpError
from sim_mcp.model.execution import Execution, Status
from sim_mcp.sim.fake import FakeSim, faults
from tests.patience import PATIENCE_S
from tests.world import SandboxTime, World, flowing, open_world, principal

pytestmark = pytest.mark.requirement("R14", "R36", "R58", "F1", "F3")

WORKFLOWS = ("echo", "failing", "asking")
MODES = ("sync", "async", "stream")
CALLER_S = 20
LONG_S = 100_000
"""After this long without SIM's word every row is closed: a day and an hour."""

EXECUTE_FAULTS: tuple[faults.Fault, ...] = (
    faults.LostAnswer(),
    faults.ResetMidBody(),
    faults.NotBegunReset(),
    faults.Unavailable503(),
    faults.RateLimited(retry_after=1, kind="gate"),
    faults.AmbiguousEnqueue(starts_run=True),
    faults.AmbiguousEnqueue(starts_run=False),
    faults.HtmlPage(run_started=True),
    faults.HtmlPage(run_started=False),
    faults.RunConflict(),
    faults.MalformedJson(),
)
RESUME_FAULTS: tuple[faults.Fault, ...] = (
    faults.LostAnswer(),
    faults.NotBegunReset(),
    faults.SnapshotNotReady(),
    faults.HtmlPage(run_started=True),
    faults.Forbidden403(),
)
STATUS_FAULTS: tuple[faults.Fault, ...] = (
    faults.NotFound404(),
    faults.Unavailable503(),
    faults.HtmlPage(),
    faults.Unauthorized401(),
)
CANCEL_FAULTS: tuple[faults.Fault, ...] = (faults.LostAnswer(), faults.NotFound404(), faults.Forbidden403())


@dataclass(frozen=True, slots=True)
class CallTool:
    """Somebody calls, under a key that others may use too."""

    workflow: str
    mode: str
    key: int


@dataclass(frozen=True, slots=True)
class Break:
    """SIM's next answer to `verb` goes wrong."""

    verb: faults.Verb
    fault: faults.Fault


@dataclass(frozen=True, slots=True)
class Answer:
    """Somebody answers the `at`th execution, whether or not it waits for that."""

    at: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Somebody cancels the `at`th execution."""

    at: int


@dataclass(frozen=True, slots=True)
class LetPass:
    """Time passes and the follower looks at what is due."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Restart:
    """Our process ends and another one begins, some time later."""

    after_s: int


Step = CallTool | Break | Answer | Cancel | LetPass | Restart


def breaks(verb: faults.Verb, several: tuple[faults.Fault, ...]) -> st.SearchStrategy[Step]:
    """One of the faults of a verb."""
    return st.sampled_from(several).map(lambda fault: Break(verb, fault))


STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(CallTool, st.sampled_from(WORKFLOWS), st.sampled_from(MODES), st.integers(1, 2)),
    breaks("execute", EXECUTE_FAULTS),
    breaks("status", STATUS_FAULTS),
    breaks("resume", RESUME_FAULTS),
    breaks("cancel", CANCEL_FAULTS),
    st.builds(Answer, st.integers(0, 2)),
    st.builds(Cancel, st.integers(0, 2)),
    st.builds(LetPass, st.sampled_from((1, 5, 20, 90))),
    st.builds(Restart, st.sampled_from((0, 40))),
)


def is_plausible(story: list[Step]) -> bool:
    """SIM forgets a run for a moment (sim-api 4.2), not again and again."""
    return sum(isinstance(step, Break) and step.fault == faults.NotFound404() for step in story) <= 1


@pytest.mark.parametrize("dialect", ["v2", "legacy"])
@settings(max_examples=60)
@given(story=st.lists(STEPS, min_size=2, max_size=12).filter(is_plausible))
def test_no_story_makes_a_row_say_what_is_not_so(dialect: str, story: list[Step]) -> None:
    """Rows that claim an outcome have the run's own; a key that was used twice ran once."""
    anyio.run(lived_through, story, dialect)


async def lived_through(story: list[Step], dialect: str) -> None:
    """Live through the story, let all come to its end, and compare with the sandbox's ledger."""
    clock = ManualClock()
    sim = FakeSim(time=SandboxTime(clock), v2_enabled=dialect == "v2")
    with tempfile.TemporaryDirectory() as folder:
        await anyio.Path(folder).mkdir(exist_ok=True)
        remaining = list(story)
        is_new = True
        while is_new or remaining:
            async with open_world(Path(folder), clock=clock, sim=sim) as world:
                if is_new:
                    await allow_all(world)
                is_new = False
                with anyio.fail_after(PATIENCE_S):
                    await until_restart(world, remaining)
                    if not remaining:
                        await come_to_an_end(world)


async def allow_all(world: World) -> None:
    """Each workflow in each mode is a tool."""
    for workflow in WORKFLOWS:
        for mode in MODES:
            await world.allow("acme", workflow, f"{workflow}_{mode}", mode=mode, timeout_s=60)


async def until_restart(world: World, remaining: list[Step]) -> None:
    """Take steps until the process ends."""
    while remaining:
        step = remaining.pop(0)
        if isinstance(step, Restart):
            clock_of(world).advance(step.after_s)
            return
        if isinstance(step, LetPass):
            await world.follow_up(rounds=1, advance_s=step.seconds)
            continue
        async with flowing(clock_of(world)):
            with suppress(SimMcpError):
                await take(step, world)


async def take(step: Step, world: World) -> None:
    """Do what the step says."""
    match step:
        case CallTool(workflow, mode, key):
            tool = f"{workflow}_{mode}"
            call = world.call("acme", tool, {"text": "x"}, idempotency_key=f"{tool}-{key}")
            await world.app.gateway.answer(call, patience_s=CALLER_S)
        case Break(verb, fault):
            world.sim.script(fault, verb=verb)
        case Answer(at):
            rows = await world.rows("acme")
            if at < len(rows):
                await world.app.runs.resume(principal("acme"), rows[at].id, {"approved": True}, wait_s=0)
        case Cancel(at):
            rows = await world.rows("acme")
            if at < len(rows):
                await world.app.runs.cancel(principal("acme"), rows[at].id)
        case LetPass() | Restart():
            raise AssertionError(step)


def clock_of(world: World) -> ManualClock:
    """The story's clock."""
    assert isinstance(world.clock, ManualClock)
    return world.clock


async def come_to_an_end(world: World) -> None:
    """Follow until nothing changes any more, then judge every row."""
    for advance_s in (*[15.0] * 30, LONG_S, LONG_S):
        await world.follow_up(rounds=1, advance_s=advance_s)
    rows = await world.rows("acme")
    for row in rows:
        assert row.status.is_settled, row
        judge(world, row)
    for key in {row.idempotency_key for row in rows}:
        began = [row for row in rows if row.idempotency_key == key and ran(world, row)]
        assert len(began) <= 1, began
    assert all(run.starts == 1 for run in world.sim.runs)


def ran(world: World, row: Execution) -> bool:
    """Whether SIM ran the row's run."""
    return row.run_id is not None and world.sim.runs.get(row.run_id) is not None


def judge(world: World, row: Execution) -> None:
    """The row tells what the ledger knows, or that it does not know."""
    if row.error is not None and row.error.code is ErrorCode.OUTCOME_UNKNOWN:
        return
    run = world.sim.runs.get(row.run_id) if row.run_id else None
    standing = run.standing(world.clock.now()) if run is not None else None
    told = (row.status, row.error.code if row.error else None)
    match row.status:
        case Status.COMPLETED:
            assert standing == "completed", told
        case Status.PAUSED:
            assert standing == "paused", told
        case Status.CANCELLED:
            assert standing in {"cancelled", None}, told
        case Status.FAILED if row.error is not None and row.error.code is ErrorCode.EXECUTION_ERROR:
            assert standing == "failed", told
        case Status.FAILED:
            assert standing is None, (told, row.error, standing)
        case _:
            raise AssertionError(told)


@pytest.mark.anyio
async def test_one_look_in_vain_does_not_prove_that_a_run_never_began(
    tmp_path: Path, clock: ManualClock
) -> None:
    """SIM ran it, its answer was lost, and much later SIM does not know the run for a moment."""
    sim = FakeSim(time=SandboxTime(clock))
    async with open_world(tmp_path, clock=clock, sim=sim) as world:
        await world.allow("acme", "echo", "tool")
        sim.script(faults.LostAnswer())
        sim.script(faults.NotFound404(), faults.NotFound404(), verb="status")
        row = (await world.app.gateway.answer(world.call("acme", "tool"), patience_s=0)).execution
        with anyio.fail_after(PATIENCE_S):
            await world.follow_up(rounds=1, advance_s=600)
            assert (await world.row(row)).status is Status.PROCESSING
            await world.follow_up(rounds=6, advance_s=6)
        assert (await world.row(row)).status is Status.COMPLETED


@pytest.mark.anyio
async def test_a_run_that_sim_told_of_once_is_never_called_unstarted(
    tmp_path: Path, clock: ManualClock
) -> None:
    """SIM says that it runs, and later knows nothing: that is no proof that a repeat is safe."""
    sim = FakeSim(time=clock)
    async with open_world(tmp_path, clock=clock, sim=sim) as world:
        await world.allow("acme", "slow", "tool", mode="async", timeout_s=600)
        call = world.call("acme", "tool", {"seconds": 300})
        row = (await world.app.gateway.answer(call, patience_s=0)).execution
        with anyio.fail_after(PATIENCE_S):
            await world.app.gateway.waiting.until_submitted(row, patience_s=60)
            await world.follow_up(rounds=3, advance_s=10)
            assert not (await world.row(row)).status.is_settled
            sim.script(*[faults.NotFound404()] * 40, verb="status")
            await world.follow_up(rounds=40, advance_s=10)
        closed = await world.row(row)
    assert closed.error is not None
    assert (closed.status, closed.error.code) == (Status.FAILED, ErrorCode.OUTCOME_UNKNOWN)
