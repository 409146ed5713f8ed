"""The form of a paused run as MCP clients show it, and what their users' answers mean (elicitation).

Elicitation knows flat forms of text, numbers, booleans and choices. What SIM asks beyond that
(objects, arrays) is asked for as JSON text and read back. Whether an answer fits is the gateway's
question.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcp_types import ElicitRequestFormParams

from sim_mcp.model.errors import Fault, InvalidInput
from sim_mcp.model.json import Json, JsonObject, is_array, is_object
from sim_mcp.model.pauses import questions_of
from sim_mcp.transports.cutting import compact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim_mcp.model.execution import Execution

FIRST_WITH_TITLED_CHOICES = "2025-11-25"
LONGEST_TEXT = 600
_PRIMITIVES = {"boolean": bool, "number": (int, float), "string": str}


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseForm:
    """One question of a paused run.

    `key` names this asking of it: it is the same for everybody who looks at the same row, and a pause
    that comes again at the same place (a loop) gets another. `note` is said before everything else.
    """

    key: str
    context_id: str
    point: JsonObject
    tool_name: str
    execution_id: str

    def params(self, protocol_version: str, *, note: str = "") -> ElicitRequestFormParams:
        """As `elicitation/create` shows it to users of that revision."""
        fields = _fields(self.point)
        shown = _shown(self.point)
        parts = [
            note,
            f"The workflow behind {self.tool_name!r} is paused and waits for a person's decision.",
            f"It shows: {shown}." if shown else "",
            "" if fields else "It asks for no input: accept to let it go on.",
            f"(Execution {self.execution_id})",
        ]
        properties: dict[str, Any] = {
            str(field.get("name")): _property(field, protocol_version) for field in fields
        }
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        required = [str(field.get("name")) for field in fields if field.get("required") is True]
        if required:
            schema["required"] = required
        return ElicitRequestFormParams(
            message=" ".join(part for part in parts if part), requested_schema=schema
        )

    def answer(self, content: Mapping[str, object] | None) -> dict[str, Json]:
        """What SIM is to get for the `content` that a client brought back; fields left empty stay out.

        Raises:
            InvalidInput: JSON was asked for, and the text is none.
        """
        given: dict[str, Json] = {}
        faults: list[Fault] = []
        for field in _fields(self.point):
            name = str(field.get("name"))
            value = (content or {}).get(name)
            if value is None:
                continue
            try:
                given[name] = _read(field, value)
            except ValueError:
                faults.append(Fault(f"$.{name}", f"must be JSON of type {field.get('type')}"))
        if faults:
            listed = "; ".join(f"{fault.path}: {fault.message}" for fault in faults)
            raise InvalidInput(f"The answer does not fit the form. {listed}.", faults=tuple(faults))
        return given


def forms_of(row: Execution) -> tuple[PauseForm, ...]:
    """A form for each question that `row` waits for now."""
    return tuple(
        PauseForm(
            key=_key(row, str(point.get("context_id"))),
            context_id=str(point.get("context_id")),
            point=point,
            tool_name=row.tool_name,
            execution_id=row.id,
        )
        for point in questions_of(row)
    )


def _key(row: Execution, context_id: str) -> str:
    asked_before = sum(answer.context_id == context_id for answer in row.answers)
    named = f"{row.id}\0{context_id}\0{asked_before}"
    return f"pause-{hashlib.sha256(named.encode('utf-8', 'replace')).hexdigest()[:16]}"


def _fields(point: JsonObject) -> list[JsonObject]:
    fields = point.get("fields")
    return [field for field in fields if is_object(field)] if is_array(fields) else []


def _property(field: JsonObject, protocol_version: str) -> dict[str, Any]:
    kind = str(field.get("type"))
    shown: dict[str, Any] = {"type": kind if kind in _PRIMITIVES else "string"}
    label = _plain(field.get("label"))
    if label:
        shown["title"] = label
    hints = [_plain(field.get("description")), _plain(field.get("placeholder"))]
    if kind in {"object", "array"}:
        hints.append(f"As JSON: an {kind}.")
    described = " ".join(hint for hint in hints if hint)
    if described:
        shown["description"] = described
    choices, value = _choices(field), field.get("value")
    if choices:
        chosen = [text for text, (_, choice) in choices.items() if choice == value]
        default = {"default": chosen[0]} if chosen else {}
        return shown | _choice_keywords(choices, protocol_version) | default
    wanted = _PRIMITIVES.get(kind)
    is_stray_boolean = kind == "number" and isinstance(value, bool)
    if wanted is not None and isinstance(value, wanted) and value != "" and not is_stray_boolean:
        shown["default"] = value
    return shown


def _choice_keywords(choices: dict[str, tuple[str, Json]], protocol_version: str) -> dict[str, Any]:
    values, titles = [*choices], [title for title, _ in choices.values()]
    if values == titles:
        return {"type": "string", "enum": values}
    if protocol_version >= FIRST_WITH_TITLED_CHOICES:
        titled = [{"const": value, "title": title} for value, title in zip(values, titles, strict=True)]
        return {"type": "string", "oneOf": titled}
    return {"type": "string", "enum": values, "enumNames": titles}


def _choices(field: JsonObject) -> dict[str, tuple[str, Json]]:
    """The options by the text that stands for them in a form: their title, and what SIM gets."""
    options = field.get("options")
    found: dict[str, tuple[str, Json]] = {}
    for option in options if is_array(options) else []:
        value: Json = option
        title: Json = option
        if is_object(option):
            value = option.get("id", option.get("value", option.get("label")))
            title = option.get("label", value)
        text = value if isinstance(value, str) else compact(value)
        found[text] = (_plain(title) or text, value)
    return found


def _read(field: JsonObject, value: object) -> Json:
    choices = _choices(field)
    if isinstance(value, str) and value in choices:
        return choices[value][1]
    if field.get("type") in {"object", "array"} and isinstance(value, str):
        parsed: Json = json.loads(value)
        fits = is_object(parsed) if field.get("type") == "object" else is_array(parsed)
        if not fits:
            raise ValueError("another type of JSON")
        return parsed
    return value if isinstance(value, str | int | float | bool) else str(value)


def _shown(point: JsonObject) -> str:
    display = point.get("display")
    items = [item for item in display if is_object(item)] if is_array(display) else []
    return "; ".join(f"{_plain(item.get('name'))} = {_plain(item.get('value'))}" for item in items)


def _plain(value: Json) -> str:
    """`value` on one line of printable characters, of bounded length: it comes from the workflow."""
    text = value if isinstance(value, str) else ("" if value is None else compact(value))
    tidy = "".join(character if character.isprintable() else " " for character in text[: 4 * LONGEST_TEXT])
    line = " ".join(tidy.split())
    return line if len(line) <= LONGEST_TEXT else f"{line[:LONGEST_TEXT]}…"
