"""What a run's answer carries beside its status: text, output, errors, bounds."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import (
    RunBegan,
    SimAnswerLost,
    SimNotFound,
    SimPayloadTooLarge,
    SimRateLimited,
    SimTimeout,
)
from sim_mcp.model.execution import Status
from sim_mcp.model.tool import Mode
from tests.sim.scripted import (
    KEY,
    RUN,
    WORKFLOW,
    WORKSPACES,
    ScriptedSim,
    client_of,
    events,
    request_of,
    says,
)

pytestmark = pytest.mark.anyio


async def test_text_streams_as_it_comes_and_joins_the_output(clock: ManualClock) -> None:
    """SIM leaves what it streamed out of the final output; here it is part of it again."""
    frames = [
        {"blockId": "b1", "chunk": "Hel"},
        {"blockId": "b1", "event": "thinking", "data": "hm"},
        {"blockId": "b1", "chunk": "lo"},
        {"event": "stream_error", "blockId": "b3", "error": "one block only"},
        {"event": "final", "data": {"success": True, "output": {"model": "m"}}},
        {"blockId": "b1", "chunk": "after the end"},
    ]
    heard = list[str]()

    async def on_text(text: str) -> None:
        heard.append(text)

    async with client_of(ScriptedSim(events(*frames), v2=True), clock) as client:
        run = await client.execute(request_of(Mode.STREAM), run_id=RUN, on_text=on_text)
    assert heard == ["Hel", "lo"]
    assert run.output == {"content": "Hello", "model": "m"}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (None, {"content": "Hi"}),
        ({}, {"content": "Hi"}),
        ([1], {"content": "Hi", "output": [1]}),
        ({"content": "x"}, {"streamed": "Hi", "content": "x"}),
    ],
)
async def test_streamed_text_never_hides_an_output(output: Any, expected: Any, clock: ManualClock) -> None:
    """Text and final output are both kept, whatever the output is."""
    final = {"event": "final", "data": {"success": True, "output": output}}
    sim = ScriptedSim(events({"blockId": "b", "chunk": "Hi"}, final), v2=True)
    async with client_of(sim, clock) as client:
        assert (await client.execute(request_of(Mode.STREAM), run_id=RUN)).output == expected


async def test_a_run_that_never_answers_is_a_timeout(clock: ManualClock) -> None:
    """The whole exchange is bounded, also when SIM trickles bytes; the run may go on."""

    async def silent(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return says(200, WORKSPACES)
        await anyio.sleep_forever()
        raise AssertionError

    async with client_of(silent, clock) as client:
        with pytest.raises(SimTimeout) as sync:
            await client.execute(request_of(timeout_s=0.02), run_id=RUN)
        with pytest.raises(SimAnswerLost) as background:
            await client.execute(request_of(Mode.ASYNC, timeout_s=0.02), run_id=RUN)
    assert sync.value.began is background.value.began is RunBegan.MAYBE


async def test_an_endless_answer_is_cut_off(clock: ManualClock) -> None:
    """Nobody can fill our memory: a read is refused, an execute's outcome is to be looked up."""
    body = {"success": True, "executionId": RUN, "output": "x" * 5000}
    sim = ScriptedSim(says(200, body), says(200, body))
    async with client_of(sim, clock, max_answer_bytes=4096) as client:
        with pytest.raises(SimAnswerLost):
            await client.execute(request_of(), run_id=RUN)
        with pytest.raises(SimPayloadTooLarge):
            await client.run(WORKFLOW, RUN)


async def test_a_failure_text_is_short_clean_and_without_the_key(clock: ManualClock) -> None:
    """SIM's own text reaches people only after it was tidied."""
    text = f"CRM 1: \x1b[31mbad\u202e key {KEY}\nsee log " + "x" * 1000
    sim = ScriptedSim(says(500, {"success": False, "error": text, "output": {}}))
    async with client_of(sim, clock) as client:
        run = await client.execute(request_of(), run_id=RUN)
    assert run.error is not None
    assert run.error.message.startswith("CRM 1:  [31mbad  key [key] see log xxx")
    assert len(run.error.message) == 300


async def test_the_block_of_a_failure_is_named_on_v2(clock: ManualClock) -> None:
    """V2 says which block failed."""
    error = {"message": "Invalid credentials", "code": "BLOCK_EXECUTION_FAILED", "blockName": "Send Email"}
    sim = ScriptedSim(says(200, {"data": {"runId": RUN, "status": "failed", "error": error}}), v2=True)
    async with client_of(sim, clock) as client:
        run = await client.execute(request_of(), run_id=RUN)
    assert run.error is not None
    assert (run.error.message, run.error.block_name) == ("Invalid credentials", "Send Email")


async def test_large_values_are_counted_and_cut(clock: ManualClock) -> None:
    """A reference is told as one, with its size and preview."""
    reference = {
        "__simLargeValueRef": True,
        "id": "lv_1",
        "kind": "array",
        "size": 9437184,
        "preview": [{"id": 1}],
    }
    sim = ScriptedSim(says(200, {"success": True, "executionId": RUN, "output": {"rows": reference}}))
    async with client_of(sim, clock) as client:
        run = await client.execute(request_of(), run_id=RUN)
    assert run.truncated == 1
    assert run.output == {
        "rows": {"truncated": True, "kind": "array", "size_bytes": 9437184, "preview": [{"id": 1}]}
    }


@pytest.mark.parametrize(
    ("status", "output"), [(200, {"valid": False}), (422, {"status": 422, "data": {"valid": False}})]
)
async def test_a_response_block_is_data_and_keeps_an_error_status(
    status: int, output: Any, clock: ManualClock
) -> None:
    """An author's answer completes the run; a status that means an error stays visible in the output."""
    async with client_of(ScriptedSim(says(status, {"valid": False})), clock) as client:
        run = await client.execute(request_of(), run_id=RUN)
    assert (run.status, run.is_raw, run.output) == (Status.COMPLETED, True, output)


async def test_durations_are_whole_milliseconds(clock: ManualClock) -> None:
    """Fractions of milliseconds end at the border."""
    body = {"success": True, "executionId": RUN, "output": 1, "metadata": {"duration": 1834.61}}
    async with client_of(ScriptedSim(says(200, body)), clock) as client:
        assert (await client.execute(request_of(), run_id=RUN)).duration_ms == 1835


async def test_an_old_server_that_chose_the_id_itself_is_believed(clock: ManualClock) -> None:
    """Servers before July 2026 may ignore our id; the run must be followed under theirs."""
    body = {"success": True, "executionId": "their-id", "output": 1}
    async with client_of(ScriptedSim(says(200, body)), clock) as client:
        assert (await client.execute(request_of(), run_id=RUN)).run_id == "their-id"


@pytest.mark.parametrize(
    ("reply", "retry_after_s"),
    [
        (says(429, {"error": "Rate limit exceeded. Please try again later."}), 60.0),
        (says(429, {"error": "Too many concurrent executions are in progress"}), 5.0),
        (
            says(
                429, {"error": "Too many requests", "code": "ADMISSION_GATE_CAPACITY", "retryAfterSeconds": 7}
            ),
            7.0,
        ),
        (
            says(
                429,
                {"error": "Too many requests", "code": "ADMISSION_GATE_CAPACITY"},
                headers={"Retry-After": "5"},
            ),
            5.0,
        ),
        (says(429, {"error": {"code": "RATE_LIMITED"}}, headers={"Retry-After": "12"}), 12.0),
        (says(429, {"error": "x", "retryAfter": 1795398946147}), 60.0),
    ],
)
async def test_a_limit_says_when_to_come_back(
    reply: httpx.Response, retry_after_s: float, clock: ManualClock
) -> None:
    """Where SIM does not say, its window does."""
    async with client_of(ScriptedSim(reply), clock) as client:
        with pytest.raises(SimRateLimited) as caught:
            await client.execute(request_of(), run_id=RUN)
    assert caught.value.retry_after_s == retry_after_s


async def test_an_error_keeps_sims_request_id_and_code(clock: ManualClock) -> None:
    """Enough to find the event in SIM's log."""
    sim = ScriptedSim(says(404, {"error": {"code": "NOT_FOUND", "message": "Workflow not found"}}), v2=True)
    async with client_of(sim, clock) as client:
        with pytest.raises(SimNotFound) as caught:
            await client.execute(request_of(), run_id=RUN)
    error = caught.value
    assert (error.sim_status, error.sim_code, error.sim_request_id) == (404, "NOT_FOUND", "a1b2c3d4")
    assert error.detail == "Workflow not found"
