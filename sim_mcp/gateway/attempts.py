"""Performing one call at SIM: attempt by attempt, never twice.

Runs in the background, apart from whoever asked: a lost connection, an impatient client or a
cancelled request does not touch it. The row is the only way in which it tells what happened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio

from sim_mcp.gateway.audit import Audit
from sim_mcp.gateway.forms import with_pauses
from sim_mcp.gateway.live import LiveCall
from sim_mcp.gateway.masking import MaskedText, Secrets
from sim_mcp.gateway.outcomes import lost_run_error
from sim_mcp.gateway.steps import Steps
from sim_mcp.gateway.tenancy import Tenancy
from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import (
    Conflict,
    ErrorCode,
    RunBegan,
    SimError,
    SimMcpError,
    SimTimeout,
    StoreUnavailable,
)
from sim_mcp.model.execution import Execution, ExecutionError, Status
from sim_mcp.model.facts import Observer, RetryScheduled, Step
from sim_mcp.model.integration import Integration
from sim_mcp.model.principal import Principal
from sim_mcp.model.run import Run, RunId, RunRequest
from sim_mcp.resilience import Breakers, RetryPolicy, Verb
from sim_mcp.sim import SimClients
from sim_mcp.telemetry import traceparent

if TYPE_CHECKING:
    from sim_mcp.sim import SimClient

log = logging.getLogger(__name__)

COST_WITHIN_S = 10.0


class _NoLongerWanted(Exception):
    """The row is final or its cancel was requested: this attempt must not be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """Everything that performing one row needs. Holds the unredacted input: never log it."""

    execution: Execution
    integration: Integration
    request: RunRequest
    secrets: Secrets
    counts_cost: bool = False
    """A budget depends on what the run costs: SIM is asked where its answer did not tell."""


class Attempts:
    """Executes an intent at SIM and writes into its row what came of it."""

    def __init__(
        self,
        *,
        audit: Audit,
        tenancy: Tenancy,
        clients: SimClients,
        breakers: Breakers,
        retry: RetryPolicy,
        clock: Clock,
        new_run_id: Callable[[], RunId],
        steps: Steps,
        observer: Observer,
    ) -> None:
        self._audit = audit
        self._tenancy = tenancy
        self._clients = clients
        self._breakers = breakers
        self._retry = retry
        self._clock = clock
        self._new_run_id = new_run_id
        self._steps = steps
        self._observer = observer

    async def perform(self, intent: Intent, live: LiveCall) -> bool:
        """Make attempts until the run has an outcome, provably cannot start, or may have begun.

        Returns whether the row is closed by that; else somebody has to follow it. Never raises an error
        of ours; cancellation (the server stops) leaves the row leased, so that it is followed by its run
        id once the lease has run out.
        """
        began_s = self._clock.monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                run = await self._attempt(intent, live, attempt)
            except _NoLongerWanted:  # cancelled; the earlier attempts provably did not start
                return await self._audit.close(intent.execution, Status.CANCELLED, None)
            except SimError as error:
                wait_s = self._wait_s(intent, error, attempt, self._clock.monotonic() - began_s)
                if wait_s is None:
                    return await self._give_up(intent, error)
                self._tell_retry(intent, error, attempt, wait_s)
                await self._clock.sleep(wait_s)
            except StoreUnavailable:
                raise  # the row cannot be written now; its lease runs out and the follower settles it
            except SimMcpError as error:  # our own refusals: breaker open, key gone, file too large
                return await self._audit.fail(intent.execution, error, intent.secrets)
            else:
                with self._steps.step(Step.CLOSE, intent.execution.tenant_id):
                    moved = await self._audit.settle(intent.execution, run, intent.secrets)
                if intent.counts_cost and run.status.is_final and run.cost is None:
                    await self._learn_cost(intent)
                return moved and run.status.is_final

    async def _attempt(self, intent: Intent, live: LiveCall, attempt: int) -> Run:
        integration, client = await self._client(intent)
        breaker = self._breakers.of(integration.tenant_id, integration.base_url)
        with breaker.guard():
            run_id = self._new_run_id()
            if not await self._audit.begin_attempt(
                intent.execution, run_id=run_id, attempt=attempt, settings_revision=integration.revision
            ):
                raise _NoLongerWanted  # through the guard, which must not take this for an answer
            began_s = self._clock.monotonic()
            heard = MaskedText(intent.secrets, live.add_text)
            with self._steps.step(Step.EXECUTE, intent.execution.tenant_id):
                # Ours is the span that SIM's work belongs to; without one, the caller's own is passed on.
                request = replace(intent.request, traceparent=traceparent() or intent.request.traceparent)
                run = await client.execute(request, run_id=run_id, on_text=heard.add)
            await heard.end()
        run = await with_pauses(client, intent.request.workflow_id, run.run_id or run_id, run)
        if run.duration_ms is None and run.status.is_final:  # a stream does not tell (sim-api 1.10)
            return replace(run, duration_ms=round((self._clock.monotonic() - began_s) * 1000))
        return run

    async def _client(self, intent: Intent) -> tuple[Integration, SimClient]:
        """The client of the call's settings; of those in force when its key was replaced meanwhile.

        Nothing was sent yet. Without this, changing a key would fail the calls of that moment.
        """
        try:
            return intent.integration, await self._clients.get(intent.integration)
        except Conflict:
            row = intent.execution
            newest = await self._tenancy.usable(Principal.system(row.tenant_id, row.organization_id))
            return newest, await self._clients.get(newest)

    async def _learn_cost(self, intent: Intent) -> None:
        """Ask what the run cost, once it is settled; a SIM that does not tell leaves it unknown."""
        with anyio.move_on_after(COST_WITHIN_S):
            try:
                _, client = await self._client(intent)
                row = await self._audit.reload(intent.execution)
                if row is None or row.run_id is None:
                    return
                told = await client.run(intent.request.workflow_id, RunId(row.run_id))
            except SimMcpError as error:
                log.info("the cost of execution %s is not known: %s", intent.execution.id, error.message)
                return
            if told.cost is not None:
                await self._audit.note_cost(row, told.cost)

    def _wait_s(self, intent: Intent, error: SimError, attempt: int, elapsed_s: float) -> float | None:
        if error.began is not RunBegan.NO:
            return None
        return self._retry.wait_s(
            error,
            verb=Verb.EXECUTE,
            attempt=attempt,
            elapsed_s=elapsed_s,
            within_s=intent.request.timeout_s,
        )

    async def _give_up(self, intent: Intent, error: SimError) -> bool:
        if error.detail:
            log.info("execution %s: %s", intent.execution.id, intent.secrets.mask_text(error.detail))
        if error.began is RunBegan.NO:
            return await self._audit.fail(intent.execution, error, intent.secrets)
        if isinstance(error, SimTimeout):
            await self._stop_late_run(intent, error)
        else:
            await self._audit.hand_over(
                intent.execution,
                lost_run_error(
                    "The answer of SIM was lost after the call was sent. The run is being looked up "
                    "by its id; do not call again, follow this execution id."
                ),
            )
        return False

    async def _stop_late_run(self, intent: Intent, error: SimTimeout) -> None:
        """Cancel a run that took longer than allowed, and let the follower learn its real end."""
        late = ExecutionError(code=ErrorCode.TIMEOUT, message=error.message)
        await self._audit.hand_over(intent.execution, late, after_s=0.0)
        row = await self._audit.reload(intent.execution)
        if row is None or row.run_id is None or row.workflow_id is None:
            return
        try:
            _, client = await self._client(intent)
            await client.cancel(row.workflow_id, RunId(row.run_id))
        except SimMcpError as cause:
            log.info("the late run of execution %s could not be cancelled: %s", row.id, cause.message)

    def _tell_retry(self, intent: Intent, error: SimError, attempt: int, wait_s: float) -> None:
        self._observer(
            RetryScheduled(
                tenant_id=intent.execution.tenant_id,
                execution_id=intent.execution.id,
                attempt=attempt,
                wait_s=wait_s,
                code=error.code,
            )
        )
