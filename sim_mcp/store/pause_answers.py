"""Answering pauses: of any number of callers that saw the same paused row, one goes on with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.execution import Execution, PauseAnswer, Status
from sim_mcp.store import columns
from sim_mcp.store.execution_rows import ExecutionTable, answers_text

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class PauseAnswers(ExecutionTable):
    """The part of `Executions` that lets paused rows go on."""

    async def begin_answer(
        self, execution: Execution, answer: PauseAnswer, *, follow_up_at: datetime
    ) -> bool:
        """Note, before it is sent to SIM, that `answer` lets the paused `execution` go on.

        Of any number of callers that saw the same row one wins: the row is `processing` from then on,
        to be looked at by `follow_up_at` should the winner die.
        """
        touched = await self.database.execute(
            "UPDATE executions SET status = ?, answers = ?, pauses = NULL, looks = 0, follow_up_at = ?"
            " WHERE tenant_id = ? AND id = ? AND status = ? AND COALESCE(answers, '') = ?",
            [
                *(Status.PROCESSING, answers_text([*execution.answers, answer])),
                columns.micros(follow_up_at),
                *(execution.tenant_id, execution.id, Status.PAUSED),
                answers_text(execution.answers) or "",
            ],
        )
        return touched == 1

    async def undo_answer(self, execution: Execution, *, follow_up_at: datetime) -> bool:
        """Take back `begin_answer`: SIM surely did not take it, so `execution` (as seen before) waits on."""
        touched = await self.database.execute(
            "UPDATE executions SET status = ?, answers = ?, pauses = ?, follow_up_at = ?"
            " WHERE tenant_id = ? AND id = ? AND status = ?",
            [
                *(Status.PAUSED, answers_text(execution.answers)),
                columns.maybe_json_text(execution.pauses),
                columns.micros(follow_up_at),
                *(execution.tenant_id, execution.id, Status.PROCESSING),
            ],
        )
        return touched == 1
