"""The clock is set back an hour or forward a day while calls run: nothing runs twice, nothing stays open.

Only the wall clock jumps; what measures durations goes on evenly, as it does on every system.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import anyio
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import CircuitOpen, ErrorCode, Throttled
from sim_mcp.model.execution import Execution, Status
from sim_mcp.sim.fake import FakeSim, faults
from tests.faults.ledger import hold_against_the_ledger, settled
from tests.patience import PATIENCE_S
from tests.world import TENANTS, SandboxTime, World, flowing, open_world

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R36", "R38", "R42", "R59", "F1", "F3")]

jumps = pytest.mark.parametrize("jump_s", [-3600.0, 86_400.0], ids=["back an hour", "forward a day"])
dialects = pytest.mark.parametrize("v2", [True, False], ids=["v2", "legacy"])


class Jumping(ManualClock):
    """A clock that somebody sets."""

    def jump(self, by_s: float) -> None:
        """Set the wall clock; the even one is not touched."""
        self._now += timedelta(seconds=by_s)


class Elsewhere(ManualClock):
    """The clock of SIM's machine, which nobody sets: it goes on as the even time here does."""

    def __init__(self, here: Jumping) -> None:
        super().__init__()
        self._here, self._began, self._began_s = here, here.now(), here.monotonic()

    def now(self) -> datetime:
        """The moment there."""
        return self._began + timedelta(seconds=self._here.monotonic() - self._began_s)


@pytest.fixture
def clock() -> Jumping:
    """Time for one test."""
    return Jumping()


@jumps
@dialects
@pytest.mark.parametrize("mode", ["sync", "async", "stream"])
async def test_calls_under_way_end_as_their_runs_do(
    tmp_path: Path, clock: Jumping, mode: str, jump_s: float, *, v2: bool
) -> None:
    """Both tenants' calls; each has one row, one run, its true end and a duration that is none below zero."""
    sim = FakeSim(time=SandboxTime(Elsewhere(clock)), v2_enabled=v2)
    workflow = "streaming" if mode == "stream" else "echo"
    async with open_world(tmp_path, clock=clock, sim=sim) as world:
        for tenant in TENANTS:
            await world.allow(tenant, workflow, "tool", mode=mode, timeout_s=60)
        sim.script(faults.LostAnswer(), faults.NotBegunReset(), faults.ResetMidBody())
        began = [await begin(world, tenant, number) for tenant in TENANTS for number in range(3)]
        clock.jump(jump_s)
        began += [await begin(world, tenant, 3) for tenant in TENANTS]
        rows = await settled(world, rounds=60)
        hold_against_the_ledger(rows, sim)
    assert {row.id for row in rows} == {row.id for row in began}
    assert sum(row.status is Status.COMPLETED for row in rows) == len(sim.runs) == len(rows) - 1
    assert [row.duration_ms for row in rows if row.duration_ms is not None and row.duration_ms < 0] == []


async def begin(world: World, tenant: str, number: int) -> Execution:
    """A call whose work is done by this process as far as it can be; the row as it stands then."""
    call = world.call(tenant, "tool", {"text": f"{tenant}-{number}", "topic": "x"})
    with anyio.fail_after(PATIENCE_S):
        async with flowing(world.clock):  # pyright: ignore[reportArgumentType]  # it is a manual one
            return await world.app.gateway.call(call, patience_s=3)


@jumps
@dialects
async def test_a_long_run_is_followed_across_a_jump(
    tmp_path: Path, clock: Jumping, jump_s: float, *, v2: bool
) -> None:
    """It is neither given up as too old nor left alone until the hour has come again."""
    sim = FakeSim(time=Elsewhere(clock), v2_enabled=v2)
    async with open_world(tmp_path, clock=clock, sim=sim) as world:
        for tenant in TENANTS:
            await world.allow(tenant, "slow", "tool", mode="async", timeout_s=3600)
        rows = [
            await world.app.gateway.call(
                world.call(tenant, "tool", {"text": tenant, "seconds": 300}), patience_s=0
            )
            for tenant in TENANTS
        ]
        await world.app.gateway.waiting.until_submitted(rows[-1], patience_s=1)
        await world.follow_up(rounds=3)
        clock.jump(jump_s)
        hold_against_the_ledger(await settled(world, rounds=60), sim)
        assert {(await world.row(row)).status for row in rows} == {Status.COMPLETED}


@jumps
async def test_a_key_still_means_the_same_call(tmp_path: Path, clock: Jumping, jump_s: float) -> None:
    """Set back, the call is a repeat as before; a day later by the wall its key is free, as was promised."""
    sim = FakeSim(time=SandboxTime(Elsewhere(clock)))
    async with open_world(tmp_path, clock=clock, sim=sim) as world:
        await world.allow("acme", "echo")
        call = world.call("acme", "echo", {"text": "x"}, idempotency_key="order-1042")
        first = await world.app.gateway.call(call)
        clock.jump(jump_s)
        again = await world.app.gateway.answer(call)
        assert again.is_replay is (jump_s < 0)
        assert (again.execution.id == first.id) is (jump_s < 0)
        assert len(sim.runs) == (1 if jump_s < 0 else 2)


@jumps
async def test_an_open_breaker_lasts_as_long_as_it_would(
    tmp_path: Path, clock: Jumping, jump_s: float
) -> None:
    """It is neither ended nor prolonged by a jump."""
    sim = FakeSim(time=SandboxTime(Elsewhere(clock)))
    async with open_world(tmp_path, clock=clock, sim=sim, rate_per_minute=600) as world:
        for tenant in TENANTS:
            await world.allow(tenant, "echo", timeout_s=1)
        sim.script(*[faults.LostAnswer()] * 20)
        ends = [await told(world, "acme") for _ in range(5)]
        assert ErrorCode.CIRCUIT_OPEN not in ends
        assert await told(world, "acme") is ErrorCode.CIRCUIT_OPEN
        clock.jump(jump_s)
        assert await told(world, "acme") is ErrorCode.CIRCUIT_OPEN
        clock.jump(-jump_s)
        assert await told(world, "acme") is ErrorCode.CIRCUIT_OPEN
        clock.advance(61)
        assert await told(world, "acme") is not ErrorCode.CIRCUIT_OPEN


@jumps
async def test_a_used_up_minute_lasts_as_long_as_it_would(
    tmp_path: Path, clock: Jumping, jump_s: float
) -> None:
    """A tenant is let in again by the even clock alone."""
    sim = FakeSim(time=SandboxTime(Elsewhere(clock)))
    async with open_world(tmp_path, clock=clock, sim=sim, rate_per_minute=8) as world:
        await world.allow("acme", "echo")
        while await told(world, "acme") is None:
            pass
        for by_s in (jump_s, -jump_s):
            clock.jump(by_s)
            assert await told(world, "acme") is ErrorCode.RATE_LIMIT_EXCEEDED
        clock.advance(60)
        assert await told(world, "acme") is None


async def told(world: World, tenant: str) -> ErrorCode | None:
    """What a caller of the tenant is told."""
    try:
        with anyio.fail_after(PATIENCE_S):
            row = await world.app.gateway.call(world.call(tenant, "echo", {"text": "x"}), patience_s=0)
            row = await world.app.gateway.waiting.until_submitted(row, patience_s=1)
    except (CircuitOpen, Throttled) as error:
        return error.code
    return row.error.code if row.error else None
