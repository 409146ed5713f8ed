"""Judges a value by a JSON Schema 2020-12, and counts each step.

The published validators print the whole value into each finding, compare each item with each other
one, and cannot be stopped in between; a tenant's schema would decide how long all others wait. So
this is our own: the same verdicts (tests hold it against `jsonschema`), with a price for everything.

The rules that lead to other values or other subschemas are in `applicators`. Only what `admission`
lets through is understood: references lead to `#` or to another subschema, `format` and the
`content…` keywords are remarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, final

from sim_mcp.catalog.patterns import judged
from sim_mcp.catalog.rules import is_broken
from sim_mcp.catalog.schema_walk import target_of
from sim_mcp.model.json import Json, JsonObject, is_array, is_object

if TYPE_CHECKING:
    from sim_mcp.catalog.patterns import JudgedPattern
    from sim_mcp.catalog.work import Work

Path: TypeAlias = "tuple[Path, str | int] | None"
"""The way to a value, its last part outermost: the cheapest to lengthen."""
_RULES_PER_STEP = 16
_STEPS_PER_FINDING = 3


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One broken rule. `keyword` is `None` where the schema is `false`, which nothing keeps."""

    path: Path
    keyword: str | None
    rule: Json
    value: Json
    schema: JsonObject
    names: tuple[str, ...] = ()
    """The properties that are missing, or that should not be there."""
    fits_many: bool = False
    """Of `oneOf`: more than one form fits, not none."""


class TextTooLong(Exception):
    """A text is too long for a pattern to be tried on it, so that there is no verdict."""

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__()
        self.path = path
        self.limit = limit


Applicator: TypeAlias = "Callable[[Judge, Json, Json, JsonObject, Path], Iterator[Finding]]"
"""Applies one rule: the judge, the rule, the value, the schema around the rule, the way to the value."""


@final
class Judge:
    """Judges values by the subschemas of one root."""

    __slots__ = ("_applicators", "_patterns", "_targets", "_work", "root")

    def __init__(self, root: JsonObject, work: Work, *, applicators: Mapping[str, Applicator]) -> None:
        self.root = root
        self._applicators = applicators
        self._work = work
        self._patterns: dict[str, JudgedPattern] = {}
        self._targets: dict[str, JsonObject | None] = {}

    @property
    def work(self) -> Work:
        """What is left to be done."""
        return self._work

    def findings(self, value: Json, schema: Json, path: Path = None) -> Iterator[Finding]:
        """The rules of `schema` that `value` breaks, in the order of the schema.

        Raises:
            OutOfWork, TextTooLong: there is no verdict.
        """
        self._work.spend(1)
        if schema is False:
            yield self.broken(None, False, value, {}, path)
        if not is_object(schema):
            return
        for keyword, rule in schema.items():
            size = len(rule) if is_object(rule) or is_array(rule) else 0
            self._work.spend(1 + size // _RULES_PER_STEP)
            if (apply := self._applicators.get(keyword)) is not None:
                yield from apply(self, rule, value, schema, path)
            elif is_broken(keyword, rule, value, self._work):
                yield self.broken(keyword, rule, value, schema, path)

    def keeps(self, value: Json, schema: Json, path: Path = None) -> bool:
        """Whether `value` breaks no rule of `schema`; stops at the first."""
        return next(self.findings(value, schema, path), None) is None

    def broken(
        self,
        keyword: str | None,
        rule: Json,
        value: Json,
        schema: JsonObject,
        path: Path,
        *,
        names: tuple[str, ...] = (),
        fits_many: bool = False,
    ) -> Finding:
        """That `value` at `path` breaks `rule`, which `keyword` has in `schema`."""
        self._work.spend(_STEPS_PER_FINDING)
        return Finding(
            path=path,
            keyword=keyword,
            rule=rule,
            value=value,
            schema=schema,
            names=names,
            fits_many=fits_many,
        )

    def matches(self, pattern: str, text: str, path: Path) -> bool:
        """Whether `pattern` is found in `text`, paid for by the length of the text."""
        found = self._patterns.get(pattern)
        if found is None:
            found = self._patterns[pattern] = judged(pattern)
            self._work.spend(found.effort)
        if len(text) > found.limit:
            raise TextTooLong(path, found.limit)
        self._work.spend(found.price(len(text)))
        return found.compiled.search(text) is not None

    def target(self, reference: Json) -> JsonObject | None:
        """The subschema that `reference` leads to."""
        if not isinstance(reference, str):
            return None
        if reference not in self._targets:
            self._targets[reference] = target_of(reference, self.root)
        return self._targets[reference]

    def extras(self, value: JsonObject, schema: JsonObject, path: Path) -> Iterator[str]:
        """The names in `value` that neither `properties` nor `patternProperties` of `schema` cover."""
        declared, patterns = schema.get("properties"), schema.get("patternProperties")
        known: JsonObject = declared if is_object(declared) else {}
        tried = list(patterns) if is_object(patterns) else []
        for name in value:
            self._work.spend(1)
            if name not in known and not any(self.matches(each, name, path) for each in tried):
                yield name
