"""A call's arguments from the command line: `--arg k=v` by the schema's types, `--input` as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from sim_mcp.cli.exits import Misuse
from sim_mcp.model.json import Json, JsonObject, is_array, is_object


def arguments_from(pairs: Sequence[str], source: str | None, schema: JsonObject) -> dict[str, Json]:
    """The arguments in `source` (JSON, `@file` or `-`), with those of `pairs` put on top.

    Raises:
        Misuse: something cannot be read as what it should be; names it, never shows the value.
    """
    arguments = {} if source is None else _read_input(source)
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise Misuse(f"--arg {name!r} has no value.", remedy="write --arg name=value")
        arguments[name] = _value(name, text, _types(schema, name))
    return arguments


def _read_input(source: str) -> dict[str, Json]:
    try:
        if source == "-":
            text = sys.stdin.read()
        elif source.startswith("@"):
            text = Path(source[1:]).read_text(encoding="utf-8")
        else:
            text = source
    except OSError as error:
        raise Misuse(
            f"The input file {source[1:]!r} cannot be read ({error.strerror}).",
            remedy="give a file that exists",
        ) from error
    except UnicodeDecodeError as error:
        raise Misuse("The input is not UTF-8.", remedy="save it as UTF-8") from error
    value = _json(text)
    if not is_object(value):
        raise Misuse("The input is no JSON object.", remedy="""write --input '{"name": "value"}'""")
    return dict(value)


def _value(name: str, text: str, types: frozenset[str]) -> Json:
    if "string" in types:
        return text
    value = _json(text)
    if not types:
        return text if value is None and text != "null" else value
    if _type_names(value) & types and (value is not None or text == "null"):
        return value
    wanted = " or ".join(sorted(types))
    raise Misuse(f"--arg {name!r} is no {wanted}.", remedy=f"write a {wanted} as JSON has it")


def _types(schema: JsonObject, name: str) -> frozenset[str]:
    """The types that the schema allows for `name`; empty when it does not tell."""
    properties = schema.get("properties")
    rule = properties.get(name) if is_object(properties) else None
    declared = rule.get("type") if is_object(rule) else None
    named = declared if is_array(declared) else [declared]
    return frozenset(each for each in named if isinstance(each, str))


def _type_names(value: Json) -> frozenset[str]:
    match value:
        case None:
            return frozenset({"null"})
        case bool():
            return frozenset({"boolean"})
        case int():
            return frozenset({"integer", "number"})
        case float():
            return frozenset({"number", "integer"} if value.is_integer() else {"number"})
        case str():
            return frozenset({"string"})
        case _:
            return frozenset({"array" if is_array(value) else "object"})


def _json(text: str) -> Json:
    """`text` as JSON; `None` when it is not JSON (and also for `null`)."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _refuse_constant(name: str) -> Json:
    raise ValueError(name)
