"""MCP's tasks extension over HTTP: durable handles to executions, for who holds them, on any replica."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from inline_snapshot import snapshot
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.execution import Status
from sim_mcp.sim.fake import FakeSim
from sim_mcp.transports.tasks import TOO_SOON
from tests.patience import PATIENCE_S
from tests.transports.web import ALL, Web, bearer, open_web
from tests.world import SandboxTime, flowing, threads_turn

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R14", "R15")]

TASKS = "io.modelcontextprotocol/tasks"
SCHEMA = Path(__file__).parents[3] / "shared" / "mcp-schemas" / "tasks-extension.schema.json"
HOLDS_TASKS: dict[str, Any] = {"extensions": {TASKS: {}}, "elicitation": {}}
ACCEPT = "application/json, text/event-stream"


@asynccontextmanager
async def opened(folder: Path, clock: ManualClock, sim: FakeSim) -> AsyncGenerator[Web]:
    """One replica's HTTP door, with the product's own tools."""
    async with open_web(folder, clock=clock, sim=sim, has_tools=True) as web:
        yield web


@pytest.fixture
def sim(clock: ManualClock) -> FakeSim:
    """A SIM whose work takes the test's time."""
    return FakeSim(time=clock, strands_pauses=False)


@pytest.fixture
async def web(tmp_path: Path, clock: ManualClock, sim: FakeSim) -> AsyncGenerator[Web]:
    """Both tenants with async tools."""
    async with opened(tmp_path, clock, sim) as found:
        for tenant in ("acme", "globex"):
            for workflow in ("slow", "asking", "failing"):
                await found.world.allow(tenant, workflow, mode="async", timeout_s=600)
            await found.world.allow(tenant, "echo")
        yield found


async def rpc(
    web: Web,
    method: str,
    params: dict[str, Any],
    *,
    by: str = "acme",
    subject: str = "ada",
    capabilities: dict[str, Any] | None = None,
    name: str | None = None,
    **claims: Any,
) -> dict[str, Any]:
    """The JSON-RPC answer to one request of the newest revision."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": HOLDS_TASKS if capabilities is None else capabilities,
    }
    named = name if name is not None else params.get("taskId", params.get("name", ""))
    headers = {
        **bearer(by, id=subject, **claims),
        "accept": ACCEPT,
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": method,
        "mcp-name": named,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    with anyio.fail_after(PATIENCE_S):
        answer = await web.client.post("/mcp", json=body, headers=headers)
    if answer.headers["content-type"].startswith("text/event-stream"):
        lines = [line for line in answer.text.splitlines() if line.startswith("data:")]
        return json.loads(lines[-1].removeprefix("data:"))
    return answer.json()


async def called(web: Web, tool: str, arguments: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """What a tool call comes to."""
    params = {"name": tool, "arguments": arguments or {}, **more.pop("params", {})}
    return (await rpc(web, "tools/call", params, **more))["result"]


async def got(web: Web, task_id: str, **more: Any) -> dict[str, Any]:
    """What `tasks/get` tells, held against the published schema where that is at hand."""
    answer = await rpc(web, "tasks/get", {"taskId": task_id}, **more)
    assert "result" in answer, answer
    if SCHEMA.is_file():
        valid("GetTaskResult", answer["result"])
    return answer["result"]


def valid(definition: str, value: dict[str, Any]) -> None:
    """Hold `value` against one definition of the extension's schema."""
    resource: Resource[Any] = Resource.from_contents(json.loads(SCHEMA.read_text("utf-8")))
    registry: Registry[Any] = Registry[Any]().with_resource("urn:tasks", resource)
    validator = Draft202012Validator({"$ref": f"urn:tasks#/$defs/{definition}"}, registry=registry)
    assert validator.is_valid(value), value  # pyright: ignore[reportUnknownMemberType]  # untyped there


async def followed(web: Web) -> None:
    """Let a minute pass, and the follower look at what is due."""
    await web.world.follow_up(rounds=4, advance_s=20)


async def test_an_async_tool_is_answered_with_a_task_that_leads_to_the_result(web: Web) -> None:
    """Working, then completed with what the call would have returned; one run."""
    begun = await called(web, "slow", {"seconds": 30})
    assert begun == {
        "resultType": "task",
        "taskId": begun["taskId"],
        "status": "working",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "lastUpdatedAt": "2026-01-01T00:00:00.000Z",
        "ttlMs": (600 + 86_400) * 1000,
        "pollIntervalMs": 2000,
        "statusMessage": begun["statusMessage"],
        **{key: begun[key] for key in ("_meta",) if key in begun},
    }
    assert len(begun["taskId"]) == 32
    working = await got(web, begun["taskId"])
    assert working["status"] == "working"
    assert "the run is" in working["statusMessage"].lower()
    await followed(web)
    done = await got(web, begun["taskId"])
    assert done["status"] == "completed"
    assert done["result"]["structuredContent"]["status"] == "completed"
    assert done["result"].get("isError", False) is False
    assert len(web.world.started) == 1


async def test_a_failed_workflow_is_a_completed_task_whose_result_is_an_error(web: Web) -> None:
    """`failed` is for protocol errors alone."""
    begun = await called(web, "failing")
    await followed(web)
    done = await got(web, begun["taskId"])
    assert (done["status"], done["result"]["isError"]) == ("completed", True)
    assert done["result"]["structuredContent"]["status"] == "failed"


@pytest.mark.requirement("R27", "F4")
async def test_a_paused_run_asks_through_its_task_and_goes_on(web: Web) -> None:
    """A wrong answer leaves the question open, a right one closes it, its key is never used again."""
    begun = await called(web, "asking", {"variant": "twice"})
    await followed(web)
    asks = await got(web, begun["taskId"])
    assert asks["status"] == "input_required"
    ((key, question),) = asks["inputRequests"].items()
    assert question["method"] == "elicitation/create"
    assert list(question["params"]["requestedSchema"]["properties"]) == ["approved", "note"]

    async def answered(content: dict[str, Any], keys: list[str]) -> dict[str, Any]:
        responses = {each: {"action": "accept", "content": content} for each in keys}
        params = {"taskId": begun["taskId"], "inputResponses": responses}
        return await rpc(web, "tasks/update", params)

    wrong = await answered({"approved": "perhaps"}, [key])
    assert (wrong["error"]["code"], wrong["error"]["data"]) == snapshot(
        (
            -32602,
            {
                "code": "INVALID_INPUT",
                "faults": [{"path": "$.approved", "message": "must be a boolean, not a str"}],
            },
        )
    )
    assert (await answered({"approved": True}, ["pause-of-nobody"]))["result"]["resultType"] == "complete"
    assert list((await got(web, begun["taskId"]))["inputRequests"]) == [key]
    assert (await answered({"approved": True}, [key]))["result"]["resultType"] == "complete"
    await followed(web)
    again = await got(web, begun["taskId"])
    assert again["status"] == "input_required"
    ((second, _),) = again["inputRequests"].items()
    assert second != key
    await answered({"approved": True}, [key, second])
    await followed(web)
    assert (await got(web, begun["taskId"]))["status"] == "completed"
    assert [(run.starts, run.resumes) for run in web.world.sim.runs] == [(1, 2)]


async def followed_until(web: Web, over: anyio.Event) -> None:
    """The follower at work and time passing, beside what a test does, until `over`."""
    while not over.is_set():
        await web.world.follow_up(advance_s=1)
        await threads_turn()


async def asked(web: Web, task_id: str) -> list[str]:
    """The keys of the questions that a task has open, once it asks any."""
    with anyio.fail_after(PATIENCE_S):
        while "inputRequests" not in (task := await got(web, task_id)):
            await followed(web)
    return list(task["inputRequests"])


@pytest.mark.requirement("F4")
@pytest.mark.parametrize("at_once", [True, False])
async def test_no_answer_to_one_of_several_questions_is_lost(web: Web, *, at_once: bool) -> None:
    """Both in one request, or one after the other: both reach SIM, and what is still open stays visible."""
    begun = await called(web, "asking", {"variant": "parallel"})
    await followed(web)
    keys = await asked(web, begun["taskId"])
    assert len(keys) == 2
    yes = {"action": "accept", "content": {"approved": True}}
    over = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(followed_until, web, over)
        for batch in [keys] if at_once else [keys[:1], keys[1:]]:
            params = {"taskId": begun["taskId"], "inputResponses": dict.fromkeys(batch, yes)}
            with anyio.fail_after(PATIENCE_S):
                while "error" in (told := await rpc(web, "tasks/update", params)):
                    assert TOO_SOON in told["error"]["message"]
                    await asked(web, begun["taskId"])
            assert told["result"]["resultType"] == "complete"
            if batch == keys[:1]:
                assert await asked(web, begun["taskId"]) == keys[1:]
        over.set()
    with anyio.fail_after(PATIENCE_S):
        while (await got(web, begun["taskId"]))["status"] != "completed":
            await followed(web)
    assert [(run.starts, run.resumes) for run in web.world.sim.runs] == [(1, 2)]


async def test_a_cancelled_task_cancels_its_run_and_a_run_that_cannot_be_cancelled_works_on(
    tmp_path: Path, clock: ManualClock
) -> None:
    """The cancel is always taken; what came of it is told by the task."""
    for works, status in ((True, "cancelled"), (False, "working")):
        sim = FakeSim(time=clock, cancel_works=works)
        async with opened(tmp_path / str(works), clock, sim) as web:
            await web.world.allow("acme", "slow", mode="async", timeout_s=600)
            begun = await called(web, "slow", {"seconds": 300})
            await web.world.follow_up(rounds=1, advance_s=3)
            answer = await rpc(web, "tasks/cancel", {"taskId": begun["taskId"]})
            assert answer["result"]["resultType"] == "complete"
            await web.world.follow_up(rounds=2, advance_s=5)
            assert (await got(web, begun["taskId"]))["status"] == status


async def test_a_task_lives_on_at_another_replica_and_after_a_restart(
    tmp_path: Path, clock: ManualClock, sim: FakeSim
) -> None:
    """Begun here, asked there, answered after both were new."""
    async with opened(tmp_path, clock, sim) as first:
        await first.world.allow("acme", "asking", mode="async", timeout_s=600)
        begun = await called(first, "asking")
    async with opened(tmp_path, clock, sim) as second, opened(tmp_path, clock, sim) as third:
        await followed(second)
        asks = await got(third, begun["taskId"])
        (key,) = asks["inputRequests"]
        responses = {key: {"action": "accept", "content": {"approved": True}}}
        params = {"taskId": begun["taskId"], "inputResponses": responses}
        outcomes: list[dict[str, Any]] = []

        async def answer(at: Web) -> None:
            outcomes.append(await rpc(at, "tasks/update", params))

        async with anyio.create_task_group() as group:
            for at in range(10):
                group.start_soon(answer, second if at % 2 else third)
        await followed(third)
        assert (await got(second, begun["taskId"]))["status"] == "completed"
    assert len(outcomes) == 10
    assert [(run.starts, run.resumes) for run in sim.runs] == [(1, 1)]


@pytest.mark.requirement("R13", "R35", "R60")
async def test_a_task_is_its_holders_alone_and_ends(web: Web, clock: ManualClock) -> None:
    """Another tenant, person or organisation, an invented id, and one that ended: the same words."""
    begun = await called(web, "slow", {"seconds": 1})
    task_id = begun["taskId"]
    attempts: list[Callable[[], Any]] = [
        lambda: rpc(web, "tasks/get", {"taskId": task_id}, by="globex"),
        lambda: rpc(web, "tasks/get", {"taskId": task_id}, subject="eve"),
        lambda: rpc(web, "tasks/get", {"taskId": task_id}, organizationId="north"),
        lambda: rpc(web, "tasks/get", {"taskId": "x" * 32}),
        lambda: rpc(web, "tasks/cancel", {"taskId": task_id}, by="globex"),
        lambda: rpc(web, "tasks/update", {"taskId": task_id, "inputResponses": {}}, subject="eve"),
    ]
    errors = [(await attempt())["error"] for attempt in attempts]
    assert errors == [{"code": -32602, "message": "Task not found."}] * len(attempts)
    assert (await got(web, task_id))["status"] == "working"
    clock.advance(86_400 + 601)
    ended = await rpc(web, "tasks/get", {"taskId": task_id}, exp=2_000_000_000)
    assert ended["error"]["message"] == "Task not found."


@pytest.mark.requirement("R33")
async def test_a_holder_who_may_run_no_more_is_refused(web: Web) -> None:
    """Every request is authorised on its own."""
    begun = await called(web, "slow", {"seconds": 1})
    answer = await rpc(web, "tasks/get", {"taskId": begun["taskId"]}, permissions=["INTEGRATION_VIEW"])
    assert answer["error"]["code"] == -32602
    assert "INTEGRATION_EDIT" in answer["error"]["message"]
    assert "INTEGRATION_EDIT" in ALL


async def test_who_may_not_approve_sees_the_task_work_and_is_told_who_must_act(web: Web) -> None:
    """No question is put to a client that could not answer it."""
    await web.world.allow("acme", "asking", "guarded", mode="async", approver_permission="INTEGRATION_DELETE")
    few = ["INTEGRATION_EDIT", "INTEGRATION_VIEW"]
    begun = await called(web, "guarded", permissions=few)
    await followed(web)
    seen = await got(web, begun["taskId"], permissions=few)
    assert seen["status"] == "working"
    assert "INTEGRATION_DELETE" in seen["statusMessage"]
    assert (await got(web, begun["taskId"]))["status"] == "input_required"


async def test_only_clients_that_hold_tasks_get_them_and_only_for_async_tools(web: Web) -> None:
    """Offered, never required; and the methods want the capability, the revision and the right header."""
    assert (await called(web, "echo"))["resultType"] == "complete"
    begun = await called(web, "slow", {"seconds": 1})
    task = {"taskId": begun["taskId"]}
    without = (await rpc(web, "tasks/get", task, capabilities={}))["error"]
    assert without == snapshot(
        {
            "code": -32021,
            "message": "Missing required client capability",
            "data": {"requiredCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}},
        }
    )
    assert (await rpc(web, "tasks/get", task, name="another"))["error"]["code"] == -32020
    sentinel = f"=?base64?{base64.b64encode(begun['taskId'].encode()).decode()}?="
    assert "result" in await rpc(web, "tasks/get", task, name=sentinel)
    for method in ("tasks/list", "tasks/result"):
        assert (await rpc(web, method, task))["error"]["code"] == -32601
    assert (await rpc(web, "tasks/get", {}))["error"]["code"] == -32602
    discovered = await rpc(web, "server/discover", {})
    assert TASKS in discovered["result"]["capabilities"]["extensions"]


async def test_confirming_comes_before_the_task(web: Web) -> None:
    """Asked first by an input-required result; the same yes twice leads to the same run."""
    await web.world.allow("acme", "slow", "careful", mode="async", confirm=True)
    question = await called(web, "careful", {"seconds": 1})
    assert question["resultType"] == "input_required"
    yes = {
        "requestState": question["requestState"],
        "inputResponses": {"confirm": {"action": "accept", "content": {"confirm": True}}},
    }
    begun = await called(web, "careful", {"seconds": 1}, params=yes)
    again = await called(web, "careful", {"seconds": 1}, params=yes)
    assert (begun["resultType"], again["resultType"]) == ("task", "task")
    (row,) = await web.world.rows("acme")
    assert row.status is not Status.FAILED


async def test_an_earlier_revision_knows_no_tasks(tmp_path: Path, clock: ManualClock) -> None:
    """The method does not exist there, and an async tool hands over as before."""
    from mcp import MCPError
    from mcp_types import Request, Result

    from tests.journeys.mcp_clients import connected, structured

    sim = FakeSim(time=SandboxTime(clock))
    async with opened(tmp_path, clock, sim) as web:
        await web.world.allow("acme", "slow", mode="async")
        async with flowing(clock), connected(web.world, "legacy") as client:
            with pytest.raises(MCPError) as caught:
                await client.session.send_request(
                    Request[Any, Any](method="tasks/get", params={"taskId": "x"}), Result
                )
            assert caught.value.error.code == -32601
            handed = await client.call_tool("slow", {"seconds": 1})
            assert structured(handed)["status"] in {"queued", "processing", "completed"}
