"""The inputs of a tool: which a model fills in, which are bound to something else, which take files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from sim_mcp.model.json import Json, is_array, is_object
from sim_mcp.model.tool import BoundInput, Source

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sim_mcp.model.json import JsonObject

FILE_TYPE = "file[]"
TYPE_MARK = "x-sim-type"
"""Marks a property of an input schema with SIM's own word for its type, where JSON Schema has none."""
TENANT_KEYS = ("tenant_id", "organization_id")
PRINCIPAL_KEYS = ("subject", "tenant_id", "organization_id")


class InputSource(BaseModel):
    """Where one input of the workflow comes from. Bound ones are in no schema that a model reads."""

    # Descriptions as arguments: reading them from the source would cost each start 20 ms.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    source: Annotated[
        Literal["model", "tenant", "principal", "fixed", "secret"],
        Field(
            alias="from",
            description="`model`: the caller gives it. `tenant`, `principal`: who calls. `fixed`: `value`. "
            "`secret`: sealed.",
        ),
    ]
    key: Annotated[
        str | None,
        Field(
            description="`tenant`: tenant_id or organization_id; `principal`: those, or subject; "
            "`secret`: the secret's name."
        ),
    ] = None
    value: Annotated[JsonValue, Field(description="`fixed`: what is sent.")] = None

    @model_validator(mode="after")
    def _key_fits(self) -> Self:
        keys = {"tenant": TENANT_KEYS, "principal": PRINCIPAL_KEYS}.get(self.source)
        if keys is not None and self.key not in keys:
            raise PydanticCustomError("key", "needs `key`: one of {keys}", {"keys": ", ".join(keys)})
        if self.source == "secret" and not (self.key and self.key.isidentifier() and len(self.key) <= 64):
            raise PydanticCustomError("key", "needs `key`: the secret's name, of letters, digits and _")
        if self.source in {"model", "fixed"} and self.key is not None:
            raise PydanticCustomError("key", "takes no `key`")
        if (self.source == "fixed") != (self.value is not None):
            raise PydanticCustomError("value", "`value` belongs to `from: fixed`, and is needed there")
        return self


def bound_inputs(inputs: dict[str, InputSource] | None) -> tuple[BoundInput, ...]:
    """Those that no caller gives, by name."""
    return tuple(
        BoundInput(name=name, source=Source(each.source), key=each.key, value=each.value)
        for name, each in sorted((inputs or {}).items())
        if each.source != "model"
    )


def without_inputs(schema: JsonObject, names: Collection[str]) -> JsonObject:
    """`schema` without the properties `names`: what is bound is not offered, nor demanded."""
    properties, required = schema.get("properties"), schema.get("required")
    if not names:
        return schema
    less: dict[str, Json] = dict(schema)
    if is_object(properties):
        less["properties"] = {name: each for name, each in properties.items() if name not in names}
    if is_array(required):
        less["required"] = [name for name in required if name not in names]
    return less


def marked_files(schema: Json, file_fields: Iterable[str]) -> Json:
    """`schema` with the inputs that take files marked as such."""
    properties, names = properties_of(schema), frozenset(file_fields)
    if not is_object(schema) or not properties:
        return schema
    marked = {
        name: {**each, TYPE_MARK: FILE_TYPE} if name in names and is_object(each) else each
        for name, each in properties.items()
    }
    return {**schema, "properties": marked}


def file_inputs(schema: JsonObject) -> tuple[str, ...]:
    """The inputs that are marked to take files."""
    return tuple(
        name
        for name, each in properties_of(schema).items()
        if is_object(each) and each.get(TYPE_MARK) == FILE_TYPE
    )


def carried_over(before: Json, after: JsonObject) -> JsonObject:
    """`after`, where inputs of the same type keep the schema that people wrote for them in `before`."""
    known, fresh = properties_of(before), properties_of(after)
    kept = {
        name: known[name] if name in known and _type_of(known[name]) == _type_of(each) else each
        for name, each in fresh.items()
    }
    required = before.get("required") if is_object(before) else None
    still = [name for name in required if name in kept] if is_array(required) else []
    return {**after, "properties": kept, **({"required": still} if still else {})}


def properties_of(schema: Json) -> JsonObject:
    """The declared properties; none when there is no such thing."""
    properties = schema.get("properties") if is_object(schema) else None
    return properties if is_object(properties) else {}


def _type_of(schema: Json) -> Json:
    return schema.get("type") if is_object(schema) else None
