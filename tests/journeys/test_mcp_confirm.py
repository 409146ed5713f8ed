"""Tools that must be confirmed: the user is asked first, in both protocol eras."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot
from mcp import MCPError
from mcp_types import CallToolResult, ElicitRequestFormParams, ElicitResult, InputRequiredResult

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.execution import Status
from sim_mcp.sim.fake import FakeSim
from tests.journeys.mcp_clients import Era, connected, structured, told, words
from tests.world import SandboxTime, World, open_world

if TYPE_CHECKING:
    from mcp.client.session import ElicitationFnT

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[World]:
    """A tool that asks, and one of the same name at the other tenant."""
    async with open_world(tmp_path, clock=clock, sim=FakeSim(time=SandboxTime(clock))) as opened:
        for tenant in ("acme", "globex"):
            await opened.allow(tenant, "echo", "careful", confirm=True)
        yield opened


def saying(action: str, content: dict[str, Any] | None = None) -> ElicitationFnT:
    """A user who answers so."""

    async def answer(context: object, params: object) -> ElicitResult:
        del context, params
        return ElicitResult.model_validate({"action": action, "content": content})

    return answer


async def test_a_yes_runs_it_once(world: World, era: Era) -> None:
    """The question names the tool and the arguments; the answer is a yes in so many words."""
    asked: list[str] = []

    async def answer(context: object, params: object) -> ElicitResult:
        del context
        assert isinstance(params, ElicitRequestFormParams)
        asked.append(params.message)
        return ElicitResult(action="accept", content={"confirm": True})

    async with connected(world, era, answers=answer) as client:
        result = await client.call_tool("careful", {"text": "hello"})
    assert not result.is_error
    assert asked == snapshot(['Run \'Echo\' (careful) with {"text":"hello"}?'])
    assert len(world.started) == 1


@pytest.mark.parametrize(
    "answer",
    [
        saying("decline"),
        saying("cancel"),
        saying("accept"),
        saying("accept", {"confirm": False}),
        saying("accept", {"confirm": "yes"}),
    ],
)
@pytest.mark.requirement("R27")
async def test_anything_but_yes_runs_nothing_and_is_recorded(
    world: World, era: Era, answer: ElicitationFnT
) -> None:
    """Declined, dismissed, or an answer that is no yes: cancelled, and SIM hears nothing."""
    async with connected(world, era, answers=answer) as client:
        result = await client.call_tool("careful", {"text": "hello"})
    assert told(result) == snapshot(
        {
            "is_error": True,
            "text": [
                ["The user did not confirm: nothing was run. Execution id-1. Do not call again", "unasked."]
            ],
            "structured": {
                "status": "cancelled",
                "execution_id": "id-1",
                "run_id": None,
                "workflow_id": None,
                "duration_ms": None,
                "output": None,
                "error": None,
            },
        }
    )
    assert world.started == []
    assert [row.status for row in await world.rows("acme")] == [Status.CANCELLED]


async def test_a_client_that_cannot_ask_is_refused_and_told_why(world: World, era: Era) -> None:
    """Without a question there is no yes: nothing runs, and the row says so."""
    async with connected(world, era) as client:
        result = await client.call_tool("careful", {"text": "hello"})
    assert told(result) == snapshot(
        {
            "is_error": True,
            "text": [
                [
                    "CONFLICT: 'careful' must be confirmed by the user, and this client cannot show a",
                    "question. Nothing was run. Use a client with elicitation, or ask an",
                    "administrator to run it. Execution id-1.",
                ]
            ],
            "structured": {
                "status": "cancelled",
                "execution_id": "id-1",
                "run_id": None,
                "workflow_id": None,
                "duration_ms": None,
                "output": None,
                "error": {
                    "code": "CONFLICT",
                    "message": [
                        "'careful' must be confirmed by the user, and this client cannot show a",
                        "question. Nothing was run. Use a client with elicitation, or ask an",
                        "administrator to run it.",
                    ],
                    "retryable": False,
                    "retry_after_s": None,
                },
            },
        }
    )
    assert world.started == []
    assert [row.status for row in await world.rows("acme")] == [Status.CANCELLED]


YES = {"confirm": ElicitResult(action="accept", content={"confirm": True})}


async def asked(client: Any, **more: Any) -> InputRequiredResult | CallToolResult:
    """One round of the newest revision's way of asking, driven by hand."""
    arguments = more.pop("arguments", {"text": "hello"})
    return await client.session.call_tool("careful", arguments, allow_input_required=True, **more)


@pytest.mark.requirement("R35", "R60", "F3")
async def test_one_yes_is_good_for_one_run_of_what_was_asked(world: World) -> None:
    """Other arguments, another tenant, an invented question: refused. The same yes again: the same run."""
    async with (
        connected(world, "auto", answers=saying("decline")) as client,
        connected(world, "auto", "globex", answers=saying("decline")) as other,
    ):
        question = await asked(client)
        assert isinstance(question, InputRequiredResult)
        state = question.request_state
        for who, more in (
            (client, {"request_state": state, "arguments": {"text": "all"}}),
            (other, {"request_state": state}),
            (client, {"request_state": "invented"}),
            (client, {}),
        ):
            with pytest.raises(MCPError, match="requestState: nothing was run"):
                await asked(who, input_responses=YES, **more)
        assert world.started == []
        done = await asked(client, input_responses=YES, request_state=state)
        again = await asked(client, input_responses=YES, request_state=state)
    assert isinstance(done, CallToolResult)
    assert isinstance(again, CallToolResult)
    assert not done.is_error
    assert structured(again) == structured(done)
    assert "Nothing was started now" in words(again)
    assert len(world.started) == 1


async def test_a_question_outlives_the_server_that_asked_it(tmp_path: Path, clock: ManualClock) -> None:
    """The yes reaches another process on the same database and keys: good there, for an hour."""
    sim = FakeSim(time=SandboxTime(clock))
    async with open_world(tmp_path, clock=clock, sim=sim) as first:
        await first.allow("acme", "echo", "careful", confirm=True)
        async with connected(first, "auto", answers=saying("decline")) as client:
            question = await asked(client)
            late = await asked(client)
    assert isinstance(question, InputRequiredResult)
    assert isinstance(late, InputRequiredResult)
    async with (
        open_world(tmp_path, clock=clock, sim=sim) as second,
        connected(second, "auto", answers=saying("decline")) as client,
    ):
        done = await asked(client, input_responses=YES, request_state=question.request_state)
        assert isinstance(done, CallToolResult)
        assert not done.is_error
        clock.advance(3601)
        with pytest.raises(MCPError, match="expired"):
            await asked(client, input_responses=YES, request_state=late.request_state)
    assert len(sim.runs) == 1


async def test_nobody_is_asked_to_confirm_what_would_be_refused(world: World, era: Era) -> None:
    """Wrong arguments are told at once, not after a person looked at them."""
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    await world.allow("acme", "echo", "strict", confirm=True, input_schema=schema)

    async def never(context: object, params: object) -> ElicitResult:
        raise AssertionError(context, params)

    async with connected(world, era, answers=never) as client:
        result = await client.call_tool("strict", {"text": 1})
    assert words(result).startswith("INVALID_INPUT")
    assert [row.status for row in await world.rows("acme")] == [Status.FAILED]
