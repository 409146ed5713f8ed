"""A small world for journeys: the whole app on a real SQLite file, a fake SIM server, two tenants."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio.lowlevel
import anyio.to_thread
import httpx

from sim_mcp.app import App, ExecutionFilter, Needs, Seams, open_app
from sim_mcp.config import Settings
from sim_mcp.model.clock import Clock, ManualClock
from sim_mcp.model.execution import Call, Execution, Trigger
from sim_mcp.model.integration import Integration
from sim_mcp.model.json import JsonObject
from sim_mcp.model.principal import ALL_PERMISSIONS, Principal, TenantId
from sim_mcp.sim.fake import FakeSim, demo_account, workflow_id

SIM_URL = "https://sim.example.com"
SECRET = "a-test-secret-of-more-than-32-bytes!"
TENANTS = ("acme", "globex")


def principal(tenant: str, subject: str = "ada") -> Principal:
    """A person of `tenant` who may do everything there."""
    return Principal(tenant_id=TenantId(tenant), subject=subject, permissions=ALL_PERMISSIONS)


def spec(tenant: str, workflow: str, name: str | None = None, **fields: object) -> dict[str, Any]:
    """A tool spec for one of the sandbox's workflows."""
    return {
        "name": name or workflow,
        "workflow_id": workflow_id(tenant, workflow),
        "description": f"The {workflow} workflow of {tenant}.",
        **fields,
    }


HOPS_PER_S = 8
"""How often a second that flows lets threads have their turn: a database answers from one."""


def _nothing() -> None:
    """What a thread does that only has to have a turn."""


async def threads_turn() -> None:
    """Let threads do what they would do in a second: a database answers from one."""
    for _ in range(HOPS_PER_S):
        await anyio.to_thread.run_sync(_nothing)


class SandboxTime:
    """The fake SIM's own time: jumps ahead when somebody there sleeps, so that work costs no waiting."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = timedelta()

    def now(self) -> datetime:
        """The moment at the fake SIM: the test's, plus what was slept there."""
        return self._clock.now() + self._ahead

    async def sleep(self, delay_s: float) -> None:
        """Let the time pass, and give others a turn."""
        self._ahead += timedelta(seconds=max(0.0, delay_s))
        await anyio.lowlevel.checkpoint()


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An open app with the fake SIM behind it."""

    app: App
    sim: FakeSim
    clock: Clock

    async def allow(self, tenant: str, workflow: str, name: str | None = None, **fields: object) -> None:
        """Put one of the sandbox's workflows on the tenant's allow-list."""
        entry = {"input_schema": {"type": "object"}, **spec(tenant, workflow, name, **fields)}
        await self.app.workflows.allow(principal(tenant), entry)

    def call(self, tenant: str, tool: str, arguments: JsonObject | None = None, **fields: Any) -> Call:
        """A call of `tool` by somebody of `tenant`."""
        return Call(
            principal=principal(tenant),
            trigger=Trigger.MCP,
            tool_name=tool,
            arguments=arguments or {},
            **fields,
        )

    async def follow_up(self, *, rounds: int = 1, advance_s: float = 20.0) -> None:
        """Let time pass and the follower look at what is due, `rounds` times."""
        assert isinstance(self.clock, ManualClock)
        for _ in range(rounds):
            self.clock.advance(advance_s)
            await self.app.follower.round()

    async def row(self, execution: Execution) -> Execution:
        """The row of `execution` as it stands now."""
        found = await self.app.store.executions.get(execution.tenant_id, None, execution.id)
        assert found is not None
        return found

    async def rows(self, tenant: str) -> tuple[Execution, ...]:
        """Every row of `tenant`, newest first."""
        page = await self.app.runs.page(principal(tenant), ExecutionFilter(), limit=100)
        return page.executions

    @property
    def started(self) -> list[str]:
        """The ids of all runs that really started at SIM."""
        return [run.run_id for run in self.sim.runs]


def settings(folder: Path, **changes: Any) -> Settings:
    """Settings of a server whose files are in `folder`."""
    known: dict[str, Any] = {
        "data_dir": folder,
        "sim_base_url": SIM_URL,
        "auth_jwt_secret": SECRET,
        "max_concurrency": 64,
        "rate_per_minute": 6000,
    }
    return Settings(**(known | changes))


@asynccontextmanager
async def flowing(clock: ManualClock) -> AsyncGenerator[None]:
    """Time passes by itself inside the block, whenever somebody waits for it.

    For tests that do not care how long things took: it may pass faster than work gets done.
    """

    async def flow() -> None:
        while True:
            await clock.sleeper(within_s=60)
            await threads_turn()
            clock.advance(1)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(flow)
        yield
        group.cancel_scope.cancel()


@asynccontextmanager
async def open_world(
    folder: Path,
    *,
    sim: FakeSim | None = None,
    clock: Clock | None = None,
    needs: Needs | None = None,
    transport_of: Callable[[Integration], httpx.AsyncBaseTransport] | None = None,
    identity_transport: Callable[[], httpx.AsyncBaseTransport] | None = None,
    connect: Mapping[str, str] | None = None,
    new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    **changes: Any,
) -> AsyncGenerator[World]:
    """The app, open, with both tenants connected to the fake SIM (`connect` names tenant and key)."""
    now = clock or ManualClock()
    fake = sim or FakeSim(time=SandboxTime(now))
    seams = Seams(
        clock=now,
        random=lambda: 0.5,
        transport_of=transport_of or (lambda _: fake.transport()),
        identity_transport=identity_transport,
        new_id=new_id,
    )
    accounts = {name: demo_account(name).api_key for name in TENANTS} if connect is None else connect
    async with open_app(
        settings(folder, **changes), needs=needs or Needs(follows_up=False, drain_s=0), seams=seams
    ) as app:
        world = World(app=app, sim=fake, clock=now)
        for name, key in accounts.items():
            if await app.administration.settings(principal(name)) is None:
                await app.administration.set_up(principal(name), api_key=key)
        yield world


def world_beside(
    folder: Path, base_url: str, *, sim: FakeSim, clock: Clock, **changes: Any
) -> AbstractAsyncContextManager[World]:
    """The app, open in this process on the directory of servers that call `sim` over its socket."""
    return open_world(
        folder,
        sim=sim,
        clock=clock,
        transport_of=lambda _: sim.transport(),
        sim_base_url=base_url,
        sim_allowed_hosts=("127.0.0.1",),
        **changes,
    )
