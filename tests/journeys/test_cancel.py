"""Cancelling: what SIM says, what the caller is told, what the row says, and what is true at the end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from inline_snapshot import snapshot

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Conflict
from sim_mcp.model.execution import Execution, Status
from sim_mcp.sim.fake import FakeSim, faults
from tests.journeys.mcp_clients import connected, structured, words
from tests.patience import PATIENCE_S
from tests.transports.web import open_web
from tests.world import World, flowing, open_world, principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R14", "R15", "R58", "F21")]

EVERY = 40
"""More than anybody asks: a SIM that says the same for as long as the test lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What SIM does with a cancel, and what comes of it.

    `said` is a piece of what the caller reads; `status` and `code` are REST's; `end` is the row's and SIM's.
    """

    says: faults.Fault | None = None
    cancel_works: bool = True
    times: int = EVERY
    said: str
    status: int = 409
    code: str | None = "CONFLICT"
    end: Status = Status.COMPLETED


GONE = faults.HtmlPage(status=502)
CASES = {
    "does it": Case(said="cancelled", status=200, code=None, end=Status.CANCELLED),
    "cannot": Case(cancel_works=False, said="could not cancel it (reason 'redis_unavailable')"),
    "forbids it": Case(says=faults.Forbidden403(), said="without success", status=403, code="FORBIDDEN"),
    "does not know it yet": Case(
        says=faults.NotFound404(), times=1, said="does not know it, or not yet", end=Status.CANCELLED
    ),
    "never knows it": Case(says=faults.NotFound404(), said="does not know it, or not yet"),
    "is broken": Case(says=GONE, said="without success", status=502, code="SIM_UNAVAILABLE"),
    "loses the answer": Case(
        says=faults.LostAnswer(), said="cancelled", status=200, code=None, end=Status.CANCELLED
    ),
}


def sim_of(case: Case, clock: ManualClock, dialect: str) -> FakeSim:
    """A SIM of that dialect that takes cancels as `case` says."""
    sim = FakeSim(time=clock, v2_enabled=dialect == "v2", cancel_works=case.cancel_works)
    if case.says is not None:
        sim.script(*[case.says] * case.times, verb="cancel")
    return sim


async def started(world: World, state: str) -> Execution:
    """An async run that is queued, running, or waits for a person."""
    tool, arguments = ("asks", {"variant": "human"}) if state == "paused" else ("slow", {"seconds": 100})
    with anyio.fail_after(PATIENCE_S):
        row = await world.app.gateway.call(world.call("acme", tool, arguments), patience_s=0)
        while world.app.follower.live_count:
            await anyio.lowlevel.checkpoint()
    if state != "queued":
        await world.follow_up(advance_s=3)
    assert (await world.row(row)).status == ("processing" if state == "running" else state)
    return row


async def to_the_end(world: World, case: Case, row: Execution, state: str) -> None:
    """Let two minutes pass; then the row and SIM tell the same end."""
    for _ in range(50):
        await world.follow_up(advance_s=4)
    [run] = world.sim.runs
    end = case.end if case.end is Status.CANCELLED or state != "paused" else Status.PAUSED
    assert ((await world.row(row)).status, run.standing(world.clock.now())) == (end, end.value)
    assert run.starts == 1


@pytest.mark.parametrize("state", ["queued", "running", "paused"])
@pytest.mark.parametrize("dialect", ["v2", "legacy"])
@pytest.mark.parametrize("name", CASES)
async def test_over_mcp_a_cancel_tells_the_truth(
    tmp_path: Path, clock: ManualClock, name: str, dialect: str, state: str
) -> None:
    """Dialect, state and SIM's answer decide what the tool says; the row and SIM agree at the end."""
    case = CASES[name]
    async with open_world(tmp_path, clock=clock, sim=sim_of(case, clock, dialect)) as world:
        await world.allow("acme", "slow", mode="async", timeout_s=600)
        await world.allow("acme", "asking", "asks", mode="async", timeout_s=600)
        row = await started(world, state)
        async with connected(world, "auto") as client, flowing(clock):
            result = await client.call_tool("sim_cancel_execution", {"execution_id": row.id})
        assert result.is_error is (case.code is not None)
        assert case.said in words(result)
        if case.code is not None:
            assert structured(result)["execution_id"] == row.id
            assert structured(result)["status"] in {"queued", "processing", "paused"}
        await to_the_end(world, case, row, state)


@pytest.mark.parametrize("state", ["queued", "running", "paused"])
@pytest.mark.parametrize("dialect", ["v2", "legacy"])
@pytest.mark.parametrize("name", CASES)
async def test_over_rest_a_cancel_tells_the_truth(
    tmp_path: Path, clock: ManualClock, name: str, dialect: str, state: str
) -> None:
    """The same table, with REST's statuses and codes."""
    case = CASES[name]
    async with open_web(tmp_path, clock=clock, sim=sim_of(case, clock, dialect)) as web:
        await web.world.allow("acme", "slow", mode="async", timeout_s=600)
        await web.world.allow("acme", "asking", "asks", mode="async", timeout_s=600)
        row = await started(web.world, state)
        async with flowing(clock):
            answer = await web.ask("POST", f"/executions/{row.id}/cancel")
        body: dict[str, Any] = answer.json()
        assert answer.status_code == case.status, body
        assert case.said in answer.text
        assert body.get("code") == case.code
        await to_the_end(web.world, case, row, state)


@pytest.mark.parametrize("dialect", ["v2", "legacy"])
async def test_a_cancel_that_came_too_late_says_so(tmp_path: Path, clock: ManualClock, dialect: str) -> None:
    """The run had ended at SIM before anybody here knew: it is completed, with its output."""
    async with open_world(
        tmp_path, clock=clock, sim=FakeSim(time=clock, v2_enabled=dialect == "v2")
    ) as world:
        await world.allow("acme", "slow", mode="async", timeout_s=600)
        row = await started(world, "queued")
        clock.advance(200)
        async with connected(world, "auto") as client:
            for _ in range(2):
                result = await client.call_tool("sim_cancel_execution", {"execution_id": row.id})
                assert not result.is_error
                assert structured(result)["status"] == "completed"
                assert words(result).endswith(snapshot("The cancel came too late: the run is completed."))


@pytest.mark.parametrize("dialect", ["v2", "legacy"])
async def test_a_cancel_that_overtakes_its_run_is_not_lost(
    tmp_path: Path, clock: ManualClock, dialect: str
) -> None:
    """SIM gets the cancel before the run: the run is stopped once SIM knows it, within the minute."""
    sim = FakeSim(time=clock, v2_enabled=dialect == "v2")
    async with open_world(tmp_path, clock=clock, sim=sim) as world:
        await world.allow("acme", "slow", timeout_s=300)
        sim.script(faults.NotFound404(), verb="cancel")
        row = await world.app.gateway.call(world.call("acme", "slow", {"seconds": 200}), patience_s=0)
        with anyio.fail_after(PATIENCE_S):
            while not world.started:  # the call is live: it waits for the end of its run
                await anyio.lowlevel.checkpoint()
        with pytest.raises(Conflict, match="does not know it, or not yet"):
            await world.app.runs.cancel(principal("acme"), row.id)
        for _ in range(6):
            await world.follow_up(advance_s=4)
        assert (await world.row(row)).status is Status.CANCELLED
        assert [run.standing(clock.now()) for run in sim.runs] == ["cancelled"]


async def test_sim_is_asked_to_cancel_for_a_minute_and_no_longer(tmp_path: Path, clock: ManualClock) -> None:
    """A SIM that cannot is not asked for ever."""
    sim = FakeSim(time=clock, cancel_works=False)
    async with open_world(tmp_path, clock=clock, sim=sim) as world:
        await world.allow("acme", "slow", mode="async", timeout_s=600)
        row = await started(world, "queued")
        with pytest.raises(Conflict):
            await world.app.runs.cancel(principal("acme"), row.id)

        def asked() -> int:
            return sum(request.verb == "cancel" for request in sim.requests)

        for _ in range(70):
            await world.follow_up(advance_s=1)
        in_a_minute = asked()
        assert 4 <= in_a_minute <= 12
        for _ in range(20):
            await world.follow_up(advance_s=5)
        assert asked() == in_a_minute
        assert (await world.row(row)).status is Status.COMPLETED
