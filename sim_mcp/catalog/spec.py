"""Tool specs as people write them (contract 6): the fields, their ranges and their defaults.

A spec is judged here field by field; whether a *tool* can be listed is `admission`'s question.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    RootModel,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from sim_mcp.catalog.inputs import (
    InputSource,
    bound_inputs,
    carried_over,
    file_inputs,
    marked_files,
    without_inputs,
)
from sim_mcp.catalog.text import cleaned, nearest, shortened, slug
from sim_mcp.model.errors import Fault, InvalidInput
from sim_mcp.model.json import Json
from sim_mcp.model.principal import Permission
from sim_mcp.model.tool import (
    MAX_ASYNC_TIMEOUT_S,
    MAX_SYNC_TIMEOUT_S,
    MIN_TIMEOUT_S,
    Mode,
    ToolHints,
    WorkflowId,
    WorkflowTool,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from sim_mcp.model.json import JsonObject
    from sim_mcp.model.principal import TenantId

ANY_INPUT: JsonObject = {"type": "object"}
DESCRIPTION_LIMIT = 4_000
_PROSE = frozenset({"title", "description"})
_SYNC_TIMEOUT_RULE: dict[str, JsonValue] = {
    "if": {"not": {"properties": {"mode": {"const": "async"}}, "required": ["mode"]}},
    "then": {"properties": {"timeout_s": {"maximum": MAX_SYNC_TIMEOUT_S}}},
}


def _cleaned(value: object) -> object:
    return cleaned(value) if isinstance(value, str) else value


def _one_line(value: object) -> object:
    return " ".join(cleaned(value).split()) if isinstance(value, str) else value


def _cleaned_schema(value: JsonValue) -> JsonValue:
    """`value` with every title and description cleaned: models read those of schemas too."""
    if isinstance(value, list):
        return [_cleaned_schema(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: cleaned(each) if key in _PROSE and isinstance(each, str) else _cleaned_schema(each)
        for key, each in value.items()
    }


JsonSchema = Annotated[dict[str, JsonValue], AfterValidator(_cleaned_schema)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Annotations(_Document):
    """What clients are told about a tool's effects; the defaults are the cautious ones."""

    read_only: bool = False
    """The workflow changes nothing anywhere."""
    destructive: bool = True
    """The workflow may delete or overwrite something."""
    idempotent: bool = False
    """Running it again with the same input changes nothing more."""
    open_world: bool = True
    """The workflow talks to systems outside."""


class ToolSpec(_Document):
    """One allow-listed workflow, as one MCP tool of one tenant."""

    model_config = ConfigDict(json_schema_extra=_SYNC_TIMEOUT_RULE, defer_build=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$", json_schema_extra={"not": {"pattern": "^sim_"}})]
    """The tool's name: a-z, 0-9 and _, unique for the tenant; must not start with `sim_`."""
    workflow_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
    """The id of the workflow in SIM: the last part of its address in the editor."""
    title: Annotated[str, Field(max_length=200), BeforeValidator(_one_line)] = ""
    """What people see as the tool's name; made from `name` when absent."""
    description: Annotated[str, Field(min_length=1, max_length=DESCRIPTION_LIMIT), BeforeValidator(_cleaned)]
    """What the model reads when it chooses a tool: what it does, for what, with which effects."""
    input_schema: JsonSchema | None = None
    """JSON Schema 2020-12 of the arguments, of type object; taken from SIM on import when absent."""
    inputs: Annotated[dict[str, InputSource], Field(max_length=200)] | None = None
    """Where inputs come from that no model fills in; the others are the model's."""
    output_schema: JsonSchema | None = None
    """JSON Schema 2020-12 of the workflow's output, of type object."""
    mode: Literal["sync", "async", "stream"] = "sync"
    """How SIM is asked to run it: wait for the answer, queue it, or stream its text."""
    timeout_s: Annotated[float, Field(ge=MIN_TIMEOUT_S, le=MAX_ASYNC_TIMEOUT_S, allow_inf_nan=False)] = 60.0
    """Seconds: 1 to 300; for `mode: async`, how long the run is followed, up to 86400."""
    annotations: Annotations = Annotations()
    """What clients are told about the tool's effects."""
    confirm: bool = False
    """Ask the user before every run."""
    approver_permission: (
        Literal["INTEGRATION_ADD", "INTEGRATION_EDIT", "INTEGRATION_VIEW", "INTEGRATION_DELETE"] | None
    ) = None
    """What a person needs, beside INTEGRATION_EDIT, to answer when a run pauses."""
    attach_s: Annotated[float, Field(ge=0, le=MAX_ASYNC_TIMEOUT_S, allow_inf_nan=False)] = 0.0
    """Seconds in which an equal call gets the execution of the first one instead of running again."""
    selected_outputs: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=50)
    ] = ()
    """The outputs to return, as `block.path`; all when empty."""
    rate_per_minute: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Calls per minute of this tool; the tenant's limit applies as well."""
    max_concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Runs of this tool at the same time; the tenant's limit applies as well."""
    monthly_executions: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Runs of this tool in a calendar month (UTC); the tenant's limit applies as well."""
    cost_per_day: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] | None = None
    """What this tool's runs may cost in a day (UTC), in SIM's unit; the tenant's limit applies as well."""
    max_output_bytes: Annotated[int, Field(ge=200, le=10_000_000)] = 100_000
    """Larger output is cut for the model and kept whole in the execution."""
    describe_usage: bool = False
    """Tell models the usual duration and success rate behind the description, learned from the history."""
    enabled: bool = True
    """`false` keeps the spec and hides the tool."""

    @field_validator("name")
    @classmethod
    def _not_ours(cls, name: str) -> str:
        if name.startswith("sim_"):
            raise PydanticCustomError("reserved", "must not start with 'sim_': admin tools are named so")
        return name

    @model_validator(mode="after")
    def _timeout_fits_mode(self) -> Self:
        if self.mode != "async" and self.timeout_s > MAX_SYNC_TIMEOUT_S:
            raise PydanticCustomError(
                "timeout", "timeout_s may be at most 300 unless the mode is async; write `mode: async`"
            )
        return self

    @classmethod
    def from_json(cls, entry: JsonObject) -> Self:
        """The spec that `entry` describes.

        Raises:
            InvalidInput: with one fault per broken rule, `$.timeout_s` and the like.
        """
        try:
            # Through text, because in JSON mode a strict model takes lists for tuples.
            return cls.model_validate_json(json.dumps(dict(entry), allow_nan=False))
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=True, include_input=False)
            faults = tuple(_fault(each, cls) for each in details)
        except (TypeError, ValueError, RecursionError):
            faults = (Fault("$", "must be JSON: no dates, no NaN, nothing nested without end"),)
        listing = "; ".join(f"{fault.path}: {fault.message}" for fault in faults)
        raise InvalidInput(f"The tool spec is not valid. {listing}.", faults=faults)

    @classmethod
    def completed(
        cls,
        fields: JsonObject,
        *,
        name: str,
        description: str,
        input_schema: JsonObject,
        file_fields: tuple[str, ...] = (),
    ) -> Self:
        """`fields`, with what they leave out taken from the workflow as SIM describes it.

        Args:
            fields: A spec, perhaps without name, title, description and input schema.
            name: The workflow's name, from which a tool name is made.
            description: The workflow's own description; a plain sentence stands in for an empty one.
            input_schema: The schema made from the deployed workflow's inputs.
            file_fields: Inputs that take files: they are marked, in a given schema as well.

        Raises:
            InvalidInput: as `from_json`.
        """
        label = cleaned(name)
        made: dict[str, Json] = {
            "name": slug(label),
            "title": label[:200],
            "description": cleaned(description)[:DESCRIPTION_LIMIT] or f"Runs the workflow {label!r}.",
            "input_schema": input_schema,
        }
        given = {key: value for key, value in fields.items() if value is not None}
        whole = made | given
        schema = whole["input_schema"]
        return cls.from_json(whole | {"input_schema": marked_files(schema, file_fields)})

    def with_inputs(self, input_schema: JsonObject) -> Self:
        """This spec with `input_schema` as its schema: what it said of inputs that stay is kept."""
        return self.from_json(
            {**self.to_json(), "input_schema": carried_over(self.input_schema, input_schema)}
        )

    def to_json(self) -> JsonObject:
        """Every field with its value, defaults included, absent ones left out."""
        return self.model_dump(mode="json", exclude_none=True, by_alias=True)

    def to_tool(self, tenant_id: TenantId) -> WorkflowTool:
        """This spec as a tool of `tenant_id`. Whether it is enabled, the caller has to ask."""
        whole = ANY_INPUT if self.input_schema is None else self.input_schema
        bindings = bound_inputs(self.inputs)
        input_schema = without_inputs(whole, {each.name for each in bindings})
        return WorkflowTool(
            tenant_id=tenant_id,
            name=self.name,
            workflow_id=WorkflowId(self.workflow_id),
            title=self.title or self.name.replace("_", " ").strip().capitalize() or self.name,
            description=self.description,
            input_schema=input_schema,
            output_schema=self.output_schema,
            mode=Mode(self.mode),
            timeout_s=self.timeout_s,
            hints=ToolHints(
                read_only=self.annotations.read_only,
                destructive=self.annotations.destructive,
                idempotent=self.annotations.idempotent,
                open_world=self.annotations.open_world,
            ),
            confirm=self.confirm,
            approver_permission=Permission(self.approver_permission) if self.approver_permission else None,
            attach_s=self.attach_s,
            selected_outputs=self.selected_outputs,
            rate_per_minute=self.rate_per_minute,
            max_concurrency=self.max_concurrency,
            monthly_executions=self.monthly_executions,
            cost_per_day=self.cost_per_day,
            max_output_bytes=self.max_output_bytes,
            bindings=bindings,
            describe_usage=self.describe_usage,
            file_fields=file_inputs(input_schema),
        )


TENANT_PATTERN = r"^[A-Za-z0-9_.:@-]{1,128}$"
TenantName = Annotated[str, Field(pattern=TENANT_PATTERN)]


class TenantSpecs(_Document):
    """All tools of one tenant."""

    model_config = ConfigDict(defer_build=True)

    schema_: Annotated[str | None, Field(alias="$schema")] = None
    """For editors."""
    tenant: TenantName
    """The tenant that the tools belong to."""
    tools: tuple[ToolSpec, ...]
    """The tenant's tools."""


class TenantTool(ToolSpec):
    """One tool of one tenant, as a document of its own."""

    schema_: Annotated[str | None, Field(alias="$schema")] = None
    """For editors."""
    tenant: TenantName
    """The tenant that the tool belongs to."""


class SpecDocument(RootModel[TenantSpecs | TenantTool]):
    """A tool spec document of sim-mcp: one tenant's tools, or one tool."""

    model_config = ConfigDict(defer_build=True)


def schema_of_specs() -> JsonObject:
    """The JSON Schema of spec documents, for editors: `tool_specs/tool-spec.schema.json`."""
    schema = SpecDocument.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


_REMEDIES = {
    "name": "use 1 to 64 of a-z, 0-9 and _",
    "workflow_id": "copy the id from the workflow's address in SIM",
    "tenant": "use 1 to 128 of letters, digits and _ . : @ -",
}


def _fault(details: ErrorDetails, model: type[BaseModel]) -> Fault:
    """The finding of pydantic in our words; never with the value."""
    location = details["loc"]
    path = "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{shortened(part)}" for part in location)
    match details["type"]:
        case "missing":
            return Fault(path, "is required")
        case "extra_forbidden":
            fields = Annotations if location[:1] == ("annotations",) else model
            known = [field.alias or name for name, field in fields.model_fields.items()]
            meant = nearest(str(location[-1]), known)
            hint = f"did you mean {meant!r}?" if meant else f"known are {', '.join(known)}"
            return Fault(path, f"is no key of a tool spec; {hint}")
        case "string_too_short":
            return Fault(path, "must not be empty")
        case "string_too_long" | "too_long":
            return Fault(path, f"is longer than {details.get('ctx', {}).get('max_length')}; shorten it")
        case "json_invalid":
            return Fault(path, "is nested too deep")
        case "string_pattern_mismatch" if location and location[-1] in _REMEDIES:
            return Fault(path, f"is not allowed; {_REMEDIES[str(location[-1])]}")
        case _:
            message = details["msg"].replace("Input should", "should")
            return Fault(path, message)
