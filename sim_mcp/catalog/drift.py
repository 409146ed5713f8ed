"""How a workflow's inputs have moved away from the schema that a spec pins (contract 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.catalog.text import shortened
from sim_mcp.model.json import is_array, is_object

if TYPE_CHECKING:
    from sim_mcp.model.json import Json, JsonObject


def drift_between(pinned: JsonObject, actual: JsonObject) -> tuple[str, ...]:
    """What differs between the `pinned` input schema and the `actual` one of the deployed workflow.

    One sentence per difference, sorted by input; empty when they agree. Only names and types are
    compared: SIM knows no other rule, and a spec may well be stricter or better described. A pinned
    schema that names no inputs and allows any agrees with everything.
    """
    ours, theirs = _properties(pinned), _properties(actual)
    if not ours and pinned.get("additionalProperties", True) is not False:
        return ()
    found: list[str] = []
    for name in sorted(ours.keys() | theirs.keys()):
        shown = repr(shortened(name))
        if name not in theirs:
            found.append(f"The workflow has no input {shown} any more; the spec still offers it.")
        elif name not in ours:
            found.append(f"The workflow has a new input {shown}; the spec does not offer it.")
        elif not _agree(_types(ours[name]), _types(theirs[name])):
            was, now = _worded(_types(ours[name])), _worded(_types(theirs[name]))
            found.append(f"The input {shown} is {now} in the workflow and {was} in the spec.")
    return tuple(found)


def _properties(schema: JsonObject) -> JsonObject:
    properties = schema.get("properties")
    return properties if is_object(properties) else {}


def _types(schema: Json) -> frozenset[str]:
    """The types that a property allows; empty when it says nothing about it."""
    declared = schema.get("type") if is_object(schema) else None
    named = declared if is_array(declared) else [declared]
    types = {name for name in named if isinstance(name, str) and name != "null"}
    # SIM knows numbers only; a spec that asks for whole ones is stricter, not different.
    return frozenset("number" if name == "integer" else name for name in types)


def _agree(ours: frozenset[str], theirs: frozenset[str]) -> bool:
    return not ours or not theirs or ours <= theirs


def _worded(types: frozenset[str]) -> str:
    return " or ".join(sorted(types))
