"""Events: which workflows they start, that each starts once, and what becomes of those that fail."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_mcp.app import Reason, sign
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Conflict, ErrorCode, Forbidden, InvalidInput, NotFound, Unauthorized
from sim_mcp.model.events import (
    DEEPEST_CHAIN,
    SUPPORTED_EVENTS,
    Condition,
    JobState,
    is_event_name,
)
from sim_mcp.model.execution import Status, Trigger
from sim_mcp.model.principal import Permission, Principal, TenantId
from sim_mcp.sim.fake import FakeSim, faults, workflow_id
from sim_mcp.triggers import Performer
from sim_mcp.triggers.templates import filled, holds
from tests.patience import PATIENCE_S
from tests.triggers import dead_job, event, map_event, mapping
from tests.world import SandboxTime, World, flowing, open_world, principal

pytestmark = pytest.mark.anyio

DATA = {"id": "timer-7", "text": "two hours of tea", "duration": 7200, "tags": ["a/b", {"x": 1}]}


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[World]:
    """Two tenants with the same tools and no mappings."""
    async with open_world(tmp_path, clock=clock, sim=FakeSim(time=SandboxTime(clock))) as opened:
        for tenant in ("acme", "globex"):
            for workflow in ("echo", "failing", "asking"):
                await opened.allow(tenant, workflow)
        yield opened


async def worked_off(world: World, *, rounds: int = 30) -> None:
    """Carry out what waits and is due, and follow it, until nothing moves: what a worker does."""
    clock = world.clock
    assert isinstance(clock, ManualClock)
    performer = performer_of(world)
    for _ in range(rounds):
        for job in await world.app.store.jobs.waiting(limit=100):
            if job.due_at <= clock.now():
                await world.app.store.jobs.handed(job, at=clock.now())
                async with flowing(clock):
                    await performer.perform(job.tenant_id, job.id, job.generation)
        await world.follow_up(rounds=1, advance_s=15)
        await performer.settle()


def performer_of(world: World) -> Performer:
    """What a worker performs with."""
    return Performer(store=world.app.store, gateway=world.app.gateway, clock=world.clock, random=lambda: 0.5)


@pytest.mark.requirement("R17", "R19", "R35", "R54", "F17")
async def test_an_event_starts_each_workflow_that_is_mapped_with_its_data(world: World) -> None:
    """Of its own tenant only; asynchronously, as the trigger `event`, one row and one run for each."""
    await map_event(world, "acme", "echo")
    await map_event(world, "acme", "asking", input={"topic": {"$from": "/id"}})
    await map_event(world, "globex", "echo")
    with anyio.fail_after(PATIENCE_S):
        accepted = await world.app.events.accept(principal("acme"), event("evt-1", data=DATA))
        assert (accepted.is_duplicate, accepted.reason) == (False, None)
        assert {job.state for job in accepted.jobs} == {JobState.WAITING}
        assert world.started == []
        await worked_off(world)
    rows = await world.rows("acme")
    assert {(row.tool_name, row.triggered_by, row.subject) for row in rows} == {
        ("echo", Trigger.EVENT, "system"),
        ("asking", Trigger.EVENT, "system"),
    }
    assert {run.mode for run in world.sim.runs} == {"async"}
    by_tool = {row.tool_name: row for row in rows}
    assert by_tool["echo"].input == DATA
    assert by_tool["asking"].input == {"topic": "timer-7"}
    assert [row.status for row in (by_tool["echo"], by_tool["asking"])] == [Status.COMPLETED, Status.PAUSED]
    jobs = (await world.app.jobs.page(principal("acme"))).jobs
    assert {job.execution_id for job in jobs} == {row.id for row in rows}
    assert {job.state for job in jobs} == {JobState.DONE}
    assert await world.rows("globex") == ()
    assert (await world.app.jobs.page(principal("globex"))).jobs == ()


@pytest.mark.requirement("R17", "F17")
async def test_a_second_delivery_starts_nothing_and_gets_the_same_answer(world: World) -> None:
    """Also at the same moment, and whatever it says the second time; another tenant's id is another event."""
    for tenant in ("acme", "globex"):
        await map_event(world, tenant, "echo")
    answers: list[Any] = []

    async def post() -> None:
        answers.append(await world.app.events.accept(principal("acme"), event("evt-1", data=DATA)))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(post)
    again = await world.app.events.accept(principal("acme"), event("evt-1", data={"other": True}))
    assert sorted(answer.is_duplicate for answer in answers) == [False] + [True] * 7
    assert len({answer.jobs[0].id for answer in (*answers, again)}) == 1
    other = await world.app.events.accept(principal("globex"), event("evt-1", data=DATA))
    assert (other.is_duplicate, len(other.jobs)) == (False, 1)
    await worked_off(world)
    assert sorted(run.account for run in world.sim.runs) == ["acme", "globex"]


@pytest.mark.requirement("R3", "R20", "R21", "R22", "R24")
async def test_an_event_that_starts_nothing_is_no_error_and_tells_why(world: World) -> None:
    """Not mapped, filtered out, switched off, not connected: accepted, no row, no job, no request to SIM."""
    app, acme = world.app, principal("acme")
    stranger = principal("initech")
    asked = len(world.sim.requests)
    assert (await app.events.accept(acme, event("1"))).reason is Reason.NOT_MAPPED
    assert (await app.events.accept(stranger, event("1"))).reason is Reason.NOT_CONFIGURED
    await map_event(world, "acme", "echo", conditions=(Condition(pointer="/duration", at_least=3600),))
    short = await app.events.accept(acme, event("2", data={"duration": 60}))
    assert (short.reason, short.jobs) == (Reason.FILTERED, ())
    await app.administration.set_enabled(acme, is_enabled=False)
    assert (await app.events.accept(acme, event("3", data=DATA))).reason is Reason.DISABLED
    assert len(world.sim.requests) == asked
    assert (await app.jobs.page(acme)).jobs == ()
    assert await world.rows("acme") == ()


@pytest.mark.requirement("R20", "R23", "R58")
async def test_an_event_is_accepted_while_sim_is_down_and_runs_once_when_it_is_back(world: World) -> None:
    """Every try in vain leaves its cause; none of them runs anything; then one does."""
    await map_event(world, "acme", "echo")
    world.sim.script(*[faults.Unavailable503()] * 6, verb="execute")
    asked = len(world.sim.requests)
    await world.app.events.accept(principal("acme"), event("evt-1", data=DATA))
    assert len(world.sim.requests) == asked
    with anyio.fail_after(PATIENCE_S):
        await worked_off(world, rounds=4)
        [waiting] = (await world.app.jobs.page(principal("acme"))).jobs
        assert waiting.state is JobState.WAITING
        assert waiting.error is not None
        assert waiting.attempts >= 1
        await worked_off(world, rounds=60)
    [job] = (await world.app.jobs.page(principal("acme"))).jobs
    assert (job.state, [run.starts for run in world.sim.runs]) == (JobState.DONE, [1])
    statuses = sorted(row.status for row in await world.rows("acme"))
    assert statuses.count(Status.COMPLETED) == 1
    assert set(statuses) <= {Status.COMPLETED, Status.FAILED}


@pytest.mark.requirement("R23", "R42", "F17")
async def test_what_fails_is_a_dead_letter_with_its_cause_that_can_be_replayed_or_discarded(
    world: World,
) -> None:
    """A failed run is not repeated by itself. A replay is a new run that keeps its cause."""
    await map_event(world, "acme", "failing")
    accepted = await world.app.events.accept(principal("acme"), event("evt-1", chain=("evt-0",)))
    await worked_off(world)
    app, acme = world.app, principal("acme")
    [dead] = (await app.jobs.page(acme, state=JobState.DEAD)).jobs
    assert dead.error is not None
    assert (dead.error.code, dead.id) == (ErrorCode.EXECUTION_ERROR, accepted.jobs[0].id)
    assert "Division by zero" in dead.error.message
    with pytest.raises(NotFound):
        await app.jobs.replay(principal("globex"), dead.id)
    again = await app.jobs.replay(acme, dead.id)
    assert (again.state, again.generation, again.decided_by, again.chain) == (
        JobState.WAITING,
        2,
        "ada",
        ("evt-0",),
    )
    with pytest.raises(Conflict):
        await app.jobs.replay(acme, dead.id)
    await worked_off(world)
    assert [run.starts for run in world.sim.runs] == [1, 1]
    discarded = await app.jobs.discard(acme, dead.id)
    assert discarded.state is JobState.DISCARDED
    with pytest.raises(Conflict):
        await app.jobs.discard(acme, dead.id)
    await worked_off(world)
    assert len(world.started) == 2


@pytest.mark.requirement("R17", "F17")
async def test_a_template_that_does_not_fit_is_a_dead_letter_at_once(world: World) -> None:
    """The source is not to blame: it gets its answer, the admin sees the pointer that leads nowhere."""
    dead = await dead_job(world, "acme", "echo", "evt-1")
    assert dead.error is not None
    assert (dead.error.code, "'nowhere'" in dead.error.message) == (ErrorCode.INVALID_INPUT, True)
    await worked_off(world)
    assert world.started == []


@pytest.mark.requirement("R17", "F17")
async def test_an_event_that_its_own_run_causes_ends_as_a_loop(world: World) -> None:
    """The chain grows by each cause, whether the sender names the execution or the events; then it is cut."""
    await map_event(world, "acme", "echo")
    cause: str | None = None
    for number in range(DEEPEST_CHAIN):
        posted = event(f"evt-{number}", data=DATA, caused_by=cause)
        accepted = await world.app.events.accept(principal("acme"), posted)
        assert accepted.reason is None
        await worked_off(world, rounds=3)
        [job] = [
            each
            for each in (await world.app.jobs.page(principal("acme"))).jobs
            if each.source_id == posted.id
        ]
        assert job.chain == tuple(f"evt-{before}" for before in range(number))
        cause = job.execution_id
    looped = await world.app.events.accept(principal("acme"), event("evt-9", data=DATA, caused_by=cause))
    assert (looped.reason, [job.state for job in looped.jobs]) == (Reason.LOOP, [JobState.DEAD])
    own = await world.app.events.accept(principal("acme"), event("evt-x", data=DATA, chain=("evt-x",)))
    assert own.reason is Reason.LOOP
    await worked_off(world)
    assert len(world.started) == DEEPEST_CHAIN


@pytest.mark.requirement("R36", "F17")
async def test_a_job_that_is_performed_again_and_again_runs_once(world: World) -> None:
    """By several workers at once, and after one died before it wrote down what it had begun."""
    await map_event(world, "acme", "echo")
    accepted = await world.app.events.accept(principal("acme"), event("evt-1", data=DATA))
    job = accepted.jobs[0]
    performer = performer_of(world)
    clock = world.clock
    assert isinstance(clock, ManualClock)
    with anyio.fail_after(PATIENCE_S):
        async with flowing(clock), anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(performer.perform, job.tenant_id, job.id, job.generation)
        await world.app.store.database.execute("UPDATE jobs SET execution_id = NULL, state = 'handed'")
        clock.advance(3 * 86_400)  # longer than any idempotency key holds
        async with flowing(clock):
            await performer.perform(job.tenant_id, job.id, job.generation)
        await worked_off(world)
    [done] = (await world.app.jobs.page(principal("acme"))).jobs
    [row] = await world.rows("acme")
    assert (done.state, done.execution_id) == (JobState.DONE, row.id)
    assert [run.starts for run in world.sim.runs] == [1]


@pytest.mark.requirement("R33", "R35")
async def test_mappings_events_and_jobs_want_their_permissions_and_stay_with_their_tenant(
    world: World,
) -> None:
    """Nobody without the permission, nobody of another tenant, nobody of another organisation."""
    app = world.app
    nobody = Principal(tenant_id=TenantId("acme"), subject="eve")
    for asking in (
        app.mappings.set(nobody, mapping("acme", "echo"), Permission.ADD),
        app.mappings.list(nobody, Permission.VIEW),
        app.events.accept(nobody, event("1")),
        app.events.preview(nobody, event("1")),
        app.events.add_sender(nobody, "x"),
        app.jobs.page(nobody),
        app.jobs.replay(nobody, "x"),
        app.jobs.discard(nobody, "x"),
    ):
        with pytest.raises(Forbidden):
            await asking
    await map_event(world, "acme", "echo")
    with pytest.raises(NotFound):
        await app.mappings.remove(principal("globex"), "timer.stopped", Permission.DELETE)
    with pytest.raises(NotFound, match="allow-list"):
        await app.mappings.set(principal("globex"), mapping("acme", "echo"), Permission.ADD)
    assert await app.mappings.list(principal("globex"), Permission.VIEW) == ()
    assert await app.mappings.remove(principal("acme"), "timer.stopped", Permission.DELETE) == 1


@pytest.mark.requirement("R10", "R30", "R35", "R60")
async def test_a_signed_event_is_its_senders_and_nobody_elses(world: World) -> None:
    """Wrong secret, other body, old, revoked, another sender: the same words. The secret is stored sealed."""
    app, clock = world.app, world.clock
    assert isinstance(clock, ManualClock)
    sender, secret = await app.events.add_sender(principal("acme"), "platform")
    other, other_secret = await app.events.add_sender(principal("globex"), "platform")
    body = b'{"id":"1","event":"timer.stopped"}'
    good = sign(secret, body, at=clock.now())
    who = await app.events.signed_by(sender.id, good, body)
    assert (who.tenant_id, who.permissions) == ("acme", frozenset({Permission.EDIT}))
    rotated = f"{sign(other_secret, body, at=clock.now())},{good.partition(',')[2]}"
    assert (await app.events.signed_by(sender.id, rotated, body)).tenant_id == "acme"
    bad = [
        (sender.id, sign(other_secret, body, at=clock.now()), body),
        (sender.id, good, body + b" "),
        (other.id, good, body),
        ("evs_nobody", good, body),
        (None, good, body),
        (sender.id, "t=1,v1=", body),
        (sender.id, "", body),
    ]
    told: set[str] = set()
    for sender_id, signature, content in bad:
        with pytest.raises(Unauthorized) as refused:
            await app.events.signed_by(sender_id, signature, content)
        told.add(refused.value.message)
    clock.advance(301)
    with pytest.raises(Unauthorized) as refused:
        await app.events.signed_by(sender.id, good, body)
    fresh = sign(secret, body, at=clock.now())
    assert not await app.events.revoke_sender(principal("globex"), sender.id)
    assert await app.events.revoke_sender(principal("acme"), sender.id)
    with pytest.raises(Unauthorized) as revoked:
        await app.events.signed_by(sender.id, fresh, body)
    assert len(told | {refused.value.message, revoked.value.message}) == 1
    stored = await app.store.database.fetch_all("SELECT sealed_secret FROM event_senders")
    assert all(secret not in str(row["sealed_secret"]) for row in stored)


@pytest.mark.requirement("R30")
async def test_jobs_and_senders_outlive_a_change_of_the_encryption_keys(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Sealed anew under the newest key, they need the old one no more."""
    old, new = [base64.urlsafe_b64encode(bytes([number] * 32)).decode() for number in (1, 2)]
    sim = FakeSim(time=SandboxTime(clock))
    async with open_world(tmp_path, clock=clock, sim=sim, encryption_keys=old) as world:
        await world.allow("acme", "echo")
        await map_event(world, "acme", "echo")
        await world.app.events.accept(principal("acme"), event("evt-1", data=DATA))
        sender, secret = await world.app.events.add_sender(principal("acme"), "platform")
    async with open_world(tmp_path, clock=clock, sim=sim, encryption_keys=f"{new},{old}") as world:
        store = world.app.store
        assert [await store.jobs.reseal_all() for _ in range(2)] == [1, 0]
        assert [await store.events.reseal_all() for _ in range(2)] == [1, 0]
        await store.integrations.reseal_all()
    async with open_world(tmp_path, clock=clock, sim=sim, encryption_keys=new) as world:
        who = await world.app.events.signed_by(sender.id, sign(secret, b"{}", at=clock.now()), b"{}")
        assert who.tenant_id == "acme"
        await worked_off(world)
    assert [run.input for run in sim.runs] == [DATA]


@pytest.mark.requirement("R17", "R18")
async def test_a_preview_shows_what_would_run_and_runs_nothing(world: World) -> None:
    """Each mapping with its input, or why not."""
    await map_event(world, "acme", "echo", input={"text": {"$from": "/text"}, "of": {"$event": "id"}})
    await map_event(
        world, "acme", "failing", conditions=(Condition(pointer="/id", equals="x", has_equals=True),)
    )
    reason, previews = await world.app.events.preview(principal("acme"), event("evt-1", data=DATA))
    shown = {each.mapping.workflow_id: (each.would_run, each.input) for each in previews}
    assert reason is None
    assert shown == {
        workflow_id("acme", "echo"): (True, {"text": "two hours of tea", "of": "evt-1"}),
        workflow_id("acme", "failing"): (False, None),
    }
    assert (await world.app.jobs.page(principal("acme"))).jobs == ()


@pytest.mark.requirement("R18", "R34")
async def test_what_cannot_be_meant_is_refused_with_its_path(world: World) -> None:
    """Event names, templates, pointers, bounds; the known names are all possible ones."""
    assert all(is_event_name(name) for name in SUPPORTED_EVENTS)
    assert is_event_name("invoice.paid_late")
    assert not any(is_event_name(name) for name in ("", "timer", "Timer.started", "a.b.", "a b.c", "x" * 200))
    bad: list[dict[str, Any]] = [
        {"event": "nothing"},
        {"priority": 0},
        {"delay_s": -1},
        {"conditions": (Condition(pointer="no-slash"),)},
        {"conditions": (Condition(pointer="/a", equals=1, has_equals=True, at_least=1),)},
        {"input": {"x": {"$from": 5}}},
        {"input": {"x": {"$event": "secret"}}},
    ]
    for fields in bad:
        with pytest.raises(InvalidInput) as refused:
            await world.app.mappings.set(principal("acme"), mapping("acme", "echo", **fields), Permission.ADD)
        assert refused.value.faults
    with pytest.raises(InvalidInput):
        await world.app.events.accept(principal("acme"), event("", name="timer.stopped"))


@pytest.mark.requirement("R17")
def test_conditions_compare_as_json_does() -> None:
    """A table: what is there, what is wanted, whether it holds."""
    data = {"n": 5, "t": "2026-01-31", "yes": True, "none": None, "list": [1, {"a": 1.0}]}
    table: list[tuple[Condition, bool]] = [
        (Condition(pointer="/n"), True),
        (Condition(pointer="/missing"), False),
        (Condition(pointer="/none"), True),
        (Condition(pointer="/none", equals=None, has_equals=True), True),
        (Condition(pointer="/n", equals=5.0, has_equals=True), True),
        (Condition(pointer="/yes", equals=1, has_equals=True), False),
        (Condition(pointer="/list", equals=[1.0, {"a": 1}], has_equals=True), True),
        (Condition(pointer="/n", at_least=5, at_most=5), True),
        (Condition(pointer="/n", at_least=6), False),
        (Condition(pointer="/n", at_most="9"), False),
        (Condition(pointer="/t", at_least="2026-01-01", at_most="2026-12-31"), True),
        (Condition(pointer="/yes", at_least=0), False),
        (Condition(pointer="/list/1/a", equals=1, has_equals=True), True),
    ]
    assert [
        (holds(condition, data), expected)
        for condition, expected in table
        if holds(condition, data) != expected
    ] == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.requirement("R17")
@given(data=st.dictionaries(st.text("abc/~", min_size=1, max_size=3), JSON, max_size=4))
def test_a_template_of_every_field_is_the_data_again(data: dict[str, Any]) -> None:
    """Whatever the fields are called; a default only stands in for what is not there."""
    pointers = {key: f"/{key.replace('~', '~0').replace('/', '~1')}" for key in data}
    template = {key: {"$from": pointer, "default": "absent"} for key, pointer in pointers.items()}
    posted = event("evt-1", data=data)
    assert filled(template, posted, ()) == data
    assert filled(None, posted, ()) == data
    absent = filled({"x": {"$from": "/never/there", "default": 7}}, posted, ())
    assert absent == {"x": 7}
