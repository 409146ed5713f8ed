"""Workflow tools through MCP: whole results, in both protocol eras, over both of SIM's dialects."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from itertools import pairwise
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import pytest
from inline_snapshot import snapshot
from mcp import Client, MCPError

from sim_mcp.model.clock import ManualClock, SystemClock
from sim_mcp.model.execution import Status
from sim_mcp.sim.fake import FakeSim, faults, serve_fake, workflow_id
from tests.journeys.mcp_clients import Era, connected, names, structured, told, words
from tests.patience import PATIENCE_S
from tests.world import SandboxTime, World, open_world, principal

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["v2", "legacy"])
def dialect(request: pytest.FixtureRequest) -> str:
    """SIM's two generations."""
    return request.param


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock, dialect: str) -> AsyncGenerator[World]:
    """Both tenants with the tools of these journeys; SIM's work takes no time."""
    sim = FakeSim(time=SandboxTime(clock), v2_enabled=dialect == "v2")
    async with open_world(tmp_path, clock=clock, sim=sim) as opened:
        for tenant in ("acme", "globex"):
            await opened.allow(tenant, "echo")
        for workflow in ("failing", "asking", "large"):
            await opened.allow("acme", workflow)
        yield opened


@pytest.fixture
async def slow_world(tmp_path: Path, clock: ManualClock, dialect: str) -> AsyncGenerator[World]:
    """A SIM whose work takes the test's own time."""
    sim = FakeSim(time=clock, v2_enabled=dialect == "v2")
    async with open_world(tmp_path, clock=clock, sim=sim, call_patience_s=5) as opened:
        await opened.allow("acme", "slow", timeout_s=120)
        yield opened


@pytest.mark.requirement("R1", "R14", "R25", "R64", "R69")
async def test_a_completed_run_is_told_whole(world: World, era: Era) -> None:
    """The output as text and as structure; every field of the contract and no other."""
    async with connected(world, era) as client:
        result = await client.call_tool("echo", {"text": "hello"})
    assert told(result) == snapshot(
        {
            "is_error": False,
            "text": [['{"result":{"text":"hello"},"stdout":""}']],
            "structured": {
                "status": "completed",
                "execution_id": "id-1",
                "run_id": "id-2",
                "workflow_id": "id-3",
                "duration_ms": "some ms",
                "output": {"result": {"text": "hello"}, "stdout": ""},
                "error": None,
            },
        }
    )


@pytest.mark.requirement("R37")
@pytest.mark.parametrize("status", [401, 404, 429])
async def test_a_status_borrowed_by_a_block_is_a_failed_workflow(world: World, era: Era, status: int) -> None:
    """A block that met a 401 elsewhere says nothing about our key: no auth error, no throttle."""
    async with connected(world, era) as client:
        result = await client.call_tool("failing", {"status": status})
    assert result.is_error
    assert structured(result)["status"] == "failed"
    assert structured(result)["error"]["code"] == "EXECUTION_ERROR"


@pytest.mark.requirement("R37")
async def test_a_failed_workflow_is_a_tool_error_with_its_cause(world: World, era: Era) -> None:
    """The model reads what failed, that a repeat starts over, and the execution to name."""
    async with connected(world, era) as client:
        result = await client.call_tool("failing", {"status": 401})
    shown = told(result)
    assert shown["structured"]["error"].pop("message") in (["Unauthorized"], ["CRM 1: Unauthorized"])
    assert words(result).count("Unauthorized") == 1
    del shown["text"]
    assert shown == snapshot(
        {
            "is_error": True,
            "structured": {
                "status": "failed",
                "execution_id": "id-1",
                "run_id": "id-2",
                "workflow_id": "id-3",
                "duration_ms": "some ms",
                "output": None,
                "error": {"code": "EXECUTION_ERROR", "retryable": False, "retry_after_s": None},
            },
        }
    )


@pytest.mark.requirement("R57")
async def test_a_paused_run_says_that_it_waits_for_a_person(world: World, era: Era) -> None:
    """No success and no error: the form, and the tool that takes the answer."""
    async with connected(world, era) as client:
        result = await client.call_tool("asking", {"amount": 120})
        assert told(result) == snapshot(
            {
                "is_error": False,
                "text": [
                    [
                        "The run is paused and waits for a person: this is not a success. Ask the user,",
                        'never answer for them, then call sim_resume_execution(execution_id="id-1",',
                        "input={…}). Form: approved (boolean, required): Approve the refund?; note",
                        "(string, optional): Reason. Show the user: amount = 120.",
                    ]
                ],
                "structured": {
                    "status": "paused",
                    "execution_id": "id-1",
                    "run_id": "id-2",
                    "workflow_id": "id-3",
                    "duration_ms": "some ms",
                    "output": None,
                    "error": None,
                    "pauses": [
                        {
                            "context_id": "id-4",
                            "kind": "human",
                            "status": "paused",
                            "resume_at": None,
                            "display": [{"name": "amount", "type": "number", "value": 120}],
                            "fields": [
                                {
                                    "name": "approved",
                                    "label": "approved",
                                    "type": "boolean",
                                    "required": True,
                                    "description": "Approve the refund?",
                                    "placeholder": "",
                                    "options": [],
                                    "value": "",
                                },
                                {
                                    "name": "note",
                                    "label": "note",
                                    "type": "string",
                                    "required": False,
                                    "description": "Reason",
                                    "placeholder": "",
                                    "options": [],
                                    "value": "",
                                },
                            ],
                        }
                    ],
                },
            }
        )
        answered = await client.call_tool(
            "sim_resume_execution",
            {"execution_id": structured(result)["execution_id"], "input": {"approved": True}},
        )
    assert not answered.is_error
    assert [run.resumes for run in world.sim.runs] == [1]


async def test_each_of_several_pauses_is_named(world: World, era: Era) -> None:
    """With two open forms the answer has to say which one it is for."""
    async with connected(world, era) as client:
        result = await client.call_tool("asking", {"variant": "parallel"})
    text = words(result)
    assert text.count("Form of context_id") == 2
    assert 'context_id="…"' in text


async def test_a_run_that_waits_for_a_time_is_not_offered_for_an_answer(world: World, era: Era) -> None:
    """It goes on by itself: nobody is asked."""
    async with connected(world, era) as client:
        paused = structured(await client.call_tool("asking", {"variant": "time", "seconds": 3600}))
        result = await client.call_tool("sim_get_execution", {"execution_id": paused["execution_id"]})
    assert structured(result)["status"] == "paused"
    text = words(result)
    assert "goes on by itself" in text
    assert "sim_resume_execution" not in text


@pytest.mark.requirement("R34")
async def test_wrong_arguments_are_a_tool_error_and_sim_hears_nothing(world: World, era: Era) -> None:
    """Each fault with its path, so that the model can repair the call; never the value."""
    schema = {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    }
    await world.allow("acme", "echo", "strict", input_schema=schema)
    before = len(world.sim.requests)
    async with connected(world, era) as client:
        result = await client.call_tool("strict", {"text": 12345, "more": "unheard-of"})
    assert told(result) == snapshot(
        {
            "is_error": True,
            "text": [
                [
                    "INVALID_INPUT: The arguments of 'strict' are not valid: $.text must be string,",
                    "not integer; put it in quotes; $ has the unknown property 'more'; known are",
                    "'text'. Nothing was run: correct the arguments and call again. Execution id-1.",
                ]
            ],
            "structured": {
                "status": "failed",
                "execution_id": "id-1",
                "run_id": None,
                "workflow_id": None,
                "duration_ms": None,
                "output": None,
                "error": {
                    "code": "INVALID_INPUT",
                    "message": [
                        "The arguments of 'strict' are not valid: $.text must be string, not",
                        "integer; put it in quotes; $ has the unknown property 'more'; known",
                        "are 'text'.",
                    ],
                    "retryable": False,
                    "retry_after_s": None,
                },
            },
        }
    )
    assert len(world.sim.requests) == before


@pytest.mark.requirement("R64")
async def test_a_large_output_is_cut_for_the_model_and_kept_whole(world: World, era: Era) -> None:
    """The cut is valid JSON within the tool's limit, says so, and names where the rest is."""
    await world.allow("acme", "large", "cut", max_output_bytes=600)
    async with connected(world, era) as client:
        result = await client.call_tool("cut", {"rows": 500, "row_bytes": 40})
        assert told(result) == snapshot(
            {
                "is_error": False,
                "text": [
                    [
                        "The run completed. Its output has 29923 bytes, so only the beginning follows.",
                        'Most of it is at path "/result/rows" (500 items): read it in pages with',
                        'sim_get_execution(execution_id="id-1", path="/result/rows", offset=0).',
                    ],
                    [
                        '{"truncated":true,"size_bytes":29923,"preview":{"result":{"rows":[{"i":0,"text":',
                        '"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},{"i":1,"text":"xxxxxxxxxxxxxxxxxxxxx',
                        'xxxxxxxxxxxxxxxxxxx"},{"i":2,"text":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},',
                        '{"i":3,"text":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},{"i":4,"text":"xxxxxxx',
                        'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},"… 495 more items"]},"stdout":""}}',
                    ],
                ],
                "structured": {
                    "status": "completed",
                    "execution_id": "id-1",
                    "run_id": "id-2",
                    "workflow_id": "id-3",
                    "duration_ms": "some ms",
                    "output": {
                        "truncated": True,
                        "size_bytes": 29923,
                        "preview": {
                            "result": {
                                "rows": [
                                    {"i": 0, "text": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
                                    {"i": 1, "text": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
                                    {"i": 2, "text": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
                                    {"i": 3, "text": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
                                    {"i": 4, "text": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
                                    "… 495 more items",
                                ]
                            },
                            "stdout": "",
                        },
                    },
                    "error": None,
                },
            }
        )
        execution_id = structured(result)["execution_id"]
        again = await client.call_tool("sim_get_execution", {"execution_id": execution_id})
        selected = {"execution_id": execution_id, "path": "/result/rows", "offset": 0}
        page = structured(await client.call_tool("sim_get_execution", selected))
    assert structured(again)["output"] == structured(result)["output"]
    assert [row["i"] for row in page["output"]] == [*range(500)]
    assert (page["page"]["total"], page["page"]["next"]) == (500, None)


async def test_an_output_that_breaks_its_pinned_schema_is_said_so(world: World, era: Era) -> None:
    """The run happened, so its status stands; the structure promises nothing that is not there."""
    wanted = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
    await world.allow("acme", "echo", "pinned", output_schema=wanted)
    async with connected(world, era) as client:
        await client.list_tools()
        result = await client.call_tool("pinned", {"text": "hello"})
    assert told(result) == snapshot(
        {
            "is_error": True,
            "text": [
                [
                    "EXECUTION_ERROR: The run completed, but its output breaks the tool's pinned",
                    "output schema at $ (rule 'required'). Its effects happened: do not call again.",
                    "An administrator updates `output_schema`. Execution id-1. The output follows.",
                ],
                ['{"result":{"text":"hello"},"stdout":""}'],
            ],
            "structured": {
                "status": "completed",
                "execution_id": "id-1",
                "run_id": "id-2",
                "workflow_id": "id-3",
                "duration_ms": "some ms",
                "output": None,
                "error": {
                    "code": "EXECUTION_ERROR",
                    "message": [
                        "The run completed, but its output breaks the tool's pinned output",
                        "schema at $ (rule 'required'). Its effects happened: do not call",
                        "again. An administrator updates `output_schema`.",
                    ],
                    "retryable": False,
                    "retry_after_s": None,
                },
            },
        }
    )


async def test_an_output_that_keeps_its_pinned_schema_passes_the_clients_own_check(
    world: World, era: Era
) -> None:
    """The client compares structure and declared schema itself; local references still lead somewhere."""
    wanted = {
        "type": "object",
        "properties": {"result": {"$ref": "#/$defs/echoed"}},
        "required": ["result"],
        "$defs": {"echoed": {"type": "object", "required": ["text"]}},
    }
    await world.allow("acme", "echo", "pinned", output_schema=wanted)
    async with connected(world, era) as client:
        await client.list_tools()
        result = await client.call_tool("pinned", {"text": "hello"})
    assert not result.is_error
    assert structured(result)["output"]["result"] == {"text": "hello"}


@pytest.mark.requirement("R36")
async def test_a_lost_answer_is_an_error_that_forbids_to_call_again(world: World, era: Era) -> None:
    """The run may exist: the row stays open, and the model is told to follow it."""
    world.sim.script(faults.LostAnswer())
    clock = world.clock
    assert isinstance(clock, ManualClock)
    results: list[object] = []
    async with connected(world, era) as client, anyio.create_task_group() as group:

        async def call() -> None:
            results.append(told(await client.call_tool("echo", {"text": "x"})))

        group.start_soon(call)
        while not results:
            await anyio.lowlevel.checkpoint()
            if clock.is_slept_on(60) and (await world.rows("acme"))[0].error is not None:
                clock.advance(60)
    assert results == snapshot(
        [
            {
                "is_error": True,
                "text": [
                    [
                        "OUTCOME_UNKNOWN: The answer of SIM was lost after the call was sent. The run is",
                        "being looked up by its id; do not call again, follow this execution id. It may",
                        "have run. Follow it with sim_get_execution. Execution id-1.",
                    ]
                ],
                "structured": {
                    "status": "processing",
                    "execution_id": "id-1",
                    "run_id": "id-2",
                    "workflow_id": "id-3",
                    "duration_ms": None,
                    "output": None,
                    "error": {
                        "code": "OUTCOME_UNKNOWN",
                        "message": [
                            "The answer of SIM was lost after the call was sent. The run is being",
                            "looked up by its id; do not call again, follow this execution id.",
                        ],
                        "retryable": False,
                        "retry_after_s": None,
                    },
                },
            }
        ]
    )
    assert len(world.started) == 1


async def test_a_slow_run_answers_with_its_id_when_patience_ends(
    slow_world: World, clock: ManualClock, era: Era
) -> None:
    """The run goes on; the same id leads to its end, and it ran once."""
    async with connected(slow_world, era) as client:
        results: list[dict[str, object]] = []
        async with anyio.create_task_group() as group:

            async def call() -> None:
                results.append(structured(await client.call_tool("slow", {"seconds": 30})))

            group.start_soon(call)
            await until_running(slow_world)
            clock.advance(5)
        assert (results[0]["status"], results[0]["error"]) == ("processing", None)
        clock.advance(60)
        arguments = {"execution_id": results[0]["execution_id"], "wait_s": 45}
        ended = await client.call_tool("sim_get_execution", arguments)
    assert structured(ended)["status"] == "completed"
    assert len(slow_world.started) == 1


async def test_progress_is_told_and_never_goes_back(
    tmp_path: Path, clock: ManualClock, dialect: str, era: Era
) -> None:
    """Elapsed seconds and the status, at least a quarter of a second apart."""
    heard: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        assert total is None
        heard.append((progress, message))

    ended = anyio.Event()
    sim = FakeSim(time=clock, v2_enabled=dialect == "v2")
    async with (
        open_world(tmp_path, clock=clock, sim=sim, call_patience_s=3600) as patient,
        connected(patient, era) as client,
        anyio.create_task_group() as group,
    ):
        await patient.allow("acme", "slow", timeout_s=300)

        async def call() -> None:
            result = await client.call_tool("slow", {"seconds": 4}, progress_callback=hear)
            assert structured(result)["status"] == "completed"
            ended.set()

        group.start_soon(call)
        while not ended.is_set():
            await anyio.lowlevel.checkpoint()
            if clock.is_slept_on(2) and not ended.is_set():
                clock.advance(0.1)
    steps = [step for step, _ in heard]
    assert heard[0] == (0.0, "processing, 0 s")
    assert len(steps) > 1
    assert all(later - earlier >= 0.25 for earlier, later in pairwise(steps))


@pytest.mark.requirement("R65")
async def test_a_client_that_cancels_cancels_the_run(slow_world: World, era: Era) -> None:
    """The run is stopped at SIM by an explicit call, and its row says so."""
    async with connected(slow_world, era) as client:
        async with anyio.create_task_group() as group:

            async def call() -> None:
                with scope:
                    await client.call_tool("slow", {"seconds": 60})

            scope = anyio.CancelScope()
            group.start_soon(call)
            await until_running(slow_world)
            scope.cancel()
        await until_status(slow_world, Status.CANCELLED)
    assert [request.verb for request in slow_world.sim.requests].count("cancel") == 1


@pytest.mark.parametrize("era", ["legacy"])
async def test_a_lost_connection_leaves_the_run_going(
    slow_world: World, clock: ManualClock, era: Era
) -> None:
    """A client that is gone did not ask for anything to be stopped."""
    async with anyio.create_task_group() as group:

        async def call(client: Client) -> None:
            with pytest.raises(MCPError):
                await client.call_tool("slow", {"seconds": 10})

        async with connected(slow_world, era) as client:
            group.start_soon(call, client)
            await until_running(slow_world)
    assert "cancel" not in [request.verb for request in slow_world.sim.requests]
    clock.advance(11)
    await until_status(slow_world, Status.COMPLETED)


@pytest.mark.requirement("R3", "R33")
async def test_a_switched_off_integration_takes_its_tools_away(world: World, era: Era) -> None:
    """They are not listed any more, a call says why, and the other tenant notices nothing."""
    async with connected(world, era) as client, connected(world, era, "globex") as other:
        assert "echo" in await names(client)
        await world.app.administration.set_enabled(principal("acme"), is_enabled=False)
        assert [name for name in await names(client) if not name.startswith("sim_")] == []
        result = await client.call_tool("echo", {"text": "x"})
        assert told(result) == snapshot(
            {
                "is_error": True,
                "text": [
                    [
                        "DISABLED: The SIM integration of this tenant is switched off. An administrator",
                        "switches it on with the tool sim_setup (enabled=true) or `sim-mcp setup",
                        "--enable`. Nothing was run. Execution id-1.",
                    ]
                ],
                "structured": {
                    "status": "failed",
                    "execution_id": "id-1",
                    "run_id": None,
                    "workflow_id": None,
                    "duration_ms": None,
                    "output": None,
                    "error": {
                        "code": "DISABLED",
                        "message": [
                            "The SIM integration of this tenant is switched off. An administrator",
                            "switches it on with the tool sim_setup (enabled=true) or `sim-mcp",
                            "setup --enable`.",
                        ],
                        "retryable": False,
                        "retry_after_s": None,
                    },
                },
            }
        )
        assert "echo" in await names(other)
        assert not (await other.call_tool("echo", {"text": "x"})).is_error


@pytest.mark.requirement("R11", "R35", "R60")
async def test_another_tenants_tool_answers_exactly_as_an_unknown_one(world: World, era: Era) -> None:
    """Same code, same words, same data: nothing tells that `failing` exists elsewhere."""
    answers: list[dict[str, object]] = []
    async with connected(world, era, "globex") as client:
        for name in ("failing", "never_heard_of", "sim_no_such_tool"):
            with pytest.raises(MCPError) as refused:
                await client.call_tool(name, {"status": 401})
            answers.append(refused.value.error.model_dump())
    assert answers[0] == snapshot(
        {
            "code": -32602,
            "message": "Unknown tool. tools/list shows the tools that you may use.",
            "data": {"code": "NOT_FOUND"},
        }
    )
    assert answers[0] == answers[1] == answers[2]
    assert world.started == []


@pytest.mark.requirement("R11", "R35", "R13")
async def test_another_tenants_execution_answers_exactly_as_an_unknown_one(world: World, era: Era) -> None:
    """Look, cancel and resume: the same words for a foreign id and for none."""
    async with connected(world, era) as client, connected(world, era, "globex") as other:
        foreign = structured(await client.call_tool("asking", {}))["execution_id"]
        for name, more in (
            ("sim_get_execution", {}),
            ("sim_cancel_execution", {}),
            ("sim_resume_execution", {"input": {"approved": True}}),
        ):
            theirs = await other.call_tool(name, {"execution_id": foreign, **more})
            unknown = await other.call_tool(name, {"execution_id": workflow_id("acme", "echo"), **more})
            assert theirs.is_error
            assert theirs.structured_content == unknown.structured_content
            assert theirs.content == unknown.content
    assert [run.resumes for run in world.sim.runs] == [0]


async def until_running(world: World) -> None:
    """Return once a run goes on at SIM and somebody waits for it."""
    with anyio.fail_after(PATIENCE_S):
        while not world.started:
            await anyio.lowlevel.checkpoint()
        assert isinstance(world.clock, ManualClock)
        await world.clock.sleeper(within_s=2)


async def until_status(world: World, status: Status) -> None:
    """Return once the newest row of acme says `status`."""
    with anyio.fail_after(PATIENCE_S):
        while (await world.rows("acme"))[0].status is not status:
            await anyio.lowlevel.checkpoint()


@pytest.mark.sockets
async def test_streamed_text_is_heard_while_it_comes(tmp_path: Path, dialect: str, era: Era) -> None:
    """A stream over a real socket: the client hears pieces of the answer before it is complete."""
    heard: list[str] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        del progress, total
        heard.append(message or "")

    sim = FakeSim(v2_enabled=dialect == "v2")
    async with (
        serve_fake(sim) as url,
        open_world(
            tmp_path,
            sim=sim,
            clock=SystemClock(),
            transport_of=lambda _: httpx.AsyncHTTPTransport(),
            sim_base_url=url,
            sim_allowed_hosts=(url.removeprefix("http://"),),
        ) as world,
        connected(world, era) as client,
    ):
        await world.allow("acme", "streaming", mode="stream")
        result = await client.call_tool("streaming", {"topic": "rain"}, progress_callback=hear)
    assert structured(result)["status"] == "completed"
    assert "sandbox knows about rain" in words(result)
    assert any("Here is what" in message for message in heard)
