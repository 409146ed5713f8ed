"""Turns a validator's findings into sentences by which a model can repair its call.

They name the place, the rule and the *type* of what was sent, never the value itself: it may be a
secret, and these sentences are logged, stored and shown. Names of properties are shown.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from sim_mcp.catalog.text import listed, nearest, shortened
from sim_mcp.model.errors import Fault
from sim_mcp.model.json import Json, is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sim_mcp.catalog.judging import Finding, Path
    from sim_mcp.catalog.work import Work

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMPARED = 100
"""Names among which the nearest is looked for: comparing takes long."""
_STEPS_PER_COMPARISON = 50
_STEPS_PER_FAULT = 50
_SHOWN = 100
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


def faults_of(findings: Iterable[Finding], *, limit: int, work: Work) -> tuple[Fault, ...]:
    """At most `limit` faults, each told once.

    Raises:
        OutOfWork: the sentences would take too long to find.
    """
    faults: dict[Fault, None] = {}
    for finding in findings:
        work.spend(_STEPS_PER_FAULT)
        faults[Fault(path_of(finding.path), _sentence(finding, work))] = None
        if len(faults) >= limit:
            break
    return tuple(faults)


def path_of(path: Path) -> str:
    """`$.items[0].name`; names that are no plain words are quoted, long ones cut."""
    told: list[str] = []
    while path is not None:
        path, part = path
        if isinstance(part, int):
            told.append(f"[{part}]")
        elif _PLAIN_NAME.fullmatch(part):
            told.append(f".{shortened(part)}")
        else:
            told.append(f"[{shortened(part)!r}]")
    return "".join(["$", *reversed(told)])


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


def _sentence(finding: Finding, work: Work) -> str:
    keyword, rule = finding.keyword, finding.rule
    got = type_of(finding.value)
    match keyword:
        case None:
            return "holds something that the tool's input schema never allows; remove it"
        case "propertyNames":
            return "has a property whose name is not allowed; see the tool's input schema"
        case "type":
            return _type_sentence(rule, finding.value)
        case "required":
            noun = "property" if len(finding.names) == 1 else "properties"
            return f"lacks the required {noun} {listed(finding.names)}"
        case "additionalProperties":
            return _extra_sentence(finding, work)
        case "unevaluatedProperties" | "unevaluatedItems":
            return "holds something that the tool's input schema does not name; remove it"
        case "enum":
            return f"must be one of {_allowed(rule)}; got another {got}"
        case "anyOf" | "oneOf":
            return _choice_sentence(rule, finding.value, fits_many=finding.fits_many)
        case "uniqueItems":
            return "must not contain an item twice"
        case _ if keyword in _BOUNDS:
            return f"{_BOUNDS[keyword].format(_shown(rule))}; got {got}"
        case _:
            return f"breaks the rule `{keyword}` of the tool's input schema; got {got}"


def _choice_sentence(rule: Json, instance: Json, *, fits_many: bool) -> str:
    forms = rule if is_array(rule) else []
    types = sorted({name for each in forms for name in _types(each)})
    hint = f" (of type {' or '.join(types)})" if types else ""
    reason = "fits more than one of" if fits_many else "fits none of"
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


def _extra_sentence(finding: Finding, work: Work) -> str:
    declared = finding.schema.get("properties")
    known = list(declared) if is_object(declared) else []
    noun = "property" if len(finding.names) == 1 else "properties"
    sentence = f"has the unknown {noun} {listed(finding.names, 5)}"
    compared = known[:_COMPARED]
    work.spend(len(finding.names[:5]) * len(compared) * _STEPS_PER_COMPARISON)
    meant = [repr(found) for name in finding.names[:5] if (found := nearest(name, compared))]
    if meant:
        return f"{sentence}; did you mean {', '.join(meant)}?"
    return f"{sentence}; known are {listed(known)}" if known else f"{sentence}; none is allowed here"


def _allowed(rule: Json) -> str:
    values = list(rule) if is_array(rule) else [rule]
    rest = len(values) - 20
    return ", ".join(_shown(value) for value in values[:20]) + (f" and {rest} more" if rest > 0 else "")


def _shown(rule: Json) -> str:
    """A value of the schema (never of the arguments)."""
    if isinstance(rule, str):
        rule = rule[:_SHOWN]  # no more is shown anyway
    return shortened(json.dumps(rule, ensure_ascii=False))


def _types(schema: Json) -> list[str]:
    declared = schema.get("type") if is_object(schema) else None
    named = declared if is_array(declared) else [declared]
    return [name for name in named if isinstance(name, str)]
