"""What a model is told about an execution: the state, its cause, what is safe now, and who acts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.execution import Status
from sim_mcp.model.json import Json, JsonObject, is_array, is_object

if TYPE_CHECKING:
    from datetime import datetime

    from sim_mcp.app import Usage
    from sim_mcp.model.execution import Execution

_ADVICE: dict[ErrorCode, str] = {
    ErrorCode.INVALID_INPUT: "Nothing was run: correct the arguments and call again.",
    ErrorCode.UNAUTHORIZED: "Nothing was run, and calling again does not help: an administrator has to act.",
    ErrorCode.USAGE_LIMIT_EXCEEDED: "An administrator has to raise the limit first.",
    ErrorCode.FORBIDDEN: "Nothing was run: an administrator has to act.",
    ErrorCode.NOT_FOUND: "Nothing was run: an administrator has to look at the allow-list.",
    ErrorCode.TIMEOUT: "It may have had effects until then. An administrator can raise the tool's timeout_s "
    "or choose `mode: async`.",
    ErrorCode.NOT_CONFIGURED: "Nothing was run.",
    ErrorCode.DISABLED: "Nothing was run.",
    ErrorCode.NOT_DEPLOYED: "Nothing was run: its author has to deploy it in SIM.",
    ErrorCode.RATE_LIMIT_EXCEEDED: "Nothing was run: call again later.",
    ErrorCode.EXECUTION_ERROR: "Calling again runs it again from the start: correct the cause first.",
    ErrorCode.SIM_UNAVAILABLE: "Nothing was run: calling again later is safe.",
    ErrorCode.CIRCUIT_OPEN: "Nothing was run: call again later.",
    ErrorCode.OUTCOME_UNKNOWN: "It may have run. Follow it with sim_get_execution.",
}
_LONGEST_LABEL = 200


def refusal_sentence(
    code: ErrorCode, message: str, *, retry_after_s: float | None, execution_id: str | None
) -> str:
    """Why a call did not succeed, what is safe now, and the execution to name when asking about it."""
    cause = f"The workflow failed: {message}" if code is ErrorCode.EXECUTION_ERROR else message
    parts = [cause if cause.endswith((".", "!", "?")) else f"{cause}.", _ADVICE.get(code, "")]
    if retry_after_s is not None:
        parts.append(f"Wait {retry_after_s:.0f} s.")
    if execution_id is not None:
        parts.append(f"Execution {execution_id}.")
    return " ".join([f"{code.value}:", *(part for part in parts if part)])


def state_sentence(row: Execution) -> str:
    """One or two sentences about an execution that is not completed."""
    error = row.error
    if row.status is Status.PAUSED:
        return _paused(row)
    if row.status is Status.CANCELLED:
        return (
            f"The run was cancelled; what it did until then stays done. Execution {row.id}. "
            "Call again only if the user wants it."
        )
    if error is not None:
        return refusal_sentence(
            error.code, error.message, retry_after_s=error.retry_after_s, execution_id=row.id
        )
    if row.status is Status.FAILED:
        return f"EXECUTION_ERROR: The run failed without a reason given. Execution {row.id}."
    return (
        f"The run is still {row.status.value} and goes on. Do not call again; follow it with "
        f'sim_get_execution(execution_id="{row.id}", wait_s=45).'
    )


def usage_sentence(known: Usage) -> str:
    """How long such runs take and how many succeed, for deciding whether to call and when to look again."""
    told: list[str] = []
    if known.usual is not None:
        told.append(
            f"Usually it takes {_seconds(known.usual.p50_s)}, rarely more than {_seconds(known.usual.p95_s)} "
            f"(median and 95 % of the last {known.usual.runs} completed runs)."
        )
    if known.success_rate is not None:
        told.append(f"Of the runs of the last 30 days {known.success_rate:.0%} succeeded.")
    return " ".join(told)


def attached_sentence(row: Execution, *, now: datetime) -> str:
    """That nothing was started, because the same call had been made before."""
    age_s = max(0.0, (now - row.created_at).total_seconds())
    return (
        f"Nothing was started now: the same call was made {_seconds(age_s)} ago, and this is its execution "
        f"{row.id}. To run it once more, call with a new `idempotency_key` in `_meta`."
    )


def _seconds(duration_s: float) -> str:
    return f"{duration_s:.1f} s" if duration_s < 10 else f"{duration_s:.0f} s"


def _paused(row: Execution) -> str:
    points = [point for point in row.pauses if is_object(point)] if is_array(row.pauses) else []
    if not points:
        return (
            f"The run is paused. What it waits for is not known yet: ask with "
            f'sim_get_execution(execution_id="{row.id}").'
        )
    if all(point.get("kind") == "time" for point in points):
        return (
            f"The run is paused until {points[0].get('resume_at')} and then goes on by itself. Do not call "
            f'again; look with sim_get_execution(execution_id="{row.id}").'
        )
    is_one = len(points) == 1
    waits = "\n".join(_point(point, is_one=is_one) for point in points if point.get("kind") != "time")
    context = "" if is_one else ', context_id="…"'
    wanted = row.approver_permission
    who = "" if wanted is None else f" Only somebody with the permission {wanted.value} may answer."
    return (
        "The run is paused and waits for a person: this is not a success. Ask the user, never answer for "
        f'them, then call sim_resume_execution(execution_id="{row.id}", input={{…}}{context}).{who}\n{waits}'
    )


def _point(point: JsonObject, *, is_one: bool) -> str:
    fields = point.get("fields")
    listed = [_field(field) for field in fields if is_object(field)] if is_array(fields) else []
    where = "Form" if is_one else f"Form of context_id {point.get('context_id')!r}"
    shown = _display(point.get("display"))
    return f"{where}: {'; '.join(listed) or 'no fields, an empty input will do'}.{shown}"


def _field(field: JsonObject) -> str:
    need = "required" if field.get("required") else "optional"
    text = f"{field.get('name')} ({field.get('type')}, {need})"
    about = _short(field.get("description") or field.get("label"))
    return f"{text}: {about}" if about and about != field.get("name") else text


def _display(display: Json) -> str:
    items = [item for item in display if is_object(item)] if is_array(display) else []
    known = [
        f"{item.get('name')} = {_short(item.get('value'))}"
        for item in items
        if isinstance(item.get("value"), str | int | float)
    ]
    return f" Show the user: {'; '.join(known)}." if known else ""


def _short(value: Json) -> str:
    text = " ".join(str(value or "").split()) if not isinstance(value, int | float) else str(value)
    return text if len(text) <= _LONGEST_LABEL else f"{text[:_LONGEST_LABEL]}…"
