"""Checks arguments against a tool's input schema: bounded in time, in depth and in what it tells."""

from __future__ import annotations

import json
import re
import threading
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, final

from sim_mcp.catalog.faults import faults_of
from sim_mcp.catalog.patterns import text_limit
from sim_mcp.catalog.schema_walk import depth_of
from sim_mcp.model.errors import Fault, InvalidInput, PayloadTooLarge
from sim_mcp.model.json import Json, JsonObject, is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

    from sim_mcp.model.tool import WorkflowTool

MAX_FAULTS = 10
MAX_DEPTH = 64
MAX_BYTES = 10 * 1024 * 1024
"""What SIM accepts as a body (sim-api 1.13)."""
MAX_STEPS = 100_000
"""Rules tried for one call, so that no tenant's schema keeps the others waiting for long."""
_PRICES = {"$ref": 5, "anyOf": 2, "oneOf": 2}
"""Rules that take much longer than the others."""


@final
class ArgumentCheck:
    """The compiled check of one tool."""

    __slots__ = ("_name", "_validator")

    def __init__(self, tool: WorkflowTool) -> None:
        self._name = tool.name
        self._validator = _validator(tool.input_schema)

    def __call__(self, arguments: JsonObject) -> JsonObject:
        """`arguments` unchanged, when they keep every rule; defaults are not filled in.

        Raises:
            InvalidInput: with one fault for each broken rule, at most `MAX_FAULTS`.
            PayloadTooLarge: too deep, too large, or too much work to check.
        """
        _check_size(arguments)
        budget = _steps()
        budget.left = MAX_STEPS
        try:
            errors = islice(self._validator.iter_errors(arguments), MAX_FAULTS * 10)
            faults = faults_of(errors, limit=MAX_FAULTS)
        except (RecursionError, OverflowError, _OutOfSteps) as error:  # a number beyond any float overflows
            raise PayloadTooLarge(
                f"The arguments of {self._name!r} are too complex to be checked; send less."
            ) from error
        if faults:
            listing = "; ".join(f"{fault.path} {fault.message}" for fault in faults)
            raise InvalidInput(f"The arguments of {self._name!r} are not valid: {listing}.", faults=faults)
        return arguments


def _check_size(arguments: JsonObject) -> None:
    if depth_of(arguments, at_most=MAX_DEPTH) > MAX_DEPTH:
        raise PayloadTooLarge(f"The arguments are nested deeper than {MAX_DEPTH} levels; flatten them.")
    try:
        size = len(json.dumps(arguments, ensure_ascii=False, allow_nan=False).encode())
    except ValueError as error:
        fault = Fault("$", "must be JSON: no NaN, no infinity, no half of a surrogate pair")
        raise InvalidInput(f"The arguments are not valid: {fault.message}.", faults=(fault,)) from error
    if size > MAX_BYTES:
        raise PayloadTooLarge(f"The arguments have {size} bytes, more than {MAX_BYTES}; send less.")


class _OutOfSteps(Exception):
    """The check tried more rules than it may."""


class _Steps(threading.local):
    """How many rules the check that runs in this thread may still try."""

    left = 0

    def spend(self, price: int) -> None:
        self.left -= price
        if self.left < 0:
            raise _OutOfSteps


@cache
def _steps() -> _Steps:
    return _Steps()


def _validator(schema: JsonObject) -> Validator:
    """A validator that fetches nothing: its registry holds the standard's own schemas at most."""
    from referencing import Registry
    from referencing.jsonschema import SchemaRegistry

    empty: SchemaRegistry = Registry()
    return _validator_class()(schema, registry=empty)


@cache
def _validator_class() -> type[Validator]:
    """JSON Schema 2020-12 with its steps counted; made once, holds nothing of any tenant."""
    from jsonschema import Draft202012Validator, validators

    budget = _steps()

    def counted(keyword: str, rule: Callable[..., Any]) -> Callable[..., Any]:
        price = _PRICES.get(keyword, 1)

        def spend_and_apply(validator: Validator, value: Json, instance: Json, schema: Json) -> Any:
            budget.spend(price)
            return rule(validator, value, instance, schema)

        return spend_and_apply

    own = {"uniqueItems": _unique_items, "pattern": _pattern, "patternProperties": _pattern_properties}
    rules = {**Draft202012Validator.VALIDATORS, **own}
    return validators.extend(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # untyped there
        Draft202012Validator, {keyword: counted(keyword, rule) for keyword, rule in rules.items()}
    )


def _unique_items(
    validator: Validator, value: Json, instance: Json, schema: Json
) -> Iterator[ValidationError]:
    """In linear time: comparing each item with each other one would take hours for a large array."""
    from jsonschema.exceptions import ValidationError

    del validator, schema
    if value is True and is_array(instance):
        _steps().spend(len(instance))
        seen = {_fingerprint(item) for item in instance}
        if len(seen) < len(instance):
            yield ValidationError("repeated")


def _pattern(validator: Validator, value: Json, instance: Json, schema: Json) -> Iterator[ValidationError]:
    """Tries no pattern on a text that is too long for it."""
    from jsonschema.exceptions import ValidationError

    del validator, schema
    if isinstance(instance, str) and isinstance(value, str):
        limit = text_limit(value)
        if len(instance) > limit:
            # Named as the rule that was broken, so that the sentence tells the limit.
            yield ValidationError("too long", validator="maxLength", validator_value=limit, instance=instance)
        elif not re.search(value, instance):
            yield ValidationError("no match")


def _pattern_properties(
    validator: Validator, value: Json, instance: Json, schema: Json
) -> Iterator[ValidationError]:
    """The standard's own rule, on names that are not too long for the patterns."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

    if is_object(value) and is_object(instance) and instance:
        longest = max(len(name) for name in instance)
        if longest > min((text_limit(pattern) for pattern in value), default=longest):
            yield ValidationError("too long", validator="propertyNames")
            return
        _steps().spend(len(value) * len(instance))
    yield from Draft202012Validator.VALIDATORS["patternProperties"](validator, value, instance, schema)


def _fingerprint(value: Json) -> str:
    """Equal texts for values that JSON Schema calls equal: 1 and 1.0 are, 1 and true are not."""
    return json.dumps(_whole(value), sort_keys=True)


def _whole(value: Json) -> Json:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if is_object(value):
        return {key: _whole(each) for key, each in value.items()}
    return [_whole(each) for each in value] if is_array(value) else value
