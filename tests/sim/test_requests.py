"""What leaves for SIM: headers, bodies, paths, and what never leaves at all."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from sim_mcp import __version__
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import InvalidInput, PayloadTooLarge, SimConflict
from sim_mcp.model.run import RunId
from sim_mcp.model.tool import Mode, WorkflowId
from sim_mcp.sim.exchange import path_of
from sim_mcp.sim.submission import CONTROL_KEYS
from tests.sim.scripted import KEY, RUN, WORKFLOW, ScriptedSim, client_of, events, request_of, says

pytestmark = pytest.mark.anyio

V2_OK: dict[str, Any] = {"data": {"runId": RUN, "workflowId": WORKFLOW, "status": "completed", "output": {}}}
LEGACY_OK: dict[str, Any] = {"success": True, "executionId": RUN, "output": {}}
FILE = {"type": "file", "data": "data:text/plain;base64,aGVsbG8=", "name": "a.txt", "mime": "text/plain"}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def sent(clock: ManualClock, *, v2: bool, mode: Mode = Mode.SYNC, **changes: Any) -> httpx.Request:
    ok = says(200, V2_OK if v2 else LEGACY_OK)
    sim = ScriptedSim(
        ok if mode is not Mode.STREAM else events({"event": "final", "data": {"success": True}}), v2=v2
    )
    async with client_of(sim, clock) as client:
        await client.execute(request_of(mode, **changes), run_id=RUN)
    (request,) = sim.seen
    return request


async def refused(clock: ManualClock, *, v2: bool = False, **changes: Any) -> InvalidInput:
    sim = ScriptedSim(v2=v2)
    async with client_of(sim, clock) as client:
        with pytest.raises(InvalidInput) as caught:
            await client.execute(request_of(changes.pop("mode", Mode.SYNC), **changes), run_id=RUN)
    assert not sim.seen
    return caught.value


def body_of(request: httpx.Request) -> Any:
    return json.loads(request.content)


@pytest.mark.parametrize("v2", [True, False])
async def test_every_request_says_who_asks_and_nothing_else(*, v2: bool, clock: ManualClock) -> None:
    """The key has one header; there is no cookie and no other authorisation."""
    request = await sent(clock, v2=v2)
    assert request.headers["x-api-key"] == KEY
    assert request.headers["user-agent"] == f"sim-mcp/{__version__}"
    assert "application/json" in request.headers["accept"]
    assert request.headers["content-type"] == "application/json"
    assert not {"cookie", "authorization"} & set(request.headers)
    assert KEY not in str(request.url)
    assert KEY not in request.content.decode()


async def test_the_run_id_is_ours_in_both_dialects(clock: ManualClock) -> None:
    """The id is in the header before SIM can choose one, so that a lost answer can be looked up."""
    assert (await sent(clock, v2=True)).headers["x-run-id"] == RUN
    assert (await sent(clock, v2=False)).headers["x-execution-id"] == RUN


async def test_v2_gets_only_documented_keys(clock: ManualClock) -> None:
    """V2 refuses unknown keys, so each mode sends exactly its own."""
    outputs = ("work.result",)
    plain = await sent(clock, v2=True)
    stream = await sent(clock, v2=True, mode=Mode.STREAM, selected_outputs=outputs)
    background = await sent(clock, v2=True, mode=Mode.ASYNC, timeout_s=90.2, selected_outputs=outputs)
    arguments = {"topic": "invoices"}
    assert body_of(plain) == {"input": arguments}
    assert body_of(stream) == {"input": arguments, "stream": True, "selectedOutputs": ["work.result"]}
    assert body_of(background) == {"input": arguments, "async": True, "executionTimeoutSeconds": 91}
    assert plain.url.path == f"/api/v2/workflows/{WORKFLOW}/execute"


async def test_legacy_gets_its_modes_in_headers(clock: ManualClock) -> None:
    """Legacy reads modes from headers; the input is wrapped, so no name can collide with a command."""
    plain = await sent(clock, v2=False)
    stream = await sent(clock, v2=False, mode=Mode.STREAM, selected_outputs=("work.result",))
    background = await sent(clock, v2=False, mode=Mode.ASYNC, timeout_s=90.2, selected_outputs=("x",))
    arguments = {"input": {"topic": "invoices"}}
    assert body_of(plain) == arguments
    assert not {"x-execution-mode", "x-stream-response", "x-execution-timeout-seconds"} & set(plain.headers)
    assert body_of(stream) == {**arguments, "selectedOutputs": ["work.result"]}
    assert stream.headers["x-stream-response"] == "true"
    assert body_of(background) == arguments
    assert background.headers["x-execution-mode"] == "async"
    assert background.headers["x-execution-timeout-seconds"] == "91"


@pytest.mark.parametrize(("timeout_s", "expected"), [(0.2, 1), (60.0, 60), (1e9, 604_800)])
async def test_the_server_timeout_stays_within_its_bounds(
    timeout_s: float, expected: int, clock: ManualClock
) -> None:
    """SIM takes 1 to 604,800 whole seconds."""
    request = await sent(clock, v2=True, mode=Mode.ASYNC, timeout_s=timeout_s)
    assert body_of(request)["executionTimeoutSeconds"] == expected


@pytest.mark.parametrize("name", sorted(CONTROL_KEYS))
async def test_an_input_named_like_a_command_is_safe_when_wrapped(name: str, clock: ManualClock) -> None:
    """A workflow's own field may bear any name as long as no file forces the flat form."""
    assert body_of(await sent(clock, v2=False, input={name: "x"})) == {"input": {name: "x"}}


async def test_files_go_flat_on_legacy_and_inside_on_v2(clock: ManualClock) -> None:
    """Legacy uploads files only from the top of the body; v2 only from inside the input."""
    arguments = {"docs": [FILE], "text": "t"}
    assert body_of(await sent(clock, v2=False, input=arguments, file_fields=("docs",))) == arguments
    assert body_of(await sent(clock, v2=True, input=arguments, file_fields=("docs",))) == {"input": arguments}


async def test_a_file_field_without_a_file_stays_wrapped(clock: ManualClock) -> None:
    """Only a file that is really there makes legacy's body flat."""
    arguments: dict[str, Any] = {"docs": [], "stream": "y"}
    assert body_of(await sent(clock, v2=False, input=arguments, file_fields=("docs",))) == {
        "input": arguments
    }


async def test_names_that_collide_beside_a_file_are_listed(clock: ManualClock) -> None:
    """The refusal names every input that legacy would read as a command; nothing is sent."""
    arguments = {"docs": [FILE], "workflowId": "w", "stream": "s", "text": "t"}
    error = await refused(clock, input=arguments, file_fields=("docs",))
    assert [fault.path for fault in error.faults] == ["$.stream", "$.workflowId"]
    assert "'stream', 'workflowId'" in error.message


@pytest.mark.parametrize("v2", [True, False])
async def test_files_and_async_do_not_go_together(*, v2: bool, clock: ManualClock) -> None:
    """In async mode SIM would hand the raw object to the workflow, so it is refused here."""
    error = await refused(clock, v2=v2, mode=Mode.ASYNC, input={"docs": [FILE]}, file_fields=("docs",))
    assert [fault.path for fault in error.faults] == ["$.docs"]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("text", "must be an object"),
        ({**FILE, "name": ""}, "lacks name"),
        ({"type": "file"}, "lacks data, name, mime"),
        ({**FILE, "data": "aGVsbG8="}, "data:<mime>;base64"),
        ({**FILE, "data": "data:text/plain;base64,a=b"}, "base64"),
        ({**FILE, "data": "data:text/plain;base64,ab"}, "base64"),
        ({**FILE, "type": "blob"}, "`type`"),
        ({**FILE, "type": "url", "data": "http://127.0.0.1/x"}, "https"),
    ],
)
async def test_a_malformed_file_is_refused_with_its_path(item: Any, said: str, clock: ManualClock) -> None:
    """SIM ignores such files silently; here each has a path and a reason."""
    error = await refused(clock, input={"docs": [FILE, item]}, file_fields=("docs",))
    assert [fault.path for fault in error.faults] == ["$.docs[1]"]
    assert said in error.faults[0].message


async def test_a_file_field_that_is_no_array_is_refused(clock: ManualClock) -> None:
    """One file alone, without its array, is a mistake that SIM would not report."""
    error = await refused(clock, input={"docs": FILE}, file_fields=("docs",))
    assert error.faults[0].path == "$.docs"


@pytest.mark.parametrize("bytes_more", [0, 1])
async def test_a_file_is_measured_after_decoding(bytes_more: int, clock: ManualClock) -> None:
    """The limit is 20 MB of content per file; the body's own limit comes first for a single inline file."""
    content = base64.b64encode(bytes(20 * 1024 * 1024 + bytes_more)).decode()
    big = {**FILE, "data": f"data:text/plain;base64,{content}"}
    async with client_of(ScriptedSim(), clock) as client:
        with pytest.raises(PayloadTooLarge, match="file is larger" if bytes_more else "input is larger"):
            await client.execute(request_of(input={"docs": [big]}, file_fields=("docs",)), run_id=RUN)


async def test_a_body_of_ten_megabytes_is_refused_before_it_is_sent(clock: ManualClock) -> None:
    """SIM would refuse it after the upload."""
    sim = ScriptedSim()
    async with client_of(sim, clock) as client:
        with pytest.raises(PayloadTooLarge):
            await client.execute(request_of(input={"text": "x" * 10 * 1024 * 1024}), run_id=RUN)
    assert not sim.seen


async def test_a_number_that_json_does_not_know_is_refused(clock: ManualClock) -> None:
    """NaN would make the whole body unreadable for SIM."""
    await refused(clock, input={"n": float("nan")})


async def test_the_call_chain_is_extended_and_ends_at_twenty_five(clock: ManualClock) -> None:
    """SIM's loop guard survives the way through us, and is applied before SIM has to."""
    request = await sent(clock, v2=True, via=("wf-a", "wf-b"))
    assert request.headers["x-sim-via"] == f"wf-a,wf-b,{WORKFLOW}"
    longest = tuple(f"wf-{n}" for n in range(23))
    assert (await sent(clock, v2=False, via=longest)).headers["x-sim-via"].count(",") == 23
    sim = ScriptedSim()
    async with client_of(sim, clock) as client:
        with pytest.raises(SimConflict, match="25"):
            await client.execute(request_of(via=(*longest, "one-more")), run_id=RUN)
    assert not sim.seen


@pytest.mark.parametrize(("given", "is_sent"), [(TRACE, True), (f"{TRACE}\r\nX-Evil: 1", False), ("", False)])
async def test_a_trace_is_passed_on_only_when_it_is_one(
    given: str, *, is_sent: bool, clock: ManualClock
) -> None:
    """The trace links SIM's log with ours; whatever is no trace context is left out."""
    request = await sent(clock, v2=True, traceparent=given)
    assert request.headers.get("traceparent") == (given if is_sent else None)


@pytest.mark.parametrize("run_id", ["", "a b", "a\r\nb", "ä", "x" * 129])
async def test_a_run_id_that_sim_would_refuse_is_not_sent(run_id: str, clock: ManualClock) -> None:
    """A wrong id would cost a round trip, or a header injection."""
    async with client_of(ScriptedSim(), clock) as client:
        with pytest.raises(InvalidInput):
            await client.execute(request_of(), run_id=RunId(run_id))


def test_every_segment_of_a_path_is_encoded() -> None:
    """Colons, slashes and SIM's subscripts stay inside their segment."""
    assert path_of("api", "jobs", "workflow-execution:1") == "/api/jobs/workflow-execution%3A1"
    assert path_of("blk₍0₎_loop1", "a/b?c#d%") == "/blk%E2%82%8D0%E2%82%8E_loop1/a%2Fb%3Fc%23d%25"


@pytest.mark.parametrize(
    "segment",
    [
        "",
        ".",
        "..",
        "a\nb",
        "x" * 600,
        "../x",
        "a/../../b",
        "..\\x",
        "//host/x",
        "..;/x",
        "%2e%2e/x",
        "%252e%252e%252f",
    ],
)
def test_no_segment_climbs_out_of_its_path(segment: str) -> None:
    """Dots and emptiness would address something else."""
    with pytest.raises(InvalidInput):
        path_of("api", segment)


async def test_a_path_prefix_survives(clock: ManualClock) -> None:
    """A SIM behind a rewriting proxy is reached below its prefix, id encoded."""
    sim = ScriptedSim(says(200, LEGACY_OK))
    async with client_of(sim, clock, base_url="https://host.example/sim/eu") as client:
        await client.execute(request_of(workflow_id=WorkflowId("a/b")), run_id=RUN)
    assert sim.seen[0].url.raw_path == b"/sim/eu/api/workflows/a%2Fb/execute"
