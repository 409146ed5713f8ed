"""Waiting for a run while watching the caller, and telling it as a stream of events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import anyio
from starlette.responses import Response

from sim_mcp.sim.fake.behaviours import block_id
from sim_mcp.sim.fake.outcomes import Completed, Failed, Paused
from sim_mcp.sim.fake.runs import Run, Segment, streamed_words
from sim_mcp.sim.fake.timing import FakeTime

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_LEFT = "http.disconnect"


async def wait_for(run: Run, segment: Segment, *, time: FakeTime, receive: Receive | None) -> bool:
    """Wait until `segment` is over or the run is stopped.

    With `receive` the caller is watched too: a caller that leaves, and a cancelled request task, abort the
    run as SIM does (sim-api 1.8, 12.5). Returns false when the caller has left.
    """
    stayed = True
    try:
        async with anyio.create_task_group() as group:

            async def first(awaitable: Callable[[], Awaitable[Any]]) -> None:
                await awaitable()
                group.cancel_scope.cancel()

            async def gone() -> None:
                nonlocal stayed
                if receive is not None:
                    await left(receive)
                    stayed = False
                    group.cancel_scope.cancel()

            group.start_soon(first, run.stopped.wait)
            if receive is not None:
                group.start_soon(gone)
            await time.sleep((segment.ends_at - time.now()).total_seconds())
            segment.slept = True
            group.cancel_scope.cancel()
    finally:
        if receive is not None and not segment.is_over(time.now()):
            run.stop(time.now())
    return stayed


async def left(receive: Receive) -> None:
    """Return when the caller has closed the connection."""
    while (await receive())["type"] != _LEFT:
        pass


class EventStream(Response):
    """Server-sent events as SIM writes them: `data:` lines only, `"[DONE]"` last (sim-api 1.10)."""

    media_type = "text/event-stream"

    def __init__(self, run: Run, *, time: FakeTime, selected: list[str] | None) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._run = run
        self._time = time
        self._selected = selected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        """Send the frames; a caller that leaves aborts the run."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async with anyio.create_task_group() as group:

                async def watch() -> None:
                    await left(receive)
                    group.cancel_scope.cancel()

                group.start_soon(watch)
                async for frame in self._frames():
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
                group.cancel_scope.cancel()
        finally:
            if self._run.is_busy(self._time.now()):
                self._run.stop(self._time.now())
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _frames(self) -> AsyncIterator[bytes]:
        segment = self._run.segments[-1]
        words = streamed_words(segment.outcome)
        block = block_id(self._run.workflow_id, "answer")
        pace_s = (segment.ends_at - self._time.now()).total_seconds() / (len(words) + 1)
        for word in words:
            await self._time.sleep(pace_s)
            if self._run.stopped.is_set():
                break
            yield _frame({"blockId": block, "chunk": word})
        await wait_for(self._run, segment, time=self._time, receive=None)
        yield _frame(self._last(segment))
        yield _frame("[DONE]")

    def _last(self, segment: Segment) -> dict[str, Any]:
        outcome = segment.outcome
        if self._run.cancelled_at is not None:
            return {"event": "error", "error": "Workflow execution was cancelled"}
        if isinstance(outcome, Failed):
            return {"event": "error", "error": told(outcome)}
        if isinstance(outcome, Paused):
            return {"event": "final", "data": {"success": True, "output": outcome.output, "status": "paused"}}
        return {"event": "final", "data": {"success": True, "output": self._shown(outcome)}}

    def _shown(self, outcome: Completed) -> Any:
        """The final output: without what was streamed, and by block when outputs were selected."""
        if outcome.streamed:
            return {}
        if not self._selected:
            return outcome.output
        names = {each.partition(".")[2].partition(".")[0] for each in self._selected}
        chosen = {name: outcome.output[name] for name in names if name in outcome.output}
        return {block_id(self._run.workflow_id, "Work"): chosen}


def told(outcome: Failed) -> str:
    """A failure in legacy words: the block's name goes first."""
    return outcome.message if outcome.block is None else f"{outcome.block}: {outcome.message}"


def _frame(content: Any) -> bytes:
    return f"data: {json.dumps(content, separators=(',', ':'))}\n\n".encode()
