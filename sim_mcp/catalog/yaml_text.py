"""YAML as a way to write JSON: no dates, no `yes`, no repeated keys, no references that explode.

PyYAML reads YAML 1.1, where `no` is false and `12:30` is 750. Specs are read by the rules of
YAML 1.2's core schema instead, so that `enum: [NO, SE]` means what it says.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from sim_mcp.model.json import Json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import yaml

MAX_NODES = 200_000
"""Values of one document after references are resolved: far more than any spec has."""
_TAG = "tag:yaml.org,2002:"
_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_INT = re.compile(r"^[-+]?[0-9]{1,100}$")
_FLOAT = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")

_ODD_BREAKS = frozenset("\r\x85\u2028\u2029\ufeff")
"""Read back as something else unless they are written as escapes."""


class TextFault(ValueError):
    """The text cannot be read. The message says where and why, and is safe to show."""


def load_yaml(text: str) -> Iterator[Json]:
    """The documents in `text`, one by one; empty ones are left out.

    Raises:
        TextFault: at the first document that cannot be read; those before it have been yielded.
    """
    import yaml

    try:
        loader = _loader_class()(text)
        while loader.check_node():
            node = loader.get_node()
            value = None if node is None else _value(node, _Budget())
            if value is not None:
                yield value
    except yaml.MarkedYAMLError as error:
        at = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}: "
        raise TextFault(f"{at}{error.problem or 'is no valid YAML'}") from error
    except yaml.YAMLError as error:
        raise TextFault("is no valid YAML: it contains characters that YAML does not allow") from error
    except RecursionError as error:
        raise TextFault("is nested too deep") from error


def load_json(text: str) -> Json:
    """The JSON value in `text`.

    Raises:
        TextFault: no JSON, a repeated key, NaN or an infinity.
    """
    try:
        return json.loads(text, object_pairs_hook=_unrepeated, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise TextFault(f"line {error.lineno}: {error.msg}") from error
    except RecursionError as error:
        raise TextFault("is nested too deep") from error
    except TextFault:
        raise
    except ValueError as error:
        raise TextFault("contains a number with too many digits") from error


def dump_yaml(value: Json) -> str:
    """`value` as one YAML document that `load_yaml` reads back as it was."""
    import yaml

    text: str = yaml.dump(value, Dumper=_dumper_class(), sort_keys=False, allow_unicode=True, width=100)
    return text


class _Budget:
    """Counts values, references resolved, so that a few lines cannot stand for billions."""

    def __init__(self) -> None:
        self._left = MAX_NODES

    def spend(self, node: yaml.Node) -> None:
        self._left -= 1
        if self._left < 0:
            raise TextFault(
                f"line {_line(node)}: stands for more than {MAX_NODES} values; use fewer references"
            )


def _value(node: yaml.Node, budget: _Budget) -> Json:
    """The JSON value of a composed node. A node inside itself ends as a `RecursionError`."""
    import yaml

    budget.spend(node)
    tag = node.tag.removeprefix(_TAG)
    if isinstance(node, yaml.MappingNode) and tag == "map":
        return _mapping(node, budget)
    if isinstance(node, yaml.SequenceNode) and tag == "seq":
        items: Sequence[yaml.Node] = node.value
        return [_value(item, budget) for item in items]
    if isinstance(node, yaml.ScalarNode):
        text: str = node.value
        match tag:
            case "str":
                return text
            case "null":
                return None
            case "bool" if _BOOL.match(text):
                return text.lower() == "true"
            case "int" if _INT.match(text):
                return int(text)
            case "float" if _FLOAT.match(text):
                return float(text)
            case _:
                pass
    raise TextFault(f"line {_line(node)}: the tag {node.tag!r} means nothing in JSON; remove it")


def _mapping(node: yaml.MappingNode, budget: _Budget) -> Json:
    pairs: Sequence[tuple[yaml.Node, yaml.Node]] = node.value
    found: dict[str, Json] = {}
    for key_node, value_node in pairs:
        key = _value(key_node, budget)
        if not isinstance(key, str):
            raise TextFault(f"line {_line(key_node)}: a key must be text; put it in quotes")
        if key in found:
            raise TextFault(f"line {_line(key_node)}: the key {key!r} is there twice; remove one")
        found[key] = _value(value_node, budget)
    return found


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _unrepeated(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for key, value in pairs:
        if key in found:
            raise TextFault(f"the key {key!r} is there twice; remove one")
        found[key] = value
    return found


def _refuse_constant(name: str) -> Json:
    raise TextFault(f"{name} is no JSON; use a number or null")


@cache
def _loader_class() -> type[yaml.SafeLoader]:
    import yaml

    class CoreLoader(yaml.SafeLoader):
        """Resolves plain scalars by YAML 1.2's core schema; only its nodes are used."""

    CoreLoader.yaml_implicit_resolvers = _core_resolvers()
    return CoreLoader


@cache
def _dumper_class() -> type[yaml.SafeDumper]:
    """Quotes what either version of YAML would take for something else than text."""
    import yaml

    class PlainDumper(yaml.SafeDumper):
        """Writes every value out in full, because references would surprise readers."""

        def ignore_aliases(self, data: object) -> bool:
            del data
            return True

        def represent_scalar(self, tag: str, value: Any, style: str | None = None) -> yaml.ScalarNode:
            is_odd = isinstance(value, str) and not _ODD_BREAKS.isdisjoint(value)
            return super().represent_scalar(  # pyright: ignore[reportUnknownMemberType]  # partly untyped there
                tag, value, style='"' if is_odd else style
            )

    resolvers = _core_resolvers()
    for first, older in yaml.SafeDumper.yaml_implicit_resolvers.items():
        resolvers[first] = [*older, *resolvers.get(first, [])]
    PlainDumper.yaml_implicit_resolvers = resolvers
    return PlainDumper


def _core_resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """What a plain scalar means in YAML 1.2's core schema, by its first character."""
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for tag, pattern, firsts in (
        ("null", _NULL, ["~", "n", "N", ""]),
        ("bool", _BOOL, list("tTfF")),
        ("int", _INT, list("-+0123456789")),
        ("float", _FLOAT, list("-+.0123456789")),
    ):
        for first in firsts:
            found.setdefault(first, []).append((f"{_TAG}{tag}", pattern))
    return found
