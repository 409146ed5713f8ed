"""The conformance tenant: sandbox workflows under the names that the official suite calls.

Nothing in the product knows about it. Its tools are entries of an allow-list like any other tenant's, and a
call of one goes through list, token, corridor, SIM's API and audit. Only what the suite cannot do is done
for it: it sends no `Authorization`, so a shim in front of the application adds the tenant's token.
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx
import uvicorn

from sim_mcp.app import Needs
from sim_mcp.model.clock import Clock, SystemClock
from sim_mcp.model.json import Json, is_object
from sim_mcp.sim.fake import Account, FakeSim, FakeWorkflow, InputField, demo_account, serve_fake
from sim_mcp.transports.http import build_http_app
from sim_mcp.transports.mcp import build_server
from tests.conformance.fixtures import FIXTURES, TRIGGER, Fixture
from tests.transports.web import claims, signed
from tests.world import World, open_world, principal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TENANT = "conformance"
OTHER = "globex"
BRISKNESS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One `tools/call` as it arrived over HTTP."""

    tool: str
    is_answer: bool
    """It brings what was asked in an earlier answer to the same call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """The conformance tenant on a real server."""

    world: World
    url: str
    asked: list[Asked] = field(default_factory=list[Asked])


def account() -> Account:
    """The tenant's account at SIM: one workflow for each fixture."""
    return Account(
        name=TENANT,
        api_key=f"sk-sim-sandbox-{TENANT}",
        workspace_id=f"workspace-of-{TENANT}",
        workflows=tuple(_workflow(each) for each in FIXTURES),
    )


@asynccontextmanager
async def conformance_tenant(folder: Path, *, clock: Clock) -> AsyncGenerator[Tenant]:
    """A server on a loopback socket, the tenant with its tools and another beside it, and a SIM for both."""
    sim = FakeSim(accounts=(account(), demo_account(OTHER)), time=clock, strands_pauses=False)
    async with (
        serve_fake(sim) as sim_url,
        open_world(
            folder,
            sim=sim,
            clock=clock,
            needs=Needs(drain_s=0),
            connect={name: f"sk-sim-sandbox-{name}" for name in (TENANT, OTHER)},
            transport_of=lambda _: httpx.AsyncHTTPTransport(),
            sim_base_url=sim_url,
            sim_allowed_hosts=(sim_url.removeprefix("http://"),),
        ) as world,
    ):
        async with anyio.create_task_group() as group:
            for each in FIXTURES:
                group.start_soon(world.app.workflows.allow, principal(TENANT), each.spec())
        await world.allow(OTHER, "quick", "test_simple_text")
        asked: list[Asked] = []

        async def note(call: Asked) -> None:
            asked.append(call)
            if call.tool == TRIGGER:
                await world.app.workflows.allow(principal(TENANT), _another(len(asked)).spec())

        server = build_server(world.app, own=None)
        web = TokenShim(build_http_app(world.app, lambda: server), note)
        async with _listening(web) as url:
            yield Tenant(world=world, url=url, asked=asked)
            server.begin_closing()


def token() -> str:
    """A token of somebody of the tenant, by the machine's own clock: the SDK looks at it too."""
    now_s = int(SystemClock().now().timestamp())
    return signed(claims(TENANT, iat=now_s, exp=now_s + 86_400))


class BriskClock:
    """The machine's time, but faster: the suite looks at how runs end, not at how long they take."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self._start, self._start_s = self._real.now(), self._real.monotonic()

    def now(self) -> datetime:
        """The present moment: the start was now."""
        return self._start + timedelta(seconds=self.monotonic() - self._start_s)

    def monotonic(self) -> float:
        """Brisk seconds."""
        return self._start_s + (self._real.monotonic() - self._start_s) * BRISKNESS

    async def sleep(self, delay_s: float) -> None:
        """Return when `delay_s` brisk seconds are over."""
        await self._real.sleep(delay_s / BRISKNESS)

    async def until(self, event: anyio.Event, *, within_s: float) -> None:
        """Return when `event` is set, or when `within_s` brisk seconds are over."""
        await self._real.until(event, within_s=within_s / BRISKNESS)


class TokenShim:
    """Signs what comes without a token as the tenant's, and takes down which tools were called."""

    def __init__(self, app: ASGIApp, note: Callable[[Asked], Awaitable[None]]) -> None:
        self._app = app
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = [*scope["headers"]]
        if not any(name == b"authorization" for name, _ in headers):
            headers.append((b"authorization", f"Bearer {token()}".encode()))
        body, is_ok = b"", False

        async def read() -> Message:
            nonlocal body
            message = await receive()
            body += message.get("body", b"")
            return message

        async def answer(message: Message) -> None:
            nonlocal is_ok
            is_ok = is_ok or message.get("status") == 200
            await send(message)

        try:
            await self._app({**scope, "headers": headers}, read, answer)
        finally:
            call = _call_in(body) if is_ok else None
            if call is not None:
                await self._note(call)


def _call_in(body: bytes) -> Asked | None:
    try:
        request: Json = json.loads(body)
    except ValueError:
        return None
    params = request.get("params") if is_object(request) and request.get("method") == "tools/call" else None
    if not is_object(params):
        return None
    return Asked(
        tool=str(params.get("name")), is_answer="requestState" in params or "inputResponses" in params
    )


def _another(number: int) -> Fixture:
    """A tool more, for a workflow that is one already."""
    return replace(FIXTURES[0], name=f"{FIXTURES[0].name}_{number}", workflow=FIXTURES[0].workflow_id)


def _workflow(fixture: Fixture) -> FakeWorkflow:
    return FakeWorkflow(
        id=fixture.workflow_id,
        name=fixture.name,
        behaviour=fixture.behaviour,
        inputs=tuple(InputField(name=name, type=kind) for name, kind in fixture.declares.items()),
        form=fixture.form,
    )


@asynccontextmanager
async def _listening(web: ASGIApp) -> AsyncGenerator[str]:
    """`web` on a free loopback port."""
    config = uvicorn.Config(
        web, ws="none", lifespan="on", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    listening = anyio.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            listening.set()

    server = Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            await listening.wait()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True
