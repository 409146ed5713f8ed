"""The audit log as the corridor uses it: written before SIM is asked, closed whatever happens.

Every write of an outcome is shielded from cancellation and bounded in time. When the database
refuses even then, the row keeps its lease; the lease runs out, and the follower asks SIM.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import anyio

from sim_mcp.gateway.keepsake import Keepsakes
from sim_mcp.gateway.live import LiveCalls
from sim_mcp.gateway.outcomes import (
    MAX_STORED_INPUT_BYTES,
    bounded,
    error_of,
    next_check_at,
    outcome_of,
)
from sim_mcp.gateway.redaction import Redactor, Secrets
from sim_mcp.gateway.tenancy import PROCESS_KEY_ID
from sim_mcp.model.clock import Clock
from sim_mcp.model.credentials import without_credentials
from sim_mcp.model.errors import ErrorCode, SimMcpError, StoreUnavailable
from sim_mcp.model.execution import Call, Execution, ExecutionError, ExecutionId, Status
from sim_mcp.model.facts import CallFinished, Observer
from sim_mcp.model.integration import Integration
from sim_mcp.model.json import Json
from sim_mcp.model.run import Run, RunId
from sim_mcp.model.tool import Mode, WorkflowTool
from sim_mcp.model.workbench import Workbench
from sim_mcp.store import Executions, Outcome

log = logging.getLogger(__name__)

LEASE_S = 15.0
"""How long a row belongs to the process that performs it without a sign of life."""
LAST_WRITE_LIMIT_S = 10.0
REFUSALS_PER_MINUTE = 20
"""Refusals of one caller, for one reason, that get rows of their own; the rest are counted."""
LONGEST_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is kept of an input: a copy fit to be stored, and what must not come back."""

    stored: Json
    secrets: Secrets


class Audit:
    """Opens, moves and closes rows."""

    def __init__(
        self,
        *,
        executions: Executions,
        keepsakes: Keepsakes,
        live: LiveCalls,
        redactor: Redactor,
        workbench: Workbench,
        clock: Clock,
        new_id: Callable[[], str],
        observer: Observer,
    ) -> None:
        self._executions = executions
        self.keepsakes = keepsakes
        self._live = live
        self._redactor = redactor
        self._workbench = workbench
        self._clock = clock
        self._new_id = new_id
        self._observer = observer
        self._refusals = _RefusalWindows(clock)

    async def read(self, call: Call) -> Reading:
        """What is kept of the call's input. Walks through all of it, a large one off the event loop."""

        def think() -> Reading:
            redacted, secrets = self._redactor.read(call.arguments)
            return Reading(stored=bounded(redacted, MAX_STORED_INPUT_BYTES), secrets=secrets)

        return await self._workbench.run_over(call.principal.tenant_id, call.arguments, think)

    async def open(
        self, call: Call, tool: WorkflowTool, integration: Integration, reading: Reading
    ) -> tuple[Execution, bool]:
        """Write the row of a call that is about to be performed, and lease it to this process.

        Returns the row and whether it is new: with an idempotency key that was used before, it is
        the earlier call's.

        Raises:
            StoreUnavailable: the row could not be written, so nothing may be sent to SIM.
        """
        now = self._clock.now()
        row = self._row(call, tool, Status.PROCESSING, reading)
        row = _with_integration(row, integration)
        opened = await self._executions.open(
            row,
            follow_up_at=now + timedelta(seconds=LEASE_S),
            sealed_secrets=self.keepsakes.seal(row, reading.secrets),
        )
        return opened, opened.id == row.id

    @asynccontextmanager
    async def refusals(self, call: Call) -> AsyncGenerator[None]:
        """Record every refusal that leaves the block, and let it go on with its row's id."""
        try:
            yield
        except StoreUnavailable:
            raise
        except SimMcpError as error:
            with anyio.move_on_after(LAST_WRITE_LIMIT_S, shield=True):
                await self._record_refusal(call, error)
            raise

    async def record_declined(self, call: Call) -> ExecutionId:
        """Write the row of a call that a person declined; its id."""
        row = self._row(call, None, Status.CANCELLED, await self.read(call))
        return await self._executions.record_refusal(row, window_key=None)

    async def reload(self, execution: Execution) -> Execution | None:
        """The row as it stands now."""
        return await self._executions.get(execution.tenant_id, None, execution.id)

    async def begin_attempt(self, execution: Execution, *, run_id: RunId, attempt: int) -> bool:
        """Store the run id of the next attempt; `False` when the row is final (cancelled meanwhile)."""
        now = self._clock.now()
        return await self._executions.begin_attempt(
            execution.tenant_id,
            execution.id,
            run_id=run_id,
            attempt=attempt,
            started_at=now,
            follow_up_at=now + timedelta(seconds=LEASE_S),
        )

    async def settle(self, execution: Execution, run: Run, secrets: Secrets) -> bool:
        """Move the row to what SIM said of its run; unfinished runs are handed to the follower."""
        moved = False
        with anyio.CancelScope(shield=True):  # what is known of a run must reach its row
            outcome = await self._workbench.run_over(
                execution.tenant_id,
                run.output,
                lambda: outcome_of(run, secrets=secrets, redactor=self._redactor),
            )
            moved = await self._move(execution, run.status, outcome)
        return moved  # noqa: RET504 - a scope might end early, by its type

    async def fail(self, execution: Execution, error: SimMcpError, secrets: Secrets) -> bool:
        """Close the row: the call ended without a run."""
        stored = error_of(error, secrets=secrets, redactor=self._redactor)
        return await self.close(execution, Status.FAILED, stored)

    async def close(self, execution: Execution, status: Status, error: ExecutionError | None) -> bool:
        """Close the row with `status` and `error`, without output."""
        return await self._move(execution, status, Outcome(error=error))

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

    async def _move(self, execution: Execution, status: Status, outcome: Outcome) -> bool:
        now = self._clock.now()
        due_at = None if status.is_final else next_check_at(execution, status, now=now)
        moved = False
        try:
            with anyio.move_on_after(LAST_WRITE_LIMIT_S, shield=True):
                if status is execution.status and not status.is_final:
                    moved = await self._executions.update(
                        execution.tenant_id, execution.id, outcome=outcome, follow_up_at=due_at
                    )
                else:
                    moved = await self._executions.transition(
                        execution.tenant_id,
                        execution.id,
                        status,
                        outcome=outcome,
                        at=now,
                        follow_up_at=due_at,
                    )
        except StoreUnavailable as error:
            log.error(  # noqa: TRY400 - the cause is named; a stack of ours adds nothing
                "the outcome %s of execution %s could not be stored (%s); it will be asked for again",
                status,
                execution.id,
                error.message,
            )
        self._live.ring(execution.id)
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

    async def _record_refusal(self, call: Call, error: SimMcpError) -> None:
        reading = await self.read(call)
        stored = error_of(error, secrets=reading.secrets, redactor=self._redactor)
        row = self._row(call, None, Status.FAILED, reading)
        row = _with_error(row, stored)
        window_key = self._refusals.window_key(call, error.code)
        try:
            error.execution_id = await self._executions.record_refusal(row, window_key=window_key)
        except StoreUnavailable as cause:
            log.error("a refusal could not be recorded: %s", cause.message)  # noqa: TRY400 - as above
        self._tell(row, Status.FAILED, Outcome(error=stored))

    def _row(self, call: Call, tool: WorkflowTool | None, status: Status, reading: Reading) -> Execution:
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
            input=reading.stored,
            output=None,
            error=None,
            pauses=None,
            duration_ms=None,
            attempts=0,
            triggered_by=call.trigger,
            subject=call.principal.subject,
            idempotency_key=call.idempotency_key if tool else None,
            created_at=now,
            started_at=None,
            finished_at=now if status.is_final else None,
            settings_revision=None,
            trace_id=_trace_id(call.traceparent),
        )


class _RefusalWindows:
    """Decides which refusals get a row of their own; bounded, and forgets each minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._minute = 0
        self._counts: dict[str, int] = {}

    def window_key(self, call: Call, code: ErrorCode) -> str | None:
        """`None` for a row of its own; else the key under which this refusal is only counted."""
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
    return without_credentials(printable.encode("utf-8", "replace").decode()[:LONGEST_NAME])


def _trace_id(traceparent: str | None) -> str | None:
    parts = (traceparent or "").split("-")
    well_formed = len(parts) == 4 and len(parts[1]) == 32 and all(c in "0123456789abcdef" for c in parts[1])
    return parts[1] if well_formed else None
