"""Runs that do not simply end: paused, answered, cancelled, late, and not to be seen by others."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Conflict, ErrorCode, Forbidden, InvalidInput, NotFound
from sim_mcp.model.execution import Execution, Status
from sim_mcp.model.json import is_array, is_object
from sim_mcp.model.principal import Permission, Principal, TenantId
from sim_mcp.sim.fake import FakeSim, faults
from tests.journeys.test_corridor import settle_background
from tests.patience import PATIENCE_S
from tests.world import SandboxTime, World, open_world, principal

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["v2", "legacy"])
def sim(request: pytest.FixtureRequest, clock: ManualClock) -> FakeSim:
    """The fake SIM in each dialect."""
    return FakeSim(time=SandboxTime(clock), v2_enabled=request.param == "v2")


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock, sim: FakeSim) -> AsyncGenerator[World]:
    """Both tenants with the workflow that asks a human."""
    async with open_world(tmp_path, clock=clock, sim=sim) as opened:
        await opened.allow("acme", "asking")
        await opened.allow("globex", "asking")
        yield opened


async def paused(world: World, variant: str = "human") -> Execution:
    """A call that has come to its pause."""
    with anyio.fail_after(PATIENCE_S):
        return await world.app.gateway.call(world.call("acme", "asking", {"variant": variant}))


@pytest.mark.requirement("R57")
@pytest.mark.parametrize("variant", ["human", "api", "parallel"])
async def test_a_paused_run_is_no_success_in_any_of_its_shapes(world: World, variant: str) -> None:
    """The worst lie would be to call waiting done."""
    execution = await paused(world, variant)
    assert execution.status is Status.PAUSED
    assert is_array(execution.pauses)
    assert len(execution.pauses) == (2 if variant == "parallel" else 1)
    assert "/api/resume/" not in repr(execution.output)


async def test_a_person_answers_and_the_run_goes_on_to_its_end(world: World, clock: ManualClock) -> None:
    """The form names its fields; the answer is checked here, because SIM checks nothing."""
    execution = await paused(world)
    assert is_array(execution.pauses)
    assert is_object(execution.pauses[0])
    fields = execution.pauses[0]["fields"]
    assert is_array(fields)
    assert [field["name"] for field in fields if is_object(field)] == ["approved", "note"]
    with pytest.raises(InvalidInput, match="approved"):
        await world.app.runs.resume(principal("acme"), execution.id, {"approved": "yes"})
    with anyio.fail_after(PATIENCE_S):
        answered = await world.app.runs.resume(principal("acme"), execution.id, {"approved": True})
    if not answered.status.is_final:
        await settle_background(world, clock)
        answered = await world.row(execution)
    assert answered.status is Status.COMPLETED
    assert [(run.starts, run.resumes) for run in world.sim.runs] == [(1, 1)]


async def test_an_answered_pause_cannot_be_answered_again(world: World, clock: ManualClock) -> None:
    """A resume is never sent twice."""
    execution = await paused(world)
    await world.app.runs.resume(principal("acme"), execution.id, {"approved": True})
    await settle_background(world, clock)
    with pytest.raises(Conflict, match="Somebody answered before"):
        await world.app.runs.resume(principal("acme"), execution.id, {"approved": False})
    assert [run.resumes for run in world.sim.runs] == [1]


async def test_one_of_several_pauses_must_be_named(world: World) -> None:
    """Guessing which question an answer is for would answer the wrong one."""
    execution = await paused(world, "parallel")
    with pytest.raises(Conflict, match="context_id"):
        await world.app.runs.resume(principal("acme"), execution.id, {"approved": True})


@pytest.mark.requirement("R13", "R35", "R60")
async def test_another_tenants_execution_answers_exactly_like_an_unknown_one(world: World) -> None:
    """Looking, cancelling and resuming with a foreign id teach nothing, by whichever id."""
    execution = await paused(world)
    assert execution.run_id is not None
    words: set[str] = set()
    for any_id in (execution.id, execution.run_id, "no-such-id"):
        for act in (world.app.runs.get, world.app.runs.cancel):
            with pytest.raises(NotFound) as caught:
                await act(principal("globex"), any_id)
            words.add(caught.value.message)
        with pytest.raises(NotFound) as caught:
            await world.app.runs.resume(principal("globex"), any_id, {"approved": True})
        words.add(caught.value.message)
    assert len(words) == 1
    assert (await world.row(execution)).status is Status.PAUSED


@pytest.mark.requirement("R33")
async def test_looking_needs_view_and_acting_needs_edit(world: World) -> None:
    """Each permission opens its own doors and no other."""
    execution = await paused(world)
    viewer = Principal(tenant_id=TenantId("acme"), permissions=frozenset({Permission.VIEW}))
    editor = Principal(tenant_id=TenantId("acme"), permissions=frozenset({Permission.EDIT}))
    assert (await world.app.runs.get(viewer, execution.id)).id == execution.id
    with pytest.raises(Forbidden, match="INTEGRATION_EDIT"):
        await world.app.runs.cancel(viewer, execution.id)
    with pytest.raises(Forbidden, match="INTEGRATION_VIEW"):
        await world.app.runs.get(editor, execution.id)


async def test_a_cancelled_run_is_cancelled_at_sim_and_stays_so(world: World, clock: ManualClock) -> None:
    """By an explicit call, and told as SIM tells it."""
    execution = await paused(world)
    cancelled = await world.app.runs.cancel(principal("acme"), execution.id)
    if not cancelled.status.is_final:
        await settle_background(world, clock)
    assert (await world.row(execution)).status is Status.CANCELLED


@pytest.mark.requirement("R57")
async def test_a_sim_that_cannot_cancel_is_reported_and_the_run_followed(
    tmp_path: Path, clock: ManualClock
) -> None:
    """`success: false` is not a cancel (sim-api 4.3)."""
    sim = FakeSim(time=SandboxTime(clock), cancel_works=False)
    async with open_world(tmp_path, clock=clock, sim=sim) as world:
        await world.allow("acme", "slow", mode="async", timeout_s=600)
        handle = await world.app.gateway.call(world.call("acme", "slow", {"seconds": 30}), patience_s=0)
        await settle_background(world, clock, rounds=0)
        with pytest.raises(Conflict, match="could not cancel"):
            await world.app.runs.cancel(principal("acme"), handle.id)
        await settle_background(world, clock)
        assert (await world.row(handle)).status is Status.COMPLETED


async def test_a_call_cancelled_between_two_attempts_is_never_sent(world: World, clock: ManualClock) -> None:
    """While we wait to try again nothing runs, so cancelling means that nothing will."""
    await world.allow("acme", "echo")
    world.sim.script(faults.RateLimited(kind="gate"))
    handle = await world.app.gateway.call(world.call("acme", "echo"), patience_s=0)
    with anyio.fail_after(PATIENCE_S):
        while not clock.slept_s:
            await anyio.lowlevel.checkpoint()
    with pytest.raises(Conflict, match="does not know it, or not yet"):
        await world.app.runs.cancel(principal("acme"), handle.id)
    clock.advance(30)
    await settle_background(world, clock)
    assert (await world.row(handle)).status is Status.CANCELLED
    assert world.started == []


@pytest.mark.requirement("R27")
@pytest.mark.parametrize("turns", [0, 1, 2, 5, 10, 20, 40, 80])
async def test_a_row_says_cancelled_only_when_nothing_goes_on_at_sim(
    world: World, clock: ManualClock, turns: int
) -> None:
    """Wherever the cancel meets the call, the row and SIM tell the same story."""
    await world.allow("acme", "asking", "waits")
    handle = await world.app.gateway.call(world.call("acme", "waits", {"variant": "human"}), patience_s=0)
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    with contextlib.suppress(Conflict):
        await world.app.runs.cancel(principal("acme"), handle.id)
    await settle_background(world, clock)
    row = await world.row(handle)
    at_sim = {run.standing(clock.now()) for run in world.sim.runs}
    assert at_sim <= ({"cancelled"} if row.status is Status.CANCELLED else {row.status.value})


@pytest.mark.requirement("R27", "R60")
async def test_an_input_with_an_infinite_number_is_refused_and_its_row_is_readable(world: World) -> None:
    """What JSON cannot write must not make a page of the history unreadable."""
    with pytest.raises(InvalidInput, match="infinity"):
        await world.app.gateway.call(world.call("acme", "asking", {"amount": float("inf")}))
    (row,) = await world.rows("acme")
    assert row.input == {"amount": "inf"}


@pytest.mark.requirement("R36")
async def test_a_late_run_is_cancelled_and_told_as_a_timeout(world: World, clock: ManualClock) -> None:
    """Longer than allowed: stopped at SIM, and the message says what to change."""
    await world.allow("acme", "echo", "stuck")
    world.sim.script(faults.Hang(run_started=True))
    handle = await world.app.gateway.call(world.call("acme", "stuck", timeout_s=1.0), patience_s=0)
    await settle_background(world, clock)
    row = await world.row(handle)
    assert row.status is not Status.PROCESSING
    if row.status is Status.FAILED:
        assert row.error is not None
        assert row.error.code is ErrorCode.TIMEOUT
    assert len([request for request in world.sim.requests if request.verb == "execute"]) == 1
