"""The wiring: the corridor and the desks around it, for the doors."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from sim_mcp.app.rooms import App, Facts, Needs, Seams
from sim_mcp.app.triggering import Triggering
from sim_mcp.config import Settings
from sim_mcp.gateway import (
    Administration,
    Approvals,
    Checkup,
    Corridor,
    Curation,
    MetricsDesk,
    SetupDesk,
    StatusDesk,
    TaskDesk,
    Tenancy,
    TenantLimits,
)
from sim_mcp.model.errors import InvalidInput, SimMcpError
from sim_mcp.model.facts import SettingsChanged
from sim_mcp.model.principal import TenantId
from sim_mcp.sim import SimClients
from sim_mcp.store import ChangeKind, Sealer, Store

if TYPE_CHECKING:
    from sim_mcp.telemetry.metrics import ProcessMetrics

log = logging.getLogger(__name__)

CHANGES_EVERY_S = 1.0


class Wiring:
    """Connects the rooms of one process."""

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
        self._limits = TenantLimits(
            rate_per_minute=settings.rate_per_minute,
            max_concurrency=settings.max_concurrency,
            monthly_executions=settings.monthly_executions,
            cost_per_day=settings.cost_per_day,
        )
        self._corridor = Corridor(
            store=store,
            sealer=sealer,
            tenancy=tenancy,
            clients=clients,
            observer=facts,
            background=background,
            clock=outside.clock,
            new_id=outside.new_id,
            random=outside.random,
            limits=self._limits,
            redact_keys=settings.redact_keys,
        )

    def app(self) -> App:
        """The doors' view of the rooms."""
        corridor, administration = self._corridor, self._administration()
        gateway, clock = corridor.gateway, self._outside.clock
        triggering = Triggering(self._settings, self._outside, self._store, self._tenancy, gateway)
        self._facts.subscribe(triggering.observe)
        workflows, status = self._curation(), self._status()
        return App(
            settings=self._settings,
            outside=self._outside,
            gateway=gateway,
            runs=corridor.runs,
            tasks=TaskDesk(tasks=self._store.tasks, runs=corridor.runs),
            administration=administration,
            setup=SetupDesk(store=self._store, administration=administration, clock=clock),
            workflows=workflows,
            approvals=self._approvals(),
            status=status,
            checkup=Checkup(status=status, gateway=gateway, workflows=workflows, clients=self._clients),
            metrics=self._metrics(),
            bindings=corridor.bindings,
            allowance=corridor.allowance,
            tokens=self._store.tokens,
            tickets=corridor.tickets,
            events=triggering.events,
            mappings=triggering.mappings,
            schedules=triggering.schedules,
            jobs=triggering.jobs,
            working=triggering.working,
            pace=corridor.pace,
            planner=corridor.planner,
            store=self._store,
            facts=self._facts,
            process_metrics=self._process_metrics() if self._needs.counts else None,
            follower=corridor.follower,
            identity_transport=self._outside.identity_transport,
        )

    async def start_background(self) -> None:
        """Read the spec files, then start following runs, files and other processes' changes."""
        directory = self._settings.tool_specs
        if directory is not None:
            if not directory.is_dir():
                raise InvalidInput(f"SIM_MCP_TOOL_SPECS names {str(directory)!r}, which is not a directory.")
            self._corridor.tools.reload(directory)
        if not self._needs.follows_up:
            return
        if directory is not None:
            self._background.start_soon(self._watch_specs, directory)
        self._background.start_soon(self._corridor.follower.run)
        self._background.start_soon(self._watch_changes)

    async def drain(self) -> None:
        """Wait for calls under way, at most `drain_s` seconds."""
        with anyio.move_on_after(self._needs.drain_s):
            await self._corridor.live.until_empty()

    def _administration(self) -> Administration:
        return Administration(
            store=self._store,
            tenancy=self._tenancy,
            clients=self._clients,
            default_base_url=self._settings.sim_base_url,
            allowed_hosts=self._settings.sim_allowed_hosts,
            observer=self._facts,
        )

    def _curation(self) -> Curation:
        return Curation(
            store=self._store,
            gateway=self._corridor.gateway,
            tenancy=self._tenancy,
            clients=self._clients,
            clock=self._outside.clock,
            observer=self._facts,
        )

    def _approvals(self) -> Approvals:
        return Approvals(
            store=self._store,
            gateway=self._corridor.gateway,
            tenancy=self._tenancy,
            clients=self._clients,
            clock=self._outside.clock,
            observer=self._facts,
        )

    def _status(self) -> StatusDesk:
        corridor = self._corridor
        return StatusDesk(
            store=self._store,
            gateway=corridor.gateway,
            tenancy=self._tenancy,
            clients=self._clients,
            breakers=corridor.breakers,
            throttle=corridor.throttle,
            pace=corridor.pace,
            gate=corridor.gate,
            allowance=corridor.allowance,
            limits=self._limits,
            clock=self._outside.clock,
        )

    def _metrics(self) -> MetricsDesk:
        return MetricsDesk(
            store=self._store,
            tenancy=self._tenancy,
            clients=self._clients,
            breakers=self._corridor.breakers,
            throttle=self._corridor.throttle,
            clock=self._outside.clock,
        )

    def _process_metrics(self) -> ProcessMetrics:
        from sim_mcp.app.counting import process_metrics

        counted = process_metrics(
            self._settings, throttle=self._corridor.throttle, tools=self._corridor.tools
        )
        self._facts.subscribe(counted)
        return counted

    async def _watch_specs(self, directory: Path) -> None:
        async def on_change(tenants: frozenset[TenantId]) -> None:
            for tenant_id in tenants:
                self._facts(SettingsChanged(tenant_id=tenant_id, kind="tools"))

        await self._corridor.tools.watch(directory, on_change)

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
