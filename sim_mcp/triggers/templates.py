"""Which events a mapping means, and what its workflow gets of them: pure functions over JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.model.errors import Fault, InvalidInput
from sim_mcp.model.json import Json, is_array, is_object, nests_deeper_than
from sim_mcp.model.pointers import at_pointer

if TYPE_CHECKING:
    from collections.abc import Mapping as Members
    from collections.abc import Sequence

    from sim_mcp.model.events import Condition, Event
    from sim_mcp.model.json import JsonObject

DEEPEST = 32
_ABSENT = object()
ENVELOPE = ("id", "event", "occurred_at", "chain")


def holds(condition: Condition, data: Json) -> bool:
    """Whether `data` meets `condition`."""
    found = _found(data, condition.pointer)
    if found is _ABSENT:
        return False
    if condition.has_equals:
        return _equal(found, condition.equals)
    return _is_within(found, condition.at_least, condition.at_most)


def filled(template: JsonObject | None, event: Event, chain: Sequence[str]) -> JsonObject:
    """The input that `template` makes of `event`; without one, the event's data.

    `{"$from": "/pointer"}` stands for what is there in the data, `{"$from": …, "default": …}` for the
    default where nothing is, `{"$event": "id"}` for the event's own id, name, time or chain.

    Raises:
        InvalidInput: nothing is at a pointer that has no default.
    """
    if template is None:
        return event.data
    envelope: dict[str, Json] = {
        "id": event.id,
        "event": event.name,
        "occurred_at": event.occurred_at,
        "chain": list(chain),
    }
    return {key: _fill(value, event.data, envelope) for key, value in template.items()}


def check_template(template: JsonObject | None) -> None:
    """Return when `template` can be filled with some data.

    Raises:
        InvalidInput: with each fault's path.
    """
    if template is None:
        return
    if nests_deeper_than(template, DEEPEST):
        raise InvalidInput(f"The input template nests deeper than {DEEPEST} levels; flatten it.")
    faults = [*_faults(template, "$.input")]
    if faults:
        raise InvalidInput("The input template cannot be filled.", faults=tuple(faults))


def check_pointer(pointer: str, path: str) -> Fault | None:
    """The fault of something that is no JSON pointer."""
    try:
        at_pointer({}, pointer)
    except InvalidInput as error:
        if "leads nowhere" in error.message:
            return None
        return Fault(path, error.faults[0].message if error.faults else error.message)
    return None


def _faults(value: Json, path: str) -> Sequence[Fault]:
    if is_array(value):
        return [fault for at, each in enumerate(value) for fault in _faults(each, f"{path}[{at}]")]
    if not is_object(value):
        return []
    if "$from" in value:
        pointer = value["$from"]
        if not isinstance(pointer, str) or set(value) - {"$from", "default"}:
            return [Fault(path, 'must be {"$from": "/pointer"}, with or without a "default"')]
        fault = check_pointer(pointer, path)
        return [fault] if fault else []
    if "$event" in value:
        if set(value) == {"$event"} and value["$event"] in ENVELOPE:
            return []
        return [Fault(path, f'must be {{"$event": …}} with one of {", ".join(ENVELOPE)}')]
    return [fault for key, each in value.items() for fault in _faults(each, f"{path}.{key}")]


def _fill(value: Json, data: Json, envelope: Members[str, Json]) -> Json:
    if is_array(value):
        return [_fill(each, data, envelope) for each in value]
    if not is_object(value):
        return value
    if isinstance(pointer := value.get("$from"), str):
        if "default" not in value:
            return at_pointer(data, pointer)
        found = _found(data, pointer)
        return value["default"] if found is _ABSENT else at_pointer(data, pointer)
    if isinstance(part := value.get("$event"), str):
        return envelope.get(part)
    return {key: _fill(each, data, envelope) for key, each in value.items()}


def _found(data: Json, pointer: str) -> object:
    try:
        return at_pointer(data, pointer)
    except InvalidInput:
        return _ABSENT


def _equal(found: object, wanted: Json) -> bool:
    """JSON's equality: `true` is not 1, and 1 is 1.0."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if is_array(found) and is_array(wanted):
        return len(found) == len(wanted) and all(map(_equal, found, wanted))
    if is_object(found) and is_object(wanted):
        return found.keys() == wanted.keys() and all(_equal(found[key], wanted[key]) for key in found)
    return found == wanted


def _is_within(found: object, at_least: float | str | None, at_most: float | str | None) -> bool:
    return (at_least is None or _is_ordered(at_least, found)) and (
        at_most is None or _is_ordered(found, at_most)
    )


def _is_ordered(lower: object, upper: object) -> bool:
    if isinstance(lower, bool) or isinstance(upper, bool):
        return False
    if isinstance(lower, int | float) and isinstance(upper, int | float):
        return lower <= upper
    return isinstance(lower, str) and isinstance(upper, str) and lower <= upper
