"""From SIM's input fields to JSON Schema 2020-12.

SIM itself validates nothing (sim-api 1.5): a wrong type reaches the workflow. This schema is the
only guard, and it is only as strict as SIM's declarations allow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.model.json import Json, JsonObject

if TYPE_CHECKING:
    from sim_mcp.model.run import InputField, WorkflowInputs

DIALECT_URI = "https://json-schema.org/draft/2020-12/schema"
FILE_TYPE = "file[]"
"""SIM's only type for uploads (sim-api 1.5)."""


def input_schema_of(inputs: WorkflowInputs) -> JsonObject:
    """The JSON Schema of a workflow's input.

    Nothing is required, because SIM has a default for everything; unknown properties are refused,
    because SIM would silently ignore a misspelt one. A type that we do not know accepts any value.
    """
    properties: dict[str, Json] = {field.name: _property(field) for field in inputs.fields}
    return {
        "$schema": DIALECT_URI,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def file_fields_of(inputs: WorkflowInputs) -> tuple[str, ...]:
    """The names of the fields that take files; they change how legacy wants the body."""
    return tuple(field.name for field in inputs.fields if field.type == FILE_TYPE)


def _property(field: InputField) -> JsonObject:
    schema: dict[str, Json] = dict(_type_schema(field.type))
    if field.description:
        schema["description"] = field.description
    if field.default is not None:
        schema["default"] = field.default
    return schema


def _type_schema(sim_type: str) -> JsonObject:
    match sim_type:
        case "string" | "number" | "boolean" | "object":
            return {"type": sim_type}
        case "array":
            return {"type": "array", "items": {}}
        case "file[]":
            return {"type": "array", "items": _file_schema()}
        case _:
            return {}


def _file_schema() -> JsonObject:
    return {
        "type": "object",
        "properties": {
            "type": {
                "enum": ["file", "url"],
                "description": "`file`: inline content; `url`: SIM fetches it.",
            },
            "data": {
                "type": "string",
                "description": "For `file`: `data:<mime>;base64,<content>`, at most 20 MB. "
                "For `url`: an https address.",
            },
            "name": {"type": "string", "minLength": 1, "description": "File name with its extension."},
            "mime": {"type": "string", "description": "Media type, for example `application/pdf`."},
        },
        "required": ["type", "data", "name", "mime"],
        "additionalProperties": False,
    }
