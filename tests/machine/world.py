"""The system under test: the real app on a real file, a sandbox SIM, and a process that can be killed."""

from __future__ import annotations

import asyncio
import io
import logging
import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.lowlevel

from sim_mcp.app import App
from sim_mcp.model.clock import ManualClock
from sim_mcp.sim.fake import FakeSim, demo_account
from sim_mcp.telemetry import set_up_logs
from tests.machine.network import Network, Weather
from tests.patience import PATIENCE_S
from tests.transports.web import Web, open_web
from tests.world import SandboxTime

T = TypeVar("T")

LONG_S = 100_000.0
"""After this long without SIM's word every row is closed: a day and an hour, and some."""
_NAMES = uuid.UUID("0b4ff0de-0000-4000-8000-000000000000")
_MOVES = """
CREATE TABLE IF NOT EXISTS machine_moves (n INTEGER PRIMARY KEY, id TEXT, was TEXT, became TEXT);
CREATE TRIGGER IF NOT EXISTS machine_notes AFTER UPDATE OF status ON executions WHEN OLD.status <> NEW.status
BEGIN INSERT INTO machine_moves (id, was, became) VALUES (NEW.id, OLD.status, NEW.status); END;
"""
"""The database itself writes down each move of a row, also those that nobody was there to see."""


class Town:
    """One SIM, one database file, and the process that serves it at the moment.

    Everything runs on one event loop that stands still between steps.
    """

    def __init__(self, keys: dict[str, str], *, v2_enabled: bool) -> None:
        self.clock = ManualClock()
        self.sim_time = SandboxTime(self.clock)
        self.weather = Weather()
        self.sim = FakeSim(
            accounts=[replace(demo_account(name), api_key=key) for name, key in keys.items()],
            time=self.sim_time,
            ids=self._new_id,
            v2_enabled=v2_enabled,
        )
        self._ids = 0
        self._loop = asyncio.Runner()
        self._directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._processes = 0
        self._root_handlers = list(logging.getLogger().handlers)
        self._root_level = logging.getLogger().level
        self.logged = io.StringIO()
        set_up_logs(level="debug", style="text", stream=self.logged)
        self.run(self._begin())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let the loop go on until `work` is done."""

        async def bounded() -> T:
            with anyio.fail_after(PATIENCE_S):
                return await work

        return self._loop.run(bounded())

    @property
    def app(self) -> App:
        """The rooms of the process that lives."""
        return self.web.world.app

    @property
    def folder(self) -> Path:
        """Where the files of the process that lives are."""
        return Path(self._directory.name) / str(self._processes)

    @property
    def sim_now(self) -> datetime:
        """The moment at SIM, which is ahead of ours by the time that was worked there."""
        return self.sim_time.now()

    def read(self, sql: str) -> list[dict[str, Any]]:
        """What the file says, past all code of ours."""
        with closing(sqlite3.connect(self.folder / "sim-mcp.db")) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql)]

    def bytes_on_disk(self) -> dict[str, bytes]:
        """Every file of every process so far, but for the key that seals the others."""
        return {
            str(path.relative_to(self._directory.name)): path.read_bytes()
            for path in sorted(Path(self._directory.name).rglob("*"))
            if path.is_file() and path.name != "encryption.key"
        }

    def kill(self) -> None:
        """End the process as `kill -9` does: what was committed stays, what was on its way is lost."""
        self.run(self._killed())

    def close(self) -> None:
        """End everything."""
        try:
            self.run(self._end())
        finally:
            self._loop.close()
            root = logging.getLogger()
            root.handlers[:] = self._root_handlers
            root.setLevel(self._root_level)
            self._directory.cleanup()

    async def breathe(self) -> None:
        """Let everybody who has something to do have a turn, at the database too."""
        for _ in range(4):
            await self.app.ping()
            await anyio.lowlevel.checkpoint()

    @asynccontextmanager
    async def flowing(self) -> AsyncGenerator[None]:
        """Inside the block time passes while somebody waits for it, and not before the others had a turn."""
        over = anyio.CancelScope()

        async def flow() -> None:
            with over:
                while True:
                    await self.clock.sleeper(within_s=60)
                    await self.breathe()
                    if self.clock.is_slept_on(60):
                        self.clock.advance(1)

        flows = asyncio.create_task(flow())  # no task group: an error of the block shall leave it as it is
        try:
            yield
        finally:
            over.cancel()
            await flows

    async def _begin(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.network = Network(self.sim, self.weather)
        self._over, opened = asyncio.Event(), asyncio.Event()
        self._process = asyncio.create_task(self._live(self.network, opened, self._over))
        waiting = asyncio.create_task(opened.wait())
        await asyncio.wait({self._process, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if self._process.done():
            waiting.cancel()
            await self._process
        with closing(sqlite3.connect(self.folder / "sim-mcp.db")) as connection:
            connection.executescript(_MOVES)

    async def _live(self, network: Network, opened: asyncio.Event, over: asyncio.Event) -> None:
        async with open_web(
            self.folder,
            clock=self.clock,
            sim=self.sim,
            has_tools=True,
            connect={},
            transport_of=network.for_anybody,
            new_id=self._new_id,
        ) as web:
            self.web: Web = web
            opened.set()
            await over.wait()

    async def _killed(self) -> None:
        self.network.is_dead = True
        before = self.folder
        self._processes += 1
        self.folder.mkdir()
        # No turn for anybody between these lines: the copy is what a new process would find.
        with (
            closing(sqlite3.connect(before / "sim-mcp.db")) as old,
            closing(sqlite3.connect(self.folder / "sim-mcp.db")) as new,
        ):
            old.backup(new)
        shutil.copy(before / "encryption.key", self.folder / "encryption.key")
        await self._end()  # what the dead process still writes goes into the old file
        self.weather.stop_at = None
        await self._begin()

    async def _end(self) -> None:
        self._over.set()
        await self._process

    def _new_id(self) -> str:
        self._ids += 1
        return str(uuid.uuid5(_NAMES, str(self._ids)))
