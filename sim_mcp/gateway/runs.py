"""Executions after the call: look up, list, wait, cancel, resume. Same tenant rule, same rows."""

from __future__ import annotations

import logging
from datetime import timedelta

from sim_mcp.gateway.answers import Answers
from sim_mcp.gateway.audit import Audit
from sim_mcp.gateway.call import Gateway
from sim_mcp.gateway.follow_up import Follower
from sim_mcp.gateway.insisting import insisted
from sim_mcp.gateway.live import LiveCalls, Watch
from sim_mcp.gateway.outcomes import FIRST_CHECK_S
from sim_mcp.gateway.stopping import cancel_at_sim, not_cancelled
from sim_mcp.gateway.tenancy import Tenancy
from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import NotFound, OutcomeUnknown, SimError
from sim_mcp.model.execution import Execution, Status
from sim_mcp.model.json import JsonObject
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.model.run import Cancellation
from sim_mcp.resilience import RetryPolicy, Verb
from sim_mcp.sim import SimClients
from sim_mcp.store import ExecutionFilter, Page, Store

log = logging.getLogger(__name__)

CANCEL_WITHIN_S = 20.0
RESUME_WAIT_S = 30.0
"""How long an answer waits for what comes of it, unless the caller says otherwise."""
TAKEN_WITHIN_S = 10.0
"""How long SIM has to take an answer; a sync run holds its reply until the run ends."""
UNKNOWN = "There is no such execution. `sim_list_executions` shows the known ones."


class Runs:
    """What a principal may learn and do about executions of its tenant."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        store: Store,
        tenancy: Tenancy,
        clients: SimClients,
        retry: RetryPolicy,
        audit: Audit,
        follower: Follower,
        live: LiveCalls,
        answers: Answers,
        clock: Clock,
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._tenancy = tenancy
        self._clients = clients
        self._retry = retry
        self._audit = audit
        self._follower = follower
        self._live = live
        self._answers = answers
        self._clock = clock

    async def get(
        self, principal: Principal, any_id: str, *, wait_s: float = 0.0, watch: Watch | None = None
    ) -> Execution:
        """The execution with our id, SIM's run id or SIM's job id.

        An unfinished one is asked for at SIM first, and waited for up to `wait_s` seconds.

        Raises:
            Forbidden: without the permission VIEW.
            NotFound: unknown, or not this principal's: the same words.
        """
        principal.require(Permission.VIEW)
        row = await self._find(principal, any_id)
        if row.status.is_final:
            return row
        if row.id not in self._live and self._is_sent(row):
            await self._follower.glance(row)
        return await self._gateway.follow(row, patience_s=wait_s, watch=watch)

    async def page(
        self,
        principal: Principal,
        chosen: ExecutionFilter,
        *,
        limit: int = 20,
        offset: int = 0,
        cursor: str | None = None,
    ) -> Page:
        """One page of the tenant's executions, newest first.

        Raises:
            Forbidden: without the permission VIEW.
            InvalidInput: `limit` outside 1 to 100, a negative `offset`, a foreign cursor.
        """
        principal.require(Permission.VIEW)
        return await self._store.executions.page(
            principal.tenant_id, principal.organization_id, chosen, limit=limit, offset=offset, cursor=cursor
        )

    async def cancel(self, principal: Principal, any_id: str) -> Execution:
        """Ask SIM to stop the run, and say what became of it: the newest row, whatever it says.

        A SIM that cannot cancel leaves the run going; the row then tells so and is followed.

        Raises:
            Forbidden: without the permission EDIT.
            NotFound: unknown, or not this principal's.
            Conflict: SIM could not cancel, or does not know the run yet; the message carries its reason.
            SimError: SIM refused the cancel or could not be asked; the message says what is done now.
        """
        principal.require(Permission.EDIT)
        row = await self._find(principal, any_id)
        if row.status.is_final:
            return row
        await self._store.executions.request_cancel(row.tenant_id, row.id, self._clock.now())
        row = await self._find(principal, any_id)  # an attempt may have begun just before; none can any more
        if row.run_id is None or row.workflow_id is None:
            await self._audit.close(row, Status.CANCELLED, None)  # nothing was sent yet, nothing will be
            return await self._find(principal, row.id)
        answer = await self._cancel_at_sim(row)
        current = await self._find(principal, row.id)
        if not current.status.is_final:
            await self._follower.look(current)
            current = await self._find(principal, row.id)
        if current.status.is_final:
            return current
        soon = self._clock.now() + timedelta(seconds=FIRST_CHECK_S)  # to be cancelled again
        await self._store.executions.schedule(current.tenant_id, current.id, at=soon)
        if answer is None or (isinstance(answer, Cancellation) and answer.accepted):
            return current
        raise not_cancelled(current, answer)

    async def resume(
        self,
        principal: Principal,
        any_id: str,
        answer: JsonObject,
        *,
        context_id: str | None = None,
        wait_s: float | None = RESUME_WAIT_S,
        watch: Watch | None = None,
    ) -> Execution:
        """Answer a paused run and let it go on; its row once it is settled, or after `wait_s` seconds.

        However short `wait_s`, SIM gets ten seconds to take the answer or to refuse it. Of several
        answers to the same pause one wins. Cancelling the waiting takes nothing back.

        Raises:
            Forbidden: without the permission EDIT, or the one that the tool wants of approvers.
            NotFound: unknown, or not this principal's.
            Conflict: it is not paused, several answers are wanted and `context_id` is missing, or
                somebody answered before.
            InvalidInput: `answer` does not fit the form.
            OutcomeUnknown: the answer was sent and SIM's reply was lost; follow the execution.
        """
        principal.require(Permission.EDIT)
        row = await self._find(principal, any_id)
        sending = await self._answers.send(principal, row, answer, context_id=context_id)
        current = await self._find(principal, row.id)
        if not sending.done.is_set():
            current = await self._gateway.follow(current, patience_s=wait_s, watch=watch)
        if not sending.done.is_set() and wait_s is not None and wait_s < TAKEN_WITHIN_S:
            await self._clock.until(sending.done, within_s=TAKEN_WITHIN_S - wait_s)
            current = await self._find(principal, row.id)
        failure = sending.failure
        if failure is None or (isinstance(failure, OutcomeUnknown) and current.status.is_settled):
            return current
        failure.execution_id = row.id
        raise failure

    async def known(self, principal: Principal, execution_id: str) -> Execution:
        """The execution as its row tells it, for one who may run and answer; SIM is not asked.

        Raises:
            Forbidden: without the permission EDIT.
            NotFound: unknown, or not this principal's.
        """
        principal.require(Permission.EDIT)
        return await self._find(principal, execution_id)

    async def _find(self, principal: Principal, any_id: str) -> Execution:
        row = await self._store.executions.find(principal.tenant_id, principal.organization_id, any_id)
        if row is None:
            raise NotFound(UNKNOWN)
        return row

    def _is_sent(self, row: Execution) -> bool:
        return row.run_id is not None and row.workflow_id is not None

    async def _cancel_at_sim(self, row: Execution) -> Cancellation | SimError | None:
        """SIM's answer to a cancel, or what it was instead of one; `None` when the SIM account is gone."""
        integration = await self._tenancy.find(row.tenant_id, row.organization_id)
        if integration is None or not integration.has_api_key:
            return None
        client = await self._clients.get(integration)
        try:
            return await insisted(
                lambda: cancel_at_sim(client, row),
                verb=Verb.CANCEL,
                within_s=CANCEL_WITHIN_S,
                retry=self._retry,
                clock=self._clock,
            )
        except SimError as error:
            return error
