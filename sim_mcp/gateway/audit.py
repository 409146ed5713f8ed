"""The audit log as the corridor uses it: written before SIM is asked, closed whatever happens.

Every write of an outcome is shielded from cancellation and bounded in time. When the database
refuses even then, the row keeps its lease; the lease runs out, and the follower asks SIM.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import anyio

from sim_mcp.gateway.inputs import CleanInput
from sim_mcp.gateway.keepsake import Keepsakes
from sim_mcp.gateway.live import LiveCalls
from sim_mcp.gateway.masking import Secrets
from sim_mcp.gateway.outcomes import (
    error_of,
    next_check_at,
    outcome_of,
)
from sim_mcp.gateway.redaction import Redactor
from sim_mcp.gateway.repeats import Repeats
from sim_mcp.gateway.tenancy import PROCESS_KEY_ID
from sim_mcp.model.clock import Clock
from sim_mcp.model.credentials import without_credentials
from sim_mcp.model.errors import ErrorCode, Fault, InvalidInput, SimMcpError, StoreUnavailable
from sim_mcp.model.execution import Call, Execution, ExecutionError, ExecutionId, Status
from sim_mcp.model.facts import CallFinished, Observer
from sim_mcp.model.integration import Integration
from sim_mcp.model.run import Run, RunId
from sim_mcp.model.tool import Mode, WorkflowTool
from sim_mcp.model.workbench import Workbench
from sim_mcp.store import Executions, Outcome
from sim_mcp.telemetry import traceparent

log = logging.getLogger(__name__)

LEASE_S = 15.0
"""How long a row belongs to the process that performs it without a sign of life."""
LAST_WRITE_LIMIT_S = 10.0
REFUSALS_PER_MINUTE = 20
"""Refusals of one caller, for one reason, that get rows of their own; the rest are counted."""
LONGEST_NAME = 64


class Audit:
    """Opens, moves and closes rows."""

    def __init__(
        self,
        *,
        executions: Executions,
        keepsakes: Keepsakes,
        repeats: Repeats,
        live: LiveCalls,
        redactor: Redactor,
        workbench: Workbench,
        clock: Clock,
        new_id: Callable[[], str],
        observer: Observer,
    ) -> None:
        self._executions = executions
        self.keepsakes = keepsakes
        self.repeats = repeats
        self._live = live
        self._redactor = redactor
        self._workbench = workbench
        self._clock = clock
        self._new_id = new_id
        self._observer = observer
        self._refusals = _RefusalWindows(clock)

    async def open(
        self, call: Call, given: CleanInput, tool: WorkflowTool, integration: Integration
    ) -> Execution | None:
        """Write the row of a call that is about to be performed, and lease it to this process.

        `None` when an earlier call holds the same idempotency key: `repeats.earlier` finds it.

        Raises:
            StoreUnavailable: the row could not be written, so nothing may be sent to SIM.
        """
        now = self._clock.now()
        row = self._row(call, given, tool, Status.PROCESSING)
        row = _with_integration(row, integration)
        opened = await self._executions.open(
            row,
            follow_up_at=now + timedelta(seconds=LEASE_S),
            sealed_secrets=self.keepsakes.seal(row, given.secrets),
            claim=self.repeats.claim(call, row, tool),
        )
        return row if opened else None

    @asynccontextmanager
    async def refusals(self, call: Call, given: CleanInput) -> AsyncGenerator[None]:
        """Record every refusal that leaves the block, and let it go on with its row's id.

        It goes on in the words of its row: a credential that was put in the place of a name is in neither.
        """
        try:
            yield
        except StoreUnavailable:
            raise
        except SimMcpError as error:
            with anyio.move_on_after(LAST_WRITE_LIMIT_S, shield=True):
                await self._record_refusal(call, given, error)
            raise

    async def record_declined(self, call: Call, given: CleanInput) -> ExecutionId:
        """Write the row of a call that a person declined; its id. A flood of them is counted on one row."""
        row = self._row(call, given, None, Status.CANCELLED)
        return await self._executions.record_refusal(row, window_key=self._refusals.window_key(call, None))

    async def reload(self, execution: Execution) -> Execution | None:
        """The row as it stands now."""
        return await self._executions.get(execution.tenant_id, None, execution.id)

    async def note_cost(self, execution: Execution, cost: float) -> None:
        """Write down what the settled run cost."""
        await self._executions.note_cost(execution.tenant_id, execution.id, cost, at=self._clock.now())

    async def begin_attempt(
        self, execution: Execution, *, run_id: RunId, attempt: int, settings_revision: int
    ) -> bool:
        """Store the run id of the next attempt, and the settings with which it is sent.

        `False` when the row is final (cancelled meanwhile).
        """
        now = self._clock.now()
        return await self._executions.begin_attempt(
            execution.tenant_id,
            execution.id,
            run_id=run_id,
            attempt=attempt,
            settings_revision=settings_revision,
            started_at=now,
            follow_up_at=now + timedelta(seconds=LEASE_S),
        )

    async def settle(self, execution: Execution, run: Run, secrets: Secrets, *, looks: int = 0) -> bool:
        """Move the row to what SIM said of its run; unfinished runs are handed to the follower.

        `looks` is how often SIM was asked about the run since it began or was paused: the waits grow with it.
        """
        judge = partial(outcome_of, run, secrets=secrets, redactor=self._redactor)
        # Masking megabytes takes a while: nobody else's call may wait for it.
        outcome = await self._workbench.run_over(execution.tenant_id, run.output, judge)
        return await self._move(execution, run.status, outcome, looks=looks)

    async def fail(self, execution: Execution, error: SimMcpError, secrets: Secrets) -> bool:
        """Close the row: the call ended without a run, and its idempotency key is free again."""
        stored = error_of(error, secrets=secrets, redactor=self._redactor)
        return await self.close(execution, Status.FAILED, stored, nothing_ran=True)

    async def close(
        self,
        execution: Execution,
        status: Status,
        error: ExecutionError | None,
        *,
        nothing_ran: bool = False,
    ) -> bool:
        """Close the row with `status` and `error`, without output.

        `nothing_ran` frees the call's idempotency key, so that the same call may be made again.
        """
        return await self._move(execution, status, Outcome(error=error), frees_key=nothing_ran)

    async def hand_over(
        self, execution: Execution, error: ExecutionError | None, *, after_s: float = 0.0
    ) -> bool:
        """Leave the row unfinished, with what is known, to the follower, `after_s` seconds from now."""
        moved = False
        with anyio.move_on_after(LAST_WRITE_LIMIT_S, shield=True):
            moved = await self._executions.update(
                execution.tenant_id,
                execution.id,
                outcome=Outcome(error=error),
                follow_up_at=self._clock.now() + timedelta(seconds=after_s),
            )
        self._live.ring(execution.id)
        return moved

    async def _move(
        self,
        execution: Execution,
        status: Status,
        outcome: Outcome,
        *,
        frees_key: bool = False,
        looks: int = 0,
    ) -> bool:
        now = self._clock.now()
        due_at = None
        # A run that comes to a pause or leaves it is waited for as if it had just begun.
        begins_anew = status is not execution.status and Status.PAUSED in {status, execution.status}
        if not status.is_final:
            after = replace(execution, status=status, pauses=outcome.pauses or execution.pauses)
            due_at = next_check_at(after, looks=0 if begins_anew else looks, now=now)
        moved = False
        row: Execution | None = None
        try:
            with anyio.fail_after(LAST_WRITE_LIMIT_S, shield=True):
                if status is execution.status and not status.is_final:
                    moved = await self._executions.update(
                        execution.tenant_id, execution.id, outcome=outcome, follow_up_at=due_at
                    )
                else:
                    row = await self._executions.transition(
                        execution.tenant_id,
                        execution.id,
                        status,
                        outcome=outcome,
                        at=now,
                        follow_up_at=due_at,
                        frees_key=frees_key,
                        looks=0 if begins_anew else None,
                    )
                    moved = row is not None
        except (StoreUnavailable, TimeoutError) as error:
            log.error(  # noqa: TRY400 - the cause is named; a stack of ours adds nothing
                "the outcome %s of execution %s could not be stored (%s); it will be asked for again",
                status,
                execution.id,
                error.message if isinstance(error, StoreUnavailable) else "the database did not answer",
            )
        self._live.ring(execution.id, row)
        if moved and status.is_settled and status is not execution.status:
            self._tell(execution, status, outcome)
        return moved

    def _tell(self, execution: Execution, status: Status, outcome: Outcome) -> None:
        self._observer(
            CallFinished(
                tenant_id=execution.tenant_id,
                execution_id=execution.id,
                tool_name=execution.tool_name,
                trigger=execution.triggered_by,
                status=status,
                code=outcome.error.code if outcome.error else None,
                duration_ms=outcome.duration_ms,
            )
        )

    async def _record_refusal(self, call: Call, given: CleanInput, error: SimMcpError) -> None:
        stored = error_of(error, secrets=given.secrets, redactor=self._redactor)
        row = self._row(call, given, None, Status.FAILED)
        row = _with_error(row, stored)
        error.message = stored.message
        if isinstance(error, InvalidInput):
            tell = self._redactor.text
            error.faults = tuple(Fault(tell(each.path), tell(each.message)) for each in error.faults)
        window_key = self._refusals.window_key(call, error.code)
        try:
            error.execution_id = await self._executions.record_refusal(row, window_key=window_key)
        except StoreUnavailable as cause:
            log.error("a refusal could not be recorded: %s", cause.message)  # noqa: TRY400 - as above
        self._tell(row, Status.FAILED, Outcome(error=stored))

    def _row(self, call: Call, given: CleanInput, tool: WorkflowTool | None, status: Status) -> Execution:
        now = self._clock.now()
        return Execution(
            id=ExecutionId(self._new_id()),
            tenant_id=call.principal.tenant_id,
            organization_id=call.principal.organization_id,
            integration_id=None,
            tool_name=tool.name if tool else _asked_name(call),
            workflow_id=tool.workflow_id if tool else None,
            run_id=None,
            job_id=None,
            status=status,
            mode=call.mode or (tool.mode if tool else Mode.SYNC),
            timeout_s=call.timeout_s or (tool.timeout_s if tool else 0.0),
            input=given.stored,
            output=None,
            error=None,
            pauses=None,
            duration_ms=None,
            attempts=0,
            triggered_by=call.trigger,
            subject=call.principal.subject,
            idempotency_key=without_credentials(call.idempotency_key)
            if tool and call.idempotency_key
            else None,
            created_at=now,
            started_at=None,
            finished_at=now if status.is_final else None,
            settings_revision=None,
            trace_id=_trace_id(traceparent() or call.traceparent),
            approver_permission=tool.approver_permission if tool else None,
        )


class _RefusalWindows:
    """Decides which refusals get a row of their own; bounded, and forgets each minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._minute = 0
        self._counts: dict[str, int] = {}

    def window_key(self, call: Call, code: ErrorCode | None) -> str | None:
        """`None` for a row of its own; else the key under which this refusal is only counted.

        Without `code` it was a person who declined.
        """
        minute = int(self._clock.now().timestamp() // 60)
        if minute != self._minute:
            self._minute, self._counts = minute, {}
        who = f"{call.principal.tenant_id}\0{call.principal.subject}\0{code}"
        key = hashlib.sha256(f"{who}\0{minute}".encode("utf-8", "replace")).hexdigest()[:32]
        if code is ErrorCode.RATE_LIMIT_EXCEEDED:
            return key
        self._counts[key] = self._counts.get(key, 0) + 1
        return None if self._counts[key] <= REFUSALS_PER_MINUTE else key


def _with_integration(row: Execution, integration: Integration) -> Execution:
    known = None if integration.id == PROCESS_KEY_ID else integration.id
    return replace(row, integration_id=known, settings_revision=integration.revision)


def _with_error(row: Execution, error: ExecutionError) -> Execution:
    return replace(row, error=error)


def _asked_name(call: Call) -> str:
    """The name that a refused caller asked for, made safe to store and show."""
    asked = call.tool_name or call.workflow_id or ""
    printable = "".join(character if character.isprintable() else "?" for character in asked)
    # Masked before it is cut: half a token looks like no token.
    return without_credentials(printable.encode("utf-8", "replace").decode())[:LONGEST_NAME]


def _trace_id(traceparent: str | None) -> str | None:
    parts = (traceparent or "").split("-")
    well_formed = len(parts) == 4 and len(parts[1]) == 32 and all(c in "0123456789abcdef" for c in parts[1])
    return parts[1] if well_formed else None
