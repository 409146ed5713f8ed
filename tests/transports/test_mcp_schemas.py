"""The schemas that clients get: readable by all of them, and true."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from jsonschema import Draft202012Validator

from sim_mcp.model.json import Json, JsonObject, is_array, is_object
from sim_mcp.transports.admin_tools import ADMIN_TOOLS
from sim_mcp.transports.output_schemas import execution_schema, flaw_of

COMBINATORS = {"anyOf", "oneOf", "allOf", "not", "if"}


def schemas_in(schema: Json) -> Iterator[JsonObject]:
    """Every subschema, itself first."""
    if is_object(schema):
        yield schema
        for key, value in schema.items():
            names = key in {"properties", "$defs"} and is_object(value)
            for child in value.values() if names and is_object(value) else [value]:
                yield from schemas_in(child)
    elif is_array(schema):
        for item in schema:
            yield from schemas_in(item)


ALL = [
    *((name, tool.input_schema) for name, tool in ADMIN_TOOLS.items()),
    *((f"{name} (output)", tool.output_schema) for name, tool in ADMIN_TOOLS.items()),
    ("workflow tools (output)", execution_schema({"type": "object"})),
]


@pytest.mark.requirement("R69")
@pytest.mark.parametrize(("name", "schema"), ALL, ids=[name for name, _ in ALL])
def test_every_client_can_read_it(name: str, schema: JsonObject) -> None:
    """An object without combinators at the root, arrays with items, no lists of types."""
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert not COMBINATORS & set(schema)
    if not name.endswith("(output)"):
        assert schema["additionalProperties"] is False
    for each in schemas_in(schema):
        assert not isinstance(each.get("type"), list)
        assert each.get("type") != "array" or "items" in each


@pytest.mark.requirement("R26", "R69")
@pytest.mark.parametrize("name", list(ADMIN_TOOLS))
def test_an_admin_tool_says_what_it_is_for(name: str) -> None:
    """A title, a description that no client cuts, and annotations that agree with the permission."""
    tool = ADMIN_TOOLS[name].listed()
    assert tool.title
    assert tool.description is not None
    assert 40 <= len(tool.description) <= 1000
    assert tool.annotations is not None
    only_looks = ADMIN_TOOLS[name].permission.value == "INTEGRATION_VIEW" or name == "sim_find_tools"
    assert tool.annotations.read_only_hint is only_looks
    assert not (tool.annotations.read_only_hint and tool.annotations.destructive_hint)
    assert len(name) <= 40


REFERENCES: JsonObject = {
    "type": "object",
    "properties": {"tree": {"$ref": "#/$defs/node"}, "$ref": {"type": "string"}},
    "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
    "examples": [{"$ref": "#/nowhere"}],
}


def test_local_references_lead_to_the_same_place_inside_the_result() -> None:
    """An output schema is nested, so its `#/…` would point past it: each is moved along."""
    validator = Draft202012Validator(execution_schema(REFERENCES))
    known: dict[str, Json] = {
        "status": "completed",
        "execution_id": "e",
        "run_id": None,
        "workflow_id": "w",
        "duration_ms": 1,
        "error": None,
    }
    assert validator.is_valid({**known, "output": {"tree": {"next": {}}, "$ref": "text"}})  # pyright: ignore[reportUnknownMemberType]  # untyped there
    assert not validator.is_valid({**known, "output": {"tree": {"next": 5}}})  # pyright: ignore[reportUnknownMemberType]  # untyped there


def test_a_flaw_names_place_and_rule_and_no_value() -> None:
    """What a workflow put out is not repeated in a message about it."""
    assert flaw_of({"tree": {"next": 5}}, REFERENCES) == "$.tree.next (rule 'type')"
    assert flaw_of({"tree": {}}, REFERENCES) is None
    assert flaw_of({}, {"$ref": "https://elsewhere.invalid/x"}) == "$ (the schema cannot be applied to it)"
