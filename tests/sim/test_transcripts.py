"""What a real SIM 0.8.9 said, word for word, and what the client makes of it."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import (
    ErrorCode,
    RunIdTaken,
    SimConflict,
    SimNotDeployed,
    SimNotFound,
    SimPayloadTooLarge,
    SimRateLimited,
    SimRefused,
    SimRejectedInput,
    SimRejectedKey,
)
from sim_mcp.model.execution import Status
from sim_mcp.model.json import JsonObject, is_object
from sim_mcp.model.run import Cancellation, RunId, Usage
from sim_mcp.model.tool import Mode, WorkflowId
from sim_mcp.sim.client import SimClient
from sim_mcp.sim.parsing import text_at
from tests.sim.scripted import ScriptedSim, client_of, request_of
from tests.sim.transcripts import TRANSCRIPTS, ids_of, is_v2, recorded, reply_of

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.requirement("R57", "R39"),
    pytest.mark.skipif(not TRANSCRIPTS.is_dir(), reason="the recorded exchanges are not on this machine"),
]


EXECUTED = {
    "17-v2-exec-sync": Status.COMPLETED,
    "27-v2-exec-wrong-types": Status.COMPLETED,
    "28-v2-exec-fail": Status.FAILED,
    "30-v2-exec-big": Status.COMPLETED,
    "31-v2-exec-async": Status.QUEUED,
    "36-v2-exec-stream": Status.COMPLETED,
    "38-v2-exec-hitl": Status.PAUSED,
    "45-v2-exec-async-to-cancel": Status.QUEUED,
    "503-v2-exec-failing": Status.FAILED,
    "505-v2-exec-bad-ref": Status.FAILED,
    "511-v2-async-start": Status.QUEUED,
    "521-v2-hitl-pause": Status.PAUSED,
    "52-legacy-exec-sync": Status.COMPLETED,
    "53-legacy-exec-flat": Status.COMPLETED,
    "61-legacy-exec-async": Status.QUEUED,
    "64-legacy-exec-stream": Status.COMPLETED,
    "102-legacy-exec-sync-ok": Status.COMPLETED,
    "113-legacy-exec-failing": Status.FAILED,
    "114-legacy-exec-bad-reference": Status.FAILED,
    "132-legacy-exec-with-execution-id": Status.COMPLETED,
    "204-legacy-async-fail-start": Status.QUEUED,
    "213-legacy-async-timeout-2s-start": Status.QUEUED,
    "231-legacy-hitl-sync-pause": Status.PAUSED,
    "280-legacy-cancel-paused-exec": Status.PAUSED,
    "287-legacy-sync-run-cancelled-from-outside": Status.CANCELLED,
    "431-legacy-file-base64": Status.COMPLETED,
    "605-rate-limit-sync-01": Status.FAILED,
    "617-after-waiting-61s": Status.COMPLETED,
}

REFUSED: dict[str, type[Exception]] = {
    "20-v2-exec-badkey": SimRejectedKey,
    "21-v2-exec-nokey": SimRejectedKey,
    "22-v2-exec-unknown-wf": SimNotFound,
    "24-v2-exec-unknown-field": SimRejectedInput,
    "25-v2-exec-malformed": SimRejectedInput,
    "26-v2-exec-too-large": SimPayloadTooLarge,
    "506-v2-exec-foreign": SimNotFound,
    "507-v2-exec-undeployed": SimNotDeployed,
    "610-rate-limited-v2": SimRateLimited,
    "56-legacy-exec-badkey": SimRejectedKey,
    "57-legacy-exec-unknown": SimNotFound,
    "58-legacy-exec-undeployed": SimNotDeployed,
    "115-legacy-exec-bad-key": SimRejectedKey,
    "121-legacy-exec-foreign-workspace-personal-key": SimRefused,
    "123-legacy-exec-malformed-json": SimRejectedInput,
    "129-legacy-exec-control-key-collision": SimRejectedInput,
    "133-legacy-exec-execution-id-reused": RunIdTaken,
    "134-legacy-exec-execution-id-invalid": SimRejectedInput,
    "212-legacy-async-not-deployed": SimNotDeployed,
    "228-legacy-stream-not-deployed": SimNotDeployed,
    "608-rate-limited-id-again": RunIdTaken,
    "609-rate-limited-stream": SimRateLimited,
    "712-admission-gate-full-sync": SimRateLimited,
}

STATUSES = {
    "19-v2-run-get": Status.COMPLETED,
    "32-v2-run-poll-0": Status.PROCESSING,
    "35-v2-run-poll-3": Status.COMPLETED,
    "39-v2-run-paused": Status.PAUSED,
    "43-v2-run-after-resume": Status.COMPLETED,
    "527-v2-hitl-run-final": Status.PAUSED,
    "55-legacy-exec-status": Status.COMPLETED,
    "136-legacy-exec-get-status-include-output": Status.COMPLETED,
    "203-legacy-async-execution-status-after": Status.COMPLETED,
    "215-legacy-async-timeout-execution": Status.FAILED,
    "232-legacy-hitl-execution-status": Status.PAUSED,
    "241-legacy-hitl-execution-status-after": Status.COMPLETED,
    "248-legacy-hitl-twice-status": Status.PAUSED,
    "273-legacy-cancel-running-status-at-once": Status.CANCELLED,
    "282-legacy-cancel-paused-status": Status.CANCELLED,
    "293-legacy-disconnect-status-18s-later": Status.CANCELLED,
    "532-wait-async-status": Status.PAUSED,
    "533-wait-async-status-after-cron-poll": Status.COMPLETED,
    "620-timeout-async-status": Status.FAILED,
}

JOBS = {
    "62-legacy-job-poll-0": Status.PROCESSING,
    "202-legacy-async-job-poll-1-completed": Status.COMPLETED,
    "205-legacy-async-fail-job-poll-1-failed": Status.FAILED,
    "214-legacy-async-timeout-job-poll-1-failed": Status.FAILED,
    "220-legacy-async-custom-status-job": Status.COMPLETED,
    "266-legacy-hitl-async-resume-job-after": Status.PAUSED,
    "275-legacy-cancel-job-after": Status.CANCELLED,
    "619-timeout-async-job": Status.FAILED,
}

RESUMED = {
    "42-v2-resume": Status.COMPLETED,
    "251-legacy-hitl-twice-b-resume-1": Status.PAUSED,
    "257-legacy-hitl-flat-resume": Status.COMPLETED,
    "259-legacy-hitl-empty-resume": Status.COMPLETED,
    "264-legacy-hitl-async-resume-post": Status.QUEUED,
}

NOT_RESUMED: dict[str, type[Exception]] = {
    "238-legacy-hitl-resume-no-key": SimRejectedKey,
    "239-legacy-hitl-resume-other-tenant": SimRefused,
    "252-legacy-hitl-twice-b-resume-2-with-returned-url-id": SimConflict,
    "253-legacy-hitl-twice-b-resume-2-with-original-id": SimNotFound,
    "283-legacy-cancel-paused-then-resume": SimConflict,
    "525-v2-hitl-resume-2-original-run": SimNotFound,
    "526-v2-hitl-resume-2-resume-run": SimConflict,
}


def mode_of(exchange: dict[str, Any]) -> Mode:
    body = exchange["request"]["body"]
    wants: JsonObject = body if is_object(body) else {}
    if exchange["request"]["headers"].get("X-Execution-Mode") == "async" or wants.get("async"):
        return Mode.ASYNC
    return Mode.STREAM if wants.get("stream") else Mode.SYNC


async def executed(name: str, clock: ManualClock) -> Any:
    exchange = recorded(name)
    headers, body = exchange["request"]["headers"], exchange["response"]["body"]
    told = text_at(body, "executionId") if is_object(body) else ""
    sent = headers.get("X-Run-Id") or headers.get("X-Execution-Id") or told or "run-1"
    run_id = RunId(re.sub(r"[^\w-]", "-", sent))  # one recorded id was invalid on purpose
    sim = ScriptedSim(reply_of(exchange), v2=is_v2(name))
    async with client_of(sim, clock) as client:
        request = request_of(mode_of(exchange), workflow_id=ids_of(exchange)[0])
        run = await client.execute(request, run_id=run_id)
    assert run.run_id == run_id
    return run


@pytest.mark.parametrize("name", EXECUTED)
async def test_a_recorded_execute_has_its_status(name: str, clock: ManualClock) -> None:
    """Every recorded run-level answer to execute becomes the run it was."""
    run = await executed(name, clock)
    assert run.status is EXECUTED[name]
    assert (run.error is not None) == (run.status is Status.FAILED)


@pytest.mark.parametrize("name", REFUSED)
async def test_a_recorded_refusal_is_its_error(name: str, clock: ManualClock) -> None:
    """Every recorded refusal becomes the error of its kind."""
    with pytest.raises(REFUSED[name]) as caught:
        await executed(name, clock)
    assert type(caught.value) is REFUSED[name]


@pytest.mark.parametrize("name", STATUSES)
async def test_a_recorded_status_is_read(name: str, clock: ManualClock) -> None:
    """Status records of both dialects give the run's status, and its output once it completed."""
    exchange = recorded(name)
    workflow_id, run_id = ids_of(exchange)
    async with client_of(ScriptedSim(reply_of(exchange), v2=is_v2(name)), clock) as client:
        run = await client.run(workflow_id, run_id)
    body = exchange["response"]["body"]
    assert (run.status, run.run_id) == (STATUSES[name], run_id)
    assert run.output == body.get("data", body).get("output", body.get("finalOutput"))


@pytest.mark.parametrize("name", JOBS)
async def test_a_recorded_job_is_read_where_the_run_route_is_missing(name: str, clock: ManualClock) -> None:
    """On servers without the run route a job tells, by its nested output and the shape of a pause."""
    missing = httpx.Response(404, text="<!DOCTYPE html>", headers={"content-type": "text/html"})
    job_id = recorded(name)["response"]["body"]["taskId"]
    sim = ScriptedSim(missing, reply_of(recorded(name)))
    async with client_of(sim, clock) as client:
        run = await client.run(WorkflowId("w"), RunId("r"), job_id=job_id)
    assert (run.status, run.job_id) == (JOBS[name], job_id)
    assert sim.seen[-1].url.raw_path.decode() == f"/api/jobs/{job_id.replace(':', '%3A')}"


@pytest.mark.parametrize("name", RESUMED)
async def test_a_recorded_resume_keeps_the_original_run(name: str, clock: ManualClock) -> None:
    """Whatever new id SIM answers a resume with, the run stays the one that was paused."""
    async with client_of(ScriptedSim(reply_of(recorded(name)), v2=is_v2(name)), clock) as client:
        run = await client.resume(WorkflowId("w"), RunId("original"), "ctx", {"approved": True})
    assert (run.status, run.run_id) == (RESUMED[name], "original")


@pytest.mark.parametrize("name", NOT_RESUMED)
async def test_a_recorded_refusal_of_a_resume_is_its_error(name: str, clock: ManualClock) -> None:
    """A pause that cannot be answered says why."""
    async with client_of(ScriptedSim(reply_of(recorded(name)), v2=is_v2(name)), clock) as client:
        with pytest.raises(NOT_RESUMED[name]) as caught:
            await client.resume(WorkflowId("w"), RunId("original"), "ctx", {})
    assert type(caught.value) is NOT_RESUMED[name]


CANCELLED = {
    "272-legacy-cancel-running": Cancellation(accepted=True, already_final=False, reason="recorded"),
    "276-legacy-cancel-twice": Cancellation(accepted=True, already_final=True, reason="already_cancelled"),
    "278-legacy-cancel-finished-run": Cancellation(
        accepted=False, already_final=True, reason="Execution cannot be cancelled while completed"
    ),
    "281-legacy-cancel-paused": Cancellation(accepted=True, already_final=False, reason="recorded"),
}


@pytest.mark.parametrize("name", CANCELLED)
async def test_a_recorded_cancel_is_read(name: str, clock: ManualClock) -> None:
    """A cancel tells whether SIM took it, and whether there was anything left to cancel."""
    async with client_of(ScriptedSim(reply_of(recorded(name))), clock) as client:
        assert await client.cancel(WorkflowId("w"), RunId("r")) == CANCELLED[name]


@pytest.mark.parametrize(
    ("name", "error"),
    [("279-legacy-cancel-unknown-run", SimNotFound), ("284-legacy-cancel-other-tenant", SimRefused)],
)
async def test_a_recorded_refusal_of_a_cancel_is_its_error(
    name: str, error: type[Exception], clock: ManualClock
) -> None:
    """An unknown run and a missing right to stop it are told apart."""
    async with client_of(ScriptedSim(reply_of(recorded(name))), clock) as client:
        with pytest.raises(error):
            await client.cancel(WorkflowId("w"), RunId("r"))


async def test_a_recorded_pause_shows_its_form(clock: ManualClock) -> None:
    """The form of the pause comes with the answer, its texts and types as the author wrote them."""
    run = await executed("231-legacy-hitl-sync-pause", clock)
    (point,) = run.pauses
    assert (point.context_id, point.kind) == ("ecf9f6da-9a3c-47ea-ab60-36d5ee3b72bd", "human")
    assert [(field.name, field.type, field.description) for field in point.fields] == [
        ("approved", "boolean", "Approve?"),
        ("note", "string", "Reason"),
    ]
    assert point.display == ({"name": "amount", "type": "number", "value": 250},)


async def test_a_recorded_wait_tells_when_it_ends(clock: ManualClock) -> None:
    """A pause for time is known from the status record alone."""
    exchange = recorded("532-wait-async-status")
    workflow_id, run_id = ids_of(exchange)
    async with client_of(ScriptedSim(reply_of(exchange)), clock) as client:
        (point,) = (await client.run(workflow_id, run_id)).pauses
    assert (point.kind, str(point.resume_at)) == ("time", "2026-11-23 02:00:46.359000+00:00")


async def test_a_recorded_timeout_has_the_timeout_code(clock: ManualClock) -> None:
    """SIM's own timeout is told apart from other failures, in answers, records and jobs alike."""
    run = await executed("605-rate-limit-sync-01", clock)
    assert run.error is not None
    assert run.error.code is ErrorCode.TIMEOUT


async def listed(client: SimClient) -> list[tuple[str, bool]]:
    page = await client.workflows(workspace_id="ws")
    return [(item.name, item.is_deployed) for item in page.workflows]


@pytest.mark.parametrize("name", ["04-v2-list", "312-v1-workflows-list-limit-2"])
async def test_a_recorded_list_is_read(name: str, clock: ManualClock) -> None:
    """Both dialects' lists give names and deployments."""
    body = recorded(name)["response"]["body"]
    async with client_of(ScriptedSim(reply_of(recorded(name)), v2=is_v2(name)), clock) as client:
        assert await listed(client) == [(item["name"], item["isDeployed"]) for item in body["data"]]


async def test_the_recorded_limits_are_read(clock: ManualClock) -> None:
    """Limits and usage of the key, as SIM tells them."""
    async with client_of(ScriptedSim(reply_of(recorded("616-usage-limits-when-limited"))), clock) as client:
        assert await client.usage() == Usage(
            plan="free",
            sync_per_minute=2,
            sync_remaining=2,
            async_per_minute=1,
            async_remaining=2,
            period_cost=0.0,
            period_limit=99999.0,
        )


async def test_the_recorded_deployed_inputs_are_read(clock: ManualClock) -> None:
    """On v2 the inputs are those of the deployed version, in its order."""
    sim = ScriptedSim(reply_of(recorded("08-v2-deployment")), reply_of(recorded("10-v2-version-1")), v2=True)
    async with client_of(sim, clock) as client:
        inputs = await client.inputs(WorkflowId("53269fe9-89eb-46f3-896f-443eec4adbda"))
    assert (inputs.is_deployed_version, inputs.version) == (True, 1)
    assert [(field.name, field.type) for field in inputs.fields] == [
        ("employee", "string"),
        ("hours", "number"),
        ("billable", "boolean"),
        ("tags", "array"),
        ("meta", "object"),
    ]
