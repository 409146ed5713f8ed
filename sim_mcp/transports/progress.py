"""Progress of one call as its client hears it, and which execution it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcp.server.session import ServerSession

    from sim_mcp.app import Progress
    from sim_mcp.model.execution import ExecutionId

LEAST_APART_S = 0.25
LONGEST_MESSAGE = 500
_KEPT_TEXT = 4 * LONGEST_MESSAGE


class ProgressReporter:
    """A `Watch` that reports to the client of one request.

    `progress` is the elapsed seconds: it grows strictly, and reports are at least 250 ms apart.
    `message` is the newest streamed text, at most 500 characters of it, else status and time. A
    client that did not ask for progress hears nothing. Text between two reports is kept for the
    later one.
    """

    def __init__(self, session: ServerSession) -> None:
        self._session = session
        self._text = ""
        self._last_s: float | None = None
        self._leg_s = 0.0
        self._before_s = 0.0
        self.execution_id: ExecutionId | None = None
        """Our row, known from the first report on: right after it was written."""

    async def __call__(self, progress: Progress) -> None:
        """Take note of `progress` and tell the client when it is time to."""
        self.execution_id = progress.execution_id
        if progress.text:
            self._text = (self._text + progress.text)[-_KEPT_TEXT:]
        elapsed_s = self._elapsed_s(progress.elapsed_s)
        if self._last_s is not None and elapsed_s - self._last_s < LEAST_APART_S:
            return
        self._last_s = elapsed_s
        message = self._taken_text() or f"{progress.status.value}, {elapsed_s:.0f} s"
        await self._session.report_progress(round(elapsed_s, 3), None, message)

    def _elapsed_s(self, leg_s: float) -> float:
        """Seconds since the request began: each waiting within it counts from its own zero."""
        if leg_s < self._leg_s:
            self._before_s += self._leg_s
        self._leg_s = leg_s
        return self._before_s + leg_s

    def _taken_text(self) -> str:
        text, self._text = self._text, ""
        return text if len(text) <= LONGEST_MESSAGE else f"…{text[1 - LONGEST_MESSAGE :]}"
