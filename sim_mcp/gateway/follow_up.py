"""The follower: asks SIM about every run whose outcome is still open, until it is known.

A row is due when its `follow_up_at` has passed: a queued or running run whose next look has come,
or a row whose process died (its lease ran out). Claiming a row is one optimistic update, so that
of many processes exactly one asks. Nothing here ever starts a run.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta

import anyio

from sim_mcp.gateway.audit import LEASE_S, Audit
from sim_mcp.gateway.inquiry import REST_S, Absences, Glances, Inquiry, Look
from sim_mcp.gateway.live import LiveCalls
from sim_mcp.gateway.outcomes import LONGEST_CHECK_S, lost_run_error, next_check_at
from sim_mcp.gateway.sim_budget import ASKED_LIMIT, SimBudget
from sim_mcp.gateway.stopping import CANCEL_FOR_S, is_to_be_cancelled, may_still_arrive
from sim_mcp.gateway.tenancy import Tenancy
from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import ErrorCode, NotConfigured, SimError, SimMcpError
from sim_mcp.model.execution import Execution, ExecutionError, Status
from sim_mcp.model.integration import Integration
from sim_mcp.model.pauses import goes_on_at
from sim_mcp.model.run import Run
from sim_mcp.model.tool import Mode
from sim_mcp.sim import metered
from sim_mcp.store import Store

log = logging.getLogger(__name__)

GRACE_S = 30.0
"""How long SIM may not know a run that was just sent, and that it must go on not knowing it (sim-api 4.2)."""
EXTRA_S = 3600.0
"""How long past its timeout a run is followed before the row is closed as unknown."""
LEAST_FOLLOWED_S = 86_400.0
ROUND_S = 1.0
RENEW_S = LEASE_S / 3
PER_ROUND = 4
"""Runs asked about in one round."""


class Follower:
    """One per process."""

    def __init__(
        self,
        *,
        store: Store,
        tenancy: Tenancy,
        inquiry: Inquiry,
        audit: Audit,
        live: LiveCalls,
        budget: SimBudget,
        clock: Clock,
    ) -> None:
        self._store = store
        self._tenancy = tenancy
        self._inquiry = inquiry
        self._audit = audit
        self._live = live
        self._budget = budget
        self._clock = clock
        self._kicked = anyio.Event()
        self._renewed_s = clock.monotonic()
        self._began_at, self._began_s = clock.now(), clock.monotonic()
        self._glances = Glances(clock)
        self._absences = Absences(clock)

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
        """Renew the leases of live calls, then ask SIM about due rows; how many were looked at.

        Without budget nothing is looked at; the rows stay due, and their turn comes.
        """
        await self._renew_leases()
        due = await self._store.executions.due(self._clock.now(), limit=PER_ROUND, per_tenant=2)
        granted = await self._budget.looks(len(due)) if due else 0
        async with anyio.create_task_group() as group:
            for execution, seen_at in due[:granted]:
                group.start_soon(self._look_at_due, execution, seen_at)
        return granted

    async def look(self, execution: Execution) -> None:
        """Ask SIM about one unfinished row now, and write down the answer, because something was done to it.

        Without budget the row is due at once instead. Never raises errors of SIM.
        """
        if not await self._budget.looks(1):
            now = self._clock.now()
            await self._store.executions.schedule(execution.tenant_id, execution.id, at=now)
            return
        await self._look_now(execution, rest_s=0.0)

    async def glance(self, execution: Execution) -> None:
        """As `look`, because somebody wants to know: not within 2 s of any look, and only within a share.

        What waits for a time is left alone until then.
        """
        now = self._clock.now()
        goes_on = goes_on_at(execution)
        if (goes_on is not None and goes_on > now) or not self._glances.may_look(execution.id):
            return
        if not await self._budget.looks(1, limit=ASKED_LIMIT):
            return
        await self._look_now(execution, rest_s=REST_S)

    async def _look_now(self, execution: Execution, *, rest_s: float) -> None:
        ids, now = (execution.tenant_id, execution.id), self._clock.now()
        with self._counted():
            if number := await self._store.executions.claim_now(*ids, at=now, rest_s=rest_s):
                await self._try(Look(execution=execution, number=number, is_due=False))

    async def _look_at_due(self, execution: Execution, seen_at: datetime) -> None:
        with self._counted():
            now = self._clock.now()
            number = await self._store.executions.claim(
                execution.tenant_id,
                execution.id,
                seen=seen_at,
                at=now,
                until=now + timedelta(seconds=LEASE_S * 2),
            )
            if number:
                await self._try(Look(execution=execution, number=number, is_due=True))

    async def _try(self, look: Look) -> None:
        execution = look.execution
        try:
            await self._look(look)
        except SimMcpError as error:
            log.info("execution %s could not be followed up: %s", execution.id, error.message)
            await self._postpone_or_close(look, error)

    async def _look(self, look: Look) -> None:
        execution = look.execution
        if execution.run_id is None or execution.workflow_id is None:
            await self._close_never_sent(execution)
            return
        goes_on = goes_on_at(execution)
        is_early = goes_on is not None and goes_on > self._clock.now()
        if look.is_due and is_early and not is_to_be_cancelled(execution, self._clock.now()):
            await self._audit.hand_over(execution, execution.error, after_s=self._wait_s(look))
            return
        integration = await self._tenancy.find(execution.tenant_id, execution.organization_id)
        if integration is None or not integration.has_api_key:
            await self._close_unknowable(execution, "The SIM account was disconnected")
            return
        run = await self._inquiry.ask(look, integration)
        if run is not None:
            await self._record(look, run)
        else:
            await self._record_absence(look, integration)

    async def _record(self, look: Look, run: Run) -> None:
        execution = look.execution
        if not run.status.is_final and self._is_overdue(execution):
            await self._close_unknowable(execution, "The run did not end in time")
            return
        late = execution.error is not None and execution.error.code is ErrorCode.TIMEOUT
        if late and run.status in {Status.CANCELLED, Status.FAILED}:
            await self._audit.close(execution, Status.FAILED, execution.error)
            return
        secrets = await self._audit.keepsakes.of(execution)
        await self._audit.settle(execution, run, secrets, looks=look.number)

    async def _record_absence(self, look: Look, integration: Integration) -> None:
        execution = look.execution
        if not look.is_due:
            return  # its keeper lives, or it comes due
        now = self._clock.now()
        missing = await self._store.executions.miss(execution.tenant_id, execution.id, at=now)
        if missing is None:
            return
        # What this process saw itself counts in any case; by the wall alone a clock that was set would keep a
        # call open for as long as it was set by.
        absent_s = max(
            self._absences.lasted_s(execution.id, missing.since),
            min(self._age_s(execution), self._passed_s(missing.since)),
        )
        if absent_s < GRACE_S or may_still_arrive(execution, now):
            await self._audit.hand_over(execution, execution.error, after_s=GRACE_S / 6)
        elif execution.settings_revision != integration.revision:
            await self._close_unknowable(execution, "The SIM settings changed")
        elif missing.was_known or execution.answers or execution.status is not Status.PROCESSING:
            await self._close_unknowable(execution, "SIM no longer knows the run")
        else:
            await self._close_never_sent(execution)

    async def _postpone_or_close(self, look: Look, error: SimMcpError) -> None:
        execution = look.execution
        if not look.is_due:
            return
        if self._is_overdue(execution):
            await self._close_unknowable(execution, "SIM did not answer until the follow-up ended")
            return
        wait_s = self._wait_s(look)
        if isinstance(error, SimError | NotConfigured) and error.retry_after_s:
            wait_s = max(wait_s, min(error.retry_after_s, LONGEST_CHECK_S))
        await self._audit.hand_over(execution, execution.error, after_s=wait_s)

    def _wait_s(self, look: Look) -> float:
        now = self._clock.now()
        return (next_check_at(look.execution, looks=look.number, now=now) - now).total_seconds()

    @contextmanager
    def _counted(self) -> Generator[None]:
        """What the block asks of SIM comes off the budget, of which one look was granted."""
        with metered() as meter:
            try:
                yield
            finally:
                self._budget.used(meter.sent)

    async def _close_never_sent(self, execution: Execution) -> None:
        if execution.cancel_requested_at is not None:
            await self._audit.close(execution, Status.CANCELLED, None, nothing_ran=True)
            return
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
        return self._passed_s(execution.started_at or execution.created_at)

    def _passed_s(self, since: datetime) -> float:
        """How long ago that surely is: a clock that was set forward makes nothing older."""
        now = self._clock.now()
        passed_s = self._clock.monotonic() - self._began_s
        set_forward_s = max(0.0, (now - self._began_at).total_seconds() - passed_s)
        return (now - since).total_seconds() - set_forward_s

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
        cancelled_before = self._clock.now() - timedelta(seconds=CANCEL_FOR_S)
        await self._store.executions.keep(self._live.ids(), until=until, cancelled_before=cancelled_before)

    async def _rest(self) -> None:
        await self._clock.until(self._kicked, within_s=ROUND_S)
        if self._kicked.is_set():
            self._kicked = anyio.Event()
