"""Turns a validator's findings into sentences by which a model can repair its call.

They name the place, the rule and the *type* of what was sent, never the value itself: it may be a
secret, and these sentences are logged, stored and shown. Names of properties are shown.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from sim_mcp.catalog.text import listed, nearest, shortened
from sim_mcp.model.errors import Fault
from sim_mcp.model.json import Json, JsonObject, is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jsonschema.exceptions import ValidationError

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BOUNDS = {
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "minProperties": "must have at least {} properties",
    "maxProperties": "must have at most {} properties",
    "pattern": "must match the pattern {}",
    "const": "must be {}",
}


def faults_of(errors: Iterable[ValidationError], *, limit: int) -> tuple[Fault, ...]:
    """At most `limit` faults; missing properties of one object are one fault."""
    faults: dict[Fault, None] = {}
    for error in errors:
        faults[Fault(path_of(list(error.absolute_path)), _sentence(error))] = None
        if len(faults) >= limit:
            break
    return tuple(faults)


def path_of(parts: Sequence[str | int]) -> str:
    """`$.items[0].name`; names that are no plain words are quoted, long ones cut."""
    path = "$"
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _PLAIN_NAME.fullmatch(part):
            path += f".{shortened(part)}"
        else:
            path += f"[{shortened(part)!r}]"
    return path


def type_of(value: Json) -> str:
    """JSON's word for the type of `value`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "object" if is_object(value) else "array"


def _sentence(error: ValidationError) -> str:
    keyword, rule, instance = error.validator, _json(error.validator_value), _json(error.instance)
    got = type_of(instance)
    if keyword == "propertyNames" or _is_about_a_name(list(error.absolute_schema_path)):
        return "has a property whose name is not allowed; see the tool's input schema"
    match keyword:
        case "type":
            return _type_sentence(rule, instance)
        case "required":
            return _missing_sentence(rule, instance)
        case "additionalProperties":
            return _extra_sentence(_json(error.schema), instance)
        case "unevaluatedProperties" | "unevaluatedItems":
            return "holds something that the tool's input schema does not name; remove it"
        case "enum":
            return f"must be one of {_allowed(rule)}; got another {got}"
        case "anyOf" | "oneOf":
            return _choice_sentence(rule, instance, fits_none=bool(error.context))
        case "uniqueItems":
            return "must not contain an item twice"
        case str() if keyword in _BOUNDS:
            return f"{_BOUNDS[keyword].format(_shown(rule))}; got {got}"
        case str():
            return f"breaks the rule `{keyword}` of the tool's input schema; got {got}"
        case _:
            return "holds something that the tool's input schema never allows; remove it"


def _is_about_a_name(schema_path: list[str | int]) -> bool:
    """Whether the finding is about a property's name, and not about a property called `propertyNames`."""
    before = ["", *schema_path]
    return any(
        part == "propertyNames" and above != "properties"
        for above, part in zip(before, schema_path, strict=False)
    )


def _choice_sentence(rule: Json, instance: Json, *, fits_none: bool) -> str:
    forms = rule if is_array(rule) else []
    types = sorted({name for each in forms for name in _types(each)})
    hint = f" (of type {' or '.join(types)})" if types else ""
    reason = "fits none of" if fits_none else "fits more than one of"
    return f"{reason} the {len(forms)} allowed forms{hint}; got {type_of(instance)}"


def _type_sentence(rule: Json, instance: Json) -> str:
    wanted = [str(name) for name in rule] if is_array(rule) else [str(rule)]
    sentence = f"must be {' or '.join(wanted)}, not {type_of(instance)}"
    if "array" in wanted and not is_object(instance):
        sentence += "; put it in a list"
    elif isinstance(instance, str) and not {"string", "null"} & set(wanted):
        sentence += "; send the JSON value itself, without quotes around it"
    elif wanted == ["string"]:
        sentence += "; put it in quotes"
    elif wanted == ["integer"] and isinstance(instance, float):
        sentence += "; round it"
    return sentence


def _missing_sentence(rule: Json, instance: Json) -> str:
    required = rule if is_array(rule) else []
    present: JsonObject = instance if is_object(instance) else {}
    names = [name for name in required if isinstance(name, str) and name not in present]
    noun = "property" if len(names) == 1 else "properties"
    return f"lacks the required {noun} {listed(names)}"


def _extra_sentence(schema: Json, instance: Json) -> str:
    declared = schema.get("properties") if is_object(schema) else None
    patterns = schema.get("patternProperties") if is_object(schema) else None
    known = list(declared) if is_object(declared) else []
    allowed = [re.compile(each) for each in patterns] if is_object(patterns) else []
    sent = list(instance) if is_object(instance) else []
    names = frozenset(known)
    extra = [name for name in sent if name not in names and not any(each.search(name) for each in allowed)]
    noun = "property" if len(extra) == 1 else "properties"
    sentence = f"has the unknown {noun} {listed(extra, 5)}"
    meant = [repr(found) for name in extra[:5] if (found := nearest(name, known))]
    if meant:
        return f"{sentence}; did you mean {', '.join(meant)}?"
    return f"{sentence}; known are {listed(known)}" if known else f"{sentence}; none is allowed here"


def _allowed(rule: Json) -> str:
    values = list(rule) if is_array(rule) else [rule]
    rest = len(values) - 20
    return ", ".join(_shown(value) for value in values[:20]) + (f" and {rest} more" if rest > 0 else "")


def _shown(rule: Json) -> str:
    """A value of the schema (never of the arguments)."""
    return shortened(json.dumps(rule, ensure_ascii=False))


def _types(schema: Json) -> list[str]:
    declared = schema.get("type") if is_object(schema) else None
    named = declared if is_array(declared) else [declared]
    return [name for name in named if isinstance(name, str)]


def _json(value: Any) -> Json:
    """What jsonschema leaves untyped; in a finding it is always a part of the schema or the arguments."""
    return value
