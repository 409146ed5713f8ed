"""Opens, wires and closes everything: the only place that sees all rooms.

The doors get an `App`: a handful of rooms to knock at and nothing else.
"""

from __future__ import annotations

import logging
import random
import secrets
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from sim_mcp.catalog import ToolSource
from sim_mcp.config import Settings
from sim_mcp.gateway import (
    Administration,
    Attempts,
    Audit,
    Discovery,
    Follower,
    Gateway,
    LiveCalls,
    ProcessKey,
    Progress,
    Redactor,
    Runs,
    SetupReport,
    SimHealth,
    StatusDesk,
    Tenancy,
    TenantLimits,
    TenantStatus,
    Validation,
    Watch,
)
from sim_mcp.model.clock import Clock, SystemClock
from sim_mcp.model.errors import InvalidInput, SimMcpError
from sim_mcp.model.facts import Fact, Observer, SettingsChanged
from sim_mcp.model.integration import Integration
from sim_mcp.model.principal import Principal, TenantId, parse_permissions
from sim_mcp.model.run import RunId
from sim_mcp.resilience import Breakers, RetryPolicy, Throttle
from sim_mcp.sim import SimClients
from sim_mcp.store import (
    ExecutionFilter,
    Page,
    Sealer,
    Store,
    Tokens,
    load_or_create_key_file,
    open_store,
    parse_keys,
)
from sim_mcp.telemetry import log_fact

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

__all__ = [
    "App", "Discovery", "ExecutionFilter", "Facts", "Needs", "Page", "Progress", "Seams", "SetupReport",
    "SimHealth", "TenantStatus", "Validation", "Watch", "open_app", "open_sealer",
]  # fmt: skip
"""The doors import from here what they need of the rooms below."""

CHANGES_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """What comes in from outside, so that tests decide it."""

    clock: Clock = field(default_factory=SystemClock)
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    random: Callable[[], float] = random.random
    transport_of: Callable[[Integration], httpx.AsyncBaseTransport] | None = None
    observers: Sequence[Observer] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a process needs beside the rooms that every process has."""

    follows_up: bool = True
    is_pooled: bool = False
    """Serves many callers: SIM is reached through the connection pool made for that."""
    uses_process_key: bool = False
    drain_s: float = 2.0
    """How long closing waits for calls that are under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """What a door may use."""

    settings: Settings
    gateway: Gateway
    runs: Runs
    administration: Administration
    status: StatusDesk
    tokens: Tokens
    store: Store
    facts: Facts
    follower: Follower

    async def ping(self) -> None:
        """Return when the database answers.

        Raises:
            StoreUnavailable: it does not.
        """
        await self.store.ping()

    def own_principal(self) -> Principal:
        """Who a session without tokens is (stdio, CLI): the settings say."""
        return Principal(
            tenant_id=TenantId(self.settings.tenant_id),
            organization_id=self.settings.organization_id,
            subject="local",
            permissions=parse_permissions(self.settings.permissions),
        )


class Facts:
    """Tells observers what happened. One that fails is logged; the others still hear."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = list(observers)

    def __call__(self, fact: Fact) -> None:
        """Tell `fact` to everybody."""
        for observer in tuple(self._observers):
            try:
                observer(fact)
            except Exception:  # an observer's bug must not change the outcome of a call
                log.exception("an observer failed on %s", type(fact).__name__)

    def subscribe(self, observer: Observer) -> Callable[[], None]:
        """Tell `observer` from now on; call the result to stop."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)


@asynccontextmanager
async def open_app(
    settings: Settings, *, needs: Needs | None = None, seams: Seams | None = None
) -> AsyncGenerator[App]:
    """Open everything for `settings`, and close it in reverse order.

    Closing waits up to `needs.drain_s` for calls under way, then lets go of them: their rows are
    settled by their run ids at the next start.

    Raises:
        InvalidInput: a setting that cannot work; names it and the remedy.
        StoreUnavailable: the database cannot be opened.
    """
    wants, outside = needs or Needs(), seams or Seams()
    facts = Facts([log_fact, *outside.observers])
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            open_store(
                settings.store_url,
                sealer=open_sealer(settings),
                clock=outside.clock,
                new_id=outside.new_id,
            )
        )
        tenancy = Tenancy(
            store=store,
            clock=outside.clock,
            process_key=_process_key(settings) if wants.uses_process_key else None,
        )
        clients = SimClients(
            clock=outside.clock,
            key_of=tenancy.key_of,
            allowed_hosts=settings.sim_allowed_hosts,
            transport_of=outside.transport_of,
            pooled=wants.is_pooled,
        )
        stack.push_async_callback(clients.aclose)
        background = await stack.enter_async_context(_background())
        parts = _Parts(settings, outside, wants, store, tenancy, clients, facts, background)
        stack.push_async_callback(parts.drain)
        app = parts.app()
        await parts.start_background()
        log.info("ready: default SIM is %s", settings.sim_base_url)
        yield app


def open_sealer(settings: Settings) -> Sealer:
    """The sealer for stored SIM keys, from the settings or the key file of the embedded mode.

    Raises:
        InvalidInput: the keys or the key file are not usable.
    """
    if settings.encryption_keys is not None:
        return Sealer(parse_keys(settings.encryption_keys.get_secret_value()))
    return Sealer([load_or_create_key_file(settings.key_file)])


def _process_key(settings: Settings) -> ProcessKey | None:
    if settings.sim_api_key is None:
        return None
    return ProcessKey(
        tenant_id=TenantId(settings.tenant_id),
        api_key=settings.sim_api_key.get_secret_value(),
        base_url=settings.sim_base_url,
        revision=secrets.randbelow(2**31 - 1) + 1,
    )


@asynccontextmanager
async def _background() -> AsyncGenerator[TaskGroup]:
    """A task group for work that outlives its callers; cancelled when the app closes."""
    async with anyio.create_task_group() as group:
        try:
            yield group
        finally:
            group.cancel_scope.cancel()


class _Parts:
    """The wiring, in the order in which the rooms stand on each other."""

    def __init__(
        self,
        settings: Settings,
        outside: Seams,
        needs: Needs,
        store: Store,
        tenancy: Tenancy,
        clients: SimClients,
        facts: Facts,
        background: TaskGroup,
    ) -> None:
        self._settings, self._outside, self._needs = settings, outside, needs
        self._store, self._tenancy, self._clients = store, tenancy, clients
        self._facts, self._background = facts, background
        clock = outside.clock
        self._live = LiveCalls()
        self._redactor = Redactor(settings.redact_keys)
        self._breakers = Breakers(clock, observer=facts)
        self._throttle = Throttle(clock)
        self._retry = RetryPolicy(outside.random)
        self._tools = ToolSource()
        self._audit = Audit(
            executions=store.executions,
            live=self._live,
            redactor=self._redactor,
            clock=clock,
            new_id=outside.new_id,
            observer=facts,
        )
        self._follower = Follower(
            store=store,
            tenancy=tenancy,
            clients=clients,
            breakers=self._breakers,
            audit=self._audit,
            live=self._live,
            clock=clock,
        )
        self._limits = TenantLimits(
            rate_per_minute=settings.rate_per_minute,
            max_concurrency=settings.max_concurrency,
            monthly_executions=settings.monthly_executions,
        )

    def app(self) -> App:
        """The doors' view of the rooms."""
        gateway = self._gateway()
        runs = Runs(
            gateway=gateway,
            store=self._store,
            tenancy=self._tenancy,
            clients=self._clients,
            breakers=self._breakers,
            retry=self._retry,
            audit=self._audit,
            follower=self._follower,
            live=self._live,
            redactor=self._redactor,
            background=self._background,
            clock=self._outside.clock,
        )
        administration = Administration(
            store=self._store,
            gateway=gateway,
            tenancy=self._tenancy,
            clients=self._clients,
            default_base_url=self._settings.sim_base_url,
            allowed_hosts=self._settings.sim_allowed_hosts,
            observer=self._facts,
        )
        status = StatusDesk(
            store=self._store,
            gateway=gateway,
            tenancy=self._tenancy,
            clients=self._clients,
            breakers=self._breakers,
            throttle=self._throttle,
            limits=self._limits,
            clock=self._outside.clock,
        )
        return App(
            settings=self._settings,
            gateway=gateway,
            runs=runs,
            administration=administration,
            status=status,
            tokens=self._store.tokens,
            store=self._store,
            facts=self._facts,
            follower=self._follower,
        )

    async def start_background(self) -> None:
        """Read the spec files, then start following runs, files and other processes' changes."""
        directory = self._settings.tool_specs
        if directory is not None:
            if not directory.is_dir():
                raise InvalidInput(f"SIM_MCP_TOOL_SPECS names {str(directory)!r}, which is not a directory.")
            self._tools.reload(directory)
        if not self._needs.follows_up:
            return
        if directory is not None:
            self._background.start_soon(self._watch_specs, directory)
        self._background.start_soon(self._follower.run)
        self._background.start_soon(self._watch_changes)

    async def drain(self) -> None:
        """Wait for calls under way, at most `drain_s` seconds."""
        with anyio.move_on_after(self._needs.drain_s):
            await self._live.until_empty()

    def _gateway(self) -> Gateway:
        attempts = Attempts(
            audit=self._audit,
            clients=self._clients,
            breakers=self._breakers,
            retry=self._retry,
            clock=self._outside.clock,
            new_run_id=lambda: RunId(self._outside.new_id()),
            observer=self._facts,
        )
        return Gateway(
            store=self._store,
            tools=self._tools,
            tenancy=self._tenancy,
            audit=self._audit,
            attempts=attempts,
            throttle=self._throttle,
            limits=self._limits,
            live=self._live,
            redactor=self._redactor,
            background=self._background,
            clock=self._outside.clock,
            kick=self._follower.kick,
        )

    async def _watch_specs(self, directory: Path) -> None:
        async def on_change(tenants: frozenset[TenantId]) -> None:
            for tenant_id in tenants:
                self._facts(SettingsChanged(tenant_id=tenant_id, kind="tools"))

        await self._tools.watch(directory, on_change)

    async def _watch_changes(self) -> None:
        """Notice what other processes on the same database change, and tell our observers."""
        seen = await self._store.changes.latest()
        while True:
            await self._outside.clock.sleep(CHANGES_EVERY_S)
            try:
                seen, changes = await self._store.changes.changes_since(seen)
            except SimMcpError as error:
                log.warning("changes cannot be read: %s", error.message)
                continue
            for change in changes:
                self._facts(SettingsChanged(tenant_id=change.tenant_id, kind=change.kind.value))
