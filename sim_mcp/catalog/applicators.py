"""The rules of JSON Schema by which further subschemas judge: the same value, its parts, or their names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from sim_mcp.catalog.judging import Applicator, Judge
from sim_mcp.model.json import Json, JsonObject, is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sim_mcp.catalog.judging import Finding, Path
    from sim_mcp.catalog.work import Work


def judge_of(root: JsonObject, work: Work) -> Judge:
    """A judge by the subschemas of `root`, who may spend `work`."""
    return Judge(root, work, applicators=APPLICATORS)


def _reference(judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path) -> Iterator[Finding]:
    target = judge.target(rule)
    if target is None:  # never of an admitted schema; what cannot be judged is not let through
        yield judge.broken("$ref", rule, value, schema, path)
    else:
        yield from judge.findings(value, target, path)


def _all_of(judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path) -> Iterator[Finding]:
    del schema
    for each in rule if is_array(rule) else ():
        yield from judge.findings(value, each, path)


def _any_of(judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path) -> Iterator[Finding]:
    forms = rule if is_array(rule) else []
    if not any(judge.keeps(value, each, path) for each in forms):
        yield judge.broken("anyOf", rule, value, schema, path)


def _one_of(judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path) -> Iterator[Finding]:
    forms = rule if is_array(rule) else []
    count = sum(judge.keeps(value, each, path) for each in forms)
    if count != 1:
        yield judge.broken("oneOf", rule, value, schema, path, fits_many=count > 1)


def _not(judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path) -> Iterator[Finding]:
    if judge.keeps(value, rule, path):
        yield judge.broken("not", rule, value, schema, path)


def _if(judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path) -> Iterator[Finding]:
    branch = "then" if judge.keeps(value, rule, path) else "else"
    if branch in schema:
        yield from judge.findings(value, schema[branch], path)


def _pattern(judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path) -> Iterator[Finding]:
    if isinstance(value, str) and isinstance(rule, str) and not judge.matches(rule, value, path):
        yield judge.broken("pattern", rule, value, schema, path)


def _properties(judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path) -> Iterator[Finding]:
    del schema
    if is_object(value) and is_object(rule):
        for name, each in rule.items():
            if name in value:
                yield from judge.findings(value[name], each, (path, name))


def _pattern_properties(
    judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path
) -> Iterator[Finding]:
    del schema
    if is_object(value) and is_object(rule):
        for pattern, each in rule.items():
            for name, inner in value.items():
                if judge.matches(pattern, name, path):
                    yield from judge.findings(inner, each, (path, name))


def _additional_properties(
    judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path
) -> Iterator[Finding]:
    if not is_object(value) or rule is True:
        return
    extras = judge.extras(value, schema, path)
    if rule is False:
        if names := tuple(extras):
            yield judge.broken("additionalProperties", rule, value, schema, path, names=names)
        return
    for name in extras:
        yield from judge.findings(value[name], rule, (path, name))


def _property_names(
    judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path
) -> Iterator[Finding]:
    if is_object(value) and not all(judge.keeps(name, rule, path) for name in value):
        yield judge.broken("propertyNames", rule, value, schema, path)


def _required(judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path) -> Iterator[Finding]:
    if is_object(value) and is_array(rule):
        names = tuple(each for each in rule if isinstance(each, str) and each not in value)
        if names:
            yield judge.broken("required", rule, value, schema, path, names=names)


def _dependent_schemas(
    judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path
) -> Iterator[Finding]:
    del schema
    if is_object(value) and is_object(rule):
        for name, each in rule.items():
            if name in value:
                yield from judge.findings(value, each, path)


def _prefix_items(judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path) -> Iterator[Finding]:
    del schema
    if is_array(value) and is_array(rule):
        for index, (item, each) in enumerate(zip(value, rule, strict=False)):
            yield from judge.findings(item, each, (path, index))


def _items(judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path) -> Iterator[Finding]:
    if not is_array(value) or rule is True or rule == {}:
        return
    prefix = schema.get("prefixItems")
    start = len(prefix) if is_array(prefix) else 0
    if rule is False:
        if len(value) > start:
            yield judge.broken("items", rule, value, schema, path)
        return
    for index in range(start, len(value)):
        yield from judge.findings(value[index], rule, (path, index))


def _contains(judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path) -> Iterator[Finding]:
    if not is_array(value):
        return
    least, most = schema.get("minContains", 1), schema.get("maxContains", len(value))
    count = sum(judge.keeps(each, rule, (path, index)) for index, each in enumerate(value))
    if isinstance(most, int | float) and count > most:
        yield judge.broken("maxContains", most, value, schema, path)
    elif isinstance(least, int | float) and count < least:
        yield judge.broken("minContains" if count else "contains", least, value, schema, path)


def _unevaluated_properties(
    judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path
) -> Iterator[Finding]:
    if is_object(value) and len(_evaluated_names(judge, value, schema, path)) < len(value):
        yield judge.broken("unevaluatedProperties", rule, value, schema, path)


def _unevaluated_items(
    judge: Judge, rule: Json, value: Json, schema: JsonObject, path: Path
) -> Iterator[Finding]:
    if is_array(value) and not {*range(len(value))} <= _evaluated_indexes(judge, value, schema, path):
        yield judge.broken("unevaluatedItems", rule, value, schema, path)


def _evaluated_names(judge: Judge, value: JsonObject, schema: Json, path: Path) -> set[str]:
    """The properties of `value` that some rule of `schema` has looked at with success."""
    judge.work.spend(1 + len(value))
    if not is_object(schema):
        return set()
    known = {*value} - {*judge.extras(value, schema, path)}
    for keyword in ("additionalProperties", "unevaluatedProperties"):
        if keyword in schema:
            known.update(
                name
                for name, each in value.items()
                if name not in known and judge.keeps(each, schema[keyword], (path, name))
            )
    for each in _in_place(judge, value, schema, path):
        known |= _evaluated_names(judge, value, each, path)
    return known


def _evaluated_indexes(judge: Judge, value: list[Json], schema: Json, path: Path) -> set[int]:
    """The places in `value` that some rule of `schema` has looked at with success."""
    judge.work.spend(1 + len(value))
    if not is_object(schema):
        return set()
    if "items" in schema:
        return {*range(len(value))}
    prefix = schema.get("prefixItems")
    known = {*range(len(prefix) if is_array(prefix) else 0)}
    for keyword in ("contains", "unevaluatedItems"):
        if keyword in schema:
            known.update(
                index
                for index, each in enumerate(value)
                if index not in known and judge.keeps(each, schema[keyword], (path, index))
            )
    for each in _in_place(judge, value, schema, path):
        known |= _evaluated_indexes(judge, value, each, path)
    return known


def _in_place(judge: Judge, value: Json, schema: JsonObject, path: Path) -> Iterator[Json]:
    """The subschemas of `schema` that judge `value` itself, and that it keeps."""
    if "$ref" in schema:
        yield judge.target(schema["$ref"])
    dependent = schema.get("dependentSchemas")
    if is_object(dependent) and is_object(value):
        yield from (each for name, each in dependent.items() if name in value)
    for keyword in ("allOf", "oneOf", "anyOf"):
        forms = schema.get(keyword)
        for each in forms if is_array(forms) else ():
            if judge.keeps(value, each, path):
                yield each
    if "if" in schema:
        is_kept = judge.keeps(value, schema["if"], path)
        if is_kept:
            yield schema["if"]
        yield schema.get("then" if is_kept else "else")


APPLICATORS: Mapping[str, Applicator] = MappingProxyType(
    {
        "$ref": _reference,
        "allOf": _all_of,
        "anyOf": _any_of,
        "oneOf": _one_of,
        "not": _not,
        "if": _if,
        "pattern": _pattern,
        "properties": _properties,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "propertyNames": _property_names,
        "required": _required,
        "dependentSchemas": _dependent_schemas,
        "prefixItems": _prefix_items,
        "items": _items,
        "contains": _contains,
        "unevaluatedProperties": _unevaluated_properties,
        "unevaluatedItems": _unevaluated_items,
    }
)
