"""Where the demo plays: the sandbox SIM, and the real server with two tenants, all on loopback.

Nothing of the user's is touched: the settings come from here alone, not from the environment or a
file, and the database lives in a temporary directory.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sim_mcp.cli.sandbox import example_specs
from sim_mcp.model.clock import SystemClock
from sim_mcp.model.principal import ALL_PERMISSIONS, Principal, TenantId

if TYPE_CHECKING:
    from mcp.client import Client

    from sim_mcp.app import App
    from sim_mcp.config import Settings
    from sim_mcp.sim.fake import FakeSim

PEOPLE: Mapping[str, str] = {"acme": "ada", "globex": "gus"}
"""The demo's tenants, and who works there."""
PATIENCE_S = 1.0
"""How long the demo's server lets a caller wait before it answers "still running". Usually more."""
TIMEOUT_S = 30.0
"""How long the demo's client waits for any one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The running demo. `url` is the server's.

    `sign` makes a demo token for a tenant, good for some minutes. `secrets` holds what must never be
    shown or stored in clear: the SIM keys, the signing secret, and every token that was made.
    """

    url: str
    sim: FakeSim
    directory: Path
    sign: Callable[[str, int], str]
    secrets: list[str] = field(repr=False)
    wait: Callable[[], Awaitable[None]]

    @asynccontextmanager
    async def client(self, tenant: str, *, era: str = "auto") -> AsyncGenerator[Client]:
        """The official MCP client, over Streamable HTTP, as somebody of `tenant`."""
        import httpx2
        from mcp.client import Client
        from mcp.client.streamable_http import streamable_http_client

        headers = {"Authorization": f"Bearer {self.sign(tenant, 15)}"}
        async with (
            # A proxy of the user's has no business on loopback.
            httpx2.AsyncClient(headers=headers, timeout=TIMEOUT_S, trust_env=False) as http,
            Client(
                streamable_http_client(f"{self.url}/mcp", http_client=http),
                mode=era,
                read_timeout_seconds=TIMEOUT_S,
            ) as client,
        ):
            yield client

    def fail_next(self, tenant: str, workflow: str, *, times: int) -> None:
        """Let SIM answer the next `times` executions of a workflow with 503."""
        from sim_mcp.sim.fake import workflow_id
        from sim_mcp.sim.fake.faults import Unavailable503

        faults = [Unavailable503(retry_after=1) for _ in range(times)]
        self.sim.script(*faults, workflow_id=workflow_id(tenant, workflow))

    def files_with_secrets(self) -> list[Path]:
        """The server's files that hold a secret of the demo in clear. Reads them all."""
        files = [path for path in self.directory.rglob("*") if path.is_file()]
        return [path for path in files if any(each.encode() in path.read_bytes() for each in self.secrets)]


@asynccontextmanager
async def stage() -> AsyncGenerator[Stage]:
    """Set everything up, and take it down in the end."""
    from sim_mcp.app import open_app
    from sim_mcp.sim.fake import DEMO_ACCOUNTS, FakeSim, serve_fake

    sim = FakeSim()
    jwt_secret = secrets.token_urlsafe(48)
    known = [jwt_secret, *(account.api_key for account in DEMO_ACCOUNTS)]

    def sign(tenant: str, minutes: int) -> str:
        known.append(_token(jwt_secret, tenant, minutes))
        return known[-1]

    with TemporaryDirectory(prefix="sim-mcp-demo-", ignore_cleanup_errors=True) as folder:
        directory = Path(folder)
        async with serve_fake(sim) as sim_url:
            settings = _settings(directory, sim_url, jwt_secret)
            async with open_app(settings) as app:
                for account in DEMO_ACCOUNTS:
                    who = Principal(
                        tenant_id=TenantId(account.name), subject="demo", permissions=ALL_PERMISSIONS
                    )
                    await app.administration.set_up(who, api_key=account.api_key)
                async with _served(app) as (url, wait):
                    yield Stage(
                        url=url,
                        sim=sim,
                        directory=directory,
                        sign=sign,
                        secrets=known,
                        wait=wait,
                    )


def _settings(directory: Path, sim_url: str, jwt_secret: str) -> Settings:
    from pydantic import SecretStr

    from sim_mcp.config import Settings

    # Not validated, because validating reads the environment: a user's own database is not for demos.
    return Settings.model_construct(
        data_dir=directory,
        sim_base_url=sim_url,
        sim_allowed_hosts=(urlsplit(sim_url).netloc,),
        tool_specs=example_specs(),
        auth_jwt_secret=SecretStr(jwt_secret),
        call_patience_s=PATIENCE_S,
    )


@asynccontextmanager
async def _served(app: App) -> AsyncGenerator[tuple[str, Callable[[], Awaitable[None]]]]:
    """The real HTTP server on a free port: its URL, and a way to wait for its end."""
    import anyio

    from sim_mcp.transports.http import serve_http

    listening, ended = anyio.Event(), anyio.Event()
    urls: list[str] = []

    def ready(url: str) -> None:
        urls.append(url)
        listening.set()

    async def serve() -> None:
        try:
            await serve_http(app, host="127.0.0.1", port=0, ready=ready)
        finally:
            ended.set()

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        await listening.wait()
        yield urls[0], ended.wait
        group.cancel_scope.cancel()


def _token(jwt_secret: str, tenant: str, minutes: int) -> str:
    """A token as the host platform makes them (contract 5)."""
    import jwt

    now = SystemClock().now()
    claims: dict[str, Any] = {
        "id": PEOPLE[tenant],
        "tenantId": tenant,
        "permissions": sorted(permission.value for permission in ALL_PERMISSIONS),
        "iat": now,
        "exp": now + timedelta(minutes=minutes),
    }
    return jwt.encode(claims, jwt_secret, algorithm="HS256")
