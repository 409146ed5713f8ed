"""What SIM keeps in its storage is told as kept, and the way there is told to nobody."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.json import Json
from sim_mcp.model.tool import Mode
from sim_mcp.sim.storage import without_storage
from tests.sim.scripted import RUN, ScriptedSim, client_of, events, request_of, says
from tests.sim.transcripts import TRANSCRIPTS, recorded, reply_of

pytestmark = pytest.mark.requirement("F13")

REFERENCE = {
    "__simLargeValueRef": True,
    "version": 1,
    "id": "lv_SECRETID1234",
    "kind": "array",
    "size": 9437184,
    "key": "execution/SECRETKEY/large-value-lv_SECRETID1234.json",
    "executionId": RUN,
    "preview": [{"id": 1}],
}
MANIFEST = {
    "__simLargeArrayManifest": True,
    "version": 2,
    "kind": "array",
    "totalCount": 120_000,
    "chunkCount": 1,
    "byteSize": 12_000_000,
    "chunks": [{"ref": REFERENCE, "count": 120_000, "byteSize": 12_000_000}],
    "preview": [{"row": REFERENCE}],
}
FILE = {
    "id": "file_SECRETID",
    "name": "a.txt",
    "size": 10,
    "type": "text/plain",
    "url": "https://bucket.example.com/SECRETPATH?X-Amz-Signature=SECRETSIGN",
    "key": "execution/SECRETKEY/a.txt",
    "context": "execution",
    "base64": "aGVsbG8gZmlsZQ==",
}
CUT = {"truncated": True, "kind": "array", "size_bytes": 9437184, "preview": [{"id": 1}]}


def told(value: Any) -> tuple[Json, int]:
    """`value` as it would come out of an answer of SIM."""
    raw = json.dumps(value).encode()
    return without_storage(json.loads(raw), raw)


def test_references_to_large_values_are_made_visible_and_counted() -> None:
    """At any depth; an array in pieces tells how many items it has; previews are cleaned too."""
    assert told({"rows": REFERENCE, "all": [MANIFEST, 1]}) == (
        {
            "rows": CUT,
            "all": [
                {
                    "truncated": True,
                    "kind": "array",
                    "size_bytes": 12_000_000,
                    "preview": [{"row": CUT}],
                    "items": 120_000,
                },
                1,
            ],
        },
        2,
    )


def test_a_file_keeps_its_content_and_loses_its_address() -> None:
    """With content it is a file; without, a value that SIM kept; shortened for display, the same."""
    empty = {name: value for name, value in FILE.items() if name != "base64"}
    short = {name: empty[name] for name in ("id", "name", "size", "type")}
    short["url"] = "http://localhost:3000/api/files/serve/execution%2FSECRETKEY%2Fa.txt"
    gone = {
        "truncated": True,
        "kind": "file",
        "size_bytes": 10,
        "preview": None,
        "name": "a.txt",
        "type": "text/plain",
    }
    content = {"name": "a.txt", "size": 10, "type": "text/plain", "base64": "aGVsbG8gZmlsZQ=="}
    assert told([FILE, empty, short]) == ([content, gone, gone], 2)


@pytest.mark.parametrize(
    "value",
    [
        {"id": "10001", "key": "PROJ", "name": "Project", "url": "https://jira.example.com/projects/PROJ"},
        {"name": "report.pdf", "url": "https://cdn.example.com/report.pdf", "type": "application/pdf"},
        {"link": "https://sim.example.com/api/files/serve/x", "url": 5, "key": None},
        {"__simLargeValueRef": "yes", "note": "an author's own"},
        "https://bucket.example.com/x?X-Amz-Signature=abc",
    ],
)
def test_what_an_author_says_himself_is_left_alone(value: Json) -> None:
    """Projects and tickets have ids, keys and addresses too."""
    assert told({"deep": [value]}) == ({"deep": [value]}, 0)


def test_a_name_spelt_with_escapes_is_recognised() -> None:
    """A Response block may send JSON of its own spelling."""
    raw = json.dumps({"rows": REFERENCE}).replace("__simLarge", "\\u005f\\u005fsim\\u004carge").encode()
    assert without_storage(json.loads(raw), raw) == ({"rows": CUT}, 1)


leaves = (
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=9)
)
marks = some.sampled_from(
    [
        *("__simLargeValueRef", "__simLargeArrayManifest", "id", "url", "key", "name", "type", "size"),
        *("base64", "kind", "preview", "totalCount", "byteSize", "truncated", "size_bytes"),
    ]
)
hostile = some.recursive(
    leaves
    | some.sampled_from([True, -1, 1e308, 10**30, "/api/files/serve/SECRETPATH", "SECRETSIGN"])
    | some.just(REFERENCE)
    | some.just(MANIFEST)
    | some.just(FILE),
    lambda inner: some.lists(inner, max_size=5) | some.dictionaries(marks | some.text(max_size=5), inner),
    max_leaves=25,
)


@given(hostile)
def test_no_look_alike_crashes_us_or_takes_the_way_to_the_storage_out(value: Json) -> None:
    """Whatever stands around, inside, or in place of SIM's own objects: no id, key or address of them."""
    shown, count = told(value)
    text = json.dumps(shown)
    for secret in ("lv_SECRETID", "SECRETKEY", "file_SECRETID", "X-Amz-Signature"):
        assert secret not in text
    assert count >= 0
    assert json.loads(text) == shown


@given(some.fixed_dictionaries({}, optional=dict.fromkeys(REFERENCE, hostile)))
def test_a_stand_in_has_one_shape_whatever_the_reference_says(parts: dict[str, Json]) -> None:
    """Kind a word, size a number that can be, or nothing."""
    shown, _ = told({**parts, "__simLargeValueRef": True})
    assert isinstance(shown, dict)
    assert {*shown} == {"truncated", "kind", "size_bytes", "preview"}
    size = shown["size_bytes"]
    assert isinstance(shown["kind"], str)
    assert shown["kind"].isalpha()
    assert size is None or (isinstance(size, int) and 0 <= size < 2**53)


@pytest.mark.anyio
@pytest.mark.parametrize("v2", [True, False], ids=["v2", "legacy"])
async def test_an_answer_counts_what_sim_kept(clock: ManualClock, *, v2: bool) -> None:
    """In both dialects, and nothing of the storage is left in the run."""
    output = {"rows": REFERENCE, "file": FILE, "more": MANIFEST}
    answer: dict[str, Any] = {"success": True, "executionId": RUN, "output": output}
    if v2:
        answer = {"data": {"runId": RUN, "status": "completed", "output": output}}
    async with client_of(ScriptedSim(says(200, answer), v2=v2), clock) as client:
        run = await client.execute(request_of(), run_id=RUN)
    assert run.truncated == 2
    assert "SECRET" not in json.dumps(run.output)


@pytest.mark.anyio
async def test_a_streamed_end_counts_what_sim_kept(clock: ManualClock) -> None:
    """The last frame is read like any answer."""
    frames = events({"event": "final", "data": {"success": True, "output": {"rows": REFERENCE}}})
    async with client_of(ScriptedSim(frames), clock) as client:
        run = await client.execute(request_of(mode=Mode.STREAM), run_id=RUN)
    assert (run.output, run.truncated) == ({"rows": CUT}, 1)


@pytest.mark.anyio
async def test_a_form_shows_no_way_to_the_storage(clock: ManualClock) -> None:
    """What a pause displays comes from the same answer as its output."""
    shown = {"name": "rows", "type": "array", "value": REFERENCE}
    form = {"responseStructure": [shown], "inputFormat": [], "_resume": {"contextId": "c-1"}}
    answer = {"success": True, "executionId": RUN, "output": {"data": form, "status": 200, "headers": {}}}
    async with client_of(ScriptedSim(says(200, answer)), clock) as client:
        run = await client.execute(request_of(), run_id=RUN)
    assert "SECRET" not in json.dumps([list(point.display) for point in run.pauses])
    assert run.pauses[0].display[0]["value"] == CUT


@pytest.mark.anyio
@pytest.mark.skipif(not TRANSCRIPTS.is_dir(), reason="the recorded exchanges are not part of the project")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "431-legacy-file-base64",
            [{"name": "a.txt", "size": 10, "type": "text/plain", "base64": "aGVsbG8gZmlsZQ=="}],
        ),
        (
            "432-legacy-file-wrapped",
            [
                {
                    "type": "file",
                    "data": "data:text/plain;base64,aGVsbG8gZmlsZQ==",
                    "name": "a.txt",
                    "mime": "text/plain",
                }
            ],
        ),
    ],
)
async def test_a_recorded_file_is_read(name: str, expected: Json, clock: ManualClock) -> None:
    """An uploaded file without its place in SIM's storage; one that SIM never stored as it was sent."""
    async with client_of(ScriptedSim(reply_of(recorded(name))), clock) as client:
        run = await client.execute(request_of(), run_id=RUN)
    assert isinstance(run.output, dict)
    assert run.output["result"] == {"text": "t", "docs": expected}
    assert run.truncated == 0
