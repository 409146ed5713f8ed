"""The form of a paused run: where it comes from, which one an answer is for, and whether it fits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sim_mcp.model.errors import Conflict, Fault, InvalidInput, SimError
from sim_mcp.model.execution import Execution, Status
from sim_mcp.model.json import JsonObject, is_array, is_object
from sim_mcp.model.run import Run, RunId
from sim_mcp.model.tool import WorkflowId

if TYPE_CHECKING:
    from sim_mcp.sim import SimClient


async def with_pauses(client: SimClient, workflow_id: WorkflowId, run_id: RunId, run: Run) -> Run:
    """`run` with what it waits for, asked of SIM when it is paused and its answer did not tell."""
    if run.status is not Status.PAUSED or run.pauses:
        return run
    try:
        return replace(run, pauses=await client.pauses(workflow_id, run_id))
    except SimError:  # the form is a comfort; that the run is paused is the truth
        return run


def pause_point(row: Execution, context_id: str | None) -> JsonObject:
    """The pause point that an answer is for.

    Raises:
        Conflict: the form is unknown, or it is not clear which of several is meant.
    """
    points = [point for point in row.pauses if is_object(point)] if is_array(row.pauses) else []
    open_points = [point for point in points if point.get("status") in {"paused", None}]
    if context_id is not None:
        chosen = [point for point in points if point.get("context_id") == context_id]
        if not chosen:
            known = ", ".join(repr(point.get("context_id")) for point in open_points)
            raise Conflict(f"The run does not wait at {context_id!r}; it waits at: {known or 'nowhere'}.")
        return chosen[0]
    if len(open_points) == 1:
        return open_points[0]
    known = ", ".join(repr(point.get("context_id")) for point in open_points)
    raise Conflict(
        f"The run waits at {len(open_points)} places; say which with `context_id`: {known or 'unknown yet'}."
    )


_TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "string": (str,),
    "number": (int, float),
    "object": (dict,),
    "array": (list,),
}


def check_answer(point: JsonObject, answer: JsonObject) -> None:
    """Check `answer` against the form: SIM itself checks nothing (sim-api 6.2).

    Raises:
        InvalidInput: each fault with its field; values are never repeated.
        Conflict: the run waits for a time, not for a person.
    """
    if point.get("kind") == "time":
        raise Conflict(f"The run goes on by itself at {point.get('resume_at')}; it cannot be answered.")
    fields = point.get("fields")
    faults: list[Fault] = []
    for field in fields if is_array(fields) else []:
        if is_object(field):
            faults.extend(_field_faults(field, answer))
    if faults:
        listed = "; ".join(f"{fault.path}: {fault.message}" for fault in faults)
        raise InvalidInput(f"The answer does not fit the form. {listed}.", faults=tuple(faults))


def _field_faults(field: JsonObject, answer: JsonObject) -> list[Fault]:
    name = str(field.get("name"))
    value = answer.get(name)
    if value is None:
        return [Fault(f"$.{name}", "is required")] if field.get("required") else []
    wanted = _TYPES.get(str(field.get("type")))
    is_stray_boolean = isinstance(value, bool) and field.get("type") == "number"
    if wanted is not None and (not isinstance(value, wanted) or is_stray_boolean):
        return [Fault(f"$.{name}", f"must be a {field.get('type')}, not a {type(value).__name__}")]
    options = field.get("options")
    allowed = [_option_value(option) for option in options] if is_array(options) else []
    if allowed and value not in allowed:
        return [Fault(f"$.{name}", f"must be one of {allowed!r}")]
    return []


def _option_value(option: object) -> object:
    if is_object(option):
        return option.get("id", option.get("value", option.get("label")))
    return option
