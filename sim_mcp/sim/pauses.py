"""Where a run waits, and the form it waits for (sim-api 1.11, 6).

Only what a person needs to answer is read. The snapshot of the run, the queue and the metadata that
SIM sends along hold resolved secrets and block outputs; they end here.
"""

from __future__ import annotations

from sim_mcp.model.json import Json, JsonObject, is_array, is_object
from sim_mcp.model.run import PauseField, PausePoint
from sim_mcp.sim.parsing import moment_of, object_at, objects_in, text_at

_OPEN = frozenset({"paused", "queued", "resuming", "failed", ""})


def pauses_of_record(record: JsonObject) -> tuple[PausePoint, ...]:
    """The open pause points of `GET .../paused/{run}`; those already resumed are left out."""
    return tuple(
        _point(
            point,
            form=object_at(point, "response", "data"),
            kind=text_at(point, "pauseKind") or "human",
            status=text_at(point, "resumeStatus") or "paused",
        )
        for point in objects_in(record.get("pausePoints"))
        if text_at(point, "contextId") and text_at(point, "resumeStatus") in _OPEN
    )


def pauses_of_output(output: Json) -> tuple[PausePoint, ...]:
    """The pause points that an execute answer shows in its `output`.

    Empty when the output does not tell them all: then they must be asked for.
    """
    found: list[PausePoint] = []
    for block in _paused_blocks(output):
        form = object_at(block, "data")
        resume = object_at(form, "_resume")
        if not text_at(resume, "contextId"):
            return ()
        found.append(_point(resume, form=form, kind="human", status="paused"))
    return tuple(found)


def has_certain_pause(output: Json) -> bool:
    """Whether `output` is the form of a pause: no other block produces a `_resume`."""
    return bool(object_at(output, "data", "_resume")) or any(
        object_at(block, "data", "_resume") for block in _paused_blocks(output)
    )


def may_be_pause(output: Json) -> bool:
    """Whether `output` could be a pause as well as a result; only SIM's record of the run can tell.

    Several pauses at once and waiting for time have shapes that an author can imitate, and a pause
    of operation `api` may look exactly like the output of an HTTP block (sim-api 1.11).
    """
    if not is_object(output):
        return False
    if "pausedBlocks" in output or "resumeAt" in output:
        return True
    return "data" in output and "status" in output and is_object(output.get("headers"))


def is_likely_pause(output: Json) -> bool:
    """Whether, when SIM's record cannot be had, `output` should rather be taken for a pause."""
    return is_object(output) and ("pausedBlocks" in output or "resumeAt" in output)


def time_pause_of(paused: JsonObject) -> tuple[PausePoint, ...]:
    """The pause in a status record, if it is the only one and waits for time."""
    if text_at(paused, "pauseKind") != "time" or not text_at(paused, "contextId"):
        return ()
    if paused.get("pausePointCount", 1) != 1:
        return ()
    return (_point(paused, form={}, kind="time", status="paused"),)


def _paused_blocks(output: Json) -> list[JsonObject]:
    if not is_object(output):
        return []
    if is_array(output.get("pausedBlocks")):
        return objects_in(output.get("pausedBlocks"))
    return [output] if object_at(output, "data", "_resume") else []


def _point(source: JsonObject, *, form: JsonObject, kind: str, status: str) -> PausePoint:
    return PausePoint(
        context_id=text_at(source, "contextId"),
        kind=kind,
        fields=tuple(_field(item) for item in objects_in(form.get("inputFormat")) if text_at(item, "name")),
        display=tuple(
            {"name": item.get("name"), "type": item.get("type"), "value": item.get("value")}
            for item in objects_in(form.get("responseStructure"))
        ),
        resume_at=moment_of(source.get("resumeAt")),
        status=status,
    )


def _field(item: JsonObject) -> PauseField:
    options = item.get("options")
    return PauseField(
        name=text_at(item, "name"),
        label=text_at(item, "label") or text_at(item, "name"),
        type=text_at(item, "type"),
        required=item.get("required") is True,
        description=text_at(item, "description"),
        placeholder=text_at(item, "placeholder"),
        options=tuple(options) if is_array(options) else (),
        value=item.get("value"),
    )
