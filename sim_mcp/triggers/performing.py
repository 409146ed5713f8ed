"""One job, carried out: given to the corridor once, followed to its end, judged.

The engine may ask for the same job again after any crash. What keeps its workflow from running twice is the
idempotency key: one for each generation of a job, looked up among the executions before anything is sent.
"""

from __future__ import annotations

import logging
from dataclasses import replace
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

WATCH_S = 20.0
"""How long one step waits for a run before the engine notes that it still goes on."""
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

    async def perform(self, tenant_id: str, job_id: str, generation: int) -> float | None:
        """One step of a job. `None`: it is over; else ask again after so many seconds.

        Never raises: what goes wrong stands in the job.
        """
        job: Job | None = None
        try:
            job = await self._store.jobs.get(TenantId(tenant_id), None, job_id)
            if job is None or job.state.is_final or job.generation != generation:
                return None
            return await self._step(job)
        except SimMcpError as error:
            log.info("job %s could not be performed: %s", job_id, error.message)
            return LONGEST_WAIT_S / 15 if job is None else await self._in_vain(job, _told(error), error)
        except Exception:  # the worker loop: one job's bug must not end the others
            log.exception("job %s could not be performed", job_id)
            return LONGEST_WAIT_S / 15 if job is None else await self._in_vain(job, _BUG, None)

    async def _step(self, job: Job) -> float | None:
        execution = await self._store.jobs.begun(job, key_of(job))
        if execution is None:
            now = self._clock.now()
            if not await self._store.jobs.begin(job, at=now):
                return None  # discarded or replayed a moment ago
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
        execution = await self._gateway.follow(execution, patience_s=WATCH_S)
        return await self._judge(job, execution)

    async def _judge(self, job: Job, execution: Execution) -> float | None:
        if not execution.status.is_settled:
            return 0.0
        error = execution.error
        if execution.status is not Status.FAILED or error is None:
            # Paused: it waits for a person, and is followed. Cancelled: somebody wanted that.
            await self._finish(job, JobState.DONE, error)
            return None
        # The key was given back: surely nothing ran, and trying again runs nothing twice.
        if error.retryable and await self._store.jobs.begun(job, key_of(job)) is None:
            return await self._in_vain(job, error, None)
        await self._finish(job, JobState.DEAD, error)
        return None

    async def _in_vain(self, job: Job, error: ExecutionError, cause: SimMcpError | None) -> float | None:
        """Wait and try again, or bury it."""
        counts = not isinstance(cause, _PATIENT)
        if cause is not None and not error.retryable and counts:
            await self._finish(job, JobState.DEAD, error)
            return None
        if counts and job.attempts + 1 >= MOST_ATTEMPTS:
            await self._finish(job, JobState.DEAD, error)
            return None
        try:
            await self._store.jobs.retry(job, error, counts=counts)
        except StoreUnavailable:
            log.warning("job %s: its try in vain could not be noted", job.id)
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**job.attempts)
        wait_s *= 1 + 0.25 * self._random()
        return max(wait_s if counts else 1.0, min(error.retry_after_s or 0.0, LONGEST_WAIT_S))

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
