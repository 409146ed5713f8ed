"""The tools that the official suite expects, as workflows of the sandbox.

The suite names them and their arguments; what they are here is told by the behaviour of the workflow behind
each (`sim_mcp/sim/fake/behaviours.py`).
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sim_mcp.sim.fake import FormField
from sim_mcp.sim.fake.stored import document
from sim_mcp.sim.fake.workflows import APPROVAL

if TYPE_CHECKING:
    from sim_mcp.sim.fake.workflows import Behaviour, FieldType

_NAMESPACE = uuid.UUID("c04f0000-0000-4000-8000-000000000000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """A tool by the suite's name. `arguments` are the model's; `fixed` are inputs that the tenant set."""

    name: str
    behaviour: Behaviour
    arguments: Mapping[str, FieldType] = field(default_factory=dict[str, "FieldType"])
    required: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    schema: Mapping[str, Any] | None = None
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])
    form: tuple[FormField, ...] = APPROVAL
    workflow: str | None = None

    @property
    def workflow_id(self) -> str:
        """The id of the workflow behind it: its own, unless it shares one."""
        return self.workflow or str(uuid.uuid5(_NAMESPACE, self.name))

    @property
    def declares(self) -> dict[str, FieldType]:
        """What the workflow's start block declares."""
        return {**self.arguments, **{name: _type_of(value) for name, value in self.fixed.items()}}

    def spec(self) -> dict[str, Any]:
        """The entry of the allow-list."""
        properties = {name: {"type": kind} for name, kind in self.declares.items()}
        schema = {"type": "object", "properties": properties, "required": [*self.required]}
        return {
            "name": self.name,
            "workflow_id": self.workflow_id,
            "description": f"What the conformance suite knows as {self.name}.",
            "input_schema": dict(self.schema or schema),
            "inputs": {name: {"from": "fixed", "value": value} for name, value in self.fixed.items()},
            **self.more,
        }


def _type_of(value: object) -> FieldType:
    return "number" if isinstance(value, int | float) else "string"


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


TRIGGER = "test_trigger_tool_change"
"""While it runs, the harness changes the tenant's allow-list."""

_WITH_HEADER: dict[str, Any] = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
}
_SCHEMA_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
    "additionalProperties": False,
}


def _texts(*names: str) -> tuple[FormField, ...]:
    return tuple(FormField(name=name, type="string") for name in names)


_CONFIRM = (FormField(name="confirm", type="boolean", required=True),)
_DEFAULTS = (
    FormField(name="name", type="string", value="John Doe"),
    FormField(name="age", type="number", value=30),
    FormField(name="score", type="number", value=95.5),
    FormField(name="status", type="string", value="active", options=("active", "inactive", "pending")),
    FormField(name="verified", type="boolean", value=True),
)
_CHOICES = (
    FormField(name="untitledSingle", type="string", options=("option1", "option2", "option3")),
    FormField(
        name="titledSingle",
        type="string",
        options=tuple({"id": f"value{at}", "label": f"The {at}. option"} for at in (1, 2, 3)),
    ),
)

_TASK: dict[str, Any] = {"mode": "async"}

FIXTURES: tuple[Fixture, ...] = (
    Fixture(name="test_simple_text", behaviour="quick"),
    Fixture(name="test_image_content", behaviour="chart", fixed={"format": "png"}),
    Fixture(name="test_audio_content", behaviour="chart", fixed={"format": "wav"}),
    Fixture(name="test_embedded_resource", behaviour="chart", fixed={"format": "csv"}),
    Fixture(
        name="test_multiple_content_types",
        behaviour="echo",
        fixed={
            "picture": _data_uri("image/png", document("png", 0)),
            "numbers": _data_uri("application/json", b'{"test":"data","value":123}'),
        },
    ),
    Fixture(name="test_error_handling", behaviour="failing"),
    Fixture(
        name="test_tool_with_progress",
        behaviour="streaming",
        fixed={"topic": "rain and " * 40},
        more={"mode": "stream"},
    ),
    Fixture(name="test_logging_tool", behaviour="quick"),
    Fixture(name="test_tool_with_logging", behaviour="quick"),
    Fixture(name=TRIGGER, behaviour="quick"),
    Fixture(name="test_tool_with_header", behaviour="echo", schema=_WITH_HEADER),
    Fixture(name="json_schema_2020_12_tool", behaviour="echo", schema=_SCHEMA_2020_12),
    Fixture(
        name="test_elicitation",
        behaviour="asking",
        arguments={"message": "string"},
        form=_texts("username", "email"),
    ),
    Fixture(name="test_elicitation_sep1034_defaults", behaviour="asking", form=_DEFAULTS),
    Fixture(name="test_elicitation_sep1330_enums", behaviour="asking", form=_CHOICES),
    Fixture(name="test_input_required_result_elicitation", behaviour="asking"),
    Fixture(name="test_input_required_result_request_state", behaviour="quick", more={"confirm": True}),
    Fixture(name="test_input_required_result_tampered_state", behaviour="quick", more={"confirm": True}),
    Fixture(
        name="test_input_required_result_multiple_inputs", behaviour="asking", fixed={"variant": "parallel"}
    ),
    Fixture(
        name="test_input_required_result_multi_round",
        behaviour="asking",
        fixed={"variant": "twice"},
        form=_texts("name", "color"),
    ),
    Fixture(name="test_input_required_result_capabilities", behaviour="asking"),
    Fixture(name="test_streaming_elicitation", behaviour="asking"),
    Fixture(name="greet", behaviour="echo", arguments={"name": "string"}),
    Fixture(name="slow_compute", behaviour="slow", arguments={"seconds": "number"}, more=_TASK),
    Fixture(name="failing_job", behaviour="failing", more=_TASK),
    Fixture(
        name="confirm_delete",
        behaviour="asking",
        arguments={"filename": "string"},
        form=_CONFIRM,
        more=_TASK,
    ),
    Fixture(name="multi_input", behaviour="asking", fixed={"variant": "parallel"}, form=_CONFIRM, more=_TASK),
    Fixture(
        name="test_tool_with_task", behaviour="slow", fixed={"seconds": 1}, more=_TASK | {"confirm": True}
    ),
)
"""What the product can do on its own account; what it leaves out has a line in `expected-failures.yml`."""
