"""One job, carried out: brought to SIM through the corridor once, judged when its run has ended.

The engine may ask for the same job again after any crash. What keeps its workflow from running twice is the
idempotency key: one for each generation of a job, looked up among the executions before anything is sent.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from sim_mcp.model.errors import (
    CircuitOpen,
    ErrorCode,
    IdentityUnavailable,
    SimMcpError,
    StoreUnavailable,
    Throttled,
)
from sim_mcp.model.events import Job, JobState
from sim_mcp.model.execution import Call, Execution, ExecutionError, Status
from sim_mcp.model.principal import Principal, TenantId
from sim_mcp.model.tool import Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim_mcp.gateway import Gateway
    from sim_mcp.model.clock import Clock
    from sim_mcp.store import Store

log = logging.getLogger(__name__)

SUBMIT_WITHIN_S = 330.0
"""How long a job may take to reach SIM, waits between tries included, before its place is given away."""
AT_ONCE = 100
MOST_ATTEMPTS = 12
FIRST_WAIT_S = 5.0
LONGEST_WAIT_S = 900.0
_PATIENT = (Throttled, CircuitOpen, StoreUnavailable, IdentityUnavailable)
"""Errors that say nothing about the job: its tries are not counted."""


class Performer:
    """Carries out jobs through the corridor. It knows no SIM and no tenant rules."""

    def __init__(self, *, store: Store, gateway: Gateway, clock: Clock, random: Callable[[], float]) -> None:
        self._store = store
        self._gateway = gateway
        self._clock = clock
        self._random = random

    async def perform(self, tenant_id: str, job_id: str, generation: int) -> None:
        """Bring the job to SIM, unless that was done before; its end is `settle`'s business.

        Never raises: what goes wrong stands in the job.
        """
        job: Job | None = None
        try:
            job = await self._store.jobs.get(TenantId(tenant_id), None, job_id)
            if job is None or job.state.is_final or job.generation != generation:
                return
            await self._submit(job)
        except SimMcpError as error:
            log.info("job %s could not be performed: %s", job_id, error.message)
            await self._noted(job, _told(error), error)
        except Exception:  # the worker loop: one job's bug must not end the others
            log.exception("job %s could not be performed", job_id)
            await self._noted(job, _BUG, None)

    async def settle(self) -> int:
        """Judge the running jobs whose execution has ended; how many."""
        ended = await self._store.jobs.ended(limit=AT_ONCE)
        for job in ended:
            execution = await self._store.executions.get(job.tenant_id, None, job.execution_id or "")
            if execution is not None:
                await self._judge(job, execution)
        return len(ended)

    async def _submit(self, job: Job) -> None:
        execution = await self._store.jobs.begun(job, key_of(job))
        if execution is None:
            now = self._clock.now()
            if not await self._store.jobs.begin(job, at=now):
                return  # discarded or replayed a moment ago
            job = replace(job, begun_at=job.begun_at or now)
            call = Call(
                principal=Principal.system(job.tenant_id, job.organization_id),
                trigger=job.started_by,
                workflow_id=job.workflow_id,
                arguments=await self._store.jobs.input(job),
                mode=Mode.ASYNC,
                idempotency_key=key_of(job),
            )
            execution = await self._gateway.call(call, patience_s=0)
        if job.execution_id != execution.id:
            await self._store.jobs.attach(job, execution.id)
        execution = await self._gateway.waiting.until_submitted(execution, patience_s=SUBMIT_WITHIN_S)
        if execution.status.is_settled:
            await self._judge(job, execution)

    async def _judge(self, job: Job, execution: Execution) -> None:
        error = execution.error
        if execution.status is not Status.FAILED or error is None:
            # Paused: it waits for a person, and is followed. Cancelled: somebody wanted that.
            await self._finish(job, JobState.DONE, None)
        # The key was given back: surely nothing ran, and trying again runs nothing twice.
        elif error.retryable and await self._store.jobs.begun(job, key_of(job)) is None:
            await self._in_vain(job, error, None)
        else:
            await self._finish(job, JobState.DEAD, error)

    async def _noted(self, job: Job | None, error: ExecutionError, cause: SimMcpError | None) -> None:
        """`_in_vain`, whatever happens: an overlooked job is handed to the engine once more."""
        if job is None:
            return
        try:
            await self._in_vain(job, error, cause)
        except SimMcpError as failure:
            log.warning("job %s: its try in vain could not be noted: %s", job.id, failure.message)

    async def _in_vain(self, job: Job, error: ExecutionError, cause: SimMcpError | None) -> None:
        """Let it wait for another try, or bury it."""
        counts = not isinstance(cause, _PATIENT) and error.code is not ErrorCode.CIRCUIT_OPEN
        is_hopeless = cause is not None and counts and not error.retryable
        if is_hopeless or (counts and job.attempts + 1 >= MOST_ATTEMPTS):
            await self._finish(job, JobState.DEAD, error)
            return
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(job.rounds, 10)) * (1 + 0.25 * self._random())
        wait_s = max(wait_s, min(error.retry_after_s or 0.0, LONGEST_WAIT_S))
        due_at = self._clock.now() + timedelta(seconds=wait_s)
        await self._store.jobs.retry(job, error, due_at=due_at, counts=counts)

    async def _finish(self, job: Job, state: JobState, error: ExecutionError | None) -> None:
        if await self._store.jobs.finish(job, state, at=self._clock.now(), error=error) and error:
            log.info("job %s of tenant %s is %s: %s", job.id, job.tenant_id, state.value, error.code.value)


def key_of(job: Job) -> str:
    """The idempotency key of one generation of a job."""
    return f"job:{job.id}:{job.generation}"


_BUG = ExecutionError(
    code=ErrorCode.SIM_UNAVAILABLE, message="The server failed on this job; see its log.", retryable=True
)


def _told(error: SimMcpError) -> ExecutionError:
    return ExecutionError(
        code=error.code,
        message=error.message,
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
    )
