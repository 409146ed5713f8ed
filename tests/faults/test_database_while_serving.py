"""The database fails in the middle of calls: nothing runs without a row, and what SIM said is found again."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import pytest
from typing_extensions import override

from sim_mcp.app import Needs
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import StoreUnavailable
from sim_mcp.model.execution import Execution, Status
from sim_mcp.sim.fake import FakeSim, demo_account
from sim_mcp.store.sqlite import SqliteDatabase
from tests.faults.ledger import hold_against_the_ledger, settled
from tests.patience import PATIENCE_S
from tests.world import TENANTS, SandboxTime, World, flowing, open_world

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R27", "R36", "R60", "F1", "F22")]

Fails = Callable[[World, Path], AbstractAsyncContextManager[None]]
LARGE = "x" * 100_000
"""Fits on no page that is there already."""


async def say(world: World, pragma: str) -> None:
    """A pragma for the connections that write."""
    database = world.app.store.database
    assert isinstance(database, SqliteDatabase)
    for connection in (database._writer, database._transactor):
        assert connection is not None
        await connection.execute_fetchall(f"PRAGMA {pragma}")


@asynccontextmanager
async def full(world: World, folder: Path) -> AsyncGenerator[None]:
    """Not one page more fits."""
    with closing(sqlite3.connect(folder / "sim-mcp.db")) as other:
        [count] = other.execute("PRAGMA page_count").fetchone()
    await say(world, f"max_page_count = {count}")
    yield
    await say(world, "max_page_count = 1000000")


@asynccontextmanager
async def locked(world: World, folder: Path) -> AsyncGenerator[None]:
    """Another process writes and does not stop."""
    await say(world, "busy_timeout = 1")
    with closing(sqlite3.connect(folder / "sim-mcp.db", isolation_level=None, timeout=PATIENCE_S)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@asynccontextmanager
async def read_only(world: World, folder: Path) -> AsyncGenerator[None]:
    """The right to write was taken away."""
    del folder
    await say(world, "query_only = ON")
    yield
    await say(world, "query_only = OFF")


TROUBLES = [
    (full, "The disk of the database is full: free some space"),
    (locked, "busy with another writer: try again in a moment"),
    (read_only, "give the server write access to its file and directory"),
]
troubles = pytest.mark.parametrize(("fails", "told"), TROUBLES, ids=["full", "locked", "read-only"])


class Wire(httpx.AsyncBaseTransport):
    """The wire to SIM; the database begins to fail when the answer to an execute is on its way to us."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.answered = anyio.Event()
        self.go_on = anyio.Event()

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass the request on; hold the answer to an execute back until told."""
        response = await self._inner.handle_async_request(request)
        if request.url.path.endswith("/execute"):
            await response.aread()
            self.answered.set()
            await self.go_on.wait()
        return response


@troubles
async def test_what_cannot_be_written_down_is_not_sent_to_sim(
    tmp_path: Path, clock: ManualClock, fails: Fails, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each caller is told what is wrong; afterwards the same call runs, once."""
    sim = FakeSim(time=SandboxTime(clock))
    async with open_world(tmp_path, clock=clock, sim=sim) as world:
        for tenant in TENANTS:
            await world.allow(tenant, "echo")
        calls = [world.call(tenant, "echo", {"text": f"{tenant}{LARGE}"}) for tenant in TENANTS]
        async with fails(world, tmp_path):
            for call in calls:
                with pytest.raises(StoreUnavailable, match=told) as caught:
                    await world.app.gateway.call(call)
                assert caught.value.retryable
                assert str(tmp_path) not in caught.value.message
            assert [each for each in sim.requests if each.verb == "execute"] == []
        for call in calls:
            assert (await world.app.gateway.call(call)).status is Status.COMPLETED
        hold_against_the_ledger(await settled(world), sim)
    assert len(sim.runs) == len(calls)
    for tenant in TENANTS:
        assert demo_account(tenant).api_key not in caplog.text
    assert "Traceback" not in caplog.text


@troubles
@pytest.mark.parametrize("mode", ["sync", "async", "stream"])
async def test_an_answer_that_cannot_be_written_down_is_found_again(
    tmp_path: Path, clock: ManualClock, fails: Fails, told: str, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """SIM ran it while the database failed: whoever waits gets the true end, once that is written."""
    sim = FakeSim(time=SandboxTime(clock))
    wire = Wire(sim.transport())
    answers: list[Execution] = []
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(
            open_world(tmp_path, clock=clock, sim=sim, transport_of=lambda _: wire, needs=Needs(drain_s=0))
        )
        workflow = "streaming" if mode == "stream" else "large"
        await world.allow("acme", workflow, "tool", mode=mode, timeout_s=60)
        call = world.call("acme", "tool", {"text": "one", "topic": LARGE, "rows": 2000})

        async def ask() -> None:
            answers.append(await world.app.gateway.call(call))

        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as callers:
                callers.start_soon(ask)
                await wire.answered.wait()
                async with fails(world, tmp_path):
                    wire.go_on.set()
                    while world.app.follower.live_count:
                        await anyio.lowlevel.checkpoint()
                    assert answers == []
                async with flowing(clock):
                    while not answers:
                        await anyio.lowlevel.checkpoint()
        hold_against_the_ledger(await settled(world), sim)
    assert [run.starts for run in sim.runs] == [1]
    assert answers[0].status is Status.COMPLETED
    assert answers[0].output is not None
    if (fails, mode) != (full, "async"):  # a receipt still fits
        assert "could not be stored" in caplog.text
        assert told in caplog.text
    assert "Traceback" not in caplog.text
