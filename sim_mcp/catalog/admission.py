"""Whether a spec may become a tool. One bad tool must not spoil a client's whole list.

Clients differ in what they endure: one refuses a root that is no object, another drops root
combinators, a third fails on a description it cannot show. What any of them would choke on is held
back here, with a reason for the operator.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import TYPE_CHECKING

from sim_mcp.catalog.applicators import judge_of
from sim_mcp.catalog.faults import faults_of
from sim_mcp.catalog.patterns import RiskyPattern, judged
from sim_mcp.catalog.price import MAX_STEPS_PER_VALUE, excess_in
from sim_mcp.catalog.problem import Flaw
from sim_mcp.catalog.schema_form import form_of_schemas
from sim_mcp.catalog.schema_walk import Position, circle_in, depth_of, positions, strings, target_of
from sim_mcp.catalog.text import has_hidden, shortened
from sim_mcp.catalog.work import OutOfWork, Work
from sim_mcp.model.json import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sim_mcp.catalog.spec import ToolSpec
    from sim_mcp.model.json import JsonObject

SCHEMA_DEPTH = 32
SCHEMA_BYTES = 64 * 1024
MAX_FLAWS = 20
MAX_PATTERN_EFFORT = 50_000
"""Steps to judge all the patterns of one schema."""
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
        found = _all_position_flaws(schema)
    if not found and (path := circle_in(schema)):
        found = [f"{shortened(path, 120)} refers back to itself; checking a value would never end"]
    if not found:
        found = [*_price_flaws(schema)]
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
    form, work = form_of_schemas(), Work()
    try:
        faults = faults_of(judge_of(form, work).findings(schema, form), limit=1, work=work)
    except (OutOfWork, OverflowError, RecursionError):
        yield "is too intricate to be judged; write a simpler one"
        return
    for fault in faults:
        yield f"is no valid JSON Schema: {shortened(fault.path, 120)} {shortened(fault.message, 200)}"


def _price_flaws(schema: JsonObject) -> Iterator[str]:
    if (excess := excess_in(schema)) is not None:
        yield (
            f"{shortened(excess.path, 120)} takes {excess.steps} steps to check one value, more than "
            f"{MAX_STEPS_PER_VALUE}, most of them for `{shortened(excess.keyword)}`; name fewer forms, "
            f"values or patterns there"
        )


def _all_position_flaws(schema: JsonObject) -> list[str]:
    """The flaws of the subschemas, `MAX_FLAWS` at most: one slip is often made everywhere."""
    subschemas = list(positions(schema))
    places = frozenset(id(position.schema) for position in subschemas)
    flaws = (
        flaw
        for position in subschemas
        for flaw in (*_reference_flaws(position, schema, places), *_pattern_flaws(position))
    )
    found = list(islice(flaws, MAX_FLAWS))
    if not found and (path := _too_many_patterns(subschemas)):
        found = [f"{path} has one pattern more than can be judged; write fewer or simpler ones"]
    return found


def _reference_flaws(position: Position, schema: JsonObject, places: frozenset[int]) -> Iterator[str]:
    at = shortened(position.path, 120)
    for keyword in _REBASING:
        if keyword in position.schema:
            yield f"{at} has `{keyword}`; only `$ref` to `#/$defs/…` is understood"
    reference = position.schema.get("$ref")
    if isinstance(reference, str):
        shown = repr(shortened(reference))
        if not reference.startswith("#"):
            yield f"{at} refers to {shown} outside itself, which is never fetched; copy it into `$defs`"
        elif id(target_of(reference, schema)) not in places:  # what no keyword names has not been judged
            yield f"{at} refers to {shown}, which is not there; add it to `$defs`"


def _pattern_flaws(position: Position) -> Iterator[str]:
    for text in _patterns_of(position):
        try:
            judged(text)
        except RiskyPattern as error:
            yield f"{shortened(position.path, 120)} has a pattern that {error}"


def _patterns_of(position: Position) -> list[str]:
    patterns, pattern = position.schema.get("patternProperties"), position.schema.get("pattern")
    texts = [*patterns] if is_object(patterns) else []
    return [*texts, pattern] if isinstance(pattern, str) else texts


def _too_many_patterns(subschemas: list[Position]) -> str | None:
    """Where the patterns of a schema become too many to be judged at each start."""
    effort = 0
    for position in subschemas:
        effort += sum(judged(text).effort for text in _patterns_of(position))
        if effort > MAX_PATTERN_EFFORT:
            return shortened(position.path, 120)
    return None


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
