"""The admin tools: whole answers, wrong arguments, and the way from a workflow to a tool and back."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from inline_snapshot import snapshot
from jsonschema import Draft202012Validator
from mcp import Client
from mcp_types import ElicitResult

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.execution import Status
from sim_mcp.sim.fake import FakeSim, demo_account, workflow_id
from sim_mcp.transports.admin_tools import ADMIN_TOOLS
from tests.journeys.mcp_clients import Era, connected, names, structured, told, words
from tests.world import SandboxTime, World, open_world, principal

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["v2", "legacy"])
def sim(request: pytest.FixtureRequest, clock: ManualClock) -> FakeSim:
    """The fake SIM in each dialect."""
    return FakeSim(time=SandboxTime(clock), v2_enabled=request.param == "v2")


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock, sim: FakeSim) -> AsyncGenerator[World]:
    """Both tenants connected; acme has one tool."""
    async with open_world(tmp_path, clock=clock, sim=sim) as opened:
        await opened.allow("acme", "echo")
        account = demo_account("globex")  # SIM's older generation lists workflows by workspace alone
        await opened.app.administration.set_up(
            principal("globex"), api_key=account.api_key, workspace_id=account.workspace_id
        )
        yield opened


async def asked(client: Client, name: str, /, **arguments: Any) -> dict[str, Any]:
    """The structured answer of an admin tool, which keeps the tool's own output schema."""
    result = await client.call_tool(name, arguments)
    content = structured(result)
    Draft202012Validator(ADMIN_TOOLS[name].output_schema).validate(content)  # pyright: ignore[reportUnknownMemberType]  # untyped there
    assert not result.is_error, words(result)
    return content


@pytest.mark.requirement("R9", "R31")
async def test_the_settings_tell_everything_but_the_key(world: World, era: Era) -> None:
    """Of the key, only that there is one."""
    async with connected(world, era) as client, connected(world, era, "nobody") as stranger:
        assert await asked(client, "sim_get_settings") == snapshot(
            {
                "is_enabled": True,
                "has_api_key": True,
                "base_url": "https://sim.example.com",
                "revision": 1,
                "updated_at": "2026-01-01T00:00:00.000Z",
            }
        )
        assert await asked(stranger, "sim_get_settings") == snapshot(
            {
                "is_enabled": False,
                "has_api_key": False,
                "base_url": "https://sim.example.com",
                "revision": None,
                "updated_at": None,
            }
        )


@pytest.mark.requirement("R38", "R43", "R44")
async def test_the_status_tells_how_the_connection_is_doing(world: World, era: Era) -> None:
    """Reachable, accepted, breaker, limits, unfinished runs, tools."""
    async with connected(world, era) as client:
        status = await asked(client, "sim_status")
    dialect = status["sim"].pop("dialect")
    assert dialect in {"v2", "legacy"}
    assert status["checks"][2]["message"].endswith(f"its {dialect} API.")
    status["checks"][2]["message"] = "..."
    status["sim"].pop("round_trip_s")
    status.pop("sim_usage")
    assert status == snapshot(
        {
            "integration": {
                "is_enabled": True,
                "has_api_key": True,
                "base_url": "https://sim.example.com",
                "revision": 1,
                "updated_at": "2026-01-01T00:00:00.000Z",
            },
            "sim": {"is_reachable": True, "is_key_accepted": True, "problem": None},
            "breaker": {
                "state": "closed",
                "since": "2026-01-01T00:00:00.000Z",
                "retry_after_s": None,
                "failures_in_a_row": 0,
            },
            "limits": {
                "rate_per_minute": 6000,
                "rate_used_share": 0.0,
                "running_calls": 0,
                "max_concurrency": 64,
                "executions_this_month": 0,
                "monthly_executions": None,
                "budget": None,
            },
            "unfinished_executions": 0,
            "queue": {"waiting": 0, "running": 0, "dead": 0, "workers": 0},
            "tool_count": 1,
            "tool_problems": [],
            "held_tools": [],
            "tool_usage": [],
            "checks": [
                {
                    "name": "integration",
                    "about": None,
                    "level": "ok",
                    "message": "Connected to https://sim.example.com with a sealed key.",
                    "remedy": None,
                },
                {
                    "name": "sim",
                    "about": None,
                    "level": "ok",
                    "message": "SIM answers at https://sim.example.com.",
                    "remedy": None,
                },
                {"name": "sim_key", "about": None, "level": "ok", "message": "...", "remedy": None},
                {
                    "name": "sim_limits",
                    "about": None,
                    "level": "ok",
                    "message": "Far from the limits of plan 'free'.",
                    "remedy": None,
                },
                {
                    "name": "limits",
                    "about": None,
                    "level": "ok",
                    "message": "Far from this server's own limits.",
                    "remedy": None,
                },
                {
                    "name": "workflow",
                    "about": "echo",
                    "level": "ok",
                    "message": "Deployed, and its inputs are those that are pinned.",
                    "remedy": None,
                },
            ],
        }
    )


@pytest.mark.requirement("R13", "R27")
async def test_the_history_and_one_execution_whole(world: World, clock: ManualClock, era: Era) -> None:
    """The list without bodies, the one with them; another tenant's history is its own."""
    async with connected(world, era) as client, connected(world, era, "globex") as other:
        called = structured(await client.call_tool("echo", {"text": "hello", "password": "hunter2"}))
        clock.advance(1)
        await client.call_tool("echo", {"text": "again"})
        page = await asked(client, "sim_list_executions", limit=1)
        assert (page["total"], len(page["data"])) == (2, 1)
        rest = await asked(client, "sim_list_executions", cursor=page["next_cursor"])
        assert [row["execution_id"] for row in rest["data"]] == [called["execution_id"]]
        assert (rest["next_cursor"], "output" in rest["data"][0]) == (None, False)
        none = await asked(client, "sim_list_executions", status="failed", since="2026-01-01T00:00:00Z")
        assert none["data"] == []
        whole = await client.call_tool("sim_get_execution", {"execution_id": called["run_id"]})
        assert (await asked(other, "sim_list_executions"))["data"] == []
    assert told(whole)["structured"] == snapshot(
        {
            "status": "completed",
            "execution_id": "id-1",
            "run_id": "id-2",
            "workflow_id": "id-3",
            "duration_ms": "some ms",
            "output": {"result": {"text": "hello", "password": "[redacted]"}, "stdout": ""},
            "error": None,
            "tool_name": "echo",
            "job_id": None,
            "attempts": 1,
            "triggered_by": "mcp",
            "subject": "ada",
            "organization_id": None,
            "idempotency_key": None,
            "created_at": "2026-01-01T00:00:00.000Z",
            "started_at": "2026-01-01T00:00:00.000Z",
            "finished_at": "2026-01-01T00:00:00.000Z",
            "settings_revision": 1,
            "trace_id": None,
            "refusals": 1,
            "approver_permission": None,
            "answers": [],
            "input": {"text": "hello", "password": "[redacted]"},
        }
    )
    assert "hunter2" not in words(whole)


@pytest.mark.requirement("R48")
async def test_from_a_workflow_to_a_tool_and_back(world: World, era: Era) -> None:
    """Discover, validate, allow, call, disallow: the list follows at every step."""
    quick = workflow_id("globex", "quick")

    async def yes(context: object, params: object) -> ElicitResult:
        del context, params
        return ElicitResult(action="accept", content={"confirm": True})

    async with connected(world, era, "globex", answers=yes) as client:
        found = await asked(client, "sim_discover_workflows", search="Summarize")
        assert found["workflows"] == snapshot(
            [
                {
                    "workflow_id": "ab5e7627-4a42-5b29-a074-6d7c08209eaa",
                    "name": "Summarize Timesheets",
                    "description": "Summarises hours per project.",
                    "is_deployed": True,
                    "tool_name": None,
                    "inputs": [
                        {"name": "employee", "type": "string", "description": "Employee name"},
                        {"name": "hours", "type": "number", "description": "Hours worked"},
                        {"name": "billable", "type": "boolean", "description": "Billable?"},
                        {"name": "tags", "type": "array", "description": "Labels"},
                        {"name": "meta", "type": "object", "description": "Extra data"},
                    ],
                    "schema_drift": [],
                }
            ]
        )
        assert await asked(client, "sim_validate_workflow", workflow_id=quick) == {
            "workflow_id": quick,
            "is_deployed": True,
            "needs_redeployment": False,
            "schema_drift": [],
        }
        tool = await asked(client, "sim_allow_workflow", workflow_id=quick, name="hours", timeout_s=30)
        tool.pop("workflow_id")
        assert tool == snapshot(
            {
                "name": "hours",
                "title": "Summarize Timesheets",
                "description": "Summarises hours per project.",
                "input_schema": {
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "type": "object",
                    "properties": {
                        "employee": {"type": "string", "description": "Employee name"},
                        "hours": {"type": "number", "description": "Hours worked"},
                        "billable": {"type": "boolean", "description": "Billable?"},
                        "tags": {"type": "array", "items": {}, "description": "Labels"},
                        "meta": {"type": "object", "description": "Extra data"},
                    },
                    "additionalProperties": False,
                },
                "output_schema": None,
                "mode": "sync",
                "timeout_s": 30.0,
                "annotations": {
                    "read_only": False,
                    "destructive": True,
                    "idempotent": False,
                    "open_world": True,
                },
                "confirm": False,
                "approver_permission": None,
                "attach_s": 0.0,
                "selected_outputs": [],
                "bound_inputs": {},
                "describe_usage": False,
                "monthly_executions": None,
                "cost_per_day": None,
                "rate_per_minute": None,
                "max_concurrency": None,
                "max_output_bytes": 100000,
            }
        )
        assert "hours" in await names(client)
        assert not (await client.call_tool("hours", {"employee": "Ada", "hours": 3})).is_error
        assert await asked(client, "sim_disallow_workflow", name="hours") == {
            "name": "hours",
            "is_allowed": False,
        }
        assert "hours" not in await names(client)


@pytest.mark.requirement("R34", "R53")
@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("sim_get_execution", {}, "$ needs 'execution_id'"),
        ("sim_get_execution", {"execution_id": "x", "wait_s": 46}, "$.wait_s must be at most 45"),
        ("sim_get_execution", {"execution_id": "", "wait_s": -1}, "$.execution_id must not be empty"),
        ("sim_list_executions", {"status": "done-secret"}, "$.status must be one of: queued, processing"),
        ("sim_list_executions", {"limit": 0}, "$.limit must be at least 1"),
        ("sim_list_executions", {"limit": "5"}, "$.limit must be of type integer"),
        ("sim_list_executions", {"since": "yesterday-secret"}, "$.since must be ISO 8601"),
        ("sim_list_executions", {"since": "2026-01-01T00:00:00"}, "$.since must be ISO 8601"),
        ("sim_list_executions", {"tenant_id": "globex-secret"}, "unknown field; known are: workflow_id"),
        ("sim_status", {"x": 1}, "unknown field; known are: none"),
        ("sim_allow_workflow", {"workflow_id": "x", "name": "A secret"}, "$.name must match"),
        ("sim_resume_execution", {"execution_id": "x", "input": []}, "$.input must be of type object"),
    ],
)
async def test_wrong_arguments_name_the_field_and_the_rule(
    tmp_path: Path, clock: ManualClock, name: str, arguments: dict[str, Any], said: str
) -> None:
    """A tool error that a model can repair; the value itself is not repeated."""
    async with open_world(tmp_path, clock=clock) as world, connected(world, "auto") as client:
        result = await client.call_tool(name, arguments)
    assert result.is_error
    assert structured(result)["error"]["code"] == "INVALID_INPUT"
    assert said in words(result)
    assert "secret" not in words(result)


@pytest.mark.requirement("R60")
async def test_a_schema_that_is_too_expensive_is_not_allowed_and_says_why(
    tmp_path: Path, clock: ManualClock
) -> None:
    """The rule is named, so that whoever wrote it can mend it."""
    schema = {"type": "object", "properties": {"a": {"enum": [[number] for number in range(4000)]}}}
    async with open_world(tmp_path, clock=clock) as world, connected(world, "auto") as client:
        result = await client.call_tool(
            "sim_allow_workflow",
            {"workflow_id": workflow_id("acme", "echo"), "name": "echo", "input_schema": schema},
        )
    assert result.is_error
    assert structured(result)["error"]["code"] == "INVALID_INPUT"
    assert "$.properties.a takes" in words(result)
    assert "most of them for `enum`" in words(result)


async def test_a_run_is_cancelled_by_its_tool_and_that_is_no_error(
    tmp_path: Path, clock: ManualClock, era: Era
) -> None:
    """What was asked for came to pass; a second time shows the same end."""
    sim = FakeSim(time=clock)
    async with open_world(tmp_path, clock=clock, sim=sim, call_patience_s=1) as world:
        await world.allow("acme", "slow", timeout_s=120)
        async with connected(world, era) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(client.call_tool, "slow", {"seconds": 60})
                while not world.started:
                    await anyio.lowlevel.checkpoint()
                await clock.sleeper(within_s=2)
                clock.advance(1)
            [row] = await world.rows("acme")
            for _ in range(2):
                answer = await asked(client, "sim_cancel_execution", execution_id=row.id)
                assert answer["status"] == Status.CANCELLED
    assert [request.verb for request in sim.requests].count("cancel") == 1


async def test_an_answer_that_does_not_fit_the_form_reaches_nobody(world: World, era: Era) -> None:
    """SIM checks nothing, so we do: the pause stays open for a right answer."""
    await world.allow("acme", "asking")
    async with connected(world, era) as client:
        paused = structured(await client.call_tool("asking", {}))
        wrong = await client.call_tool(
            "sim_resume_execution", {"execution_id": paused["execution_id"], "input": {"note": "?"}}
        )
        assert wrong.is_error
        assert "$.approved: is required" in words(wrong)
        assert [run.resumes for run in world.sim.runs] == [0]
        shown = await asked(client, "sim_get_execution", execution_id=paused["execution_id"])
    assert shown["status"] == "paused"
    assert [field["name"] for field in shown["pauses"][0]["fields"]] == ["approved", "note"]
