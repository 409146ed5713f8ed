"""Jobs as people see them: what waits, what runs, and the dead letters with their cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.model.errors import Conflict, InvalidInput, NotFound
from sim_mcp.model.principal import Permission

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim_mcp.model.clock import Clock
    from sim_mcp.model.events import Job, JobState
    from sim_mcp.model.principal import Principal
    from sim_mcp.store import JobPage, Store

MOST = 100


class JobDesk:
    """What a principal may learn of its jobs, and decide about them."""

    def __init__(self, *, store: Store, clock: Clock, kick: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._kick = kick

    async def page(
        self,
        principal: Principal,
        *,
        state: JobState | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> JobPage:
        """One page of jobs, newest first.

        Raises:
            Forbidden: without the permission VIEW.
            InvalidInput: `limit` outside 1 to 100, a foreign cursor.
        """
        principal.require(Permission.VIEW)
        if not 1 <= limit <= MOST:
            raise InvalidInput(f"`limit` is {limit}: choose 1 to {MOST}.")
        return await self._store.jobs.page(
            principal.tenant_id, principal.organization_id, state=state, limit=limit, cursor=cursor
        )

    async def counts(self, principal: Principal) -> dict[JobState, int]:
        """How many jobs of the tenant stand where.

        Raises:
            Forbidden: without the permission VIEW.
        """
        principal.require(Permission.VIEW)
        return await self._store.jobs.counts(principal.tenant_id)

    async def replay(self, principal: Principal, job_id: str) -> Job:
        """Run a dead or discarded job anew, with the input it had.

        Raises:
            Forbidden: without the permission EDIT.
            NotFound: unknown, or not this principal's.
            Conflict: it is neither dead nor discarded.
        """
        principal.require(Permission.EDIT)
        job = await self._find(principal, job_id)
        if not await self._store.jobs.replay(principal, job, at=self._clock.now()):
            raise Conflict(
                f"The job is {job.state.value!r}: only dead and discarded ones can be replayed. A run that "
                "was done is repeated by posting a new event."
            )
        self._kick()
        return await self._find(principal, job_id)

    async def discard(self, principal: Principal, job_id: str) -> Job:
        """Put away a dead job, or one that was not begun; it can still be replayed.

        Raises:
            Forbidden: without the permission EDIT.
            NotFound: unknown, or not this principal's.
            Conflict: it runs or is done.
        """
        principal.require(Permission.EDIT)
        job = await self._find(principal, job_id)
        if not await self._store.jobs.discard(principal, job, at=self._clock.now()):
            remedy = "Cancel its execution instead." if job.execution_id else "There is nothing to put away."
            raise Conflict(f"The job is {job.state.value!r} and cannot be discarded. {remedy}")
        return await self._find(principal, job_id)

    async def _find(self, principal: Principal, job_id: str) -> Job:
        job = await self._store.jobs.get(principal.tenant_id, principal.organization_id, job_id)
        if job is None:
            raise NotFound("There is no such job.")
        return job
