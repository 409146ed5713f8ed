"""Following up: who asks SIM about which run and when, inside one budget, whatever the clock does."""

from __future__ import annotations

import itertools
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from inline_snapshot import snapshot

from sim_mcp.gateway.outcomes import next_check_at
from sim_mcp.gateway.sim_budget import ASKED_LIMIT, LIMIT
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.execution import Execution, Status
from sim_mcp.model.json import Json
from sim_mcp.sim.fake import FakeSim
from tests.journeys.test_corridor import settle_background
from tests.patience import PATIENCE_S
from tests.store.rows import START, after, execution
from tests.world import SandboxTime, World, open_world, principal

pytestmark = pytest.mark.anyio

PER_MINUTE = 7 * LIMIT
"""A minute touches seven windows of ten seconds."""


class JumpingClock(ManualClock):
    """A clock that somebody sets: the time of day jumps, and no time passes."""

    def jump(self, by_s: float) -> None:
        """Set the time of day."""
        self._now += timedelta(seconds=by_s)


class Meter:
    """When SIM was asked about runs, by a clock that nobody sets."""

    def __init__(self, sim: FakeSim, clock: ManualClock) -> None:
        self._sim, self._clock = sim, clock
        self._seen = len(sim.requests)
        self.asked: list[tuple[float, str]] = []

    def read(self) -> None:
        """Note what came since the last reading."""
        fresh = list(self._sim.requests)[self._seen :]
        self._seen = len(self._sim.requests)
        now_s = self._clock.monotonic()
        self.asked += [(now_s, each.path) for each in fresh if each.verb != "execute"]

    def worst_minute(self) -> int:
        """The most requests of any sixty seconds."""
        times = [at_s for at_s, _ in self.asked]
        return max((sum(at_s <= each < at_s + 60 for each in times) for at_s in times), default=0)

    def looks(self) -> list[tuple[float, str]]:
        """The questions where a run stands."""
        return [(at_s, path) for at_s, path in self.asked if "/paused/" not in path]


def waits_of(row: Execution, *, jitter: float, looks: int = 7) -> list[float]:
    """The seconds until the next look, after each number of looks."""
    return [
        (next_check_at(row, looks=number, now=START, jitter=lambda: jitter) - START).total_seconds()
        for number in range(looks)
    ]


@pytest.mark.requirement("R15")
def test_the_wait_doubles_to_fifteen_seconds_and_slower_for_a_person() -> None:
    """Up to a quarter is added, so that many runs do not ask in step."""
    running, asking = execution(), execution(status=Status.PAUSED)
    assert waits_of(running, jitter=0) == snapshot([2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 15.0])
    assert waits_of(running, jitter=1) == snapshot([2.5, 5.0, 10.0, 18.75, 18.75, 18.75, 18.75])
    assert waits_of(asking, jitter=0) == snapshot([15.0, 30.0, 60.0, 120.0, 240.0, 240.0, 240.0])
    assert max(waits_of(asking, jitter=1, looks=99)) == snapshot(300.0)


async def one_world(stack: AsyncExitStack, folder: Path, clock: ManualClock, sim: FakeSim) -> World:
    """The app, in its own folder's database, with the workflows of these tests."""
    world = await stack.enter_async_context(open_world(folder, clock=clock, sim=sim))
    for tenant in ("acme", "globex"):
        await world.allow(tenant, "slow", mode="async", timeout_s=600)
        await world.allow(tenant, "asking", mode="async", timeout_s=600)
    return world


@pytest.fixture(params=["v2", "legacy"])
def sim(request: pytest.FixtureRequest, clock: ManualClock) -> FakeSim:
    """The fake SIM in each dialect."""
    return FakeSim(time=clock, v2_enabled=request.param == "v2")


async def start(world: World, tenant: str, tool: str, **arguments: Json) -> Execution:
    """An async call whose receipt has come."""
    with anyio.fail_after(PATIENCE_S):
        row = await world.app.gateway.call(world.call(tenant, tool, {**arguments}), patience_s=0)
        while world.app.follower.live_count:
            await anyio.lowlevel.checkpoint()
    return row


@pytest.mark.requirement("R15")
async def test_a_run_is_looked_at_after_two_four_eight_and_fifteen_seconds(
    tmp_path: Path, clock: ManualClock, sim: FakeSim
) -> None:
    """By the clock, one second after the other; the jitter of each wait is at most a quarter."""
    async with AsyncExitStack() as stack:
        world = await one_world(stack, tmp_path, clock, sim)
        await start(world, "acme", "slow", seconds=120)
        meter, began_s = Meter(sim, clock), clock.monotonic()
        for _ in range(60):
            await world.follow_up(advance_s=1)
            meter.read()
        times = [began_s, *(at_s for at_s, _ in meter.asked)]
        waits = [later - earlier for earlier, later in itertools.pairwise(times)]
        for wanted_s, wait_s in zip([2, 4, 8, 15, 15], waits, strict=False):
            assert wanted_s <= wait_s <= wanted_s * 1.25 + 1  # looked at in the round after it came due


@pytest.mark.requirement("R15")
async def test_a_time_pause_is_looked_at_when_it_is_over_and_not_before(
    tmp_path: Path, clock: ManualClock, sim: FakeSim
) -> None:
    """Neither the follower nor somebody who asks for the execution bothers SIM meanwhile."""
    async with AsyncExitStack() as stack:
        world = await one_world(stack, tmp_path, clock, sim)
        handle = await start(world, "acme", "asking", variant="time", seconds=3000)
        await world.follow_up(advance_s=5)
        paused = await world.row(handle)
        assert paused.status is Status.PAUSED
        resume_at = datetime.fromisoformat(paused.pauses[0]["resume_at"])  # type: ignore[index, call-overload, arg-type]
        meter = Meter(sim, clock)
        while clock.now() + timedelta(seconds=30) < resume_at:
            await world.follow_up(advance_s=30)
            await world.app.runs.get(principal("acme"), handle.id)
        meter.read()
        assert meter.asked == []
        left_s = (resume_at - clock.now()).total_seconds()
        await world.follow_up(advance_s=left_s + 1)
        assert (await world.row(handle)).status is Status.COMPLETED


@pytest.mark.requirement("R15")
async def test_a_client_that_asks_in_a_tight_loop_asks_sim_every_two_seconds(
    tmp_path: Path, clock: ManualClock, sim: FakeSim
) -> None:
    """On two replicas at once; between two looks everybody gets the row as last known."""
    async with AsyncExitStack() as stack:
        worlds = [await one_world(stack, tmp_path, clock, sim) for _ in range(2)]
        handle = await start(worlds[0], "acme", "slow", seconds=300)
        meter = Meter(sim, clock)
        for _ in range(40):
            async with anyio.create_task_group() as group:
                for world in worlds * 3:
                    group.start_soon(world.app.runs.get, principal("acme"), handle.id)
            meter.read()
            clock.advance(0.5)
        assert len(meter.asked) == snapshot(10)
        times = [at_s for at_s, _ in meter.asked]
        assert min(b - a for a, b in itertools.pairwise(times)) >= 2


@pytest.mark.requirement("R41", "R58")
async def test_clients_of_one_tenant_cannot_use_up_the_budget_of_the_follower(
    tmp_path: Path, clock: ManualClock, sim: FakeSim
) -> None:
    """Who looks at many executions gets the rows as last known; the other tenant's run is still followed."""
    async with AsyncExitStack() as stack:
        world = await one_world(stack, tmp_path, clock, sim)
        handles = [await start(world, "acme", "slow", seconds=600) for _ in range(25)]
        other = await start(world, "globex", "slow", seconds=1)
        meter = Meter(sim, clock)
        for handle in handles:
            assert (await world.app.runs.get(principal("acme"), handle.id)).id == handle.id
        meter.read()
        assert len(meter.asked) <= ASKED_LIMIT
        await world.follow_up(advance_s=4)
        assert (await world.row(other)).status is Status.COMPLETED


@pytest.mark.requirement("R15")
async def test_somebody_who_waits_learns_of_the_end_by_the_followers_schedule(
    tmp_path: Path, clock: ManualClock, sim: FakeSim
) -> None:
    """Waiting costs SIM no question of its own."""
    async with AsyncExitStack() as stack:
        world = await one_world(stack, tmp_path, clock, sim)
        handle = await start(world, "acme", "slow", seconds=20)
        ended: list[Execution] = []

        async def wait() -> None:
            ended.append(await world.app.runs.get(principal("acme"), handle.id, wait_s=120))

        meter = Meter(sim, clock)
        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                while not ended:
                    if clock.is_slept_on(60):
                        await world.follow_up(advance_s=1)
                        meter.read()
                    await anyio.lowlevel.checkpoint()
        assert [row.status for row in ended] == [Status.COMPLETED]
        assert len(meter.asked) <= 6


@pytest.mark.requirement("R15", "R41", "R58")
@hypothesis_settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
async def test_two_replicas_settle_everything_within_the_budget_whatever_the_clock_does(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """No row is lost, no run starts, no row is asked about twice at once, and SIM is never asked too much."""
    clock = JumpingClock(datetime(2026, 1, 1, tzinfo=UTC))
    sim = FakeSim(time=clock, v2_enabled=data.draw(st.booleans(), label="v2"))
    tenants = st.sampled_from(["acme", "globex"])
    seconds = st.integers(min_value=0, max_value=200)
    calls = data.draw(st.lists(st.tuples(tenants, seconds), min_size=30, max_size=60), label="calls")
    steps = st.sampled_from(["pass"] * 12 + ["look", "forward", "back"])
    plan = data.draw(st.lists(steps, min_size=40, max_size=80), label="plan")
    folder = tmp_path_factory.mktemp("replicas")
    async with AsyncExitStack() as stack:
        worlds = [await one_world(stack, folder, clock, sim) for _ in range(2)]
        handles = [await start(worlds[0], tenant, "slow", seconds=length) for tenant, length in calls]
        started = list(worlds[0].started)
        meter = Meter(sim, clock)

        async def rounds() -> None:
            async with anyio.create_task_group() as group:
                for world in worlds:
                    group.start_soon(world.app.follower.round)
            meter.read()

        for step in plan:
            if step in {"forward", "back"}:
                clock.jump(86_400 if step == "forward" else -3600)
            elif step == "look":
                row = handles[len(meter.asked) % len(handles)]
                await worlds[1].app.runs.get(principal(row.tenant_id), row.id)
            clock.advance(1)
            await rounds()
        for _ in range(4000):
            if all([(await worlds[0].row(handle)).status.is_final for handle in handles]):
                break
            clock.advance(2)
            await rounds()
        ends = [(await worlds[0].row(handle)).status for handle in handles]
        assert ends == [Status.COMPLETED] * len(handles)
        assert worlds[0].started == started
        assert len(meter.looks()) == len(set(meter.looks()))
        jumps = sum(step in {"forward", "back"} for step in plan)
        assert meter.worst_minute() <= PER_MINUTE + jumps * LIMIT  # a clock that is set opens a new window
        if not jumps:
            assert meter.worst_minute() <= PER_MINUTE


async def test_nothing_is_written_when_nothing_is_due(tmp_path: Path, clock: ManualClock) -> None:
    """A quiet server leaves the disk alone."""
    async with open_world(tmp_path, clock=clock, sim=FakeSim(time=SandboxTime(clock))) as world:
        await settle_background(world, clock, rounds=1)
        row = await world.app.store.database.fetch_one("SELECT window_at, spent FROM sim_budget")
        assert row is not None
        assert (row["window_at"], row["spent"]) == (0, 0)
        assert after(0) < clock.now()
