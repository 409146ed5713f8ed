"""The follower: asks SIM about every run whose outcome is still open, until it is known.

A row is due when its `follow_up_at` has passed: a queued or running run whose next look has come,
or a row whose process died (its lease ran out). Claiming a row is one optimistic update, so that
of many processes exactly one asks. Nothing here ever starts a run.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio

from sim_mcp.gateway.audit import LEASE_S, Audit
from sim_mcp.gateway.forms import with_pauses
from sim_mcp.gateway.live import LiveCalls
from sim_mcp.gateway.outcomes import lost_run_error, next_check_at
from sim_mcp.gateway.tenancy import Tenancy
from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import ErrorCode, NotConfigured, SimError, SimMcpError, SimNotFound
from sim_mcp.model.execution import Execution, ExecutionError, Status
from sim_mcp.model.integration import Integration
from sim_mcp.model.run import Run, RunId
from sim_mcp.model.tool import Mode, WorkflowId
from sim_mcp.resilience import Breakers
from sim_mcp.sim import SimClients
from sim_mcp.store import Store

log = logging.getLogger(__name__)

GRACE_S = 30.0
"""How long SIM may not know a run that was just sent (sim-api 4.2)."""
EXTRA_S = 3600.0
"""How long past its timeout a run is followed before the row is closed as unknown."""
LEAST_FOLLOWED_S = 86_400.0
ROUND_S = 1.0
RENEW_S = LEASE_S / 3
PER_ROUND = 4
"""Runs asked about in one round: 4 a second stays below SIM's 300 requests a minute and address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What one look at SIM taught: a run, or why there is none to see."""

    run: Run | None = None
    is_absent: bool = False


class Follower:
    """One per process."""

    def __init__(
        self,
        *,
        store: Store,
        tenancy: Tenancy,
        clients: SimClients,
        breakers: Breakers,
        audit: Audit,
        live: LiveCalls,
        clock: Clock,
    ) -> None:
        self._store = store
        self._tenancy = tenancy
        self._clients = clients
        self._breakers = breakers
        self._audit = audit
        self._live = live
        self._clock = clock
        self._kicked = anyio.Event()
        self._renewed_s = clock.monotonic()

    def kick(self) -> None:
        """Look for due rows now instead of at the next round."""
        self._kicked.set()

    @property
    def live_count(self) -> int:
        """How many calls this process performs right now."""
        return len(self._live)

    async def run(self) -> None:
        """Follow until cancelled. An error of one round is logged and the next one goes on."""
        while True:
            try:
                await self.round()
            except SimMcpError as error:
                log.warning("follow-up paused: %s", error.message)
            except Exception:  # the worker loop: nothing may end it
                log.exception("follow-up round failed")
            await self._rest()

    async def round(self) -> int:
        """Renew the leases of live calls, then ask SIM about due rows; how many were looked at."""
        await self._renew_leases()
        due = await self._store.executions.due(self._clock.now(), limit=PER_ROUND, per_tenant=2)
        async with anyio.create_task_group() as group:
            for execution, seen_at in due:
                group.start_soon(self._claim_and_look, execution, seen_at)
        return len(due)

    async def look(self, execution: Execution) -> None:
        """Ask SIM about one unfinished row now and write down the answer. Never raises our errors."""
        try:
            await self._look(execution)
        except SimMcpError as error:
            log.info("execution %s could not be followed up: %s", execution.id, error.message)
            await self._postpone_or_close(execution, error)

    async def _claim_and_look(self, execution: Execution, seen_at: datetime) -> None:
        until = self._clock.now() + timedelta(seconds=LEASE_S * 2)
        if await self._store.executions.claim(execution.tenant_id, execution.id, seen=seen_at, until=until):
            await self.look(execution)

    async def _look(self, execution: Execution) -> None:
        if execution.run_id is None or execution.workflow_id is None:
            await self._close_never_sent(execution)
            return
        integration = await self._tenancy.find(execution.tenant_id, execution.organization_id)
        if integration is None or not integration.has_api_key:
            await self._close_unknowable(execution, "The SIM account was disconnected")
            return
        found = await self._ask(execution, integration)
        if found.run is not None:
            await self._record(execution, found.run)
        elif self._age_s(execution) < GRACE_S:
            await self._audit.hand_over(execution, execution.error, after_s=min(GRACE_S / 6, 5.0))
        elif execution.settings_revision != integration.revision:
            await self._close_unknowable(execution, "The SIM settings changed")
        elif execution.job_id is not None or execution.status is not Status.PROCESSING:
            await self._close_unknowable(execution, "SIM no longer knows the run")
        else:
            await self._close_never_sent(execution)

    async def _ask(self, execution: Execution, integration: Integration) -> _Found:
        breaker = self._breakers.of(integration.tenant_id, integration.base_url)
        client = await self._clients.get(integration)
        workflow_id, run_id = WorkflowId(execution.workflow_id or ""), RunId(execution.run_id or "")
        with breaker.guard():
            try:
                run = await client.run(workflow_id, run_id, job_id=execution.job_id)
            except SimNotFound:
                return _Found(is_absent=True)
        return _Found(run=await with_pauses(client, workflow_id, run_id, run))

    async def _record(self, execution: Execution, run: Run) -> None:
        if not run.status.is_final and self._is_overdue(execution):
            await self._close_unknowable(execution, "The run did not end in time")
            return
        late = execution.error is not None and execution.error.code is ErrorCode.TIMEOUT
        if late and run.status in {Status.CANCELLED, Status.FAILED}:
            await self._audit.close(execution, Status.FAILED, execution.error)
            return
        await self._audit.settle(execution, run, await self._audit.keepsakes.of(execution))

    async def _postpone_or_close(self, execution: Execution, error: SimMcpError) -> None:
        if self._is_overdue(execution):
            await self._close_unknowable(execution, "SIM did not answer until the follow-up ended")
            return
        at = next_check_at(execution, execution.status, now=self._clock.now())
        wait_s = (at - self._clock.now()).total_seconds()
        if isinstance(error, SimError | NotConfigured) and error.retry_after_s:
            wait_s = max(wait_s, error.retry_after_s)
        await self._audit.hand_over(execution, execution.error, after_s=wait_s)

    async def _close_never_sent(self, execution: Execution) -> None:
        error = ExecutionError(
            code=ErrorCode.SIM_UNAVAILABLE,
            message="The run was never started: SIM has no record of it. It is safe to call again.",
            retryable=True,
        )
        await self._audit.close(execution, Status.FAILED, error, nothing_ran=True)

    async def _close_unknowable(self, execution: Execution, why: str) -> None:
        message = f"{why} before the outcome of the run was known. Look it up in SIM before calling again."
        await self._audit.close(execution, Status.FAILED, lost_run_error(message))

    def _age_s(self, execution: Execution) -> float:
        return (self._clock.now() - (execution.started_at or execution.created_at)).total_seconds()

    def _is_overdue(self, execution: Execution) -> bool:
        if execution.status is Status.PAUSED:
            return False  # a person may take any time; retention ends it
        followed_s = execution.timeout_s if execution.mode is Mode.ASYNC else LEAST_FOLLOWED_S
        return self._age_s(execution) > max(followed_s, LEASE_S) + EXTRA_S

    async def _renew_leases(self) -> None:
        now_s = self._clock.monotonic()
        if not len(self._live) or now_s - self._renewed_s < RENEW_S:
            return
        self._renewed_s = now_s
        until = self._clock.now() + timedelta(seconds=LEASE_S)
        await self._store.executions.keep(self._live.ids(), until=until)

    async def _rest(self) -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(self._end_after_round, scope)
                await self._kicked.wait()
                self._kicked = anyio.Event()
                scope.cancel()

    async def _end_after_round(self, scope: anyio.CancelScope) -> None:
        await self._clock.sleep(ROUND_S)
        scope.cancel()
