"""Schedules: every tick starts one run, whatever the clocks do and however many replicas look."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Forbidden, InvalidInput, NotFound
from sim_mcp.model.execution import Trigger
from sim_mcp.model.principal import Principal, TenantId
from sim_mcp.sim.fake import FakeSim
from sim_mcp.triggers import Timetable
from tests.journeys.test_events import worked_off
from tests.patience import PATIENCE_S
from tests.triggers import schedule
from tests.world import SandboxTime, World, open_world, principal

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[World]:
    """Two tenants with a tool each."""
    async with open_world(tmp_path, clock=clock, sim=FakeSim(time=SandboxTime(clock))) as opened:
        for tenant in ("acme", "globex"):
            await opened.allow(tenant, "echo")
        yield opened


async def ticks_through(start: datetime, hours: int, folder: Path, cron: str, zone: str) -> list[str]:
    """The moments (in UTC) at which a worker that looks every minute makes jobs of one schedule."""
    clock = ManualClock(start)
    async with open_world(folder, clock=clock, sim=FakeSim(time=SandboxTime(clock))) as world:
        await world.allow("acme", "echo")
        await world.app.schedules.set(principal("acme"), schedule("acme", "echo", cron=cron, time_zone=zone))
        for _ in range(hours * 60):
            clock.advance(60)
            await world.app.schedules.tick()
        jobs = (await world.app.jobs.page(principal("acme"), limit=100)).jobs
        return [f"{job.due_at:%d %H:%M}" for job in reversed(jobs)]


@pytest.mark.requirement("R17", "R42", "F17")
async def test_a_day_with_daylight_saving_ticks_as_people_expect(tmp_path: Path) -> None:
    """Berlin, both changes of 2026: 02:30 is left out once and comes twice once, and ticks once each time."""
    spring, autumn = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
    nightly, hourly = "30 2 * * *", "0 * * * *"
    found = {
        "spring, 02:30 each night": await ticks_through(spring, 24, tmp_path / "a", nightly, "Europe/Berlin"),
        "autumn, 02:30 each night": await ticks_through(autumn, 24, tmp_path / "b", nightly, "Europe/Berlin"),
        "spring, hourly": len(await ticks_through(spring, 24, tmp_path / "c", hourly, "Europe/Berlin")),
        "autumn, hourly": len(await ticks_through(autumn, 24, tmp_path / "d", hourly, "Europe/Berlin")),
    }
    assert found == snapshot(
        {
            "spring, 02:30 each night": ["29 01:00"],
            "autumn, 02:30 each night": ["25 00:30"],
            "spring, hourly": 24,
            "autumn, hourly": 24,
        }
    )


@pytest.mark.requirement("R17", "R35", "R42")
async def test_a_tick_runs_its_workflow_once_with_its_input(world: World) -> None:
    """As the trigger `schedule`, in its own tenant; the next runs are shown."""
    assert isinstance(world.clock, ManualClock)
    given = schedule("acme", "echo", cron="*/15 * * * *", input={"text": "quarter"})
    shown = await world.app.schedules.set(principal("acme"), given)
    first = shown.next_runs[0]
    assert [later - first for later in shown.next_runs] == [timedelta(minutes=15 * each) for each in range(5)]
    world.clock.advance((first - world.clock.now()).total_seconds())
    with anyio.fail_after(PATIENCE_S):
        assert [await world.app.schedules.tick() for _ in range(3)] == [1, 0, 0]
        await worked_off(world, rounds=4)
    [row] = await world.rows("acme")
    assert (row.triggered_by, row.input) == (Trigger.SCHEDULE, {"text": "quarter"})
    assert [run.starts for run in world.sim.runs] == [1]
    assert await world.rows("globex") == ()
    [listed] = await world.app.schedules.list(principal("acme"))
    assert listed.schedule.last_at == first


@pytest.mark.requirement("R42")
async def test_of_many_replicas_one_makes_the_tick(tmp_path: Path, clock: ManualClock) -> None:
    """All of them look at the same moment, again and again."""
    async with AsyncExitStack() as stack:
        worlds = [
            await stack.enter_async_context(
                open_world(tmp_path, clock=clock, sim=FakeSim(time=SandboxTime(clock)))
            )
            for _ in range(3)
        ]
        await worlds[0].allow("acme", "echo")
        await worlds[0].app.schedules.set(principal("acme"), schedule("acme", "echo", cron="* * * * *"))
        made: list[int] = []

        async def look(world: World) -> None:
            made.append(await world.app.schedules.tick())

        for _ in range(5):
            clock.advance(60)
            async with anyio.create_task_group() as group:
                for world in worlds * 2:
                    group.start_soon(look, world)
        assert sum(made) == 5
        assert len((await worlds[0].app.jobs.page(principal("acme"))).jobs) == 5


@pytest.mark.requirement("R42")
@pytest.mark.parametrize(("missed", "made"), [("skip", 0), ("once", 1)])
async def test_missed_ticks_are_skipped_or_made_up_for_once(world: World, missed: str, made: int) -> None:
    """A weekend without a worker: at most one run for all of it, and the next tick is a future one."""
    assert isinstance(world.clock, ManualClock)
    await world.app.schedules.set(
        principal("acme"), schedule("acme", "echo", cron="0 * * * *", missed=missed)
    )
    world.clock.advance(2.5 * 86_400 + 1_800)
    assert await world.app.schedules.tick() == made
    [shown] = await world.app.schedules.list(principal("acme"))
    assert shown.next_runs[0] > world.clock.now()
    assert await world.app.schedules.tick() == 0


@pytest.mark.requirement("R33", "R34", "R35")
async def test_a_schedule_is_checked_when_it_is_set_and_is_its_tenants_own(world: World) -> None:
    """Permission, expression, zone, name, allow-list; switched off it does not tick; removed it is gone."""
    desk, acme = world.app.schedules, principal("acme")
    nobody = Principal(tenant_id=TenantId("acme"), subject="eve")
    for asking in (
        desk.list(nobody),
        desk.set(nobody, schedule("acme", "echo")),
        desk.remove(nobody, "weekly"),
    ):
        with pytest.raises(Forbidden):
            await asking
    for fields in (
        {"cron": "every day"},
        {"cron": "0 0 30 2 *"},
        {"cron": "* * * * * *"},
        {"time_zone": "Mars/Olympus"},
        {"time_zone": "../../etc/passwd"},
        {"name": "a/b"},
    ):
        with pytest.raises(InvalidInput) as refused:
            await desk.set(acme, schedule("acme", "echo", **fields))
        assert refused.value.faults
    with pytest.raises(NotFound, match="allow-list"):
        await desk.set(principal("globex"), schedule("acme", "echo"))
    off = await desk.set(acme, schedule("acme", "echo", is_enabled=False))
    assert off.next_runs == ()
    assert await desk.list(principal("globex")) == ()
    with pytest.raises(NotFound):
        await desk.remove(principal("globex"), "weekly")
    await desk.remove(acme, "weekly")
    assert await desk.list(acme) == ()


MOMENTS = st.integers(0, 3 * 365 * 86_400).map(
    lambda seconds: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)


@pytest.mark.requirement("R42")
@given(
    first=MOMENTS,
    later_s=st.floats(0, 90 * 86_400),
    cron=st.sampled_from(("* * * * *", "*/7 * * * *", "30 2 * * *", "0 9 * * 1-5", "0 0 1 * *")),
    zone=st.sampled_from(("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe")),
)
def test_the_newest_missed_tick_is_found_without_walking_through_all(
    first: datetime, later_s: float, cron: str, zone: str
) -> None:
    """It is a tick, it is not in the future, and none lies between it and now."""
    timetable = Timetable(cron, zone)
    tick = timetable.next_after(first)
    now = tick + timedelta(seconds=later_s)
    newest = timetable.last_before(now, tick)
    assert tick <= newest <= now < timetable.next_after(newest)
    assert timetable.next_after(newest - timedelta(seconds=1)) == newest
