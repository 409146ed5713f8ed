"""What a JSON Schema 2020-12 looks like, as one schema: the standard's own, its seven parts in one.

Source: https://json-schema.org/draft/2020-12/schema and the vocabularies that it names. Keywords by
which subschemas take other base addresses are left out: `admission` refuses them in its own words.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim_mcp.model.json import Json, JsonObject


@cache
def form_of_schemas() -> JsonObject:
    """The schema that every JSON Schema keeps; made once, holds nothing of any tenant."""
    schema: Json = {"$ref": "#"}
    text: Json = {"type": "string"}
    number: Json = {"type": "number"}
    flag: Json = {"type": "boolean"}
    count: Json = {"type": "integer", "minimum": 0}
    schemas: Json = {"type": "array", "minItems": 1, "items": schema}
    named: Json = {"type": "object", "additionalProperties": schema}
    texts: Json = {"type": "array", "items": text, "uniqueItems": True}
    kind: Json = {"enum": ["array", "boolean", "integer", "null", "number", "object", "string"]}
    shapes: dict[str, Json] = {
        **dict.fromkeys(("$comment", "$ref", "$schema", "format", "pattern", "title", "description"), text),
        **dict.fromkeys(("contentEncoding", "contentMediaType"), text),
        **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), schemas),
        **dict.fromkeys(
            ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties"), named
        ),
        **dict.fromkeys(("if", "then", "else", "not", "items", "contains", "contentSchema"), schema),
        **dict.fromkeys(("additionalProperties", "propertyNames"), schema),
        **dict.fromkeys(("unevaluatedItems", "unevaluatedProperties"), schema),
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), number),
        **dict.fromkeys(("minLength", "minItems", "minProperties", "minContains"), count),
        **dict.fromkeys(("maxLength", "maxItems", "maxProperties", "maxContains"), count),
        **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), flag),
        "enum": {"type": "array"},
        "examples": {"type": "array"},
        "multipleOf": {"type": "number", "exclusiveMinimum": 0},
        "required": texts,
        "type": {"anyOf": [kind, {"type": "array", "items": kind, "minItems": 1, "uniqueItems": True}]},
        "dependentRequired": {"type": "object", "additionalProperties": texts},
        "dependencies": {"type": "object", "additionalProperties": {"anyOf": [schema, texts]}},
    }
    return {"type": ["object", "boolean"], "properties": shapes}
