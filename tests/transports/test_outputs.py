"""An output as a model gets it: files beside it, gaps named, and its schema kept."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from textwrap import wrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from inline_snapshot import snapshot
from jsonschema import Draft202012Validator
from mcp_types import CallToolResult, ResourceLink

from sim_mcp.model.errors import InvalidInput
from sim_mcp.model.execution import Status
from sim_mcp.model.json import Json, JsonObject
from sim_mcp.model.tool import WorkflowTool
from sim_mcp.sim.fake.stored import document
from sim_mcp.transports.attachments import MOST_ATTACHED_BYTES, MOST_FILES, file_at
from sim_mcp.transports.output_schemas import execution_schema
from sim_mcp.transports.outputs import shown_output
from sim_mcp.transports.paging import Selection
from sim_mcp.transports.reading import execution_reading, page_reading
from sim_mcp.transports.reading_schemas import whole_execution
from sim_mcp.transports.results import execution_result
from sim_mcp.transports.revisions import for_revision
from tests.journeys.mcp_clients import structured, words
from tests.transports.test_results import ROW, values

pytestmark = pytest.mark.requirement("F13")

KEPT: JsonObject = {"truncated": True, "kind": "array", "size_bytes": 9_437_184, "preview": [{"id": 1}]}


def file(kind: str, content: bytes, name: str = "a") -> dict[str, Json]:
    """A file as the adapter leaves it."""
    return {
        "name": name,
        "size": len(content),
        "type": kind,
        "base64": base64.b64encode(content).decode(),
    }


def blocks(output: Json) -> list[dict[str, Any]]:
    """The content beside the texts of a result with `output`, its long parts shortened."""
    shown = [
        block.model_dump(mode="json", by_alias=True, exclude_none=True)
        for block in execution_result(replace(ROW, output=output)).content
        if block.type != "text"
    ]
    for each in shown:
        for holder in (each, each.get("resource", {})):
            for name in ("data", "blob"):
                if name in holder:
                    holder[name] = f"{len(holder[name])} characters"
    return shown


def test_small_files_are_attached_with_their_media_type() -> None:
    """What an assistant can see or hear as such, text as text, everything else as bytes."""
    output: Json = {
        "picture": file("image/png", document("png", 0), "chart.png"),
        "sound": file("audio/wav", document("wav", 0), "beep.wav"),
        "table": file("text/csv; charset=utf-8", b"a,b\n1,2\n", "t.csv"),
        "paper": file("application/pdf", b"%PDF-1.4", "p.pdf"),
        "inline": "data:image/svg+xml;base64,PHN2Zy8+",
    }
    assert blocks(output) == snapshot(
        [
            {"type": "image", "data": "144 characters", "mimeType": "image/png"},
            {"type": "audio", "data": "72 characters", "mimeType": "audio/wav"},
            {
                "type": "resource",
                "resource": {
                    "uri": "sim://executions/e-1?file=/table",
                    "mimeType": "text/csv",
                    "text": """\
a,b
1,2
""",
                },
            },
            {
                "type": "resource",
                "resource": {
                    "uri": "sim://executions/e-1?file=/paper",
                    "mimeType": "application/pdf",
                    "blob": "12 characters",
                },
            },
            {
                "type": "resource",
                "resource": {
                    "uri": "sim://executions/e-1?file=/inline",
                    "mimeType": "image/svg+xml",
                    "blob": "8 characters",
                },
            },
        ]
    )
    shown = shown_output(replace(ROW, output=output))
    assert (shown.value, wrap(shown.remarks[0], 80)) == snapshot(
        (
            {
                "picture": {
                    "name": "chart.png",
                    "size": 107,
                    "type": "image/png",
                    "base64": "… 107 bytes of image/png, attached",
                },
                "sound": {
                    "name": "beep.wav",
                    "size": 52,
                    "type": "audio/wav",
                    "base64": "… 52 bytes of audio/wav, attached",
                },
                "table": {
                    "name": "t.csv",
                    "size": 8,
                    "type": "text/csv; charset=utf-8",
                    "base64": "… 8 bytes of text/csv, attached",
                },
                "paper": {
                    "name": "p.pdf",
                    "size": 8,
                    "type": "application/pdf",
                    "base64": "… 8 bytes of application/pdf, attached",
                },
                "inline": "… 6 bytes of image/svg+xml, attached",
            },
            [
                "Its output has 5 files: 'chart.png' (107 bytes of image/png) is attached;",
                "'beep.wav' (52 bytes of audio/wav) is attached; 't.csv' (8 bytes of text/csv) is",
                "attached; 'p.pdf' (8 bytes of application/pdf) is attached; 'inline' (6 bytes of",
                "image/svg+xml) is attached.",
            ],
        )
    )
    assert "base64" in shown.text
    assert "PHN2Zy8+" not in shown.text


def test_an_image_that_is_none_is_bytes() -> None:
    """Some clients end the chat at an image that their model cannot read."""
    kinds = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/x-icon"]
    liars: Json = [file(kind, b"RIFF\x00\x00\x00\x00WAVEfmt <svg/>") for kind in kinds]
    assert [each["type"] for each in blocks(liars)] == ["resource"] * 5
    honest: Json = [
        file("image/jpeg", b"\xff\xd8\xff\xe0"),
        file("image/gif", b"GIF89a"),
        file("image/webp", b"RIFF\x00\x00\x00\x00WEBP"),
    ]
    assert [each["type"] for each in blocks(honest)] == ["image"] * 3


def test_large_files_are_linked_and_too_many_counted() -> None:
    """Together at most 256 KB are attached, and at most twenty files told one by one."""
    big = b"x" * (MOST_ATTACHED_BYTES // 2 + 1)
    output: Json = {"files": [file("application/zip", big, f"{at}.zip") for at in range(2)]}
    assert blocks(output) == snapshot(
        [
            {
                "type": "resource",
                "resource": {
                    "uri": "sim://executions/e-1?file=/files/0",
                    "mimeType": "application/zip",
                    "blob": "174764 characters",
                },
            },
            {
                "name": "1.zip",
                "uri": "sim://executions/e-1?file=/files/1",
                "mimeType": "application/zip",
                "size": 131073,
                "type": "resource_link",
            },
        ]
    )
    many: Json = [file("text/plain", b"x", f"{at}.txt") for at in range(MOST_FILES + 3)]
    shown = shown_output(replace(ROW, output=many))
    assert len(shown.blocks) == MOST_FILES
    (remark,) = shown.remarks
    assert remark.startswith("Its output has 23 files: '0.txt' (1 bytes of text/plain) is attached; ")
    assert remark.endswith("; 3 more are in the execution's resource only.")


@pytest.mark.parametrize(
    ("url", "is_linked"),
    [
        ("https://cdn.example.com/report.pdf", True),
        ("http://cdn.example.com/report.pdf", False),
        ("https://ada:secret@cdn.example.com/report.pdf", False),
        ("https://sim.example.com/api/files/serve/execution%2Fa.pdf", False),
        ("https://cdn.example.com/a b", False),
        ("https:///report.pdf", False),
        ("javascript:alert(1)", False),
    ],
)
def test_an_author_s_own_file_on_the_web_is_linked(url: str, *, is_linked: bool) -> None:
    """Where a person's client could fetch it; never SIM's storage, which refuses every API key."""
    output: Json = {"name": "report.pdf", "type": "application/pdf", "url": url}
    (link, *more) = [*blocks(output), None]
    assert more == ([None] if is_linked else [])
    assert (link is not None) is is_linked
    assert link is None or (link["uri"], link["mimeType"]) == (url, "application/pdf")
    assert shown_output(replace(ROW, output=output)).value == output


def test_a_hostile_name_or_type_steers_nothing() -> None:
    """No folders, no control or reordering characters, and no header in a media type."""
    output: Json = {
        "a": file("text/html\r\nX-Evil: 1", b"hello", "../../etc/pass\u202ewd\x1b[2J\n"),
        "b": file("", b"hello", "\x00"),
    }
    told = json.dumps(blocks(output)) + " ".join(shown_output(replace(ROW, output=output)).remarks)
    for evil in ("X-Evil", "..", "\u202e", "\\u202e", "\x1b", "\\u001b", "\n"):
        assert evil not in told
    assert [each["resource"]["mimeType"] for each in blocks(output)] == ["application/octet-stream"] * 2


@pytest.mark.parametrize("content", ["no base64!", "abc", "====", "aGVsbG8\u0665", "aGV sbG8="])
def test_what_is_no_base64_is_no_file(content: str) -> None:
    """It stays what it is: text of the output."""
    output: Json = [
        {"name": "a", "type": "text/plain", "base64": content},
        f"data:text/plain;base64,{content}",
    ]
    assert blocks(output) == []
    assert shown_output(replace(ROW, output=output)).value == output


def test_a_file_is_read_at_its_pointer_and_nothing_else_is() -> None:
    """By object or by data URI."""
    output: Json = {"f": [file("text/plain", b"hello")], "u": "data:text/plain;base64,aGVsbG8=", "n": 1}
    for path in ("/f/0", "/u"):
        assert base64.b64decode(file_at(output, path).content) == b"hello"
    for path in ("", "/f", "/n", "/f/0/base64", "/f/1"):
        with pytest.raises(InvalidInput):
            file_at(output, path)


def test_what_sim_kept_back_is_named_with_where_to_see_it() -> None:
    """How many, what kind, how large, where; by whom, and where a person finds it."""
    output: Json = {"rows": KEPT, "more": [{**KEPT, "size_bytes": None, "kind": "file"}] * 4}
    text = words(execution_result(replace(ROW, output=output)))
    assert wrap(text.partition("\n")[0], 80) == snapshot(
        [
            "The run completed. SIM itself kept 5 values back (array, 9437184 bytes, at",
            "'/rows'; file, of unknown size, at '/more/0'; file, of unknown size, at",
            "'/more/1' and 2 more): no API key opens its storage, so sim-mcp cannot fetch",
            "what is missing. The user can see it in SIM, in the logs of run r-1.",
        ]
    )


def test_a_gap_is_not_held_against_the_schema_but_keeps_it() -> None:
    """The workflow did what it promised; SIM kept the proof."""
    schema: JsonObject = {
        "type": "object",
        "properties": {"rows": {"type": "array"}},
        "required": ["rows"],
        "additionalProperties": False,
    }
    pinned = tool(output_schema=schema)
    result = execution_result(replace(ROW, output={"rows": KEPT}), pinned)
    assert not result.is_error
    assert structured(result)["output"] == {"truncated": True, "size_bytes": 84, "preview": {"rows": KEPT}}
    assert_valid(result, pinned)


def test_an_output_that_was_too_large_for_us_says_so() -> None:
    """The note of the store alone would be a riddle."""
    note: Json = {"truncated": True, "size_bytes": 99_000_000, "limit_bytes": 16_777_216}
    text = words(execution_result(replace(ROW, output=note)))
    assert wrap(text.partition("\n")[0], 80) == snapshot(
        [
            "The run completed. Its output has 99000000 bytes, more than the 16777216 that",
            "sim-mcp keeps: none of it is here. The user can see it in SIM, in the logs of",
            "run r-1.",
        ]
    )


def tool(**changes: Any) -> WorkflowTool:
    """A tool with these pins."""
    known: dict[str, Any] = {
        "tenant_id": ROW.tenant_id,
        "name": "echo",
        "workflow_id": ROW.workflow_id,
        "title": "Echo",
        "description": "Echo.",
        "input_schema": {"type": "object"},
    }
    return WorkflowTool(**(known | changes))


def assert_valid(result: CallToolResult, pinned: WorkflowTool) -> None:
    """The structured content keeps the schema that the tool was listed with."""
    Draft202012Validator(execution_schema(pinned.output_schema)).validate(structured(result))  # pyright: ignore[reportUnknownMemberType]  # untyped there


files = some.builds(
    file,
    some.sampled_from(["image/png", "text/plain", "application/pdf", "audio/wav", "nonsense"]),
    some.binary(max_size=400),
    some.text(max_size=20),
)
outputs = some.recursive(
    values | files | some.just(KEPT),
    lambda inner: (
        some.lists(inner, max_size=6) | some.dictionaries(some.text(max_size=12), inner, max_size=6)
    ),
    max_leaves=12,
)
schemas = some.sampled_from(
    [
        None,
        {"type": "object"},
        {"type": "array", "maxItems": 3},
        {"type": "object", "additionalProperties": {"type": "string", "maxLength": 20}},
        {"not": {"type": "object", "required": ["truncated"]}},
    ]
)


@given(output=outputs, limit_bytes=some.integers(200, 3_000), schema=schemas)
def test_any_result_keeps_its_schema_and_its_limit(output: Json, limit_bytes: int, schema: Any) -> None:
    """Whatever comes out of a workflow, and whatever is pinned; the text says what the structure says."""
    pinned = tool(output_schema=schema, max_output_bytes=limit_bytes)
    result = execution_result(replace(ROW, output=output), pinned)
    assert_valid(result, pinned)
    text = [block.text for block in result.content if block.type == "text"][-1]
    assert len(text.encode()) <= limit_bytes
    if not result.is_error:
        assert json.loads(text) == structured(result)["output"]
    reading = execution_reading(replace(ROW, output=output), limit_bytes=limit_bytes)
    page = page_reading(replace(ROW, output=output), Selection(limit=3))
    for each in (reading, page):
        Draft202012Validator(whole_execution()).validate(structured(each))  # pyright: ignore[reportUnknownMemberType]  # untyped there
        last = [block.text for block in each.content if block.type == "text"][-1]
        assert json.loads(last) == structured(each)


def test_a_reading_is_bounded_by_input_and_output() -> None:
    """Megabytes of either are cut, and the way to the rest is told."""
    row = replace(ROW, input={"text": "i" * 200_000}, output={"rows": ["o" * 100] * 100_000})
    result = execution_reading(row)
    assert len(words(result)) < 130_000
    assert structured(result)["input"]["truncated"] is True
    (link,) = [block for block in result.content if isinstance(block, ResourceLink)]
    assert link.uri == "sim://executions/e-1?path=/rows&offset=0"
    assert 'sim_get_execution(execution_id="e-1", path="/rows", offset=0)' in words(result)


def test_a_page_tells_a_model_the_next_call() -> None:
    """Who has only tools pages by tool."""
    row = replace(ROW, output={"rows": [1, 2, 3], "a": {"b": "x" * 70_000}})
    assert wrap(
        words(page_reading(row, Selection(path="/rows", limit=2))).partition("\n")[0], 80
    ) == snapshot(['Next page: sim_get_execution(execution_id="e-1", path="/rows", offset=2,', "limit=2)."])
    assert wrap(words(page_reading(row, Selection())).partition("\n")[0], 80) == snapshot(
        [
            "1 of its members are larger than a page: read each by its own path, as",
            'sim_get_execution(execution_id="e-1", path="/a", offset=0).',
        ]
    )
    assert "input" not in structured(page_reading(row, Selection()))


@pytest.mark.parametrize(("status", "words_of_it"), [(Status.PROCESSING, "yet"), (Status.FAILED, "failed")])
def test_an_execution_without_output_says_why(status: Status, words_of_it: str) -> None:
    """Nothing is there to select, now or ever."""
    with pytest.raises(InvalidInput, match=words_of_it):
        page_reading(replace(ROW, output=None, status=status), Selection(path="/rows"))
    assert structured(page_reading(replace(ROW, output=None, status=status), Selection()))["output"] is None


@pytest.mark.parametrize(
    ("revision", "kinds"),
    [
        ("2024-11-05", ["text", "text", "text", "text", "resource", "text"]),
        ("2025-03-26", ["text", "text", "text", "audio", "resource", "text"]),
        ("2025-06-18", ["text", "text", "resource_link", "audio", "resource", "resource_link"]),
        ("2026-07-28", ["text", "text", "resource_link", "audio", "resource", "resource_link"]),
    ],
)
def test_a_client_gets_no_block_that_its_revision_does_not_know(revision: str, kinds: list[str]) -> None:
    """Audio came with 2025-03-26, links with 2025-06-18; an unknown block can cost the whole result."""
    output: Json = [
        file("application/zip", b"x" * (MOST_ATTACHED_BYTES + 1), "big.zip"),
        file("audio/wav", document("wav", 0)),
        file("application/pdf", b"%PDF-1.4"),
        ["x" * 100] * 2_000,
    ]
    result = for_revision(execution_result(replace(ROW, output=output)), revision)
    assert [block.type for block in result.content] == kinds
    if revision < "2025-06-18":
        assert "big.zip, application/zip: sim://executions/e-1?file=/0" in words(result)
        assert "sim://executions/e-1?path=&offset=0" in words(result)
