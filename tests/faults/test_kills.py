"""`kill -9`, again and again, at random moments under load: no row is lost, nothing runs twice."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import anyio.abc
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from starlette.types import Message, Receive, Scope, Send

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.execution import Execution, ExecutionId
from sim_mcp.sim.fake import FakeSim, serve_fake
from tests.faults.ledger import doubles, hold_against_the_ledger, settled, text_of
from tests.faults.nursery import TOOLS
from tests.patience import PATIENCE_S
from tests.world import TENANTS, world_beside

pytestmark = [pytest.mark.anyio, pytest.mark.sockets]

LONGEST_LIFE_S = 0.5


class Watched(FakeSim):
    """The fake SIM, which can tell when the n-th execute from now arrives, or its answer is on the way."""

    def __init__(self, *, v2_enabled: bool) -> None:
        super().__init__(v2_enabled=v2_enabled)
        self._left: dict[str, int] = {}
        self._rung = anyio.Event()

    async def nth(self, what: str, number: int) -> None:
        """Return at the `number`-th `what` (`arrives` or `answers`) from now."""
        self._left, self._rung = {what: number}, anyio.Event()
        await self._rung.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_execute = scope["type"] == "http" and scope["path"].endswith("/execute")

        async def telling(message: Message) -> None:
            await send(message)
            if is_execute and message["type"] == "http.response.start":
                self._count("answers")

        if is_execute:
            self._count("arrives")
        await super().__call__(scope, receive, telling)

    def _count(self, what: str) -> None:
        self._left[what] = self._left.get(what, 0) - 1
        if self._left[what] == 0:
            self._rung.set()


@dataclass(frozen=True, slots=True)
class Nursery:
    """The process that forks the lives."""

    process: anyio.abc.Process
    lines: BufferedByteReceiveStream

    async def begin(self, number: int) -> None:
        """Begin life `number`."""
        assert self.process.stdin is not None
        await self.process.stdin.send(f"{number}\n".encode())

    async def end(self) -> int:
        """Kill it; how it ended: minus the signal's number."""
        assert self.process.stdin is not None
        await self.process.stdin.send(b"end\n")
        return int(await self.lines.receive_until(b"\n", 100))


@asynccontextmanager
async def nursery(folder: Path, base_url: str) -> AsyncGenerator[Nursery]:
    command = [sys.executable, "-m", "tests.faults.nursery", str(folder), base_url]
    async with await anyio.open_process(command, stderr=None) as process:
        assert process.stdout is not None
        try:
            yield Nursery(process, BufferedByteReceiveStream(process.stdout))
        finally:
            process.kill()


@pytest.mark.requirement("R27", "R36", "R55", "F1", "F3")
@pytest.mark.parametrize(("dialect", "kills", "seed"), [("v2", 35, 20261), ("legacy", 25, 20262)])
async def test_kills_at_random_moments_lose_no_row_and_run_nothing_twice(
    tmp_path: Path, dialect: str, kills: int, seed: int
) -> None:
    """After the last one every row is settled by its run id and tells what SIM's own ledger tells.

    The seed stands in the name of the test that fails.
    """
    dice = random.Random(seed)  # noqa: S311  # moments, not secrets
    sim = Watched(v2_enabled=dialect == "v2")
    async with serve_fake(sim) as base_url:
        async with nursery(tmp_path, base_url) as lives:
            for number in range(kills):
                with anyio.fail_after(PATIENCE_S):
                    await kill(lives, sim, dice, number)
        clock = ManualClock(datetime.now(UTC) + timedelta(seconds=60))
        async with world_beside(tmp_path, base_url, sim=sim, clock=clock) as world:
            rows = await settled(world)
    told = (tmp_path / "told.txt").read_text("utf-8")
    hold_against_the_ledger(rows, sim)
    hold_against_what_callers_heard(rows, told)
    assert {row.tool_name for row in rows} == set(TOOLS)
    assert {row.tenant_id for row in rows} == set(TENANTS)


async def kill(lives: Nursery, sim: Watched, dice: random.Random, number: int) -> None:
    """One life, ended at a moment that the dice choose: by what SIM sees, or by nothing but time."""
    await lives.begin(number)
    longest_s = LONGEST_LIFE_S * dice.random()
    moment, count = dice.choice(["arrives", "answers", "time"]), dice.randint(1, 40)
    later_s = dice.choice([0.0, 0.02 * dice.random()])
    with anyio.move_on_after(longest_s if moment == "time" else 15):
        if moment == "time":
            await anyio.sleep_forever()
        await sim.nth(moment, count)
        await anyio.sleep(later_s)
    assert await lives.end() == -signal.SIGKILL


def hold_against_what_callers_heard(rows: list[Execution], told: str) -> None:
    """Who was told an end was told the row's; calls that were begun have one row at most, keyed or not."""
    by_id = {row.id: row.status.value for row in rows}
    heard = [line.split() for line in told.splitlines() if line.startswith("told ")]
    assert [words for words in heard if by_id.get(ExecutionId(words[2])) != words[3]] == []
    assert len(heard) > len(rows) / 10, "hardly anybody was answered: the kills prove little"
    ran = [row for row in rows if row.error is None or row.error.code is not ErrorCode.SIM_UNAVAILABLE]
    assert doubles(text_of(row.input) for row in ran) == {}
