"""The wiring: every room built once, in the order in which they stand on each other."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from sim_mcp.app.rooms import App, Facts, Needs, Seams
from sim_mcp.app.triggering import Triggering
from sim_mcp.catalog import ToolSource
from sim_mcp.config import Settings
from sim_mcp.gateway import (
    Administration,
    Allowance,
    Answers,
    Attempts,
    Audit,
    Checkup,
    Curation,
    Follower,
    Gateway,
    Inputs,
    Inquiry,
    Keepsakes,
    LiveCalls,
    MetricsDesk,
    Pace,
    Planner,
    Plans,
    Redactor,
    Repeats,
    Runs,
    SetupDesk,
    SimBudget,
    StatusDesk,
    Steps,
    TaskDesk,
    Tenancy,
    TenantLimits,
    Tickets,
    Waiting,
)
from sim_mcp.model.errors import InvalidInput, SimMcpError
from sim_mcp.model.facts import SettingsChanged
from sim_mcp.model.principal import TenantId
from sim_mcp.model.run import RunId
from sim_mcp.model.workbench import Workbench
from sim_mcp.resilience import Breakers, RetryPolicy, Throttle
from sim_mcp.sim import SimClients
from sim_mcp.store import ChangeKind, Sealer, Store

if TYPE_CHECKING:
    from sim_mcp.telemetry.metrics import ProcessMetrics

log = logging.getLogger(__name__)

CHANGES_EVERY_S = 1.0


class Wiring:
    """The wiring, in the order in which the rooms stand on each other."""

    def __init__(
        self,
        settings: Settings,
        outside: Seams,
        needs: Needs,
        store: Store,
        sealer: Sealer,
        tenancy: Tenancy,
        clients: SimClients,
        facts: Facts,
        background: TaskGroup,
    ) -> None:
        self._settings, self._outside, self._needs = settings, outside, needs
        self._store, self._tenancy, self._clients = store, tenancy, clients
        self._facts, self._background = facts, background
        clock = outside.clock
        self._steps = Steps(clock=clock, observer=facts)
        self._live = LiveCalls()
        self._redactor = Redactor(settings.redact_keys)
        self._breakers = Breakers(clock, observer=facts)
        self._throttle = Throttle(clock)
        self._retry = RetryPolicy(outside.random)
        self._workbench = Workbench()
        self._tools = ToolSource(workbench=self._workbench)
        self._audit = Audit(
            executions=store.executions,
            keepsakes=Keepsakes(executions=store.executions, sealer=sealer),
            repeats=Repeats(claims=store.claims),
            live=self._live,
            redactor=self._redactor,
            workbench=self._workbench,
            clock=clock,
            new_id=outside.new_id,
            observer=facts,
        )
        self._tickets = Tickets(sealer=sealer, spent=store.spent_tickets, clock=clock, new_id=outside.new_id)
        self._plans = Plans(tickets=self._tickets, clients=clients)
        self._follower = Follower(
            store=store,
            tenancy=tenancy,
            inquiry=Inquiry(clients=clients, breakers=self._breakers, clock=clock),
            audit=self._audit,
            live=self._live,
            budget=SimBudget(store=store, clock=clock),
            clock=clock,
        )
        self._administration = Administration(
            store=store,
            tenancy=tenancy,
            clients=clients,
            default_base_url=settings.sim_base_url,
            allowed_hosts=settings.sim_allowed_hosts,
            observer=facts,
        )
        self._limits = TenantLimits(
            rate_per_minute=settings.rate_per_minute,
            max_concurrency=settings.max_concurrency,
            monthly_executions=settings.monthly_executions,
        )
        self._allowance = Allowance(store=store, throttle=self._throttle, limits=self._limits, clock=clock)

    def app(self) -> App:
        """The doors' view of the rooms."""
        gateway = self._gateway()
        runs = self._runs(gateway)
        triggering = Triggering(self._settings, self._outside, self._store, self._tenancy, gateway)
        self._facts.subscribe(triggering.observe)
        pace = Pace(self._store.executions)
        workflows = Curation(
            store=self._store,
            gateway=gateway,
            tenancy=self._tenancy,
            clients=self._clients,
            observer=self._facts,
        )
        status = StatusDesk(
            store=self._store,
            gateway=gateway,
            tenancy=self._tenancy,
            clients=self._clients,
            breakers=self._breakers,
            throttle=self._throttle,
            pace=pace,
            limits=self._limits,
            clock=self._outside.clock,
        )
        return App(
            settings=self._settings,
            outside=self._outside,
            gateway=gateway,
            runs=runs,
            tasks=TaskDesk(tasks=self._store.tasks, runs=runs),
            administration=self._administration,
            setup=SetupDesk(
                store=self._store, administration=self._administration, clock=self._outside.clock
            ),
            workflows=workflows,
            status=status,
            checkup=Checkup(status=status, gateway=gateway, workflows=workflows, clients=self._clients),
            metrics=self._metrics(),
            tokens=self._store.tokens,
            tickets=self._tickets,
            events=triggering.events,
            mappings=triggering.mappings,
            schedules=triggering.schedules,
            jobs=triggering.jobs,
            working=triggering.working,
            pace=pace,
            planner=self._planner(gateway),
            store=self._store,
            facts=self._facts,
            process_metrics=self._process_metrics() if self._needs.counts else None,
            follower=self._follower,
            identity_transport=self._outside.identity_transport,
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

    def _process_metrics(self) -> ProcessMetrics:
        from sim_mcp.app.counting import process_metrics

        counted = process_metrics(self._settings, throttle=self._throttle, tools=self._tools)
        self._facts.subscribe(counted)
        return counted

    def _metrics(self) -> MetricsDesk:
        return MetricsDesk(
            store=self._store,
            tenancy=self._tenancy,
            clients=self._clients,
            breakers=self._breakers,
            throttle=self._throttle,
            clock=self._outside.clock,
        )

    def _runs(self, gateway: Gateway) -> Runs:
        return Runs(
            gateway=gateway,
            store=self._store,
            tenancy=self._tenancy,
            clients=self._clients,
            retry=self._retry,
            audit=self._audit,
            follower=self._follower,
            live=self._live,
            answers=self._answers(),
            clock=self._outside.clock,
        )

    def _planner(self, gateway: Gateway) -> Planner:
        return Planner(
            gateway=gateway,
            allowance=self._allowance,
            plans=self._plans,
            clients=self._clients,
            breakers=self._breakers,
            throttle=self._throttle,
        )

    def _answers(self) -> Answers:
        return Answers(
            executions=self._store.executions,
            tenancy=self._tenancy,
            clients=self._clients,
            retry=self._retry,
            audit=self._audit,
            follower=self._follower,
            live=self._live,
            redactor=self._redactor,
            background=self._background,
            clock=self._outside.clock,
        )

    def _gateway(self) -> Gateway:
        attempts = Attempts(
            audit=self._audit,
            tenancy=self._tenancy,
            clients=self._clients,
            breakers=self._breakers,
            retry=self._retry,
            clock=self._outside.clock,
            new_run_id=lambda: RunId(self._outside.new_id()),
            steps=self._steps,
            observer=self._facts,
        )
        return Gateway(
            store=self._store,
            tools=self._tools,
            tenancy=self._tenancy,
            audit=self._audit,
            attempts=attempts,
            allowance=self._allowance,
            live=self._live,
            waiting=Waiting(executions=self._store.executions, live=self._live, clock=self._outside.clock),
            plans=self._plans,
            inputs=Inputs(self._redactor, workbench=self._workbench),
            steps=self._steps,
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
            await self._store.changes.until_next_look(self._outside.clock, within_s=CHANGES_EVERY_S)
            try:
                seen, changes = await self._store.changes.changes_since(seen)
            except SimMcpError as error:
                log.warning("changes cannot be read: %s", error.message)
                continue
            for change in changes:
                if change.kind in {ChangeKind.INTEGRATION, ChangeKind.EVERYTHING}:
                    await self._clients.forget(change.tenant_id)  # another process removed or replaced a key
                self._facts(SettingsChanged(tenant_id=change.tenant_id, kind=change.kind.value))
