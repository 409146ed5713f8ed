"""What a tool spec may say, and how it says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from jsonschema.protocols import Validator

from sim_mcp.catalog import ToolSpec, read_specs, schema_of_specs
from sim_mcp.catalog.yaml_text import load_yaml
from sim_mcp.model.errors import InvalidInput
from sim_mcp.model.json import Json, is_object
from sim_mcp.model.tool import Mode, ToolHints, WorkflowTool
from sim_mcp.sim.fake import workflow_id
from tests.catalog.samples import ACME, GLOBEX, entry, spec

SPECS = Path(__file__).parents[2] / "tool_specs"
REGENERATE = (
    'uv run python -c "import json, sim_mcp.catalog as c; print(json.dumps(c.schema_of_specs(), indent=2))"'
    " > tool_specs/tool-spec.schema.json"
)


def deep(levels: int) -> Json:
    value: Json = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def published_validator() -> Validator:
    """What an editor does with the published schema."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator(dict(schema_of_specs()))


def refusal(fields: dict[str, Json]) -> list[str]:
    """The faults of a spec, one line each."""
    with pytest.raises(InvalidInput) as raised:
        ToolSpec.from_json(fields)
    return [f"{fault.path} {fault.message}" for fault in raised.value.faults]


@pytest.mark.requirement("R25")
def test_a_full_spec_becomes_a_tool_field_by_field() -> None:
    """Every field of the contract arrives where the corridor looks for it."""
    full = spec(
        "nightly",
        title="Nightly  report\n",
        input_schema={
            "type": "object",
            "properties": {"f": {"type": "array", "items": {}, "x-sim-type": "file[]"}},
        },
        output_schema={"type": "object"},
        mode="async",
        timeout_s=86400,
        annotations={"read_only": True, "destructive": False},
        confirm=True,
        selected_outputs=["agent1.content"],
        rate_per_minute=30,
        max_concurrency=4,
        max_output_bytes=2000,
        enabled=False,
    )
    assert full.to_tool(ACME) == WorkflowTool(
        tenant_id=ACME,
        name="nightly",
        workflow_id=full.to_tool(ACME).workflow_id,
        title="Nightly report",
        description="Makes the nightly.",
        input_schema=full.input_schema or {},
        output_schema={"type": "object"},
        mode=Mode.ASYNC,
        timeout_s=86400.0,
        hints=ToolHints(read_only=True, destructive=False, idempotent=False, open_world=True),
        confirm=True,
        selected_outputs=("agent1.content",),
        rate_per_minute=30,
        max_concurrency=4,
        max_output_bytes=2000,
        file_fields=("f",),
    )
    assert full.enabled is False


def test_a_short_spec_gets_the_cautious_defaults() -> None:
    """Destructive until said otherwise, any object as input, a title made from the name."""
    made = spec("weekly_report").to_tool(GLOBEX)
    assert (made.hints, made.mode, made.timeout_s) == (ToolHints(), Mode.SYNC, 60.0)
    assert (made.input_schema, made.title, made.max_output_bytes) == (
        {"type": "object"},
        "Weekly report",
        100_000,
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (entry(timeout=5), snapshot(["$.timeout is no key of a tool spec; did you mean 'timeout_s'?"])),
        (
            entry(annotations={"readonly": True}),
            snapshot(["$.annotations.readonly is no key of a tool spec; did you mean 'read_only'?"]),
        ),
        (
            entry(zzz=1),
            snapshot(
                [
                    (
                        "$.zzz is no key of a tool spec; known are name, workflow_id, title, description, "
                        "input_schema, inputs, output_schema, mode, timeout_s, annotations, confirm, "
                        "approver_permission, attach_s, selected_outputs, rate_per_minute, max_concurrency, "
                        "monthly_executions, cost_per_day, max_output_bytes, describe_usage, enabled"
                    )
                ]
            ),
        ),
        ({"name": "a"}, snapshot(["$.workflow_id is required", "$.description is required"])),
        (entry("Report"), snapshot(["$.name is not allowed; use 1 to 64 of a-z, 0-9 and _"])),
        (entry("x" * 65), snapshot(["$.name is not allowed; use 1 to 64 of a-z, 0-9 and _"])),
        (entry("sim_report"), snapshot(["$.name must not start with 'sim_': admin tools are named so"])),
        (
            entry(workflow_id="../../admin"),
            snapshot(["$.workflow_id is not allowed; copy the id from the workflow's address in SIM"]),
        ),
        (entry(description=" \u200b\n"), snapshot(["$.description must not be empty"])),
        (
            entry(description="x" * 4001),
            snapshot(["$.description is longer than 4000; shorten it"]),
        ),
        (entry(mode="fast"), snapshot(["$.mode should be 'sync', 'async' or 'stream'"])),
        (
            entry(timeout_s=301),
            snapshot(["$ timeout_s may be at most 300 unless the mode is async; write `mode: async`"]),
        ),
        (entry(timeout_s=0.5), snapshot(["$.timeout_s should be greater than or equal to 1"])),
        (
            entry(mode="async", timeout_s=86401),
            snapshot(["$.timeout_s should be less than or equal to 86400"]),
        ),
        (entry(timeout_s="60"), snapshot(["$.timeout_s should be a valid number"])),
        (entry(enabled="yes"), snapshot(["$.enabled should be a valid boolean"])),
        (entry(rate_per_minute=0), snapshot(["$.rate_per_minute should be greater than or equal to 1"])),
        (entry(input_schema=[]), snapshot(["$.input_schema should be an object"])),
        (entry(selected_outputs=["ok", ""]), snapshot(["$.selected_outputs[1] must not be empty"])),
        (entry(input_schema=deep(250)), snapshot(["$ is nested too deep"])),
        (
            entry(timeout_s=float("nan")),
            snapshot(["$ must be JSON: no dates, no NaN, nothing nested without end"]),
        ),
    ],
)
def test_each_mistake_is_named_with_its_field_and_its_remedy(
    fields: dict[str, Json], expected: list[str]
) -> None:
    """What is wrong, where, and what to write instead."""
    assert refusal(fields) == expected


@pytest.mark.requirement("R34")
@pytest.mark.parametrize(
    ("mode", "timeout_s", "is_allowed"),
    [
        ("sync", 1, True),
        ("sync", 300, True),
        ("stream", 300, True),
        ("stream", 301, False),
        ("sync", 0.9, False),
        ("async", 86400, True),
        ("async", 86401, False),
    ],
)
def test_the_timeout_is_bounded_by_the_mode(mode: str, timeout_s: float, *, is_allowed: bool) -> None:
    """1 s to 5 min, and for async up to a day of following; the editor's schema agrees."""
    fields = entry(mode=mode, timeout_s=timeout_s)
    if is_allowed:
        assert ToolSpec.from_json(fields).timeout_s == timeout_s
    else:
        assert refusal(fields)
    document = {"tenant": "acme", "tools": [fields]}
    assert published_validator().is_valid(document) == is_allowed


def test_hidden_characters_never_reach_a_model() -> None:
    """Controls, zero-width and bidi characters, tags and variation selectors are taken out of prose."""
    hidden = "\x00\x1b\u200b\u200d\u202e\u2066\ufeff\u00ad\U000e0041\ufe0f\U000e0100\u3164\ue000"
    dressed = spec(
        title=f"A{hidden}B",
        description=f"Reads{hidden}\r\nonly.\u2028Yes.",
        input_schema={
            "type": "object",
            "properties": {"a": {"description": f"x{hidden}y", "title": f"{hidden}z"}},
        },
    )
    assert dressed.title == "AB"
    assert dressed.description == "Reads\nonly.\nYes."
    assert dressed.input_schema == {
        "type": "object",
        "properties": {"a": {"description": "xy", "title": "z"}},
    }


def test_completing_a_spec_takes_from_sim_only_what_is_absent() -> None:
    """A name, a title, a description and a schema of one's own stay; files are marked in either schema."""
    from_sim: dict[str, Json] = {
        "type": "object",
        "properties": {"f": {"type": "array", "items": {}}, "n": {}},
    }
    bare = ToolSpec.completed(
        {"workflow_id": "w", "title": None},
        name="Größe & Überblick!",
        description="",
        input_schema=from_sim,
        file_fields=("f",),
    )
    assert (bare.name, bare.title) == ("groe_uberblick", "Größe & Überblick!")
    assert bare.description == "Runs the workflow 'Größe & Überblick!'."
    assert bare.to_tool(ACME).file_fields == ("f",)
    own = ToolSpec.completed(
        entry("mine", input_schema={"type": "object", "properties": {"f": {"type": "array", "items": {}}}}),
        name="Theirs",
        description="Theirs.",
        input_schema=from_sim,
        file_fields=("f",),
    )
    assert (own.name, own.description) == ("mine", "Makes the mine.")
    assert own.to_tool(ACME).file_fields == ("f",)
    assert list(own.to_tool(ACME).input_schema) == ["type", "properties"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Sim Report", "workflow_sim_report"),
        ("注文", "workflow"),
        ("  A--b__C ", "a_b_c"),
        ("x" * 100, "x" * 64),
        ("Sim " + "y" * 70, ("workflow_sim_" + "y" * 70)[:64]),
    ],
)
def test_every_workflow_name_gives_a_valid_tool_name(name: str, expected: str) -> None:
    """Also those without a Latin letter, too long ones, and those that would look like an admin tool."""
    made = ToolSpec.completed(
        {"workflow_id": "w"}, name=name, description="d", input_schema={"type": "object"}
    )
    assert made.name == expected


def test_a_spec_survives_being_stored() -> None:
    """`to_json` and `from_json` are each other's inverse."""
    once = spec(mode="stream", selected_outputs=["a.b"], annotations={"idempotent": True})
    assert ToolSpec.from_json(once.to_json()) == once
    assert json.loads(json.dumps(once.to_json())) == once.to_json()


def test_the_published_schema_is_the_models() -> None:
    """Editors complete by the same rules as the server reads."""
    published = json.loads((SPECS / "tool-spec.schema.json").read_text("utf-8"))
    assert published == schema_of_specs(), f"Regenerate it: {REGENERATE}"


def test_the_published_schema_judges_documents_as_the_reader_does() -> None:
    """Both forms are right; a key too many, a reserved name and a missing tenant are not."""
    validator = published_validator()
    assert validator.is_valid({"$schema": "./tool-spec.schema.json", "tenant": "acme", "tools": [entry()]})
    assert validator.is_valid({"tenant": "acme", **entry()})
    assert not validator.is_valid({"tenant": "acme", "tools": [entry(extra=1)]})
    assert not validator.is_valid({"tenant": "acme", "tools": [entry("sim_x")]})
    assert not validator.is_valid({"tools": [entry()]})


def test_the_examples_are_valid_and_name_the_sandboxs_workflows() -> None:
    """The demo runs on them: two tenants, one name in common, no workflow in common."""
    specs = read_specs(SPECS / "examples")
    assert specs.problems == ()
    used = {tenant: {each.name: each.workflow_id for each in found} for tenant, found in specs.tools.items()}
    assert used == {
        "acme": {
            "draft_email": workflow_id("acme", "streaming"),
            "export_rows": workflow_id("acme", "large"),
            "nightly_report": workflow_id("acme", "slow"),
            "request_refund": workflow_id("acme", "asking"),
            "summarize_timesheets": workflow_id("acme", "quick"),
            "sync_crm": workflow_id("acme", "failing"),
        },
        "globex": {
            "answer_webhook": workflow_id("globex", "respond"),
            "echo_text": workflow_id("globex", "echo"),
            "summarize_timesheets": workflow_id("globex", "quick"),
        },
    }
    validator = published_validator()
    for path in (SPECS / "examples").glob("*.yaml"):
        for document in load_yaml(path.read_text("utf-8")):
            assert is_object(document)
            assert list(validator.iter_errors(dict(document))) == []
