"""A run that asks a human, in both dialects, as recorded and beyond."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.sim.fake import FakeSim, workflow_id
from tests.fake.conftest import open_client
from tests.fake.recordings import recorded, shape
from tests.fake.test_recordings import PAUSED, agree, flow, flow2

pytestmark = pytest.mark.anyio

ASKING = workflow_id("acme", "asking")
ANSWER = {"input": {"approved": True, "note": "ok"}}


async def paused(client: httpx.AsyncClient, **arguments: Any) -> str:
    """Start the asking workflow as run `r1` and return the id of its first pause."""
    await client.post(f"{flow('asking')}/execute", json=arguments, headers={"X-Execution-Id": "r1"})
    status = await client.get(f"{flow('asking')}/executions/r1")
    return status.json()["paused"]["contextId"]


async def test_a_sync_pause_is_shown_as_recorded(acme: httpx.AsyncClient) -> None:
    """The sync answer, the status in both dialects, the list and the whole record."""
    answer = await acme.post(
        f"{flow('asking')}/execute", json={"amount": 5}, headers={"X-Execution-Id": "r1"}
    )
    agree(answer, recorded("231"), open_at=frozenset({"value"}))
    agree(await acme.get(f"{flow('asking')}/executions/r1"), recorded("232"))
    agree(await acme.get(f"{flow2('asking')}/runs/r1?includeOutput=true"), recorded("39"), open_at=PAUSED)
    listed = (await acme.get(f"{flow('asking')}/paused?status=paused")).json()["pausedExecutions"]
    assert [each["executionId"] for each in listed] == ["r1"]
    detail = (await acme.get(f"{flow('asking')}/paused/r1")).json()
    assert set(detail) == {*listed[0], "executionSnapshot", "queue"}
    assert all(
        name in str(recorded("234").body) for name in (*detail, *detail["pausePoints"][0]) if name != "queue"
    )
    assert (await acme.get(f"/api/resume/{ASKING}/r1")).json() == detail


async def test_a_v2_pause_and_its_answer_are_shown_as_recorded(acme: httpx.AsyncClient) -> None:
    """`paused` in band; the resume names a new run, the original run completes."""
    asked = await acme.post(
        f"{flow2('asking')}/execute", json={"input": {"amount": 5}}, headers={"X-Run-Id": "r1"}
    )
    agree(asked, recorded("38"), open_at=frozenset({"value"}))
    context = asked.json()["data"]["output"]["data"]["_resume"]["contextId"]
    done = await acme.post(f"{flow2('asking')}/runs/r1/resume", json={"contextId": context, **ANSWER})
    agree(done, recorded("42"), open_at=frozenset({"output"}))
    assert done.json()["data"]["runId"] != "r1"
    after = await acme.get(f"{flow2('asking')}/runs/r1?includeOutput=true")
    agree(after, recorded("43"), open_at=frozenset({"output"}))
    assert after.json()["data"]["output"]["result"]["approved"] is True


@pytest.mark.parametrize(
    ("number", "body", "approved"),
    [
        ("257", {"approved": True, "note": "flat"}, True),
        ("259", None, ""),
        ("261", {"input": {"approved": "perhaps"}}, "perhaps"),
    ],
)
async def test_any_answer_is_accepted_unchecked_as_recorded(
    acme: httpx.AsyncClient, number: str, body: Any, approved: object
) -> None:
    """Flat, empty, or of the wrong type: SIM validates nothing."""
    context = await paused(acme)
    answer = await acme.post(f"/api/resume/{ASKING}/r1/{context}", json=body)
    agree(answer, recorded(number))
    assert answer.json()["output"]["result"]["approved"] == approved
    agree(await acme.get(f"{flow('asking')}/executions/r1?includeOutput=true"), recorded("241"))


async def test_an_async_run_is_resumed_asynchronously_as_recorded(
    acme: httpx.AsyncClient, clock: ManualClock
) -> None:
    """202 with another job id; the first job keeps saying `completed` with the form as its output."""
    sent = {"X-Execution-Mode": "async", "X-Execution-Id": "r1"}
    agree(await acme.post(f"{flow('asking')}/execute", json={}, headers=sent), recorded("243"))
    clock.advance(1)
    context = (await acme.get(f"{flow('asking')}/executions/r1")).json()["paused"]["contextId"]
    receipt = await acme.post(f"/api/resume/{ASKING}/r1/{context}", json=ANSWER)
    agree(receipt, recorded("264"))
    clock.advance(1)
    agree(await acme.get(f"{flow('asking')}/executions/r1?includeOutput=true"), recorded("265"))
    first_job = await acme.get("/api/jobs/workflow-execution:r1")
    agree(first_job, recorded("266"), open_at=frozenset({"value"}))
    new_job = (await acme.get(f"/api/jobs/{receipt.json()['jobId']}")).json()
    assert (new_job["status"], new_job["output"]["parentExecutionId"]) == ("completed", "r1")
    gone = await acme.get(f"{flow('asking')}/executions/{receipt.json()['executionId']}")
    assert gone.status_code == 404


async def test_a_second_answer_changes_nothing(acme: httpx.AsyncClient, fake: FakeSim) -> None:
    """409, and the ledger counts one resume."""
    context = await paused(acme)
    first = await acme.post(f"/api/resume/{ASKING}/r1/{context}", json=ANSWER)
    second = await acme.post(f"/api/resume/{ASKING}/r1/{context}", json=ANSWER)
    run = fake.runs.get("r1")
    assert run is not None
    assert (first.status_code, second.status_code, run.resumes, run.starts) == (200, 409, 1, 1)


async def test_a_cancelled_pause_cannot_be_answered_as_recorded(acme: httpx.AsyncClient) -> None:
    """409 `Paused execution is not resumable`."""
    context = await paused(acme)
    await acme.post(f"{flow('asking')}/executions/r1/cancel")
    answer = await acme.post(f"/api/resume/{ASKING}/r1/{context}", json=ANSWER)
    assert (answer.status_code, answer.json()) == (409, recorded("283").body)


async def test_two_questions_in_a_row_are_stranded_as_recorded(acme: httpx.AsyncClient) -> None:
    """Neither id can answer the second question, and the run stays paused without a context."""
    context = await paused(acme, variant="twice")
    first = (await acme.post(f"/api/resume/{ASKING}/r1/{context}", json=ANSWER)).json()
    assert (first["status"], recorded("251").body["status"]) == ("paused", "paused")
    second = first["output"]["data"]["_resume"]["contextId"]
    by_new_id = await acme.post(f"/api/resume/{ASKING}/{first['executionId']}/{second}", json=ANSWER)
    by_old_id = await acme.post(f"/api/resume/{ASKING}/r1/{second}", json=ANSWER)
    assert (by_new_id.status_code, by_new_id.json()) == (409, recorded("252").body)
    assert (by_old_id.status_code, by_old_id.json()) == (404, recorded("253").body)
    agree(await acme.get(f"{flow('asking')}/executions/r1"), recorded("248"))
    agree(await acme.get(f"{flow2('asking')}/runs/r1"), recorded("527"), open_at=frozenset())


async def test_a_timed_pause_wakes_by_itself_as_recorded(acme: httpx.AsyncClient, clock: ManualClock) -> None:
    """`resumeAt` in the answer, no form anywhere, and after a minute the run is completed."""
    started = await acme.post(
        f"{flow('asking')}/execute", json={"variant": "time"}, headers={"X-Execution-Id": "r1"}
    )
    assert shape(started.json()) == shape(recorded("531").body)
    waiting = await acme.get(f"{flow('asking')}/executions/r1")
    agree(waiting, recorded("532"))
    context = waiting.json()["paused"]["contextId"]
    by_hand = await acme.post(f"/api/resume/{ASKING}/r1/{context}", json=ANSWER)
    assert by_hand.status_code == 400
    assert (await acme.get(f"{flow('asking')}/paused")).json() == {"pausedExecutions": []}
    clock.advance(61)
    agree(await acme.get(f"{flow('asking')}/executions/r1?includeOutput=true"), recorded("533"))


async def test_parallel_pauses_are_answered_one_by_one(acme: httpx.AsyncClient) -> None:
    """Two contexts that must be percent-encoded; the run ends after the second."""
    await paused(acme, variant="parallel")
    record = (await acme.get(f"{flow('asking')}/paused/r1")).json()
    contexts = [each["contextId"] for each in record["pausePoints"]]
    assert all(not each.isascii() for each in contexts)
    first = await acme.post(f"/api/resume/{ASKING}/r1/{quote(contexts[0])}", json=ANSWER)
    between = (await acme.get(f"{flow('asking')}/executions/r1")).json()
    record = (await acme.get(f"{flow('asking')}/paused/r1")).json()
    second = await acme.post(f"/api/resume/{ASKING}/r1/{quote(contexts[1])}", json=ANSWER)
    assert (first.json()["status"], second.json()["status"]) == ("paused", "completed")
    assert (between["status"], between["paused"]["contextId"]) == ("paused", contexts[1])
    assert (record["status"], record["resumedCount"]) == ("partially_resumed", 1)


async def test_a_scalar_api_pause_hides_its_links(acme: httpx.AsyncClient) -> None:
    """Only the status endpoint reveals it (sim-api 1.11)."""
    answer = await acme.post(
        f"{flow('asking')}/execute", json={"variant": "api_scalar"}, headers={"X-Execution-Id": "r1"}
    )
    assert "_resume" not in answer.text
    assert (await acme.get(f"{flow('asking')}/executions/r1")).json()["status"] == "paused"


async def test_a_stream_may_end_in_a_pause(acme: httpx.AsyncClient) -> None:
    """The final frame says so (sim-api 1.10)."""
    answer = await acme.post(f"{flow('asking')}/execute", json={"stream": True})
    assert '"status":"paused"' in answer.text
    assert answer.text.endswith('data: "[DONE]"\n\n')


async def test_a_resume_while_another_runs_is_queued(clock: ManualClock) -> None:
    """200 with a place in the queue (sim-api 6.3)."""
    async with open_client(FakeSim(time=clock, brief_s=0.5)) as acme:
        await _resume_twice_at_once(acme, clock)


async def _resume_twice_at_once(acme: httpx.AsyncClient, clock: ManualClock) -> None:
    sent = {"X-Execution-Mode": "async", "X-Execution-Id": "r1"}
    await acme.post(f"{flow('asking')}/execute", json={"variant": "parallel"}, headers=sent)
    clock.advance(2)
    points = (await acme.get(f"{flow('asking')}/paused/r1")).json()["pausePoints"]
    first, second = (quote(each["contextId"]) for each in points)
    await acme.post(f"/api/resume/{ASKING}/r1/{first}", json=ANSWER)
    queued = await acme.post(f"/api/resume/{ASKING}/r1/{second}", json=ANSWER)
    assert (queued.status_code, queued.json()["status"], queued.json()["queuePosition"]) == (200, "queued", 1)
    clock.advance(2)
    assert (await acme.get(f"{flow('asking')}/executions/r1")).json()["status"] == "completed"
