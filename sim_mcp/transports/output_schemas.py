"""The output schemas of tools whose result is an execution, and whether an output keeps its own.

No root combinators, no `type` lists, no `$ref` that leaves the schema: clients differ in what they
can read (mcp-notes 6).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.execution import Status
from sim_mcp.model.json import Json, JsonObject, is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT: JsonObject = {"type": "string"}
NUMBER: JsonObject = {"type": "number"}
INTEGER: JsonObject = {"type": "integer"}
BOOLEAN: JsonObject = {"type": "boolean"}
NOTHING: JsonObject = {"type": "null"}
ANYTHING: JsonObject = {}

TRUNCATED: JsonObject = {
    "type": "object",
    "description": "Stands in for an output that is not shown whole; sim_get_execution pages through it.",
    "properties": {"truncated": {"const": True}, "size_bytes": INTEGER, "preview": ANYTHING},
    "required": ["truncated", "size_bytes"],
}

PLANNED = "planned"
"""The status of a dry run: no execution ever has it."""
_PLACE_OF_OUTPUT = "#/properties/output/anyOf/0"
_LITERAL_KEYWORDS = frozenset({"const", "enum", "default", "examples"})
_NAMING_KEYWORDS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})


def maybe(schema: JsonObject) -> JsonObject:
    """`schema` or null."""
    return {"anyOf": [schema, NOTHING]}


def one_of(values: type[Status | ErrorCode]) -> JsonObject:
    """One of the words of an enumeration."""
    return {"type": "string", "enum": [value.value for value in values]}


ERROR: JsonObject = {
    "type": "object",
    "properties": {
        "code": one_of(ErrorCode),
        "message": TEXT,
        "retryable": {**BOOLEAN, "description": "Whether the same call may succeed later by itself."},
        "retry_after_s": maybe(NUMBER),
    },
    "required": ["code", "message", "retryable", "retry_after_s"],
}

PAUSE: JsonObject = {
    "type": "object",
    "properties": {
        "context_id": TEXT,
        "kind": {**TEXT, "description": "human or time"},
        "status": TEXT,
        "resume_at": maybe(TEXT),
        "display": {"type": "array", "items": ANYTHING},
        "fields": {"type": "array", "items": {"type": "object"}},
    },
}


def execution_properties(output_schema: JsonObject | None = None) -> dict[str, Json]:
    """The fields of contract section 7 (and `pauses`, there only while a run is paused)."""
    return {
        "status": one_of(Status),
        "execution_id": maybe(TEXT),
        "run_id": maybe(TEXT),
        "workflow_id": maybe(TEXT),
        "duration_ms": maybe(INTEGER),
        "output": ANYTHING if output_schema is None else _output(output_schema),
        "error": maybe(ERROR),
        "pauses": {"type": "array", "items": PAUSE},
    }


def execution_schema(output_schema: JsonObject | None = None) -> dict[str, Json]:
    """The schema of a workflow tool's structured result; `output_schema` is the spec's own."""
    properties = execution_properties(output_schema)
    required: list[Json] = [name for name in properties if name != "pauses"]
    return {"type": "object", "properties": properties, "required": required}


@cache
def plain_workflow_schema() -> JsonObject:
    """`workflow_schema` of every tool that says nothing about its output: most have no other."""
    return workflow_schema()


def workflow_schema(output_schema: JsonObject | None = None) -> dict[str, Json]:
    """The schema of a workflow tool's structured result, which may also be that of a dry run."""
    schema = execution_schema(output_schema)
    properties = execution_properties(output_schema) | {
        "status": {
            "type": "string",
            "enum": [*(status.value for status in Status), PLANNED],
            "description": f"Only completed is a success. {PLANNED}: a dry run, nothing was run.",
        },
        "plan": {"type": "object", "description": "Only of a dry run: what the call would do."},
    }
    return {**schema, "properties": properties}


def flaw_of(output: Json, schema: JsonObject) -> str | None:
    """Where `output` breaks `schema`, without any value of it; `None` when it does not.

    Only what the schema itself holds is looked up: nothing is fetched.
    """
    from jsonschema import Draft202012Validator
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import SchemaRegistry

    nothing: SchemaRegistry = Registry()
    validator = Draft202012Validator(schema, registry=nothing)
    try:
        error = next(iter(validator.iter_errors(output)), None)  # pyright: ignore[reportUnknownMemberType]  # untyped there
    except (Unresolvable, RecursionError):
        return "$ (the schema cannot be applied to it)"
    return None if error is None else f"{error.json_path} (rule {error.validator!r})"


def _output(schema: JsonObject) -> JsonObject:
    return {"anyOf": [_moved(schema), TRUNCATED, NOTHING]}


def _moved(schema: Json) -> Json:
    """`schema` with its local references pointing to where it stands inside the result's schema."""
    if is_object(schema):
        return {key: _moved_keyword(key, value) for key, value in schema.items()}
    if is_array(schema):
        return [_moved(item) for item in schema]
    return schema


def _moved_keyword(key: str, value: Json) -> Json:
    if key == "$ref" and isinstance(value, str) and (value == "#" or value.startswith("#/")):
        return _PLACE_OF_OUTPUT + value.removeprefix("#")
    if key in _LITERAL_KEYWORDS:
        return value
    if key in _NAMING_KEYWORDS and is_object(value):
        named: Mapping[str, Json] = value
        return {name: _moved(each) for name, each in named.items()}
    return _moved(value)
