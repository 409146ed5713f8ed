"""Answering a paused run: by who may, once, and without losing what SIM said to it.

SIM refuses a second answer to the same pause only after the first one arrived (sim-api 6.3), so the
row decides first: of all answers to a paused row one moves it on, and the others are told. The
winner's name stands in the row before SIM hears of it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from sim_mcp.gateway.audit import LEASE_S, Audit
from sim_mcp.gateway.follow_up import Follower
from sim_mcp.gateway.forms import check_answer, pause_point, with_pauses
from sim_mcp.gateway.insisting import insisted
from sim_mcp.gateway.live import LiveCall, LiveCalls
from sim_mcp.gateway.redaction import Redactor
from sim_mcp.gateway.tenancy import Tenancy
from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import Conflict, OutcomeUnknown, RunBegan, SimConflict, SimError, SimMcpError
from sim_mcp.model.execution import Execution, PauseAnswer, Status
from sim_mcp.model.json import JsonObject
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.model.run import Run, RunId
from sim_mcp.model.tool import WorkflowId
from sim_mcp.resilience import RetryPolicy, Verb
from sim_mcp.sim import SimClients
from sim_mcp.store import Executions

if TYPE_CHECKING:
    from sim_mcp.sim import SimClient

log = logging.getLogger(__name__)

RESUME_WITHIN_S = 10.0
"""How long SIM may keep on writing the pause that is being answered."""


@dataclass(slots=True)
class Sending:
    """An answer on its way to SIM. `failure` is set when it is known that it did not do what it should."""

    failure: SimMcpError | None = None
    done: anyio.Event = field(default_factory=anyio.Event)


class Answers:
    """Takes answers to paused runs."""

    def __init__(
        self,
        *,
        executions: Executions,
        tenancy: Tenancy,
        clients: SimClients,
        retry: RetryPolicy,
        audit: Audit,
        follower: Follower,
        live: LiveCalls,
        redactor: Redactor,
        background: TaskGroup,
        clock: Clock,
    ) -> None:
        self._executions = executions
        self._tenancy = tenancy
        self._clients = clients
        self._retry = retry
        self._audit = audit
        self._follower = follower
        self._live = live
        self._redactor = redactor
        self._background = background
        self._clock = clock

    async def send(
        self, principal: Principal, row: Execution, answer: JsonObject, *, context_id: str | None
    ) -> Sending:
        """Send `answer` to the paused `row`, in the background: whoever waits may leave.

        Raises:
            Forbidden: the tool wants answers from people with a permission that this principal lacks.
            Conflict: it is not paused, several answers are wanted and `context_id` is missing, or
                somebody answered before.
            InvalidInput: `answer` does not fit the form.
        """
        if row.status is not Status.PAUSED or row.run_id is None or row.workflow_id is None:
            raise Conflict(_not_open(row))
        require_approver(principal, row)
        point = pause_point(row, context_id)
        if point.get("status") not in {"paused", None}:
            raise Conflict(
                "Somebody answered this a moment ago. Look with sim_get_execution what came of it."
            )
        check_answer(point, answer)
        given = PauseAnswer(
            context_id=str(point["context_id"]), subject=principal.subject, answered_at=self._clock.now()
        )
        lease_at = self._clock.now() + timedelta(seconds=LEASE_S)
        sending = Sending()
        with anyio.CancelScope(shield=True):  # what is noted as answered must also be sent
            if not await self._executions.begin_answer(row, given, follow_up_at=lease_at):
                raise Conflict(_not_open(await self._audit.reload(row) or row))
            live = LiveCall(row.tenant_id, row.id)
            self._live.begin(live)  # keeps the lease
            self._background.start_soon(self._perform, row, given.context_id, answer, sending, live)
        return sending

    async def _perform(
        self, row: Execution, context_id: str, answer: JsonObject, sending: Sending, live: LiveCall
    ) -> None:
        try:
            await self._send(row, context_id, answer)
        except SimMcpError as error:
            sending.failure = error
        except Exception:  # one answer's bug must not end the other calls of this process
            log.exception("answering execution %s failed; it will be followed up", row.id)
            sending.failure = OutcomeUnknown("The answer may not have reached SIM; follow the execution.")
        finally:
            self._live.end(live)
            sending.done.set()

    async def _send(self, row: Execution, context_id: str, answer: JsonObject) -> None:
        going_on = replace(row, status=Status.PROCESSING)
        try:
            principal = Principal.system(row.tenant_id, row.organization_id)
            client = await self._clients.get(await self._tenancy.usable(principal))
            secrets = await self._audit.keepsakes.add(row, self._redactor.secrets_in(answer))
            workflow_id, run_id = WorkflowId(row.workflow_id or ""), RunId(row.run_id or "")
            run = await insisted(
                lambda: client.resume(workflow_id, run_id, context_id, answer),
                verb=Verb.RESUME,
                within_s=RESUME_WITHIN_S,
                retry=self._retry,
                clock=self._clock,
            )
        except SimConflict as error:  # answered in SIM itself, or over: learn which
            await self._take_back(row)
            await self._follower.look(row)
            raise Conflict(
                "SIM takes no answer to this any more: somebody answered it there, or the run is over. "
                "Look with sim_get_execution what came of it."
            ) from error
        except SimMcpError as error:
            if isinstance(error, SimError) and error.began is not RunBegan.NO:
                await self._audit.hand_over(going_on, None)
                raise OutcomeUnknown(
                    "The answer was sent and SIM's reply was lost. Do not answer again; follow the execution."
                ) from error
            await self._take_back(row)
            raise
        run = await self._with_open_pauses(client, row, run, answered=context_id)
        await self._audit.settle(going_on, run, secrets)

    async def _with_open_pauses(self, client: SimClient, row: Execution, run: Run, *, answered: str) -> Run:
        """`run` with what it waits for now: SIM's record knows, its answer may repeat what was answered."""
        workflow_id, run_id = WorkflowId(row.workflow_id or ""), RunId(row.run_id or "")
        asked = await with_pauses(client, workflow_id, run_id, replace(run, pauses=()))
        told = tuple(point for point in run.pauses if point.context_id != answered)
        return replace(asked, pauses=asked.pauses or told)

    async def _take_back(self, row: Execution) -> None:
        """SIM did not take the answer: the row waits on."""
        with anyio.CancelScope(shield=True):
            due_at = self._clock.now() + timedelta(seconds=LEASE_S)
            await self._executions.undo_answer(row, follow_up_at=due_at)


def require_approver(principal: Principal, row: Execution) -> None:
    """Return when `principal` may answer the pauses of `row`.

    Raises:
        Forbidden: naming the missing permission.
    """
    principal.require(Permission.EDIT)
    if row.approver_permission is not None:
        principal.require(row.approver_permission)


def _not_open(row: Execution) -> str:
    if row.answers:
        return (
            f"Somebody answered before: the execution is {row.status.value} now. Look with sim_get_execution "
            "what came of it."
        )
    return f"The execution is {row.status.value}, not paused: there is nothing to answer."
