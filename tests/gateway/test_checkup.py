"""The tenant's half of the check-up: what `sim_status` and `doctor` say of limits, refusals and slowness."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from sim_mcp.model.check import Check, Level
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Forbidden
from sim_mcp.model.principal import Permission, Principal, TenantId
from sim_mcp.sim.fake import FakeSim, faults
from sim_mcp.store import SILENT_S
from tests.journeys.test_events import worked_off
from tests.patience import PATIENCE_S
from tests.triggers import dead_job, event, map_event
from tests.world import SandboxTime, World, open_world, principal

pytestmark = pytest.mark.anyio


Answer = Callable[[httpx.Response], Awaitable[httpx.Response]]


class Odd(httpx.AsyncBaseTransport):
    """The fake SIM, with another answer to whatever path ends with `end`, once `is_odd`."""

    def __init__(self, sim: FakeSim, end: str, answer: Answer) -> None:
        self._inner = sim.transport()
        self._end = end
        self._answer = answer
        self.is_odd = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        is_meant = self.is_odd and request.url.path.endswith(self._end)
        return await self._answer(answer) if is_meant else answer


def metered(change: Callable[[dict[str, Any]], None]) -> Answer:
    """The limits of an account, changed."""

    async def answered(answer: httpx.Response) -> httpx.Response:
        body = json.loads(await answer.aread())
        change(body)
        return httpx.Response(200, json=body)

    return answered


async def refused(_: httpx.Response) -> httpx.Response:
    """SIM has had enough questions."""
    return httpx.Response(429, json={"error": {"code": "RATE_LIMITED", "message": "Too many requests"}})


async def silent(_: httpx.Response) -> httpx.Response:
    """Nothing ever comes."""
    await anyio.sleep_forever()
    raise AssertionError


@asynccontextmanager
async def odd_world(
    folder: Path, clock: ManualClock, end: str, answer: Answer, *, tools: int = 1
) -> AsyncGenerator[World]:
    """A world with `tools` tools of acme, whose SIM is odd from now on."""
    sim = FakeSim(time=SandboxTime(clock))
    odd = Odd(sim, end, answer)
    async with open_world(folder, clock=clock, sim=sim, transport_of=lambda _: odd) as world:
        for number in range(tools):
            await world.allow("acme", "quick", f"tool_{number:02}")
        odd.is_odd = True
        yield world


def cost(amount: float) -> Callable[[dict[str, Any]], None]:
    """So much of 100 is used."""

    def change(body: dict[str, Any]) -> None:
        body["usage"] = {"currentPeriodCost": amount, "limit": 100, "plan": "pro"}

    return change


def no_runs_left(body: dict[str, Any]) -> None:
    """The bucket of sync runs is empty."""
    body["rateLimit"]["sync"]["remaining"] = 0


async def found(world: World, tenant: str = "acme") -> dict[str, Check]:
    """The findings of a tenant, by name; of a workflow, by its tool's."""
    checks = (await world.app.checkup.of(principal(tenant))).checks
    return {check.about or check.name: check for check in checks}


@pytest.mark.requirement("F19", "R44")
@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        (cost(10), Level.OK, "Far from the limits of plan 'pro'."),
        (cost(80), Level.WARNING, "Of plan 'pro', 80.00 of 100.00 is used: 80 %."),
        (cost(100), Level.FAILURE, "Of plan 'pro', 100.00 of 100.00 is used: all."),
        (no_runs_left, Level.WARNING, "The runs per minute of plan 'free' are used up for now."),
    ],
)
async def test_sims_own_limits_are_told_before_they_are_reached(
    tmp_path: Path, clock: ManualClock, change: Callable[[dict[str, Any]], None], level: Level, said: str
) -> None:
    """As SIM tells them for the key; each with what to do."""
    async with odd_world(tmp_path, clock, "/usage-limits", metered(change)) as world:
        check = (await found(world))["sim_limits"]
    assert (check.level, check.message) == (level, said)
    assert (check.remedy is None) == (level is Level.OK)


@pytest.mark.requirement("F19")
async def test_an_open_breaker_is_told_with_the_time_of_its_probe(tmp_path: Path, clock: ManualClock) -> None:
    """And only of the tenant whose calls failed."""
    async with open_world(tmp_path, clock=clock) as world:
        await world.allow("acme", "quick")
        world.sim.script(*[faults.HtmlPage(status=502)] * 5, key="sk-sim-sandbox-acme")
        for _ in range(5):
            await world.app.gateway.call(world.call("acme", "quick", {"employee": "Ada"}), patience_s=0)
            with anyio.fail_after(PATIENCE_S):
                while world.app.follower.live_count:
                    await anyio.lowlevel.checkpoint()
        acme, globex = await found(world), await found(world, "globex")
    assert acme["breaker"].level is Level.WARNING
    assert "5 failures in a row" in acme["breaker"].message
    assert "the next probe is in" in str(acme["breaker"].remedy)
    assert "breaker" not in globex


@pytest.mark.requirement("F19")
async def test_a_sim_that_has_enough_of_questions_is_asked_no_more(
    tmp_path: Path, clock: ManualClock
) -> None:
    """The first refusal ends it: the others are skipped, and nothing counts as a failure."""
    async with odd_world(tmp_path, clock, "/deployment", refused, tools=12) as world:
        asked = len(world.sim.requests)
        checks = [each for each in (await found(world)).values() if each.name == "workflow"]
        questions = [each.path for each in list(world.sim.requests)[asked:]]
    assert [check.level for check in checks] == [Level.SKIPPED] * 12
    assert 1 <= sum(path.endswith("/deployment") for path in questions) <= 4
    assert all(check.remedy for check in checks)


@pytest.mark.requirement("F19")
async def test_a_long_list_is_looked_up_in_part_unless_the_operator_asks(
    tmp_path: Path, clock: ManualClock
) -> None:
    """SIM answers 300 questions a minute for all tenants together: a status must not use them up."""
    async with open_world(tmp_path, clock=clock) as world:
        for number in range(20):
            await world.allow("acme", "quick", f"tool_{number:02}")
        some = [each.level for each in (await found(world)).values() if each.name == "workflow"]
        every = await world.app.checkup.of(principal("acme"), most_workflows=None)
    assert some == [Level.OK] * 15 + [Level.SKIPPED] * 5
    assert [each.level for each in every.checks if each.name == "workflow"] == [Level.OK] * 20


@pytest.mark.requirement("F19")
async def test_no_look_takes_longer_than_its_bound(tmp_path: Path, clock: ManualClock) -> None:
    """What is not done by then is a finding, never a wait without end."""
    async with odd_world(tmp_path, clock, "/deployment", silent) as world:
        checks = (await world.app.checkup.within(0.0).of(principal("acme"))).checks
    assert [check.level for check in checks if check.name == "workflow"] == [Level.SKIPPED]
    async with odd_world(tmp_path, clock, "/health", silent, tools=0) as world:
        default = await world.app.checkup.within(0.0).default_sim("https://sim.example.com")
    assert default.level is Level.FAILURE
    assert "within 0 s" in default.message


@pytest.mark.requirement("R33", "R35")
async def test_a_checkup_needs_the_right_to_view_and_sees_its_own_tenant(
    tmp_path: Path, clock: ManualClock
) -> None:
    """The tools and troubles of globex are for itself alone."""
    async with open_world(tmp_path, clock=clock) as world:
        await world.allow("globex", "undeployed")
        blind = Principal(tenant_id=TenantId("acme"), subject="eve", permissions=frozenset({Permission.EDIT}))
        with pytest.raises(Forbidden):
            await world.app.checkup.of(blind)
        assert "globex" not in str((await world.app.checkup.of(principal("acme"))).checks)
        assert (await found(world, "globex"))["undeployed"].level is Level.FAILURE


def test_a_finding_never_shows_a_credential() -> None:
    """Base URLs and settings are typed by people, who paste keys anywhere."""
    check = Check.failure(
        "sim",
        "At https://me:hunter2@sim.example.com.",
        remedy="not sk-sim-0123456789",
        about="sk-sim-0123456789",
    )
    assert "hunter2" not in str(check)
    assert "0123456789" not in str(check)


@pytest.mark.requirement("F17", "R44")
async def test_jobs_that_nobody_runs_and_dead_letters_are_told_to_their_tenant(
    tmp_path: Path, clock: ManualClock
) -> None:
    """A server without a worker accepts events; the status says that nothing will come of them yet."""
    async with open_world(tmp_path, clock=clock) as world:
        assert "queue" not in await found(world)
        await world.allow("acme", "quick")
        await map_event(world, "acme", "quick")
        await world.app.events.accept(principal("acme"), event("e-1"))
        unattended = await world.app.checkup.of(principal("acme"))
        await dead_job(world, "acme", "quick", "e-2")
        both = [
            check for check in (await world.app.checkup.of(principal("acme"))).checks if check.name == "queue"
        ]
        others = await found(world, "globex")
    [check] = [check for check in unattended.checks if check.name == "queue"]
    assert (check.level, check.message) == (Level.FAILURE, "Jobs waiting: 1. No process runs jobs.")
    assert (unattended.status.queue.waiting, unattended.status.queue.workers) == (1, 0)
    assert [check.level for check in both] == [Level.WARNING, Level.FAILURE]
    assert both[0].message == "Dead letters of events and schedules: 1."
    assert "queue" not in others


@pytest.mark.requirement("F17")
async def test_a_queue_with_a_worker_is_well(tmp_path: Path, clock: ManualClock) -> None:
    """Whoever ran its jobs, they are done; one that gave no sign for a while runs none any more."""
    async with open_world(tmp_path, clock=clock) as world:
        await world.allow("acme", "quick")
        await map_event(world, "acme", "quick")
        await world.app.events.accept(principal("acme"), event("e-1"))
        await worked_off(world)
        await world.app.store.workers.seen("some-worker", at=clock.now())
        check = (await found(world))["queue"]
        await world.app.events.accept(principal("acme"), event("e-2"))
        clock.advance(SILENT_S + 1)
        silent = (await found(world))["queue"]
    assert (check.level, check.message) == (Level.OK, "Jobs waiting: 0, running: 0.")
    assert (silent.level, silent.message) == (Level.FAILURE, "Jobs waiting: 1. No process runs jobs.")
