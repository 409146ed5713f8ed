"""SIM's input fields as JSON Schema."""

from __future__ import annotations

from typing import Any

import pytest
from inline_snapshot import snapshot
from jsonschema import Draft202012Validator

from sim_mcp.model.json import JsonObject
from sim_mcp.model.run import InputField, WorkflowInputs
from sim_mcp.sim import file_fields_of, input_schema_of

INPUTS = WorkflowInputs(
    fields=(
        InputField(name="employee", type="string", description="Employee name"),
        InputField(name="hours", type="number", default=7.5),
        InputField(name="billable", type="boolean", default=False),
        InputField(name="tags", type="array"),
        InputField(name="meta", type="object"),
        InputField(name="docs", type="file[]", description="Receipts"),
        InputField(name="odd", type="hologram", description="Newer than we are"),
    ),
    is_deployed_version=True,
)


def test_each_type_of_sim_has_its_schema() -> None:
    """Defaults and descriptions are kept, nothing is required, and an unknown type accepts anything."""
    assert input_schema_of(INPUTS) == snapshot(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "employee": {"type": "string", "description": "Employee name"},
                "hours": {"type": "number", "default": 7.5},
                "billable": {"type": "boolean", "default": False},
                "tags": {"type": "array", "items": {}},
                "meta": {"type": "object"},
                "docs": {
                    "type": "array",
                    "items": {
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
                            "name": {
                                "type": "string",
                                "minLength": 1,
                                "description": "File name with its extension.",
                            },
                            "mime": {
                                "type": "string",
                                "description": "Media type, for example `application/pdf`.",
                            },
                        },
                        "required": ["type", "data", "name", "mime"],
                        "additionalProperties": False,
                    },
                    "description": "Receipts",
                },
                "odd": {"description": "Newer than we are"},
            },
            "additionalProperties": False,
        }
    )


def test_only_file_fields_are_file_fields() -> None:
    """They decide how legacy wants the body."""
    assert file_fields_of(INPUTS) == ("docs",)


def is_valid(value: JsonObject) -> bool:
    schema: Any = input_schema_of(INPUTS)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    return not list(validator.iter_errors(value))  # pyright: ignore[reportUnknownMemberType]  # untyped


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, True),
        ({"hours": 8, "odd": {"any": [1]}, "tags": [1, "a", None]}, True),
        ({"hours": "8"}, False),
        ({"tags": "a"}, False),
        ({"employe": "Ada"}, False),
        ({"docs": [{"type": "file", "data": "data:a/b;base64,", "name": "a", "mime": "a/b"}]}, True),
        ({"docs": ["text"]}, False),
        ({"docs": [{"type": "file"}]}, False),
    ],
)
def test_the_schema_guards_what_sim_does_not(value: JsonObject, *, expected: bool) -> None:
    """Wrong types and misspelt names are found before money is spent."""
    assert is_valid(value) == expected
