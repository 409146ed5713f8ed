"""How a workflow's inputs have moved away from the schema that a spec pins (contract 6)."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from sim_mcp.catalog.inputs import properties_of, without_inputs
from sim_mcp.catalog.text import shortened
from sim_mcp.model.json import is_array, is_object
from sim_mcp.model.lock import Change, ChangeClass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sim_mcp.model.json import Json, JsonObject
    from sim_mcp.model.tool import WorkflowTool


def drift_between(pinned: JsonObject, actual: JsonObject) -> tuple[str, ...]:
    """What differs between the `pinned` input schema and the `actual` one of the deployed workflow.

    One sentence per difference, sorted by input; empty when they agree. Only names and types are
    compared: SIM knows no other rule, and a spec may well be stricter or better described. A pinned
    schema that names no inputs and allows any agrees with everything.
    """
    ours, theirs = properties_of(pinned), properties_of(actual)
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


def drift_of_tool(tool: WorkflowTool, deployed: JsonObject) -> tuple[str, ...]:
    """`drift_between` the tool's schema and the `deployed` one, with the tool's bound inputs in mind."""
    bound = [each.name for each in tool.bindings]
    missing = [name for name in bound if name not in properties_of(deployed)]
    return (
        *drift_between(tool.input_schema, without_inputs(deployed, bound)),
        *(f"The workflow has no input {shortened(name)!r}, which the spec binds." for name in missing),
    )


def changes_between(
    approved: Mapping[str, str],
    deployed: Mapping[str, str],
    *,
    offered: JsonObject,
    bound: Collection[str] = (),
) -> tuple[Change, ...]:
    """How the inputs of a workflow changed since they were approved, and what that means for its callers.

    Both map names to SIM's words for types. An input that `offered`, the tool's input schema, does not
    offer cannot be sent, unless it is `bound`; that it went or changed breaks no call.
    """
    gone, new = sorted(approved.keys() - deployed.keys()), sorted(deployed.keys() - approved.keys())
    found: list[Change] = []
    for name in gone:
        twins = [each for each in new if deployed[each] == approved[name]]
        meant = f"; {shortened(twins[0])!r} is new, perhaps it was renamed" if len(twins) == 1 else ""
        found.append(_change(name, f"The input {shortened(name)!r} is gone{meant}.", offered, bound))
    for name in sorted(approved.keys() & deployed.keys()):
        was, now = approved[name], deployed[name]
        if was != now:
            said = f"The input {shortened(name)!r} is {shortened(now)} now; {shortened(was)} was approved."
            found.append(_change(name, said, offered, bound))
    found.extend(
        Change(
            kind=ChangeClass.COMPATIBLE, sentence=f"The input {shortened(name)!r} is new; it is not offered."
        )
        for name in new
    )
    return tuple(found)


def _change(name: str, sentence: str, offered: JsonObject, bound: Collection[str]) -> Change:
    named = properties_of(offered)
    is_open = not named and offered.get("additionalProperties", True) is not False
    is_sent = name in named or name in bound or is_open
    return Change(kind=ChangeClass.BREAKING if is_sent else ChangeClass.COMPATIBLE, sentence=sentence)


def digest_of_text(tool: WorkflowTool) -> str:
    """A digest of everything that a model reads of `tool`: any change of it needs an approval."""
    hints = tool.hints
    read = {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "input_schema": tool.input_schema,
        "output_schema": tool.output_schema,
        "describe_usage": tool.describe_usage,
        "hints": [hints.read_only, hints.destructive, hints.idempotent, hints.open_world],
    }
    text = json.dumps(read, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


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
