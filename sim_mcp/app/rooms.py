"""What a door gets: the open rooms, and what comes in from outside."""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sim_mcp.config import Settings
from sim_mcp.gateway import (
    Administration,
    Allowance,
    Approvals,
    Bindings,
    Checkup,
    Curation,
    Follower,
    Gateway,
    MetricsDesk,
    Pace,
    Planner,
    Runs,
    SetupDesk,
    StatusDesk,
    TaskDesk,
    Tickets,
)
from sim_mcp.model.clock import Clock, SystemClock
from sim_mcp.model.facts import Fact, Observer
from sim_mcp.model.integration import Integration
from sim_mcp.model.principal import Principal, TenantId, parse_permissions
from sim_mcp.store import Store, Tokens
from sim_mcp.triggers import Ingest, JobDesk, MappingDesk, ScheduleDesk

if TYPE_CHECKING:
    import httpx

    from sim_mcp.telemetry.metrics import ProcessMetrics

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """What comes in from outside, so that tests decide it."""

    clock: Clock = field(default_factory=SystemClock)
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    random: Callable[[], float] = random.random
    transport_of: Callable[[Integration], httpx.AsyncBaseTransport] | None = None
    identity_transport: Callable[[], httpx.AsyncBaseTransport] | None = None
    """Stands in for the network to the identity provider."""
    observers: Sequence[Observer] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a process needs beside the rooms that every process has."""

    follows_up: bool = True
    runs_jobs: bool = False
    """Runs what events and schedules start, in this process: imports the durable engine."""
    counts: bool = False
    """Counts what happens, for `/metrics`: imports the Prometheus client."""
    uses_process_key: bool = False
    only_looks: bool = False
    """Creates and changes nothing: no key file, no migration, a database that refuses to be written."""
    drain_s: float = 2.0
    """How long closing waits for calls that are under way."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """What a door may use."""

    settings: Settings
    outside: Seams
    gateway: Gateway
    runs: Runs
    administration: Administration
    setup: SetupDesk
    workflows: Curation
    approvals: Approvals
    status: StatusDesk
    checkup: Checkup
    metrics: MetricsDesk
    bindings: Bindings
    allowance: Allowance
    tokens: Tokens
    tickets: Tickets
    planner: Planner
    pace: Pace
    tasks: TaskDesk
    events: Ingest
    mappings: MappingDesk
    schedules: ScheduleDesk
    jobs: JobDesk
    working: Callable[[], AbstractAsyncContextManager[None]]
    """Runs jobs for as long as its block lasts; `open_app` enters it where `Needs.runs_jobs`."""
    store: Store
    facts: Facts
    process_metrics: ProcessMetrics | None
    follower: Follower
    identity_transport: Callable[[], httpx.AsyncBaseTransport] | None = None

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
