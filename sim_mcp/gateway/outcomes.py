"""From what SIM said (or failed to say) to what the row says: pure functions."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta

from sim_mcp.gateway.masking import Secrets
from sim_mcp.gateway.redaction import Redactor
from sim_mcp.gateway.stopping import is_to_be_cancelled
from sim_mcp.model.errors import ErrorCode, SimMcpError
from sim_mcp.model.execution import Execution, ExecutionError, Status
from sim_mcp.model.json import Json, JsonObject, is_array, is_object
from sim_mcp.model.pauses import goes_on_at
from sim_mcp.model.run import PausePoint, Run
from sim_mcp.store import Outcome

MAX_STORED_INPUT_BYTES = 256 * 1024
MAX_STORED_OUTPUT_BYTES = 16 * 1024 * 1024
FIRST_CHECK_S = 2.0
SLOWEST_CHECK_S = 15.0
FIRST_PAUSED_CHECK_S = 15.0
SLOWEST_PAUSED_CHECK_S = 240.0
CANCELLING_CHECK_S = 8.0
LONGEST_CHECK_S = 900.0
"""No due time is set further ahead: so one that is tells that the clock went back."""


def outcome_of(run: Run, *, secrets: Secrets, redactor: Redactor) -> Outcome:
    """What a row stores of `run`, with every known secret masked."""
    return Outcome(
        output=bounded(secrets.mask(without_links(run.output)), MAX_STORED_OUTPUT_BYTES),
        error=_masked(run.error, secrets, redactor),
        run_id=run.run_id,  # old servers ignore the id that we chose and name their own
        job_id=run.job_id,
        pauses=secrets.mask([pause_to_json(pause) for pause in run.pauses]) or None,
        duration_ms=run.duration_ms,
        cost=run.cost,
        is_known=True,
    )


def error_of(error: SimMcpError, *, secrets: Secrets | None = None, redactor: Redactor) -> ExecutionError:
    """What a row stores of `error`."""
    plain = ExecutionError(
        code=error.code,
        message=error.message,
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
    )
    masked = _masked(plain, secrets or Secrets(), redactor)
    return masked or plain


def without_links(value: Json) -> Json:
    """`value` without SIM's resume links: they name hosts that are nobody's business (sim-api 10.1)."""
    if is_object(value):
        return {key: without_links(item) for key, item in value.items() if key != "_resume"}
    return [without_links(item) for item in value] if is_array(value) else value


def bounded(value: Json, limit_bytes: int) -> Json:
    """`value`, or a note of its size when its JSON is larger than `limit_bytes`."""
    size_bytes = json_size_bytes(value)
    if size_bytes <= limit_bytes:
        return value
    return {"truncated": True, "size_bytes": size_bytes, "limit_bytes": limit_bytes}


def json_size_bytes(value: Json) -> int:
    """The length of `value` as compact JSON in UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode("utf-8", "surrogatepass"))


def pause_to_json(pause: PausePoint) -> JsonObject:
    """One pause point as rows and clients see it."""
    return {
        "context_id": pause.context_id,
        "kind": pause.kind,
        "status": pause.status,
        "resume_at": pause.resume_at.isoformat() if pause.resume_at else None,
        "display": list(pause.display),
        "fields": [
            {
                "name": field.name,
                "label": field.label,
                "type": field.type,
                "required": field.required,
                "description": field.description,
                "placeholder": field.placeholder,
                "options": list(field.options),
                "value": field.value,
            }
            for field in pause.fields
        ],
    }


def next_check_at(
    row: Execution,
    *,
    looks: int,
    now: datetime,
    jitter: Callable[[], float] = random.random,
) -> datetime:
    """When to ask SIM again about the unfinished `row`, as it stands after its look number `looks`.

    The wait doubles from 2 s to 15 s, and from 15 s to 240 s while the run waits for a person, with up to
    25 % added so that many runs do not ask in step. A run that waits for a time is left alone until then.
    One that is to be cancelled is asked about every few seconds.
    """
    goes_on = goes_on_at(row)
    if goes_on is not None and goes_on > now:
        at = goes_on + timedelta(seconds=0.25 * jitter())
        return min(at, now + timedelta(seconds=LONGEST_CHECK_S))
    first_s, slowest_s = FIRST_CHECK_S, SLOWEST_CHECK_S
    if row.status is Status.PAUSED and goes_on is None:
        first_s, slowest_s = FIRST_PAUSED_CHECK_S, SLOWEST_PAUSED_CHECK_S
    if is_to_be_cancelled(row, now):
        first_s, slowest_s = FIRST_CHECK_S, CANCELLING_CHECK_S
    wait_s = min(slowest_s, first_s * 2 ** min(looks, 10))
    return now + timedelta(seconds=wait_s * (1 + 0.25 * jitter()))


def lost_run_error(message: str) -> ExecutionError:
    """The error of a row whose run's outcome cannot be learned, or not yet."""
    return ExecutionError(code=ErrorCode.OUTCOME_UNKNOWN, message=message)


def _masked(error: ExecutionError | None, secrets: Secrets, redactor: Redactor) -> ExecutionError | None:
    if error is None:
        return None
    return ExecutionError(
        code=error.code,
        message=redactor.text(secrets.mask_text(error.message)),
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
        block_name=error.block_name,
    )
