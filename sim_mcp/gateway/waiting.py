"""Waiting for an execution: woken by what this process hears, and looking at the row for what others do."""

from __future__ import annotations

from collections.abc import Callable

from sim_mcp.gateway.live import LiveCall, LiveCalls, Progress, Watch
from sim_mcp.model.clock import Clock
from sim_mcp.model.execution import Execution, Status
from sim_mcp.model.pauses import goes_on_at
from sim_mcp.store import Executions

LOOK_AGAIN_S = 2.0
"""How often a waiting caller looks at the row: another process may have settled it."""
LONGEST_TIME_PAUSE_S = 600.0
"""A run that waits for a time further away is handed over: nobody holds a call open for so long."""


class Waiting:
    """Waits for rows. Cancelling a waiting never touches the run."""

    def __init__(self, *, executions: Executions, live: LiveCalls, clock: Clock) -> None:
        self._executions = executions
        self._live = live
        self._clock = clock
        self._closes_at_s: float | None = None

    @property
    def is_waited_for(self) -> bool:
        """Whether anybody in this process waits for an execution."""
        return self._live.is_waited_for

    def begin_closing(self, *, within_s: float) -> None:
        """The process ends: whoever waits for an end is answered within that time, with the row as it stands.

        Cut off, they would not know that their call goes on, and might make it again.
        """
        self._closes_at_s = self._clock.monotonic() + within_s
        self._live.ring_all()

    async def until_settled(
        self,
        execution: Execution,
        *,
        patience_s: float | None,
        watch: Watch | None,
        live: LiveCall | None = None,
    ) -> Execution:
        """The newest row of `execution`, once it is final or waits for a person, or `patience_s` are over.

        Sooner when this process ends.
        """
        return await self._until(
            lambda row: self._is_settled(row) or self._is_closed(), execution, patience_s, watch, live
        )

    async def until_answered(self, execution: Execution, *, watch: Watch | None) -> Execution:
        """The newest row of the paused `execution` once it does not wait for the same answers any more."""

        def moved(row: Execution) -> bool:
            return row.status is not Status.PAUSED or row.answers != execution.answers

        return await self._until(moved, execution, None, watch, None)

    async def until_submitted(self, execution: Execution, *, patience_s: float) -> Execution:
        """The newest row of `execution` once this process did its part: SIM has the run, or never will."""

        def is_submitted(row: Execution) -> bool:
            return row.status is not Status.PROCESSING or row.id not in self._live

        return await self._until(is_submitted, execution, patience_s, None, None)

    async def _until(
        self,
        is_enough: Callable[[Execution], bool],
        execution: Execution,
        patience_s: float | None,
        watch: Watch | None,
        live: LiveCall | None,
    ) -> Execution:
        began_s = self._clock.monotonic()
        own = live or LiveCall(execution.tenant_id, execution.id)
        # A row that this process has just written, and is about to change, need not be looked at.
        known = execution if live is not None and patience_s != 0 else None
        with self._live.waiting(own):
            while True:
                bell = own.bell
                row = (
                    known or await self._executions.get(execution.tenant_id, None, execution.id) or execution
                )
                elapsed_s = self._clock.monotonic() - began_s
                remaining_s = None if patience_s is None else patience_s - elapsed_s
                if watch is not None:
                    progress = Progress(
                        execution_id=row.id, elapsed_s=elapsed_s, status=row.status, text=own.take_text()
                    )
                    await watch(progress)
                if is_enough(row) or (remaining_s is not None and remaining_s <= 0):
                    return row
                await self._clock.until(bell, within_s=self._pause_s(remaining_s))
                known = own.take_row()

    def _pause_s(self, remaining_s: float | None) -> float:
        limits_s = [LOOK_AGAIN_S] if remaining_s is None else [LOOK_AGAIN_S, remaining_s]
        if self._closes_at_s is not None and not self._is_closed():
            limits_s.append(self._closes_at_s - self._clock.monotonic())
        return min(limits_s)

    def _is_closed(self) -> bool:
        return self._closes_at_s is not None and self._clock.monotonic() >= self._closes_at_s

    def _is_settled(self, row: Execution) -> bool:
        """Final, or waiting for a person; what waits for a time goes on by itself, so it is waited for."""
        at = goes_on_at(row)
        if at is None:
            return row.status.is_settled
        return (at - self._clock.now()).total_seconds() > LONGEST_TIME_PAUSE_S
