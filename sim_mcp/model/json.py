"""The one place where JSON's shape is spelt out for the type checker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeGuard

Json: TypeAlias = "str | int | float | bool | Mapping[str, Json] | Sequence[Json] | None"
JsonObject: TypeAlias = "Mapping[str, Json]"


def is_object(value: object) -> TypeGuard[JsonObject]:
    """Whether a *parsed JSON value* is an object (its keys are strings by construction)."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Json]]:
    """Whether a *parsed JSON value* is an array."""
    return isinstance(value, list)
