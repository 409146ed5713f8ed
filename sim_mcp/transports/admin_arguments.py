"""Checks what admin tools are called with: each fault with its path, never with a value."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, cast

from sim_mcp.model.errors import Fault, InvalidInput
from sim_mcp.model.json import Json, JsonObject, is_array

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

MOST_FAULTS = 10


def check_arguments(tool_name: str, schema: JsonObject, given: JsonObject) -> None:
    """Return when `given` keeps `schema`, one of ours.

    Raises:
        InvalidInput: at most ten faults, each with its path and the rule; values are not repeated.
    """
    from jsonschema import Draft202012Validator

    errors: list[ValidationError] = list(
        islice(Draft202012Validator(schema).iter_errors(given), MOST_FAULTS)  # pyright: ignore[reportUnknownMemberType]  # untyped there
    )
    if errors:
        raise faulty(tool_name, *(_fault(error) for error in errors))


def faulty(tool_name: str, *faults: Fault) -> InvalidInput:
    """The refusal that lists `faults`."""
    listing = "; ".join(f"{fault.path} {fault.message}" for fault in faults)
    return InvalidInput(f"The arguments of {tool_name!r} are not valid: {listing}.", faults=faults)


def moment_in(tool_name: str, given: JsonObject, field: str) -> datetime | None:
    """The moment that `given` names in `field`, aware; `None` when it is absent.

    Raises:
        InvalidInput: it is no ISO 8601 date and time with a time zone.
    """
    value = given.get(field)
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        message = "must be ISO 8601 with a time zone, as 2026-05-01T00:00:00Z"
        raise faulty(tool_name, Fault(f"$.{field}", message))
    return at


def _fault(error: ValidationError) -> Fault:
    return Fault(error.json_path, _rule(str(error.validator), cast("Json", error.validator_value), error))


def _rule(keyword: str, value: Json, error: ValidationError) -> str:
    match keyword:
        case "required":
            given: object = error.instance
            names = value if is_array(value) else []
            missing = [repr(name) for name in names if isinstance(given, dict) and name not in given]
            return f"needs {' and '.join(missing)}"
        case "additionalProperties":
            known = ", ".join(error.schema.get("properties", ())) or "none"  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType, reportAttributeAccessIssue]  # untyped there
            return f"has an unknown field; known are: {known}"
        case "type":
            return f"must be of type {value}"
        case "enum":
            words = ", ".join(map(str, value)) if is_array(value) else ""
            return f"must be one of: {words}"
        case "minimum":
            return f"must be at least {value}"
        case "maximum":
            return f"must be at most {value}"
        case "minLength":
            return "must not be empty"
        case "maxLength":
            return f"must have at most {value} characters"
        case "pattern":
            return f"must match {value}"
        case _:
            return f"breaks the rule {keyword!r}"
