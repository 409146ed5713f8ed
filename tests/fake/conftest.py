"""A sandbox on a clock that the test holds, and a client for each of its two customers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio.lowlevel
import httpx
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.sim.fake import FakeSim, demo_account
from tests.patience import PATIENCE_S


class LeapingClock(ManualClock):
    """Time in which nobody waits: a sleep moves the clock to its own end."""

    async def sleep(self, delay_s: float) -> None:
        """Move time forward by the whole delay."""
        self.advance(max(0.0, delay_s))
        await anyio.lowlevel.checkpoint()


@pytest.fixture
def clock() -> LeapingClock:
    """Time for one test of the sandbox."""
    return LeapingClock()


def calls(fake: FakeSim, account: str | None = "acme") -> httpx.AsyncClient:
    """A client with the key of `account`; without a key when there is none."""
    headers = {} if account is None else {"X-API-Key": demo_account(account).api_key}
    return httpx.AsyncClient(
        transport=fake.transport(), base_url="http://sim.sandbox", headers=headers, timeout=PATIENCE_S
    )


@asynccontextmanager
async def open_client(fake: FakeSim, account: str | None = "acme") -> AsyncGenerator[httpx.AsyncClient]:
    """`calls`, closed at the end."""
    async with calls(fake, account) as client:
        yield client


@pytest.fixture
def fake(clock: ManualClock) -> FakeSim:
    """A sandbox with both demo accounts and v2 switched on."""
    return FakeSim(time=clock)


@pytest.fixture
async def acme(fake: FakeSim) -> AsyncGenerator[httpx.AsyncClient]:
    """The first customer."""
    async with open_client(fake, "acme") as client:
        yield client


@pytest.fixture
async def globex(fake: FakeSim) -> AsyncGenerator[httpx.AsyncClient]:
    """The second customer."""
    async with open_client(fake, "globex") as client:
        yield client
