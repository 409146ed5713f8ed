"""Whether a spec may become a tool. One bad tool must not spoil a client's whole list.

Clients differ in what they endure: one refuses a root that is no object, another drops root
combinators, a third fails on a description it cannot show. What any of them would choke on is held
back here, with a reason for the operator.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING

from sim_mcp.catalog.patterns import RiskyPattern, text_limit
from sim_mcp.catalog.problem import Flaw
from sim_mcp.catalog.schema_walk import Position, circle_in, depth_of, positions, strings, target_of
from sim_mcp.catalog.text import has_hidden, shortened
from sim_mcp.model.json import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema.protocols import Validator

    from sim_mcp.catalog.spec import ToolSpec
    from sim_mcp.model.json import JsonObject

SCHEMA_DEPTH = 32
SCHEMA_BYTES = 64 * 1024
DIALECT_URI = "https://json-schema.org/draft/2020-12/schema"
_COMBINATORS = ("oneOf", "anyOf", "allOf")
_REBASING = ("$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef", "$vocabulary")
_HEADER = "x-mcp-header"
_HEADER_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_HEADER_TYPES = ("string", "integer", "boolean")


def flaws_in(spec: ToolSpec) -> tuple[Flaw, ...]:
    """Everything that speaks against listing `spec`, and warnings that do not. Fetches nothing."""
    found: list[Flaw] = []
    if spec.input_schema is not None:
        found.extend(_schema_flaws("input_schema", spec.input_schema))
        if not any(not flaw.is_warning for flaw in found):
            found.extend(_header_flaws(spec.input_schema))
    if spec.output_schema is not None:
        found.extend(_schema_flaws("output_schema", spec.output_schema))
    return tuple(found)


def _schema_flaws(field: str, schema: JsonObject) -> Iterator[Flaw]:
    """In an order in which each test may rely on those before it: depth first, circles last."""
    if depth_of(schema, at_most=SCHEMA_DEPTH) > SCHEMA_DEPTH:
        yield Flaw(field=field, message=f"is nested deeper than {SCHEMA_DEPTH} levels; flatten it")
        return
    size = len(json.dumps(schema, ensure_ascii=False).encode(errors="replace"))
    if size > SCHEMA_BYTES:
        yield Flaw(field=field, message=f"has {size} bytes, more than {SCHEMA_BYTES}; shorten it")
        return
    found = [*_root_flaws(schema), *_text_flaws(schema), *_form_flaws(schema)]
    if not found:
        found = [message for position in positions(schema) for message in _position_flaws(position, schema)]
    if not found and (path := circle_in(schema)):
        found = [f"{shortened(path, 120)} refers back to itself; checking a value would never end"]
    for message in found:
        yield Flaw(field=field, message=message)
    if not found:
        yield from (Flaw(field=field, message=text, is_warning=True) for text in _warnings(schema))


def _root_flaws(schema: JsonObject) -> Iterator[str]:
    if schema.get("type") != "object":
        yield "must have `type: object` at its root; clients refuse a list with any other"
    for keyword in _COMBINATORS:
        if keyword in schema:
            yield f"must not have `{keyword}` at its root; say it in a property or in the description"
    if schema.get("$schema", DIALECT_URI) not in {DIALECT_URI, f"{DIALECT_URI}#"}:
        yield f"must be JSON Schema 2020-12; remove `$schema` or write {DIALECT_URI!r}"


def _text_flaws(schema: JsonObject) -> Iterator[str]:
    for path, text in strings(schema):
        if has_hidden(text):
            shown = shortened(ascii(path)[1:-1], 120)
            yield f"{shown} contains invisible characters; remove them"
            return


def _form_flaws(schema: JsonObject) -> Iterator[str]:
    for error in _meta_validator().iter_errors(schema):
        shown = shortened(error.message, 200)
        yield f"is no valid JSON Schema at {shortened(error.json_path, 120)}: {shown}"
        return


def _position_flaws(position: Position, schema: JsonObject) -> Iterator[str]:
    at = shortened(position.path, 120)
    for keyword in _REBASING:
        if keyword in position.schema:
            yield f"{at} has `{keyword}`; only `$ref` to `#/$defs/…` is understood"
    reference = position.schema.get("$ref")
    if isinstance(reference, str):
        shown = repr(shortened(reference))
        if not reference.startswith("#"):
            yield f"{at} refers to {shown} outside itself, which is never fetched; copy it into `$defs`"
        elif target_of(reference, schema) is None:
            yield f"{at} refers to {shown}, which is not there; add it to `$defs`"
    patterns = position.schema.get("patternProperties")
    texts = [*patterns] if is_object(patterns) else []
    pattern = position.schema.get("pattern")
    for text in [*texts, pattern] if isinstance(pattern, str) else texts:
        try:
            text_limit(text)
        except RiskyPattern as error:
            yield f"{at} has a pattern that {error}"


def _warnings(schema: JsonObject) -> Iterator[str]:
    for position in positions(schema):
        declared = position.schema.get("type")
        is_list = declared == "array" or (is_array(declared) and "array" in declared)
        if is_list and "items" not in position.schema and "prefixItems" not in position.schema:
            at = shortened(position.path, 120)
            yield f"{at} is an array without `items`; some clients refuse such a tool, so say what it holds"


def _header_flaws(schema: JsonObject) -> Iterator[Flaw]:
    """`x-mcp-header` copies an argument into an HTTP header: only where that is well defined."""
    seen: set[str] = set()
    for position in positions(schema):
        if _HEADER not in position.schema:
            continue
        header, declared = position.schema[_HEADER], position.schema.get("type")
        at = shortened(position.path, 120)
        if not position.is_plain_property or declared not in _HEADER_TYPES:
            message = f"{at}: `{_HEADER}` is only for string, integer and boolean properties"
        elif not isinstance(header, str) or not _HEADER_TOKEN.fullmatch(header):
            message = f"{at}: `{_HEADER}` must be a header name of letters, digits and hyphens"
        elif header.lower() in seen:
            message = f"{at}: `{_HEADER}` names a header that another property has already"
        else:
            seen.add(header.lower())
            continue
        yield Flaw(field="input_schema", message=message)


@cache
def _meta_validator() -> Validator:
    """Made once for the process: it holds nothing of any tenant."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator(Draft202012Validator.META_SCHEMA)
