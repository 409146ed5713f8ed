"""What SIM says about a run, in our words: statuses, failures, and outputs.

Only the word `completed` is a success. A word that we do not know is `processing`: never a success,
never final (sim-api 11.34).
"""

from __future__ import annotations

from dataclasses import replace

from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.execution import ExecutionError, Status
from sim_mcp.model.json import Json, JsonObject, is_object
from sim_mcp.model.run import Run, RunId
from sim_mcp.sim.exchange import Answer
from sim_mcp.sim.parsing import number_at, object_at, text_at, whole_at
from sim_mcp.sim.pauses import time_pause_of
from sim_mcp.sim.wording import Wording

_WORDS = {
    "queued": Status.QUEUED,
    "pending": Status.QUEUED,
    "paused": Status.PAUSED,
    "completed": Status.COMPLETED,
    "failed": Status.FAILED,
    "cancelled": Status.CANCELLED,
    "canceled": Status.CANCELLED,
}


def status_of(word: Json) -> Status:
    """Our status for SIM's word; `processing` for `running`, `redacting`, and anything unknown."""
    return _WORDS.get(word, Status.PROCESSING) if isinstance(word, str) else Status.PROCESSING


def failure(said: Json, words: Wording) -> ExecutionError:
    """Why a run failed. `said` is legacy's text or v2's `{message, code, blockName}`.

    SIM derives its codes from texts (sim-api 2.2), so only two of them are kept: `TIMEOUT` and
    `USAGE_LIMIT_EXCEEDED`. All others are `EXECUTION_ERROR`, even when an HTTP status was borrowed.
    """
    text = said if isinstance(said, str) else text_at(object_at(said), "message")
    sim_code = text_at(object_at(said), "code")
    code = ErrorCode.EXECUTION_ERROR
    if sim_code == "TIMEOUT" or (not sim_code and is_timeout_text(text)):
        code = ErrorCode.TIMEOUT
    elif sim_code == "USAGE_LIMIT_EXCEEDED":
        code = ErrorCode.USAGE_LIMIT_EXCEEDED
    block = words.tidy(text_at(object_at(said), "blockName"), limit=100)
    return ExecutionError(
        code=code,
        message=words.tidy(text) or "The workflow failed; SIM gave no reason.",
        block_name=block or None,
    )


def is_timeout_text(text: str) -> bool:
    """Whether a run's error text is SIM's own sentence for a timeout."""
    return text.startswith("Execution timed out")


def is_cancel_text(text: str) -> bool:
    """Whether a run's error text says that somebody cancelled it (sim-api 1.8)."""
    lowered = text.lower()
    return lowered.startswith(("client cancelled", "cancelled", "canceled")) or (
        "execution" in lowered and ("was cancelled" in lowered or "execution cancelled" in lowered)
    )


def unsuccessful(error: Json, words: Wording) -> tuple[Status, ExecutionError | None]:
    """Status and reason of a run with `success: false`: cancelled when no error or a cancel is told."""
    text = error if isinstance(error, str) else text_at(object_at(error), "message")
    if text_at(object_at(error), "code") == "CANCELLED" or not text or is_cancel_text(text):
        return Status.CANCELLED, None
    return Status.FAILED, failure(error, words)


def with_output(run: Run, output: Json, *, kept_back: int) -> Run:
    """`run` with SIM's `output`, and how many values of it SIM kept to itself."""
    return replace(run, output=output, truncated=kept_back)


def run_of_status(answer: Answer, record: JsonObject, *, run_id: RunId, output: Json, words: Wording) -> Run:
    """A run from a status resource (sim-api 4.2, 4.4), whose `error` is a text or an object.

    `pauses` is filled only when the record tells all there is: a single pause for time.
    """
    status = status_of(record.get("status"))
    error = None
    said = record.get("error")
    if status is Status.FAILED:
        if is_object(said) and text_at(said, "code") == "CANCELLED":
            status = Status.CANCELLED
        else:
            error = failure(said, words)
    run = Run(
        status=status,
        run_id=run_id,
        error=error,
        duration_ms=whole_at(record, "durationMs")
        if "durationMs" in record
        else whole_at(record, "totalDurationMs"),
        pauses=time_pause_of(object_at(record.get("paused"))) if status is Status.PAUSED else (),
        cost=number_at(object_at(record.get("cost")), "total"),
        sim_request_id=answer.request_id,
    )
    return with_output(run, output, kept_back=answer.kept_back)
