"""The calls that this process is performing right now: who waits for them, and what they said so far."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import anyio

from sim_mcp.model.execution import Execution, ExecutionId, Status
from sim_mcp.model.principal import TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a call is getting on: seconds since it began, its status, and the newest streamed text."""

    execution_id: ExecutionId
    elapsed_s: float
    status: Status
    text: str | None = None


Watch: TypeAlias = Callable[[Progress], Awaitable[None]]
"""Somebody who wants to hear of progress. An exception ends the waiting, never the run."""


class LiveCall:
    """One call in this process: streamed text on one side, a bell for waiters on the other."""

    def __init__(self, tenant_id: TenantId, execution_id: ExecutionId) -> None:
        self.tenant_id = tenant_id
        self.execution_id = execution_id
        self._bell = anyio.Event()
        self._text: list[str] = []
        self._row: Execution | None = None

    async def add_text(self, text: str) -> None:
        """Take a streamed chunk and wake the waiters."""
        self._text.append(text)
        self.wake()

    def take_text(self) -> str | None:
        """The text that came since the last call, or `None`."""
        if not self._text:
            return None
        text = "".join(self._text)
        self._text.clear()
        return text

    def take_row(self) -> Execution | None:
        """What the last change made of the row, once; `None` when only the database knows."""
        row, self._row = self._row, None
        return row

    def ring(self, row: Execution | None) -> None:
        """Wake everybody who waits: the row changed, to `row` if that is known."""
        self._row = row
        self.wake()

    def wake(self) -> None:
        """Wake everybody who waits."""
        self._bell.set()
        self._bell = anyio.Event()

    @property
    def bell(self) -> anyio.Event:
        """The next ring. Take it *before* looking at the row, so that no change is missed."""
        return self._bell


class LiveCalls:
    """All live calls of this process, by execution id. Single-threaded: no await between look and change."""

    def __init__(self) -> None:
        self._performing: dict[ExecutionId, LiveCall] = {}
        self._waiting: dict[ExecutionId, list[LiveCall]] = {}
        self._emptied = anyio.Event()

    def __len__(self) -> int:
        return len(self._performing)

    def ids(self) -> tuple[tuple[TenantId, ExecutionId], ...]:
        """Every call that this process performs, for renewing its leases."""
        return tuple((live.tenant_id, live.execution_id) for live in self._performing.values())

    def __contains__(self, execution_id: ExecutionId) -> bool:
        return execution_id in self._performing

    async def until_empty(self) -> None:
        """Return once this process performs no call."""
        if self._performing:
            await self._emptied.wait()

    def begin(self, live: LiveCall) -> None:
        """Count `live` as performed by this process until `end`."""
        self._performing[live.execution_id] = live
        self._emptied = anyio.Event()

    def end(self, live: LiveCall) -> None:
        """The opposite of `begin`; wakes the waiters a last time."""
        self._performing.pop(live.execution_id, None)
        if not self._performing:
            self._emptied.set()
        for waiting in self._waiting.get(live.execution_id, ()):
            waiting.wake()
        live.wake()

    @contextmanager
    def waiting(self, live: LiveCall) -> Generator[LiveCall]:
        """Have `live` rung whenever its execution changes, while the block lasts."""
        self._waiting.setdefault(live.execution_id, []).append(live)
        try:
            yield live
        finally:
            remaining = self._waiting[live.execution_id]
            remaining.remove(live)
            if not remaining:
                del self._waiting[live.execution_id]

    def ring(self, execution_id: ExecutionId, row: Execution | None = None) -> None:
        """Wake everybody who waits for `execution_id`, which changed; to `row` if that is known."""
        for live in self._waiting.get(execution_id, ()):
            live.ring(row)

    @property
    def is_waited_for(self) -> bool:
        """Whether anybody waits for any execution."""
        return bool(self._waiting)

    def ring_all(self) -> None:
        """Wake everybody who waits for anything."""
        for execution_id in tuple(self._waiting):
            self.ring(execution_id)
