"""The HTTP doors of a small world, and callers with tokens of every kind."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio.lowlevel
import httpx
import jwt
from mcp.server.lowlevel import Server
from sse_starlette.sse import AppStatus
from starlette.types import ASGIApp

from sim_mcp.model.clock import ManualClock
from sim_mcp.sim.fake import FakeSim
from sim_mcp.transports.http import ServerFactory, build_http_app
from sim_mcp.transports.mcp import build_server
from sim_mcp.transports.rest_views import BASE_PATH
from tests.transports.rest_document import DOCUMENTED
from tests.world import SECRET, World, open_world

HOST = "http://127.0.0.1:8765"
ALL = ("INTEGRATION_ADD", "INTEGRATION_EDIT", "INTEGRATION_VIEW", "INTEGRATION_DELETE")
NOW_S = 1_767_225_600
"""When the manual clock starts: 2026-01-01."""
HELLO: dict[str, object] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
"""How a session of the older protocol begins."""


def claims(tenant: str = "acme", **changes: Any) -> dict[str, Any]:
    """What the host platform's session token says; a change to `...` leaves the claim out."""
    known: dict[str, Any] = {
        "id": "4b7f2d5e-5f0c-4d6c-9a0e-0f9f6f1f6b11",
        "tenantId": tenant,
        "organizationId": None,
        "employeeId": None,
        "role": "ADMIN",
        "permissions": [*ALL, "ORG_TASK_VIEW"],
        "tokenType": "ACCESS_TOKEN_TYPE",
        "iat": NOW_S,
        "exp": NOW_S + 86_400,
    }
    return {name: value for name, value in (known | changes).items() if value is not ...}


def signed(payload: dict[str, Any], *, secret: str = SECRET, algorithm: str = "HS256") -> str:
    """A token over `payload`."""
    return jwt.encode(payload, secret, algorithm=algorithm)


def bearer(tenant: str = "acme", **changes: Any) -> dict[str, str]:
    """The header of a caller of `tenant`."""
    return {"authorization": f"Bearer {signed(claims(tenant, **changes))}"}


@dataclass(frozen=True, slots=True)
class PassingTime:
    """SIM's time: working takes as long as it says, and the test's clock moves by as much."""

    clock: ManualClock

    def now(self) -> datetime:
        return self.clock.now()

    async def sleep(self, delay_s: float) -> None:
        self.clock.advance(max(0.0, delay_s))
        await anyio.lowlevel.checkpoint()


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """The world seen from outside. `seen` keeps every answer, so that a test can search them all."""

    world: World
    client: httpx.AsyncClient
    clock: ManualClock
    application: ASGIApp
    seen: list[httpx.Response] = field(default_factory=list[httpx.Response])

    async def ask(
        self, method: str, path: str, *, by: str | dict[str, str] = "acme", **more: Any
    ) -> httpx.Response:
        """The documented answer to somebody of tenant `by`, or to exactly these headers."""
        headers = bearer(by) if isinstance(by, str) else by
        headers = headers | more.pop("headers", {})
        answer = await self.client.request(method, BASE_PATH + path, headers=headers, **more)
        self.seen.append(answer)
        DOCUMENTED.check(method, path, answer)
        return answer

    async def allow(self, tenant: str, *workflows: str) -> None:
        """Put workflows of the sandbox on the tenant's allow-list."""
        for workflow in workflows:
            await self.world.allow(tenant, workflow)

    async def execute(self, tenant: str, workflow_id: str, **body: Any) -> httpx.Response:
        """POST execute."""
        return await self.ask("POST", f"/workflows/{workflow_id}/execute", by=tenant, json=body)


@asynccontextmanager
async def open_web(
    folder: Path,
    *,
    allow_unauthenticated: bool = False,
    server_factory: ServerFactory = lambda: Server("empty"),
    has_tools: bool = False,
    **more: Any,
) -> AsyncGenerator[Web]:
    """The whole Starlette application over `open_world`; its MCP server has no tools unless one is given.

    `has_tools` gives it the product's own server.
    """
    clock = more.pop("clock", None) or ManualClock()
    sim = more.pop("sim", None) or FakeSim(time=PassingTime(clock))
    AppStatus.should_exit = False  # a server that was stopped in this process leaves its mark on all streams
    async with open_world(folder, clock=clock, sim=sim, **more) as world:
        web = build_http_app(
            world.app,
            (lambda: build_server(world.app, own=None)) if has_tools else server_factory,
            allow_unauthenticated=allow_unauthenticated,
            new_request_id=lambda: "generated-id",
        )
        transport = httpx.ASGITransport(web)
        async with (
            web.router.lifespan_context(web),
            httpx.AsyncClient(transport=transport, base_url=HOST) as client,
        ):
            yield Web(world=world, client=client, clock=clock, application=web)
