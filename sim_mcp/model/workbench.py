"""Keeps heavy thinking off the event loop, where every tenant waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, final

import anyio
import anyio.to_thread

from sim_mcp.model.json import Json, is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim_mcp.model.principal import TenantId

THREADS = 2
SMALL_NODES = 1_000
SMALL_CHARACTERS = 64 * 1024
"""What has no more values and no more text is walked through in a few milliseconds."""
T = TypeVar("T")


@final
class Workbench:
    """A few threads, and at most one of them for each tenant: a crowd of one tenant's calls queues alone.

    One event loop only.
    """

    def __init__(self, *, threads: int = THREADS) -> None:
        self._threads = threads
        self._limiter: anyio.CapacityLimiter | None = None
        self._queues: dict[TenantId, anyio.Lock] = {}

    async def run(self, tenant_id: TenantId, think: Callable[[], T]) -> T:
        """What `think` returns or raises, from a thread.

        Cancelling gives up a place in the queue at once. Work that has begun is waited for, since
        nothing can stop it and its thread is not free before; so let `think` be bounded.
        """
        queue = self._queues.setdefault(tenant_id, anyio.Lock())
        try:
            async with queue:
                if self._limiter is None:  # belongs to the loop that runs now
                    self._limiter = anyio.CapacityLimiter(self._threads)
                return await anyio.to_thread.run_sync(think, limiter=self._limiter)
        finally:
            statistics = queue.statistics()
            if (
                not statistics.locked
                and not statistics.tasks_waiting
                and self._queues.get(tenant_id) is queue
            ):
                del self._queues[tenant_id]

    async def run_over(self, tenant_id: TenantId, value: Json, think: Callable[[], T]) -> T:
        """What `think` returns, which walks through `value`: at once when that is small, else by `run`."""
        return think() if is_small(value) else await self.run(tenant_id, think)


def is_small(value: Json) -> bool:
    """Whether `value` has few values and little text in it; itself looks at no more than that."""
    nodes, characters, waiting = 1, 0, [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            characters += len(each)
        elif is_object(each):
            nodes += len(each)
            characters += sum(map(len, each)) if nodes <= SMALL_NODES else 0
            waiting.extend(each.values() if nodes <= SMALL_NODES else ())
        elif is_array(each):
            nodes += len(each)
            waiting.extend(each if nodes <= SMALL_NODES else ())
        if nodes > SMALL_NODES or characters > SMALL_CHARACTERS:
            return False
    return True
