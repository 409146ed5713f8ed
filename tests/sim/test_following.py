"""Following a run: status, cancel, pauses, and answers to them."""

from __future__ import annotations

import httpx
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import (
    NotASimApi,
    SimAnswerLost,
    SimNotFound,
    SimUnavailable,
    SnapshotNotReady,
)
from sim_mcp.model.execution import Status
from tests.sim.scripted import (
    RUN,
    WORKFLOW,
    ScriptedSim,
    client_of,
    events,
    page,
    says,
)

pytestmark = pytest.mark.anyio


async def test_a_run_without_its_output_is_read_all_the_same(clock: ManualClock) -> None:
    """When SIM keeps the run but not its output, the status still counts."""
    gone = says(409, {"error": "Functional outputs are not available"})
    sim = ScriptedSim(gone, says(200, {"executionId": RUN, "status": "completed", "finalOutput": None}))
    async with client_of(sim, clock) as client:
        assert (await client.run(WORKFLOW, RUN)).status is Status.COMPLETED
    assert [request.url.query for request in sim.seen] == [b"includeOutput=true", b""]


async def test_a_guessed_job_proves_nothing(clock: ManualClock) -> None:
    """An old server that knows neither the route nor the job has not said that there was no run."""
    sim = ScriptedSim(page(404), says(404, {"error": "Task not found", "code": "TASK_NOT_FOUND"}))
    async with client_of(sim, clock) as client:
        with pytest.raises(NotASimApi):
            await client.run(WORKFLOW, RUN)
    sim = ScriptedSim(page(404), says(404, {"error": "Task not found", "code": "TASK_NOT_FOUND"}))
    async with client_of(sim, clock) as client:
        with pytest.raises(SimNotFound):
            await client.run(WORKFLOW, RUN, job_id="run_abc")


@pytest.mark.parametrize("v2", [True, False])
async def test_a_cancel_that_sim_could_not_do_is_told(*, v2: bool, clock: ManualClock) -> None:
    """HTTP 200 with `success: false` means that the run goes on."""
    body = {"success": False, "reason": "redis_unavailable"}
    sim = ScriptedSim(says(200, {"data": {"runId": RUN, **body}} if v2 else body), v2=v2)
    async with client_of(sim, clock) as client:
        cancellation = await client.cancel(WORKFLOW, RUN)
    assert (cancellation.accepted, cancellation.already_final, cancellation.reason) == (
        False,
        False,
        "redis_unavailable",
    )


async def test_a_cancel_too_late_is_told_on_v2(clock: ManualClock) -> None:
    """V2 says it in a 200."""
    sim = ScriptedSim(says(200, {"data": {"success": True, "reason": "already_completed"}}), v2=True)
    async with client_of(sim, clock) as client:
        cancellation = await client.cancel(WORKFLOW, RUN)
    assert (cancellation.accepted, cancellation.already_final) == (False, True)


async def test_a_broken_cancel_may_be_repeated(clock: ManualClock) -> None:
    """A cancel begins nothing, so its lost answer is only an unavailable SIM."""
    async with client_of(ScriptedSim(httpx.ReadError("reset")), clock) as client:
        with pytest.raises(SimUnavailable) as caught:
            await client.cancel(WORKFLOW, RUN)
    assert caught.value.retryable


async def test_pauses_hold_the_form_and_nothing_of_the_snapshot(clock: ManualClock) -> None:
    """Snapshot, queue and metadata hold secrets: nothing of them comes through."""
    form = {
        "inputFormat": [
            {
                "id": "f0",
                "name": "approved",
                "label": "Approve?",
                "type": "boolean",
                "required": True,
                "options": ["a"],
                "value": None,
            }
        ],
        "responseStructure": [{"name": "summary", "type": "string", "value": "Refund", "secret": "S3CRET"}],
        "_resume": {"apiUrl": "http://S3CRET"},
    }
    points = [
        {"contextId": "blk₍0₎", "pauseKind": "human", "resumeStatus": "paused", "response": {"data": form}},
        {
            "contextId": "blk₍1₎",
            "pauseKind": "time",
            "resumeStatus": "paused",
            "resumeAt": "2026-08-21T10:00:00Z",
        },
        {"contextId": "done", "pauseKind": "human", "resumeStatus": "resumed"},
        "noise",
    ]
    secrets = {"executionSnapshot": {"snapshot": "S3CRET"}, "queue": ["S3CRET"], "metadata": {"a": "S3CRET"}}
    async with client_of(ScriptedSim(says(200, {"pausePoints": points, **secrets})), clock) as client:
        human, wait = await client.pauses(WORKFLOW, RUN)
    assert (human.context_id, human.kind, wait.context_id, wait.kind) == ("blk₍0₎", "human", "blk₍1₎", "time")
    assert wait.resume_at is not None
    (field,) = human.fields
    assert (field.name, field.label, field.required, field.options) == ("approved", "Approve?", True, ("a",))
    assert "S3CRET" not in repr((human, wait))


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (
            says(200, {"success": True, "status": "completed", "executionId": "new", "output": 1}),
            Status.COMPLETED,
        ),
        (says(202, {"success": True, "async": True, "jobId": "run_x", "executionId": "new"}), Status.QUEUED),
        (events({"event": "final", "data": {"success": True, "output": 1}}), Status.COMPLETED),
        (says(200, {"status": "queued", "executionId": "new", "queuePosition": 1}), Status.QUEUED),
        (says(200, {"status": "started", "executionId": "new"}), Status.PROCESSING),
        (
            says(200, {"success": False, "status": "failed", "error": "Work: boom", "output": {}}),
            Status.FAILED,
        ),
        (says(500, {"success": False, "error": "Work: boom", "output": {}}), Status.FAILED),
        (says(200, {"status": "completed", "executionId": "new"}), Status.PROCESSING),
    ],
)
async def test_each_answer_to_a_resume_is_understood(
    reply: httpx.Response, expected: Status, clock: ManualClock
) -> None:
    """The five answers of sim-api 6.3 and the failures; the run keeps its original id."""
    sim = ScriptedSim(reply)
    async with client_of(sim, clock) as client:
        run = await client.resume(WORKFLOW, RUN, "blk₍0₎", {"approved": True})
    assert (run.status, run.run_id) == (expected, RUN)
    assert sim.seen[0].url.raw_path.endswith(b"/blk%E2%82%8D0%E2%82%8E")
    assert sim.seen[0].content == b'{"input": {"approved": true}}'


async def test_v2_resumes_by_context_in_the_body(clock: ManualClock) -> None:
    """A queued resume is a queued run under the original id."""
    sim = ScriptedSim(says(202, {"data": {"runId": "new", "statusUrl": "x", "queuePosition": 2}}), v2=True)
    async with client_of(sim, clock) as client:
        run = await client.resume(WORKFLOW, RUN, "blk_9", {"approved": True})
    assert (run.status, run.run_id) == (Status.QUEUED, RUN)
    assert sim.seen[0].content == b'{"contextId": "blk_9", "input": {"approved": true}}'


async def test_a_pause_still_being_written_may_be_asked_again(clock: ManualClock) -> None:
    """The one conflict of a resume that passes by itself."""
    reply = says(409, {"error": "Snapshot not ready; execution still finalizing pause"})
    async with client_of(ScriptedSim(reply), clock) as client:
        with pytest.raises(SnapshotNotReady) as caught:
            await client.resume(WORKFLOW, RUN, "blk_9", {})
    assert caught.value.retryable


async def test_a_lost_resume_is_never_called_unsent(clock: ManualClock) -> None:
    """SIM has no protection against a second answer, so a lost one leaves doubt."""
    async with client_of(ScriptedSim(httpx.ReadTimeout("late")), clock) as client:
        with pytest.raises(SimAnswerLost):
            await client.resume(WORKFLOW, RUN, "blk_9", {})
