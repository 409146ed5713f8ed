"""The books of the sandbox: run ids, starts, customers, and what deployments show."""

from __future__ import annotations

from functools import partial

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_mcp.model.clock import ManualClock
from sim_mcp.sim.fake import DEMO_ACCOUNTS, FakeSim, InputField, demo_account, faults, workflow_id
from sim_mcp.sim.fake.inputs import resolved
from sim_mcp.sim.fake.workflows import workspace_id
from tests.fake.conftest import open_client
from tests.fake.test_recordings import flow, flow2

pytestmark = pytest.mark.anyio


async def test_a_run_id_is_used_up_once_for_all_customers_and_dialects(
    fake: FakeSim, acme: httpx.AsyncClient, globex: httpx.AsyncClient
) -> None:
    """Claims are global (sim-api 1.4): the second use is 409 and starts nothing."""
    first = await acme.post(f"{flow('quick')}/execute", json={}, headers={"X-Execution-Id": "r1"})
    stranger = await globex.post(f"{flow2('quick', 'globex')}/execute", json={}, headers={"X-Run-Id": "r1"})
    again = await acme.post(f"{flow2('quick')}/execute", json={}, headers={"X-Run-Id": "r1"})
    assert [each.status_code for each in (first, stranger, again)] == [200, 409, 409]
    assert [(run.run_id, run.account, run.starts) for run in fake.runs] == [("r1", "acme", 1)]


@pytest.mark.parametrize(
    ("fault", "after"),
    [
        (faults.RateLimited(), 409),
        (faults.RateLimited(kind="concurrency"), 409),
        (faults.UsageExceeded402(), 409),
        (faults.RateLimited(kind="gate"), 200),
        (faults.Unavailable503(), 200),
        (faults.Unauthorized401(), 200),
        (faults.NotBegunReset(), 200),
    ],
    ids=str,
)
@pytest.mark.parametrize("v2", [True, False], ids=["v2", "legacy"])
async def test_only_refusals_that_write_a_log_burn_the_id(
    fake: FakeSim,
    acme: httpx.AsyncClient,
    fault: faults.Fault,
    after: int,
    v2: bool,  # noqa: FBT001  # the dialect
) -> None:
    """The table of sim-api 1.4, and no run was started meanwhile."""
    fake.script(fault)
    path, header = (flow2("quick"), "X-Run-Id") if v2 else (flow("quick"), "X-Execution-Id")
    try:
        await acme.post(f"{path}/execute", json={}, headers={header: "r1"})
    except httpx.RemoteProtocolError:
        assert fault == faults.NotBegunReset()
    assert len(fake.runs) == 0
    second = await acme.post(f"{path}/execute", json={}, headers={header: "r1"})
    assert second.status_code == after


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        (flow("quick"), {"X-API-Key": "sk-sim-wrong"}, {}, 401),
        (flow("undeployed"), {}, {}, 403),
        (flow("quick", "globex"), {}, {}, 403),
        ("/api/workflows/unknown", {}, {}, 404),
        (flow("quick"), {}, {"stream": 1}, 400),
        (flow("quick"), {"X-Sim-Via": ",".join("w" * 25)}, {}, 409),
    ],
)
async def test_what_is_refused_before_the_claim_leaves_the_id_free(
    fake: FakeSim, acme: httpx.AsyncClient, path: str, headers: dict[str, str], body: object, status: int
) -> None:
    """400, 401, 403, 404 and a too deep chain."""
    refused = await acme.post(f"{path}/execute", json=body, headers={"X-Execution-Id": "r1", **headers})
    assert (refused.status_code, len(fake.runs)) == (status, 0)
    assert (await acme.post(f"{flow('quick')}/execute", headers={"X-Execution-Id": "r1"})).status_code == 200


async def test_the_body_may_name_the_run_and_keeps_the_name_as_input(
    fake: FakeSim, acme: httpx.AsyncClient
) -> None:
    """The header wins over `executionId`, which stays in the input (sim-api 1.4)."""
    await acme.post(f"{flow('echo')}/execute", json={"executionId": "b1", "stream": False})
    await acme.post(f"{flow('echo')}/execute", json={"executionId": "b2"}, headers={"X-Execution-Id": "h2"})
    assert [(run.run_id, run.input) for run in fake.runs] == [
        ("b1", {"executionId": "b1"}),
        ("h2", {"executionId": "b2"}),
    ]


async def test_the_books_say_who_ran_what_with_which_key(fake: FakeSim, acme: httpx.AsyncClient) -> None:
    """Runs, and requests with their headers in lower case; keys are in no repr."""
    await acme.post(
        f"{flow('echo')}/execute", json={"input": {"text": "a"}}, headers={"X-Execution-Id": "r1"}
    )
    (run,), request = list(fake.runs), fake.requests[-1]
    assert (run.account, run.input, run.key, run.mode) == (
        "acme",
        {"text": "a"},
        "sk-sim-sandbox-acme",
        "sync",
    )
    assert (request.method, request.verb, request.body) == ("POST", "execute", {"input": {"text": "a"}})
    assert (request.headers["x-execution-id"], request.key) == ("r1", "sk-sim-sandbox-acme")
    assert "sk-sim" not in f"{run!r}{DEMO_ACCOUNTS!r}"


async def test_two_customers_never_see_each_other(
    fake: FakeSim, acme: httpx.AsyncClient, globex: httpx.AsyncClient
) -> None:
    """Whatever globex asks about acme: 403 on legacy, nonexistent on v1 and v2, never a success."""
    await acme.post(f"{flow('slow')}/execute", json={"seconds": 0}, headers={"X-Execution-Id": "r1"})
    wanted = {
        f"{flow('slow')}/executions/r1": 403,
        f"{flow('slow')}/paused": 403,
        f"{flow('slow')}/status": 404,
        "/api/jobs/workflow-execution:r1": 403,
        f"/api/v1/workflows/{workflow_id('acme', 'slow')}": 404,
        f"/api/v1/workflows?workspaceId={workspace_id('acme')}": 403,
        f"/api/v2/workflows?workspaceId={workspace_id('acme')}": 404,
        flow2("slow"): 404,
        f"{flow2('slow')}/deployment": 404,
        f"{flow2('slow')}/versions/1": 404,
        f"{flow2('slow')}/runs": 404,
        f"{flow2('slow')}/runs/r1": 404,
        f"{flow2('slow', 'globex')}/runs/r1": 404,
        f"{flow('slow', 'globex')}/executions/r1": 404,
    }
    got = {path: (await globex.get(path)).status_code for path in wanted}
    assert got == wanted
    for path in (f"{flow('slow')}/executions/r1/cancel", f"{flow2('slow')}/runs/r1/cancel"):
        assert (await globex.post(path)).status_code in {403, 404}
    listed = (await globex.get(f"/api/v2/workflows?workspaceId={workspace_id('globex')}")).json()["data"]
    assert {each["id"] for each in listed} == {each.id for each in demo_account("globex").workflows}
    assert [run.account for run in fake.runs] == ["acme"]


async def test_a_person_is_refused_in_other_words_than_a_workspace(clock: ManualClock) -> None:
    """The legacy texts of sim-api 1.2."""
    fake = FakeSim(time=clock, accounts=[demo_account("acme", is_personal_key=True), demo_account("globex")])
    async with open_client(fake, "acme") as acme, open_client(fake, "globex") as globex:
        person = await acme.post(f"{flow('quick', 'globex')}/execute")
        workspace = await globex.post(f"{flow('quick')}/execute")
    assert person.json()["error"] == "Unauthorized: Access denied to read this workflow"
    assert workspace.json()["error"] == "API key is not authorized for this workspace"


async def test_a_rotated_key_opens_and_the_old_one_does_not(fake: FakeSim, acme: httpx.AsyncClient) -> None:
    """In both dialects, at once."""
    fake.rotate_key("acme", "sk-sim-sandbox-new")
    old = await acme.get("/api/v2/workspaces")
    new = await acme.get("/api/v2/workspaces", headers={"X-API-Key": "sk-sim-sandbox-new"})
    assert (old.status_code, new.status_code) == (401, 200)


async def test_a_bearer_token_is_no_key(fake: FakeSim) -> None:
    """Only `X-API-Key` counts (sim-api 1.2)."""
    async with open_client(fake, None) as nobody:
        answer = await nobody.post(
            f"{flow('quick')}/execute", headers={"Authorization": f"Bearer {demo_account('acme').api_key}"}
        )
    assert answer.status_code == 401


async def test_draft_and_deployment_show_different_inputs(fake: FakeSim, acme: httpx.AsyncClient) -> None:
    """Details show the draft, the version's graph what runs; `needsRedeployment` warns (sim-api 5.4)."""
    fields = [InputField(name="colour", type="string")]
    fake.set_inputs(workflow_id("acme", "echo"), fields, deployed=False)
    draft = (await acme.get(flow2("echo"))).json()["data"]["inputs"]
    status = (await acme.get(f"{flow('echo')}/status")).json()
    graph = (await acme.get(f"{flow2('echo')}/versions/1")).json()["data"]["state"]
    start = next(each for each in graph["blocks"].values() if each["type"] == "start_trigger")
    deployed = [each["name"] for each in start["subBlocks"]["inputFormat"]["value"]]
    assert ([each["name"] for each in draft], deployed, status["needsRedeployment"]) == (
        ["colour"],
        ["text"],
        True,
    )
    fake.set_deployed(workflow_id("acme", "echo"), True)
    deployment = (await acme.get(f"{flow2('echo')}/deployment")).json()["data"]
    assert (deployment["activeDeployment"]["version"], deployment["needsRedeployment"]) == (2, False)


async def test_undeploying_stops_new_runs(fake: FakeSim, acme: httpx.AsyncClient) -> None:
    """403 from then on, in both dialects."""
    fake.set_deployed(workflow_id("acme", "quick"), False)
    answers = [await acme.post(f"{path}/execute") for path in (flow("quick"), flow2("quick"))]
    assert [each.status_code for each in answers] == [403, 403]


async def test_lists_are_paged_to_their_end(acme: httpx.AsyncClient) -> None:
    """v1 leaves `nextCursor` out at the end, v2 says null and refuses a cursor it did not make."""
    for version in ("v1", "v2"):
        path, seen, cursor = f"/api/{version}/workflows", list[str](), ""
        while cursor is not None:
            params = {"workspaceId": workspace_id("acme"), "limit": "4"} | (
                {"cursor": cursor} if cursor else {}
            )
            page = (await acme.get(path, params=params)).json()
            seen += [each["id"] for each in page["data"]]
            cursor = page.get("nextCursor")
        assert seen == [each.id for each in demo_account("acme").workflows]
    bad = await acme.get(
        "/api/v2/workflows", params={"workspaceId": workspace_id("acme"), "cursor": "garbage"}
    )
    assert bad.status_code == 400


async def test_a_sync_run_cancelled_from_outside_answers_success_false() -> None:
    """200 without an error text on legacy (sim-api 1.8, 12.5)."""
    fake = FakeSim()
    answers: list[httpx.Response] = []
    async with open_client(fake) as acme, anyio.create_task_group() as group:

        async def start_it() -> None:
            sent = {"X-Execution-Id": "r1"}
            answers.append(await acme.post(f"{flow('slow')}/execute", json={"seconds": 60}, headers=sent))

        group.start_soon(start_it)
        while not len(fake.runs):
            await anyio.lowlevel.checkpoint()
        await acme.post(f"{flow('slow')}/executions/r1/cancel")
    (body,) = [each.json() for each in answers]
    assert (answers[0].status_code, body["success"], body["output"]) == (200, False, {})
    assert "error" not in body


async def test_a_caller_that_leaves_kills_a_sync_run_but_not_an_async_one() -> None:
    """Whoever does not wait for the answer kills the run (sim-api 1.8)."""
    fake = FakeSim()
    async with open_client(fake) as acme:
        async with anyio.create_task_group() as caller:
            path, run_id = f"{flow('slow')}/execute", {"X-Execution-Id": "r1"}
            caller.start_soon(
                partial(acme.post, path, json={"seconds": 86_400}, headers=run_id, timeout=None)
            )
            await anyio.wait_all_tasks_blocked()  # the run goes on, the caller waits
            caller.cancel_scope.cancel()
        await acme.post(
            f"{flow('slow')}/execute",
            json={"seconds": 86_400},
            headers={"X-Execution-Id": "r2", "X-Execution-Mode": "async"},
        )
        states = [
            (await acme.get(f"{flow('slow')}/executions/{run}")).json()["status"] for run in ("r1", "r2")
        ]
    assert states[0] == "cancelled"
    assert states[1] in {"queued", "running"}


async def test_without_redis_a_cancel_changes_nothing(clock: ManualClock) -> None:
    """200, `success:false`, and the run completes (sim-api 12.13)."""
    fake = FakeSim(time=clock, cancel_works=False)
    async with open_client(fake) as acme:
        for name in ("r1", "r2"):
            await acme.post(f"{flow2('slow')}/execute", json={"async": True}, headers={"X-Run-Id": name})
        legacy = (await acme.post(f"{flow('slow')}/executions/r1/cancel")).json()
        v2 = (await acme.post(f"{flow2('slow')}/runs/r2/cancel")).json()["data"]
        clock.advance(60)
        status = (await acme.get(f"{flow('slow')}/executions/r1")).json()["status"]
    assert (legacy["success"], legacy["reason"], v2["success"]) == (False, "redis_unavailable", False)
    assert status == "completed"


async def test_an_old_server_knows_jobs_only(clock: ManualClock) -> None:
    """No execution endpoint and no v2: both are pages."""
    fake = FakeSim(time=clock, has_execution_endpoint=False)
    async with open_client(fake) as acme:
        await acme.post(
            f"{flow('quick')}/execute", headers={"X-Execution-Mode": "async", "X-Execution-Id": "r1"}
        )
        execution = await acme.get(f"{flow('quick')}/executions/r1")
        v2 = await acme.get("/api/v2/workspaces")
        job = await acme.get("/api/jobs/workflow-execution:r1")
    assert [each.status_code for each in (execution, v2, job)] == [404, 404, 200]
    assert {each.headers["content-type"] for each in (execution, v2)} == {"text/html; charset=utf-8"}


async def test_a_prefix_moves_everything(clock: ManualClock) -> None:
    """Below the prefix a SIM, outside it pages."""
    fake = FakeSim(time=clock, path_prefix="/sim/")
    fake.script(faults.Unavailable503(), verb="execute")
    async with open_client(fake) as acme:
        first = await acme.post(f"/sim{flow('quick')}/execute")
        second = await acme.post(f"/sim{flow('quick')}/execute")
        outside = await acme.get("/api/health")
    assert [each.status_code for each in (first, second, outside)] == [503, 200, 404]


@given(st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text(max_size=5)))
def test_input_is_never_refused(raw: dict[str, object]) -> None:
    """Undeclared fields pass through and declared ones always get a value (sim-api 1.5)."""
    values = resolved(raw, demo_account("acme").workflows[0].inputs)
    assert set(values) >= set(raw) - {"input"}
    assert values["employee"] is not None


def test_declared_types_are_coerced_when_possible() -> None:
    """`"5"` becomes 5, text stays text, an object in a text field becomes what JavaScript makes of it."""
    fields = demo_account("acme").workflows[0].inputs
    sent = {"employee": {"a": 1}, "hours": "5", "billable": "true", "tags": "no list", "meta": '{"k": 1}'}
    expected = {
        "employee": "[object Object]",
        "hours": 5,
        "billable": True,
        "tags": "no list",
        "meta": {"k": 1},
    }
    assert resolved(sent, fields) == resolved({"input": sent}, fields) == expected
