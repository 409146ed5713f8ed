"""What the legacy dialect's answers mean (sim-api 1.6 to 1.12, 4.1, 6.3, 11.D).

Legacy puts runs, refusals and authors' own answers into one place. The order of the questions is
the contract: receipt of a queued run, then `success`, then `error`, then a Response block.
"""

from __future__ import annotations

import re

from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.execution import ExecutionError, Status
from sim_mcp.model.json import Json, JsonObject, is_object
from sim_mcp.model.run import Run, RunId
from sim_mcp.sim.exchange import Answer, Effect
from sim_mcp.sim.losses import not_sim
from sim_mcp.sim.outcomes import failure, status_of, unsuccessful, with_output
from sim_mcp.sim.parsing import object_at, text_at, whole_at
from sim_mcp.sim.pauses import has_certain_pause, is_likely_pause, pauses_of_output
from sim_mcp.sim.refusals import refusal
from sim_mcp.sim.wording import Wording

_RUN_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def run_of_execute(answer: Answer, *, run_id: RunId, words: Wording, effect: Effect, what: str) -> Run:
    """The run that an execute answer tells of.

    A Response block answers with its author's status and body, without any envelope (sim-api 1.12).
    Such a run is `completed` with `is_raw`. Its output is the author's body; where the author chose
    an error status (400 and above), the status is part of what was said, so the output is
    `{"status": 418, "data": <body>}`, which is also how v2 shows it.

    Raises:
        SimError: The answer is a refusal, or not SIM's.
    """
    body = answer.object
    if _is_receipt(answer):
        return queued(answer, run_id=_told_run_id(body, run_id))
    if isinstance(body.get("success"), bool) and _is_envelope(answer):
        return _run_of_envelope(answer, run_id=_told_run_id(body, run_id), words=words)
    if _is_refusal(answer):
        raise refusal(answer, words, effect=effect, what=what)
    if not is_object(answer.body) and answer.request_id is None:
        raise not_sim(
            f"HTTP {answer.status} with JSON that is no object", words, effect=effect, status=answer.status
        )
    output: Json = answer.body if answer.status < 400 else {"status": answer.status, "data": answer.body}
    run = Run(status=Status.COMPLETED, run_id=run_id, is_raw=True, sim_request_id=answer.request_id)
    return with_output(run, output, kept_back=answer.kept_back)


def run_of_resume(answer: Answer, *, run_id: RunId, words: Wording, what: str) -> Run:
    """The run after a resume; `run_id` stays the original one, whatever id SIM answers with (sim-api 6.4).

    Raises:
        SimError: The answer is a refusal, or not SIM's.
    """
    body = answer.object
    if answer.status == 202:
        return queued(answer, run_id=run_id)
    word = text_at(body, "status")
    if body.get("success") is False:
        return _run_of_envelope(answer, run_id=run_id, words=words)
    if answer.status >= 400:
        raise refusal(answer, words, effect=Effect.QUEUE, what=what)
    if not word and body.get("success") is True:
        return _run_of_envelope(answer, run_id=run_id, words=words)
    if not word:
        raise not_sim(
            f"HTTP {answer.status} without a status", words, effect=Effect.QUEUE, status=answer.status
        )
    status = status_of(word)
    if status is Status.COMPLETED and body.get("success") is not True:
        status = Status.PROCESSING
    if status is Status.COMPLETED and has_certain_pause(body.get("output")):
        status = Status.PAUSED
    return _run_with(answer, run_id=run_id, status=status, error=_error_for(status, body, words))


def run_of_job(answer: Answer, *, run_id: RunId, job_id: str, words: Wording) -> Run:
    """The run behind a job, for servers that cannot tell by run id (sim-api 4.1).

    A job that `completed` says nothing about the run: its success is at `output.success`, its value
    at `output.output`, and a pause shows by its shape.
    """
    body = answer.object
    status, error = status_of(body.get("status")), None
    result = object_at(body, "output")
    output: Json = None
    if status is Status.FAILED:
        error = failure(body.get("error"), words)
    elif status is Status.COMPLETED:
        has_verdict = isinstance(result.get("success"), bool)
        output = result.get("output") if has_verdict else body.get("output")
        if result.get("success") is False:
            status, error = unsuccessful(result.get("error"), words)
        elif has_certain_pause(output) or is_likely_pause(output):
            status = Status.PAUSED
    run = Run(
        status=status,
        run_id=run_id,
        job_id=job_id,
        error=error,
        pauses=pauses_of_output(output) if status is Status.PAUSED else (),
        duration_ms=whole_at(object_at(result, "metadata"), "duration"),
        sim_request_id=answer.request_id,
    )
    return with_output(run, output, kept_back=answer.kept_back)


def queued(answer: Answer, *, run_id: RunId) -> Run:
    """The receipt of a queued run, in any of its historic shapes (sim-api 1.9)."""
    return Run(
        status=Status.QUEUED,
        run_id=run_id,
        job_id=text_at(answer.object, "jobId") or text_at(answer.object, "taskId") or None,
        sim_request_id=answer.request_id,
    )


def _is_receipt(answer: Answer) -> bool:
    body = answer.object
    ids = (text_at(body, key) for key in ("jobId", "taskId", "runId", "executionId"))
    return answer.status == 202 and (any(ids) or bool(text_at(object_at(body, "data"), "runId")))


def _is_envelope(answer: Answer) -> bool:
    """Whether a body with `success` is SIM's own: a success has 200, and an output or an id."""
    body = answer.object
    return body.get("success") is False or (
        answer.status in {200, 202} and ("output" in body or "executionId" in body)
    )


def _is_refusal(answer: Answer) -> bool:
    """Whether SIM (or a gateway before it) refuses; nothing but a Response block has the other shapes."""
    if answer.status < 400:
        return False
    error = answer.object.get("error")
    if isinstance(error, str) or is_object(error):
        return True
    return answer.request_id is None and bool(text_at(answer.object, "message"))


def _run_of_envelope(answer: Answer, *, run_id: RunId, words: Wording) -> Run:
    body = answer.object
    if body.get("success") is True:
        status = Status.PAUSED if has_certain_pause(body.get("output")) else Status.COMPLETED
        return _run_with(answer, run_id=run_id, status=status, error=None)
    status, error = unsuccessful(body.get("error"), words)
    if answer.status == 499:
        status, error = Status.CANCELLED, None
    elif answer.status == 408:
        text = words.tidy(text_at(body, "error")) or "The workflow timed out."
        status, error = Status.FAILED, ExecutionError(code=ErrorCode.TIMEOUT, message=text)
    elif answer.status != 200 and status is Status.CANCELLED:
        status, error = Status.FAILED, failure(body.get("error"), words)
    return _run_with(answer, run_id=run_id, status=status, error=error)


def _run_with(answer: Answer, *, run_id: RunId, status: Status, error: ExecutionError | None) -> Run:
    body = answer.object
    run = Run(
        status=status,
        run_id=run_id,
        error=error,
        duration_ms=whole_at(object_at(body, "metadata"), "duration"),
        pauses=pauses_of_output(body.get("output")) if status is Status.PAUSED else (),
        sim_request_id=answer.request_id,
    )
    return with_output(run, body.get("output"), kept_back=answer.kept_back)


def _error_for(status: Status, body: JsonObject, words: Wording) -> ExecutionError | None:
    return failure(body.get("error"), words) if status is Status.FAILED else None


def _told_run_id(body: JsonObject, run_id: RunId) -> RunId:
    """SIM's own id where it differs: servers older than July 2026 may not honour ours."""
    told = text_at(body, "executionId") or text_at(object_at(body, "data"), "runId")
    return RunId(told) if _RUN_ID.fullmatch(told) and told.strip(".") else run_id
