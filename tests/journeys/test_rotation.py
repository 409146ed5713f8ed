"""Keys that change or go while everybody is calling: what counts, and from which moment on."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from sim_mcp.app import Needs
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import NotConfigured
from sim_mcp.model.execution import Execution, Status
from sim_mcp.model.integration import Integration
from sim_mcp.sim.fake import FakeSim, demo_account
from tests.patience import PATIENCE_S
from tests.world import SandboxTime, World, open_world, principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R12", "R30", "R41")]

OLD = demo_account("acme").api_key
NEW = "sk-sim-acme-rotated-0001"
ADA = principal("acme")


class Account:
    """A SIM account that both keys open; remembers which key each call came with, and what is open."""

    def __init__(self, clock: ManualClock) -> None:
        self.sim = FakeSim(time=SandboxTime(clock))
        self.key_of: dict[str, str] = {}
        self.arrived = anyio.Event()
        self.gate = anyio.Event()
        self.gate.set()
        self.open: list[str] = []

    def transport_of(self, integration: Integration) -> httpx.AsyncBaseTransport:
        """The network to it; at the trial of a key, too."""
        account, inner = self, self.sim.transport()
        name = f"{integration.tenant_id}@{integration.revision}"
        self.open.append(name)

        class Transport(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                key = request.headers["x-api-key"]
                called = re.search(rb"call-\d+", await request.aread())
                if called:
                    account.key_of[called[0].decode()] = key
                    account.arrived.set()
                    await account.gate.wait()
                request.headers["x-api-key"] = OLD if key == NEW else key
                return await inner.handle_async_request(request)

            async def aclose(self) -> None:
                account.open.remove(name)
                await inner.aclose()

        return Transport()


@pytest.fixture
def account(clock: ManualClock) -> Account:
    """Acme's account at SIM."""
    return Account(clock)


@asynccontextmanager
async def opened(
    folder: Path, clock: ManualClock, account: Account, *, needs: Needs | None = None, **changes: Any
) -> AsyncGenerator[World]:
    """The world with that account behind it."""
    async with open_world(
        folder,
        clock=clock,
        sim=account.sim,
        transport_of=account.transport_of,
        needs=needs,
        max_concurrency=200,
        rate_per_minute=60_000,
        **changes,
    ) as world:
        await world.allow("acme", "echo")
        yield world


async def call(world: World, number: int) -> Execution:
    """A call that the account recognises."""
    with anyio.fail_after(30):
        return await world.app.gateway.call(world.call("acme", "echo", {"text": f"call-{number}"}))


@pytest.mark.parametrize("other_process_rotates", [False, True])
async def test_no_call_begun_after_the_commit_uses_the_old_key(
    tmp_path: Path,
    clock: ManualClock,
    account: Account,
    shared: dict[str, Any],
    *,
    other_process_rotates: bool,
) -> None:
    """A hundred calls side by side at two replicas, the key changes in their midst, and none fails."""
    is_changed = False
    begun_after = set[int]()
    rows = dict[int, Execution]()
    needs = Needs(follows_up=False, drain_s=0)
    async with (
        opened(tmp_path, clock, account, **shared) as world,
        opened(tmp_path, clock, account, needs=needs, **shared) as other,
    ):

        async def call_later(number: int) -> None:
            for _ in range(number * 3):
                await anyio.lowlevel.checkpoint()
            if is_changed:
                begun_after.add(number)
            rows[number] = await call((world, other)[number % 2], number)

        async with anyio.create_task_group() as group:
            for number in range(80):
                group.start_soon(call_later, number)
            await account.arrived.wait()
            changing = other if other_process_rotates else world
            await changing.app.administration.set_up(ADA, api_key=NEW)
            is_changed = True
            for number in range(80, 100):
                group.start_soon(call_later, number)
        assert {row.status for row in rows.values()} == {Status.COMPLETED}
        assert len(rows) == len(account.sim.runs) == 100
    assert begun_after >= {*range(80, 100)}
    assert {account.key_of[f"call-{number}"] for number in begun_after} == {NEW}
    assert OLD in account.key_of.values()
    for number, row in rows.items():  # each row tells with which settings its run was sent
        assert account.key_of[f"call-{number}"] == {1: OLD, 2: NEW}[row.settings_revision or 0]


async def test_removal_closes_the_client_at_once_and_destroys_the_key(
    tmp_path: Path, clock: ManualClock, account: Account
) -> None:
    """The connection is closed when `remove` returns; nothing in the database opens the account."""
    async with opened(tmp_path, clock, account) as world:
        await call(world, 1)
        assert account.open == ["acme@1"]
        await world.app.administration.remove(ADA)
        assert account.open == []
        kept = await world.app.store.database.fetch_all(
            "SELECT tenant_id FROM integration_revisions WHERE sealed_key IS NOT NULL"
        )
        assert [row["tenant_id"] for row in kept] == ["globex"]
        with pytest.raises(NotConfigured):
            await call(world, 2)
        assert list(account.key_of) == ["call-1"]


async def test_a_call_in_flight_outlives_the_removal(
    tmp_path: Path, clock: ManualClock, account: Account
) -> None:
    """Cutting it off would abort a run at SIM and lose its answer; it closes behind itself."""
    rows = list[Execution]()
    async with opened(tmp_path, clock, account) as world, anyio.create_task_group() as group:
        account.gate = anyio.Event()

        async def call_and_keep() -> None:
            rows.append(await call(world, 1))

        group.start_soon(call_and_keep)
        await account.arrived.wait()
        await world.app.administration.remove(ADA)
        assert account.open == ["acme@1"]
        account.gate.set()
        with anyio.fail_after(PATIENCE_S):
            while not rows:
                await anyio.lowlevel.checkpoint()
        assert (rows[0].status, account.open) == (Status.COMPLETED, [])


async def test_another_process_lets_go_of_the_key_when_it_next_looks(
    tmp_path: Path, clock: ManualClock, account: Account
) -> None:
    """Calls know at once, from the database; the idle client closes within the polling."""
    following = Needs(follows_up=True, drain_s=0)
    async with (
        opened(tmp_path, clock, account, needs=following) as world,
        opened(tmp_path, clock, account) as other,
    ):
        await call(world, 1)
        assert account.open == ["acme@1", "acme@1"]  # one client in each process
        await other.app.administration.remove(ADA)
        assert account.open == ["acme@1"]
        with pytest.raises(NotConfigured):
            await call(world, 2)
        with anyio.fail_after(PATIENCE_S):
            while account.open:
                await clock.sleeper(within_s=1)
                clock.advance(1)
                await anyio.lowlevel.checkpoint()
    assert list(account.key_of) == ["call-1"]
