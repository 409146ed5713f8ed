"""Each fault does what its name says: on the wire, and to the books."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import httpx
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.sim.fake import ConnectionDropped, FakeSim, demo_account, faults, workflow_id
from tests.fake.conftest import open_client
from tests.fake.test_recordings import flow, flow2

pytestmark = pytest.mark.anyio

both = pytest.mark.parametrize("v2", [True, False], ids=["v2", "legacy"])


async def run(client: httpx.AsyncClient, *, v2: bool, run_id: str = "r1", **sent: Any) -> httpx.Response:
    """Execute `quick` in one of the dialects."""
    path, header = (flow2("quick"), "X-Run-Id") if v2 else (flow("quick"), "X-Execution-Id")
    return await client.post(f"{path}/execute", json=sent.pop("json", {}), headers={header: run_id}, **sent)


@both
@pytest.mark.parametrize(
    ("fault", "started"),
    [
        (faults.LostAnswer(), 1),
        (faults.ResetMidBody(), 1),
        (faults.NotBegunReset(), 0),
    ],
    ids=str,
)
async def test_a_dropped_connection_tells_nothing_about_the_run(
    fake: FakeSim,
    acme: httpx.AsyncClient,
    fault: Any,
    started: int,
    v2: bool,  # noqa: FBT001  # the dialect
) -> None:
    """The same error three times; only the ledger knows the difference."""
    fake.script(fault)
    with pytest.raises(httpx.RemoteProtocolError):
        await run(acme, v2=v2)
    assert len(fake.runs) == started
    assert (await run(acme, v2=v2, run_id="r2")).status_code == 200


@both
@pytest.mark.parametrize("started", [True, False])
async def test_hanging_requests_end_with_the_clients_patience(
    fake: FakeSim,
    acme: httpx.AsyncClient,
    started: bool,  # noqa: FBT001  # two cases
    v2: bool,  # noqa: FBT001  # the dialect
) -> None:
    """Whenever that ends: with a run behind it or without."""
    fake.script(faults.Hang(run_started=started))
    async with anyio.create_task_group() as caller:
        caller.start_soon(partial(run, acme, v2=v2, timeout=None))
        await anyio.wait_all_tasks_blocked()
        assert (len(fake.requests), len(fake.runs)) == (1, started)
        caller.cancel_scope.cancel()
    fake.script(faults.Hang(run_started=started))
    with pytest.raises(httpx.ReadTimeout):
        await run(acme, v2=v2, timeout=0.001)


@both
@pytest.mark.parametrize("started", [True, False])
async def test_an_html_page_may_hide_a_run(
    fake: FakeSim,
    acme: httpx.AsyncClient,
    started: bool,  # noqa: FBT001  # two cases
    v2: bool,  # noqa: FBT001  # the dialect
) -> None:
    """A proxy's page, whatever SIM did."""
    fake.script(faults.HtmlPage(status=504, run_started=started))
    answer = await run(acme, v2=v2)
    assert (answer.status_code, answer.headers["content-type"]) == (504, "text/html; charset=utf-8")
    assert len(fake.runs) == started


@both
async def test_malformed_json_stops_in_the_middle(fake: FakeSim, acme: httpx.AsyncClient, v2: bool) -> None:  # noqa: FBT001  # the dialect
    """The transfer is complete, the JSON is not."""
    fake.script(faults.MalformedJson())
    answer = await run(acme, v2=v2)
    assert answer.headers["content-type"] == "application/json"
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()
    assert len(fake.runs) == 1


@both
async def test_a_redirect_points_to_another_host(fake: FakeSim, acme: httpx.AsyncClient, v2: bool) -> None:  # noqa: FBT001  # the dialect
    """Nothing runs."""
    fake.script(faults.Redirect())
    answer = await run(acme, v2=v2)
    assert (answer.status_code, answer.headers["location"]) == (307, "https://elsewhere.invalid/collect")
    assert len(fake.runs) == 0


@both
@pytest.mark.parametrize("starts_run", [True, False])
async def test_an_ambiguous_enqueue_says_the_same_in_both_cases(
    fake: FakeSim,
    acme: httpx.AsyncClient,
    starts_run: bool,  # noqa: FBT001  # two cases
    v2: bool,  # noqa: FBT001  # the dialect
) -> None:
    """503 with code and id, without `Retry-After`; the run exists or not."""
    fake.script(faults.AmbiguousEnqueue(starts_run=starts_run))
    answer = await run(acme, v2=v2)
    body = answer.json()["error"]["details"] if v2 else answer.json()
    assert (answer.status_code, body["code"]) == (503, "ASYNC_ENQUEUE_AMBIGUOUS")
    assert "retry-after" not in answer.headers
    assert [run.run_id for run in fake.runs] == (["r1"] if starts_run else [])
    assert (await run(acme, v2=v2)).status_code == 409


@both
@pytest.mark.parametrize("run_exists", [True, False])
async def test_a_run_conflict_may_stand_for_our_own_run(
    fake: FakeSim,
    acme: httpx.AsyncClient,
    run_exists: bool,  # noqa: FBT001  # two cases
    v2: bool,  # noqa: FBT001  # the dialect
) -> None:
    """409 with the id; the ledger knows whether the run is there."""
    fake.script(faults.RunConflict(run_exists=run_exists))
    answer = await run(acme, v2=v2)
    assert (answer.status_code, "r1" in answer.text) == (409, True)
    assert len(fake.runs) == run_exists


@pytest.mark.parametrize(
    ("shape", "keys"),
    [
        ("2025", {"success", "taskId", "status", "createdAt", "links"}),
        ("legacy", {"success", "async", "jobId", "executionId", "message", "statusUrl"}),
        ("v2", {"data"}),
    ],
)
async def test_receipts_of_all_years_name_a_job_that_can_be_polled(
    fake: FakeSim, acme: httpx.AsyncClient, shape: Any, keys: set[str]
) -> None:
    """The three 202 bodies of sim-api 1.9."""
    fake.script(faults.OldReceipt(shape=shape))
    headers = {"X-Execution-Mode": "async", "X-Execution-Id": "r1"}
    answer = await acme.post(f"{flow('quick')}/execute", json={}, headers=headers)
    assert (answer.status_code, set(answer.json())) == (202, keys)
    assert (await acme.get("/api/jobs/workflow-execution:r1")).json()["status"] == "completed"


async def test_a_snapshot_is_not_ready_as_often_as_scripted(fake: FakeSim, acme: httpx.AsyncClient) -> None:
    """409 twice, then the resume works, and only once."""
    await acme.post(f"{flow('asking')}/execute", json={}, headers={"X-Execution-Id": "r1"})
    context = (await acme.get(f"{flow('asking')}/executions/r1")).json()["paused"]["contextId"]
    fake.script(faults.SnapshotNotReady(times=2), verb="resume")
    path = f"/api/resume/{workflow_id('acme', 'asking')}/r1/{context}"
    answers = [(await acme.post(path, json={"input": {}})).status_code for _ in range(3)]
    run = fake.runs.get("r1")
    assert answers == [409, 409, 200]
    assert run is not None
    assert run.resumes == 1


async def test_the_429s_differ_in_what_they_say(
    fake: FakeSim, acme: httpx.AsyncClient, clock: ManualClock
) -> None:
    """v1 gives milliseconds since 1970, v2 seconds, legacy nothing but the gate's (sim-api 3.2, 12.9)."""
    limited = faults.RateLimited(retry_after=9)
    fake.script(limited, limited, verb="any")
    v1 = await acme.get("/api/v1/workflows")
    v2 = await acme.get("/api/v2/workspaces")
    fake.script(
        limited, faults.RateLimited(retry_after=9, kind="concurrency"), faults.RateLimited(kind="gate")
    )
    legacy = [await run(acme, v2=False, run_id=f"r{at}") for at in range(3)]
    assert v1.json()["retryAfter"] == (clock.now().timestamp() + 9) * 1000
    assert (v1.headers["retry-after"], v2.headers["retry-after"]) == ("9", "9")
    assert [each.headers.get("retry-after") for each in legacy] == [None, None, "5"]


async def test_an_outage_of_the_v1_limiter_looks_like_a_bad_key(
    fake: FakeSim, acme: httpx.AsyncClient
) -> None:
    """401 with a text that tells the truth (sim-api 3.2)."""
    fake.script(faults.Unauthorized401(limiter_broken=True), verb="any")
    answer = await acme.get("/api/v1/workflows")
    assert (answer.status_code, answer.json()) == (401, {"error": "Rate limit check failed"})


async def test_a_script_waits_for_its_workflow_key_and_verb(fake: FakeSim, acme: httpx.AsyncClient) -> None:
    """Other requests pass; each fault strikes once, in order, and jobs belong to their workflow."""
    fake.script(faults.Unavailable503(), workflow_id=workflow_id("acme", "echo"))
    fake.script(faults.Unauthorized401(), key=demo_account("globex").api_key)
    fake.script(
        faults.HtmlPage(), faults.Unavailable503(), workflow_id=workflow_id("acme", "quick"), verb="status"
    )
    assert (await run(acme, v2=False)).status_code == 200
    jobs = [(await acme.get("/api/jobs/workflow-execution:r1")).status_code for _ in range(3)]
    echo = [(await acme.post(f"{flow('echo')}/execute")).status_code for _ in range(2)]
    async with open_client(fake, "globex") as globex:
        other = [(await globex.post(f"{flow('echo', 'globex')}/execute")).status_code for _ in range(2)]
    assert (jobs, echo, other) == ([502, 503, 200], [503, 200], [401, 200])


async def test_without_a_server_a_drop_is_an_exception_of_the_app(fake: FakeSim) -> None:
    """What a bare ASGI client sees."""
    fake.script(faults.NotBegunReset(), verb="any")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(fake), base_url="http://sim.sandbox") as bare:
        with pytest.raises(ConnectionDropped):
            await bare.get("/api/health")
