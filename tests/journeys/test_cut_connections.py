"""The connection is cut at each point of a call: one run, the truth for whoever asks again, nothing lost.

The caller repeats its call under the same key, as nervous clients do: at once, and once more after our
process was started anew. Whatever happened in between, SIM ran it exactly once.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from typing_extensions import override

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.execution import Call, Execution, Status
from sim_mcp.sim.fake import FakeSim, faults
from tests.patience import PATIENCE_S
from tests.world import SandboxTime, World, flowing, open_world, principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R58", "F1", "F3")]


class Point(Enum):
    """Where the connection is cut."""

    BEFORE_SENDING = "before the request was written"
    WHILE_SENDING = "when half of the request was written"
    BEFORE_THE_ANSWER = "when SIM had carried it out and answered nothing"
    MID_ANSWER = "in the middle of the answer"
    BEFORE_THE_ROW = "when the answer had come and our process died before it was written down"
    AFTER_THE_ROW = "between us and the client, when all was written down"


BY_SIM = {Point.BEFORE_THE_ANSWER: faults.LostAnswer(), Point.MID_ANSWER: faults.ResetMidBody()}
WORKFLOWS = {"sync": "echo", "async": "echo", "stream": "streaming"}


class CutOnce(httpx.AsyncBaseTransport):
    """The wire to SIM, cut at `point` of the first execute; `reached` tells that it was."""

    def __init__(self, inner: httpx.AsyncBaseTransport, point: Point) -> None:
        self._inner = inner
        self._point: Point | None = point
        self.reached = anyio.Event()

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass the request on, unless this is where the cut is."""
        point = self._point
        if point is None or not request.url.path.endswith("/execute"):
            return await self._inner.handle_async_request(request)
        match point:
            case Point.BEFORE_SENDING:
                self._point = None
                raise httpx.ConnectError("refused", request=request)
            case Point.WHILE_SENDING:
                self._point = None
                raise httpx.WriteError("broken pipe", request=request)
            case Point.BEFORE_THE_ROW:
                self._point = None
                response = await self._inner.handle_async_request(request)
                await response.aread()
                self.reached.set()
                await anyio.sleep_forever()
            case _:
                pass
        return await self._inner.handle_async_request(request)


async def ended(world: World, call: Call) -> Execution:
    """The execution under the call's key, settled by the follower, as a restarted client learns it."""
    row = (await world.app.gateway.answer(call, patience_s=0)).execution
    for _ in range(40):
        if row.status.is_final:
            break
        await world.follow_up(rounds=1, advance_s=10)
        row = await world.row(row)
    return row


def keyed(world: World, tool: str) -> Call:
    """The call that is made again and again."""
    return world.call("acme", tool, {"text": "hello", "topic": "rain"}, idempotency_key="order-1042")


@pytest.mark.parametrize("mode", ["sync", "async", "stream"])
@pytest.mark.parametrize("dialect", ["v2", "legacy"])
@pytest.mark.parametrize("point", list(Point), ids=lambda point: point.name.lower())
async def test_a_cut_call_is_run_once_and_its_truth_is_found(
    tmp_path: Path, clock: ManualClock, point: Point, dialect: str, mode: str
) -> None:
    """Cut, repeated at once, our process started anew, repeated again: one run, one truth."""
    sim = FakeSim(time=SandboxTime(clock), v2_enabled=dialect == "v2")
    wire = CutOnce(sim.transport(), point)
    async with open_world(tmp_path, clock=clock, sim=sim, transport_of=lambda _: wire) as world:
        for tenant in ("acme", "globex"):
            await world.allow(tenant, WORKFLOWS[mode], "tool", mode=mode, timeout_s=300)
        if point in BY_SIM:
            sim.script(BY_SIM[point])
        call = keyed(world, "tool")
        first = await first_answer(world, call, point, wire)
        again = (await world.app.gateway.answer(call, patience_s=0)).execution
        assert again.id == first.id
        if first.status is Status.COMPLETED:
            assert len(sim.runs) == 1
        if first.error is not None:
            assert first.error.code is ErrorCode.OUTCOME_UNKNOWN
    clock.advance(60)
    async with open_world(tmp_path, clock=clock, sim=sim) as restarted:
        row = await ended(restarted, keyed(restarted, "tool"))
        if row.status is Status.FAILED:  # it surely never began, says so, and its key is free
            assert row.error is not None
            assert (row.error.code, len(sim.runs)) == (ErrorCode.SIM_UNAVAILABLE, 0)
            row = await ended(restarted, keyed(restarted, "tool"))
        assert (row.status, row.error) == (Status.COMPLETED, None)
        assert [run.starts for run in sim.runs] == [1]
        assert row.run_id == sim.runs.of(account="acme")[0].run_id
        seen = await restarted.app.runs.get(principal("acme"), row.id)
        assert (seen.status, seen.output) == (row.status, row.output)
        assert all(each.status.is_final for each in await restarted.rows("acme"))
        assert await restarted.rows("globex") == ()


async def first_answer(world: World, call: Call, point: Point, wire: CutOnce) -> Execution:
    """What the caller of the cut call is told before it loses patience."""
    with anyio.fail_after(PATIENCE_S):
        if point is Point.BEFORE_THE_ROW:
            told = await world.app.gateway.answer(call, patience_s=0)
            await wire.reached.wait()
            return told.execution
        async with flowing(clock_of(world)):
            return (await world.app.gateway.answer(call, patience_s=20)).execution


def clock_of(world: World) -> ManualClock:
    """The test's clock."""
    assert isinstance(world.clock, ManualClock)
    return world.clock


class Unplugged(Exception):
    """The client's connection is gone."""


async def test_a_client_that_vanishes_leaves_the_run_going(tmp_path: Path, clock: ManualClock) -> None:
    """What is told to nobody is written down all the same, and found under the key."""
    sim = FakeSim(time=SandboxTime(clock))
    async with open_world(tmp_path, clock=clock, sim=sim) as world:
        await world.allow("acme", "echo", "tool")

        async def unplug(_: Any) -> None:
            raise Unplugged

        with pytest.raises(Unplugged):
            await world.app.gateway.answer(keyed(world, "tool"), watch=unplug)
        with anyio.fail_after(PATIENCE_S):
            found = await world.app.gateway.answer(keyed(world, "tool"))
    assert (found.is_replay, found.execution.status) == (True, Status.COMPLETED)
    assert [run.starts for run in sim.runs] == [1]
