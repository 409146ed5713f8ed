"""A run that asks a person, answered within the call that started it: both eras, both of SIM's dialects."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from inline_snapshot import snapshot
from mcp import MCPError
from mcp_types import CallToolResult, ElicitRequestFormParams, ElicitResult, InputRequiredResult

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Conflict, ErrorCode, Forbidden, OutcomeUnknown, SimMcpError
from sim_mcp.model.execution import Execution, Status
from sim_mcp.model.principal import Permission, Principal, TenantId
from sim_mcp.sim.fake import FakeSim, faults
from tests.journeys.mcp_clients import Era, connected, structured, told, words
from tests.patience import PATIENCE_S
from tests.world import SandboxTime, World, flowing, open_world, principal

if TYPE_CHECKING:
    from mcp.client.session import ElicitationFnT

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R27", "F4")]

Answers = Callable[[ElicitRequestFormParams], dict[str, Any] | None]


@pytest.fixture(params=["v2", "legacy"])
def sim(request: pytest.FixtureRequest, clock: ManualClock) -> FakeSim:
    """The fake SIM in each dialect."""
    return FakeSim(time=SandboxTime(clock), v2_enabled=request.param == "v2")


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock, sim: FakeSim) -> AsyncGenerator[World]:
    """Both tenants with the workflow that asks a human."""
    async with open_world(tmp_path, clock=clock, sim=sim) as opened:
        for tenant in ("acme", "globex"):
            await opened.allow(tenant, "asking")
        yield opened


class User:
    """A person before a client: fills in `answers` in turn, declines at `None`; `seen` is what was shown."""

    def __init__(self, *answers: dict[str, Any] | None) -> None:
        self.answers = [*answers]
        self.seen: list[ElicitRequestFormParams] = []

    async def __call__(self, context: object, params: object) -> ElicitResult:
        """Fill in the next form."""
        del context
        assert isinstance(params, ElicitRequestFormParams)
        self.seen.append(params)
        answer = self.answers.pop(0)
        if answer is None:
            return ElicitResult(action="decline")
        return ElicitResult(action="accept", content=answer)


async def test_the_form_is_put_to_the_user_and_the_run_goes_on_in_the_same_call(
    world: World, era: Era
) -> None:
    """Built from SIM's resume form; one run, one resume, asker and answerer in the row."""
    ada = User({"approved": True, "note": "fine"})
    async with connected(world, era, answers=ada) as client:
        result = await client.call_tool("asking", {"amount": 250})
    assert structured(result)["status"] == "completed"
    assert structured(result)["output"] == snapshot(
        {"result": {"approved": True, "note": "fine", "amount": 250}, "stdout": ""}
    )
    form = ada.seen[0]
    assert form.message.partition("(Execution")[0] == snapshot(
        "The workflow behind 'asking' is paused and waits for a person's decision. It shows: amount = 250. "
    )
    assert form.requested_schema == snapshot(
        {
            "properties": {
                "approved": {"type": "boolean", "title": "approved", "description": "Approve the refund?"},
                "note": {"type": "string", "title": "note", "description": "Reason"},
            },
            "required": ["approved"],
            "type": "object",
        }
    )
    assert [(run.starts, run.resumes) for run in world.sim.runs] == [(1, 1)]
    (row,) = await world.rows("acme")
    assert (row.subject, [answer.subject for answer in row.answers]) == ("ada", ["ada"])


@pytest.mark.parametrize("dialect", ["v2", "legacy"])
async def test_one_pause_after_the_other_is_asked_one_after_the_other(
    tmp_path: Path, clock: ManualClock, dialect: str, era: Era
) -> None:
    """A chained approval is a second question, not the first one again."""
    sim = FakeSim(time=SandboxTime(clock), v2_enabled=dialect == "v2", strands_pauses=False)
    ada = User({"approved": True}, {"approved": False})
    async with open_world(tmp_path, clock=clock, sim=sim) as world:
        await world.allow("acme", "asking")
        async with connected(world, era, answers=ada) as client:
            result = await client.call_tool("asking", {"variant": "twice"})
        (row,) = await world.rows("acme")
    assert structured(result)["status"] == "completed", told(result)
    assert len(ada.seen) == 2
    assert [run.resumes for run in sim.runs] == [2]
    assert len({answer.context_id for answer in row.answers}) == 2


async def test_a_second_pause_that_sim_lost_is_told_as_paused(world: World, era: Era) -> None:
    """SIM 0.8.9 lets nobody answer it (sim-api 6.4): that is said, and nothing is called done or failed."""
    ada = User({"approved": True}, {"approved": True})
    async with connected(world, era, answers=ada) as client:
        result = await client.call_tool("asking", {"variant": "twice"})
    assert structured(result)["status"] == "paused", told(result)
    assert [run.resumes for run in world.sim.runs] == [1]
    (row,) = await world.rows("acme")
    assert row.status is Status.PAUSED


async def test_several_pauses_at_once_are_all_asked(world: World, era: Era) -> None:
    """Two branches wait: both forms are shown, each answer goes to its own."""
    ada = User({"approved": True}, {"approved": True})
    async with connected(world, era, answers=ada) as client:
        result = await client.call_tool("asking", {"variant": "parallel"})
    assert structured(result)["status"] == "completed", told(result)
    assert len(ada.seen) == 2
    (row,) = await world.rows("acme")
    assert len({answer.context_id for answer in row.answers}) == 2


async def test_a_user_who_declines_leaves_the_run_paused_and_is_told_how_to_go_on(
    world: World, era: Era
) -> None:
    """No answer is no answer: nothing is sent, nothing is a success, and it can be answered later."""
    ada = User(None)
    async with connected(world, era, answers=ada) as client:
        result = await client.call_tool("asking", {})
        assert structured(result)["status"] == "paused"
        assert "The user did not answer" in words(result)
        assert "sim_resume_execution" in words(result)
        later = await client.call_tool(
            "sim_resume_execution",
            {"execution_id": structured(result)["execution_id"], "input": {"approved": True}},
        )
    assert structured(later)["status"] == "completed"
    assert [run.resumes for run in world.sim.runs] == [1]


async def test_an_answer_that_does_not_fit_is_asked_again_with_the_reason(world: World, era: Era) -> None:
    """SIM checks nothing, so we do; the form comes again and says why."""
    ada = User({"approved": "perhaps"}, {"approved": True})
    async with connected(world, era, answers=ada) as client:
        result = await client.call_tool("asking", {})
    assert structured(result)["status"] == "completed"
    assert "$.approved: must be a boolean" in ada.seen[1].message
    assert [run.resumes for run in world.sim.runs] == [1]


async def test_a_client_that_cannot_ask_gets_the_form_in_words(world: World, era: Era) -> None:
    """Paused is told as paused, with the fields and the tool that answers."""
    async with connected(world, era) as client:
        result = await client.call_tool("asking", {})
    assert structured(result)["status"] == "paused"
    assert not result.is_error
    assert "approved (boolean, required)" in words(result)


@pytest.mark.requirement("R33")
async def test_who_may_not_approve_is_not_asked_and_cannot_answer(world: World, era: Era) -> None:
    """The spec wants approvers: others run it and wait, and their attempts change nothing."""
    await world.allow("acme", "asking", "guarded", approver_permission="INTEGRATION_DELETE")
    clerk = Principal(
        tenant_id=TenantId("acme"),
        subject="clerk",
        permissions=frozenset({Permission.EDIT, Permission.VIEW}),
    )
    ada = User()
    async with connected(world, era, answers=ada, permissions={Permission.EDIT, Permission.VIEW}) as client:
        result = await client.call_tool("guarded", {})
        answer = {"execution_id": structured(result)["execution_id"], "input": {"approved": True}}
        with pytest.raises(MCPError, match="INTEGRATION_DELETE"):
            await client.call_tool("sim_resume_execution", answer)
    assert ada.seen == []
    assert "Only somebody with the permission INTEGRATION_DELETE may answer" in words(result)
    execution_id = structured(result)["execution_id"]
    with pytest.raises(Forbidden, match="INTEGRATION_DELETE"):
        await world.app.runs.resume(clerk, execution_id, {"approved": True})
    answered = await world.app.runs.resume(principal("acme", "boss"), execution_id, {"approved": True})
    assert answered.status is Status.COMPLETED
    assert [answer.subject for answer in answered.answers] == ["boss"]
    assert [run.resumes for run in world.sim.runs] == [1]


async def all_at_once(attempts: Iterable[Callable[[], Awaitable[object]]]) -> list[object]:
    """What every attempt came to: its result or our error."""
    outcomes: list[object] = []

    async def attempt(perform: Callable[[], Awaitable[object]]) -> None:
        try:
            outcomes.append(await perform())
        except SimMcpError as error:
            outcomes.append(error)

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as group:
            for perform in attempts:
                group.start_soon(attempt, perform)
    return outcomes


async def test_of_ten_who_answer_at_once_one_wins_and_nine_are_told(
    tmp_path: Path, world: World, clock: ManualClock
) -> None:
    """At two replicas: SIM hears one answer, the row names the winner, the others are told that they lost."""
    paused = await world.app.gateway.call(world.call("acme", "asking"))
    async with open_world(tmp_path, clock=clock, sim=world.sim) as replica:

        def answering(at: int) -> Callable[[], Awaitable[object]]:
            runs = (world if at % 2 else replica).app.runs
            who = principal("acme", f"assistant-{at}")
            return lambda: runs.resume(who, paused.id, {"approved": at % 3 == 0})

        outcomes = await all_at_once(answering(at) for at in range(10))
    told_off = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    won = [outcome for outcome in outcomes if isinstance(outcome, Execution)]
    assert (len(won), len(told_off)) == (1, 9)
    assert all("Somebody answered" in outcome.message for outcome in told_off)
    assert [run.resumes for run in world.sim.runs] == [1]
    row = await world.row(paused)
    assert len(row.answers) == 1
    assert row.status is Status.COMPLETED


async def test_whoever_was_asked_and_lost_gets_the_result_all_the_same(
    world: World, era: Era, clock: ManualClock
) -> None:
    """While the form was open somebody else answered: the call goes on to its end and says so."""
    del clock

    async def slow_user(context: object, params: object) -> ElicitResult:
        del context, params
        (row,) = await world.rows("acme")
        await world.app.runs.resume(principal("acme", "boss"), row.id, {"approved": False})
        return ElicitResult(action="accept", content={"approved": True})

    async with connected(world, era, answers=slow_user) as client:
        result = await client.call_tool("asking", {})
    assert structured(result)["status"] == "completed"
    assert structured(result)["output"]["result"]["approved"] is False
    assert [run.resumes for run in world.sim.runs] == [1]


async def test_a_run_answered_in_sim_itself_goes_on(world: World) -> None:
    """A colleague used SIM's own page: our answer is refused there, and the row learns the truth."""
    paused = await world.app.gateway.call(world.call("acme", "asking"))
    (run,) = world.sim.runs
    (point,) = run.waiting_points(world.clock.now())
    run.resume(point.context_id, {"approved": True}, attempt_id="in-sim", now=world.clock.now())
    with pytest.raises(Conflict):
        await world.app.runs.resume(principal("acme"), paused.id, {"approved": False})
    row = await world.row(paused)
    assert row.status is Status.COMPLETED
    assert row.answers == ()


YES = {"approved": True}


async def asked(client: Any, **more: Any) -> InputRequiredResult | CallToolResult:
    """One round of the newest revision's way of asking, driven by hand."""
    return await client.session.call_tool(
        "asking", more.pop("arguments", {}), allow_input_required=True, **more
    )


def accepted(question: InputRequiredResult, content: dict[str, Any]) -> dict[str, Any]:
    """Every form of `question`, filled in alike."""
    assert question.input_requests is not None
    return {key: ElicitResult(action="accept", content=content) for key in question.input_requests}


def never() -> ElicitationFnT:
    """A client that can ask, used by hand."""
    return User()


async def test_the_answer_is_taken_by_another_replica_after_a_restart(
    tmp_path: Path, clock: ManualClock, sim: FakeSim
) -> None:
    """What has to be remembered travels with the client, sealed: nothing runs twice, nothing is lost."""
    async with open_world(tmp_path, clock=clock, sim=sim) as first:
        await first.allow("acme", "asking")
        async with connected(first, "auto", answers=never()) as client:
            question = await asked(client)
    assert isinstance(question, InputRequiredResult)
    async with (
        open_world(tmp_path, clock=clock, sim=sim) as second,
        connected(second, "auto", answers=never()) as client,
    ):
        result = await asked(
            client, input_responses=accepted(question, YES), request_state=question.request_state
        )
    assert isinstance(result, CallToolResult)
    assert structured(result)["status"] == "completed"
    assert [(run.starts, run.resumes) for run in sim.runs] == [(1, 1)]


@pytest.mark.requirement("R35", "R60")
async def test_an_answer_that_belongs_to_nothing_runs_nothing(world: World) -> None:
    """Altered, another tenant's, other arguments, too late, without its state: refused, and no second run."""
    async with (
        connected(world, "auto", answers=never()) as client,
        connected(world, "auto", "globex", answers=never()) as other,
    ):
        question = await asked(client)
        assert isinstance(question, InputRequiredResult)
        state, given = question.request_state, accepted(question, YES)
        assert state is not None
        for who, more in (
            (other, {"request_state": state}),
            (client, {"request_state": state, "arguments": {"amount": 2}}),
            (client, {"request_state": f"{state[:-2]}xx"}),
            (client, {}),
        ):
            with pytest.raises(MCPError, match="nothing was run"):
                await asked(who, input_responses=given, **more)
        assert isinstance(world.clock, ManualClock)
        world.clock.advance(8 * 86_400)
        with pytest.raises(MCPError, match="expired"):
            await asked(client, input_responses=given, request_state=state)
    assert [(run.starts, run.resumes) for run in world.sim.runs] == [(1, 0)]


async def test_an_answer_repeated_by_the_client_gets_the_result_again(world: World) -> None:
    """Its reply was lost on the way: the same request shows what became of the run, and sends nothing."""
    async with connected(world, "auto", answers=never()) as client:
        question = await asked(client)
        assert isinstance(question, InputRequiredResult)
        given = {"input_responses": accepted(question, YES), "request_state": question.request_state}
        first, again = await asked(client, **given), await asked(client, **given)
    assert isinstance(first, CallToolResult)
    assert isinstance(again, CallToolResult)
    assert structured(again) == structured(first)
    assert [(run.starts, run.resumes) for run in world.sim.runs] == [(1, 1)]


async def test_a_run_that_waits_for_a_time_is_waited_for(
    tmp_path: Path, clock: ManualClock, sim: FakeSim, era: Era
) -> None:
    """It goes on by itself a little later, and the call ends with its result."""
    from sim_mcp.app import Needs

    needs = Needs(follows_up=True, drain_s=0)
    # A long patience, because the time here runs ahead of the work.
    async with open_world(tmp_path, clock=clock, sim=sim, needs=needs, call_patience_s=3600) as world:
        await world.allow("acme", "asking")
        async with flowing(clock), connected(world, era) as client:
            result = await client.call_tool("asking", {"variant": "time", "seconds": 3})
    assert told(result)["structured"]["status"] == "completed"


async def test_a_run_that_was_answered_is_never_called_unstarted(world: World) -> None:
    """SIM takes the answer and then forgets the run: its outcome is unknown, not safe to repeat."""
    paused = await world.app.gateway.call(world.call("acme", "asking"))
    world.sim.script(faults.LostAnswer(), verb="resume")
    world.sim.script(*[faults.NotFound404()] * 50, verb="status")
    with anyio.fail_after(PATIENCE_S), pytest.raises(OutcomeUnknown):
        await world.app.runs.resume(principal("acme"), paused.id, {"approved": True}, wait_s=0)
    await world.follow_up(rounds=10, advance_s=20)
    row = await world.row(paused)
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == (ErrorCode.OUTCOME_UNKNOWN, False)
