"""The four promises of isolation as properties, for tenants and for the organisations in them.

Nobody reads another's key, runs with it, sees another's history, or changes what is another's. `tests/store`
proves it of the SQL alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from sim_mcp.app import ExecutionFilter
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Conflict, Disabled, InvalidInput, NotConfigured, NotFound, SimMcpError
from sim_mcp.model.execution import Call, Execution, Status, Trigger
from sim_mcp.model.integration import Integration, IntegrationId
from sim_mcp.model.principal import ALL_PERMISSIONS, Principal, TenantId
from sim_mcp.sim.fake import FakeSim, demo_account, workflow_id
from tests.world import SIM_URL, SandboxTime, World, open_world

pytestmark = pytest.mark.anyio

BOUNDED = settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.generate])
PLACES: tuple[tuple[str, str | None], ...] = (
    ("acme", None),
    ("acme", "north"),
    ("acme", "south"),
    ("globex", None),
    ("globex", "north"),
    ("initech", None),
)
"""Tenants, and organisations whose names they share. Each place has a SIM account of its own."""
places = st.sampled_from(PLACES)


def account(place: tuple[str, str | None]) -> str:
    """The name of the SIM account of `place`."""
    return "-".join(each for each in place if each)


def key(place: tuple[str, str | None]) -> str:
    """Its API key."""
    return demo_account(account(place)).api_key


def person(place: tuple[str, str | None]) -> Principal:
    """Somebody of `place` who may do everything there; everywhere under the same name."""
    tenant, organization = place
    return Principal(
        tenant_id=TenantId(tenant), organization_id=organization, subject="ada", permissions=ALL_PERMISSIONS
    )


@asynccontextmanager
async def town(connected: tuple[tuple[str, str | None], ...] = PLACES) -> AsyncGenerator[World]:
    """A world in which every place has its account, and a tool of each kind for it."""
    clock = ManualClock()
    sim = FakeSim(accounts=[demo_account(account(each)) for each in PLACES], time=SandboxTime(clock))
    with tempfile.TemporaryDirectory() as directory:
        async with open_world(
            Path(directory), clock=clock, sim=sim, connect={}, rate_per_minute=60_000
        ) as world:
            for place in connected:
                await world.app.administration.set_up(person(place), api_key=key(place))
            for place in connected:
                for kind in ("echo", "asking"):
                    entry = {"name": tool(place, kind), "workflow_id": workflow_id(account(place), kind)}
                    schema = {"input_schema": {"type": "object"}, "description": "A tool."}
                    await world.app.workflows.allow(person(place), entry | schema)
            yield world


def tool(place: tuple[str, str | None], kind: str) -> str:
    """The name of the tool of that kind that runs in the account of `place`."""
    return f"{kind}_{account(place)}".replace("-", "_")


def call(place: tuple[str, str | None], kind: str = "echo", **more: Any) -> Call:
    """A call from `place` of its own tool."""
    return Call(
        principal=person(place), trigger=Trigger.MCP, tool_name=tool(place, kind), arguments={}, **more
    )


def may_see(reader: tuple[str, str | None], row: Execution) -> bool:
    """The rule: the own tenant, and there the own organisation and what belongs to none."""
    tenant, organization = reader
    return row.tenant_id == tenant and (organization is None or row.organization_id in {None, organization})


# --- nobody reads another's key ---------------------------------------------------------------------


@pytest.mark.requirement("R30", "R31", "R35")
@BOUNDED
@given(
    mine=places,
    theirs=places,
    forged=st.sets(st.sampled_from(["id", "tenant_id", "organization_id", "revision"])),
)
async def test_no_forged_reference_opens_another_places_key(
    mine: tuple[str, str | None], theirs: tuple[str, str | None], forged: set[str]
) -> None:
    """Whatever of an integration is exchanged for another's: its own key comes out, or none."""
    async with town((mine, theirs)) as world:
        rows = world.app.store.integrations
        own = await rows.current(person(mine).tenant_id, mine[1])
        other = await rows.current(person(theirs).tenant_id, theirs[1])
        assert own is not None
        assert other is not None
        mixed = replace(own, **{name: getattr(other, name) for name in forged})
        try:
            opened = await rows.api_key(mixed)
        except (NotConfigured, Conflict):
            return
        named = (mixed.tenant_id, mixed.id)
        owner = next(each for each, at in ((mine, own), (theirs, other)) if (at.tenant_id, at.id) == named)
        assert opened == key(owner)


@pytest.mark.requirement("R30", "R31", "R35")
async def test_what_a_reader_is_shown_holds_no_key_and_no_other_places_settings() -> None:
    """Settings, status, and the history of changes: of the reader's own place, without any key."""
    async with town() as world:
        app = world.app
        for place in PLACES[:3]:
            await app.administration.set_up(
                replace(person(place), subject=account(place)), api_key=key(place)
            )
        for reader in PLACES:
            found = await app.administration.settings(person(reader))
            assert found is not None
            assert (found.tenant_id, found.organization_id) == reader
            history = await app.administration.history(person(reader))
            changed_by = [each.changed_by for each in history]
            assert changed_by == ([account(reader)] if reader in PLACES[:3] else []) + ["ada"]
            shown = repr([found, history, await app.status.of(person(reader))])
            assert [each for each in PLACES if key(each) in shown] == []


# --- nobody runs with another's credentials ---------------------------------------------------------


@pytest.mark.requirement("R12", "R35", "R41")
@BOUNDED
@given(
    calls=st.lists(places, min_size=2, max_size=24),
    moves=st.lists(st.tuples(places, st.sampled_from(["rekey", "off and on", "again"])), max_size=4),
)
async def test_every_run_was_made_with_the_key_of_its_own_place(
    calls: list[tuple[str, str | None]], moves: list[tuple[tuple[str, str | None], str]]
) -> None:
    """Many at once, while keys change under them: SIM saw no run with a key that was never its caller's."""
    async with town() as world:
        keys = {each: {key(each)} for each in PLACES}
        rows: list[tuple[tuple[str, str | None], Execution]] = []

        async def perform(place: tuple[str, str | None]) -> None:
            with anyio.fail_after(60):
                with suppress(Disabled, Conflict):  # switched off for a moment, or the key went this instant
                    rows.append((place, await world.app.gateway.call(call(place))))

        async with anyio.create_task_group() as group:
            for number, place in enumerate(calls):
                group.start_soon(perform, place)
                if number < len(moves):
                    group.start_soon(_move, world, *moves[number], keys)
        by_id = {run.run_id: run for run in world.sim.runs}
        for place, row in rows:
            assert (row.tenant_id, row.organization_id) == place
            run = by_id.pop(str(row.run_id), None)
            if run is None:  # refused by SIM for a key that was rotated away: it never ran
                assert row.status is Status.FAILED, row
                continue
            assert run.account == account(place), (place, run)
            assert run.key in keys[place], (place, run)
        assert by_id == {}


async def _move(
    world: World, place: tuple[str, str | None], to: str, keys: dict[tuple[str, str | None], set[str]]
) -> None:
    app, newest = world.app.administration, max(keys[place], key=len)
    if to == "off and on":
        await app.set_enabled(person(place), is_enabled=False)
        await app.set_enabled(person(place), is_enabled=True)
        return
    if to == "rekey":
        newest += "-rotated"
        keys[place].add(newest)
        world.sim.rotate_key(account(place), newest)
    with suppress(InvalidInput):  # SIM rejects it when another move has rotated it away meanwhile
        await app.set_up(person(place), api_key=newest)


@pytest.mark.requirement("R8", "R12", "R35")
async def test_a_place_without_an_account_uses_nobodys(tmp_path: Path) -> None:
    """No key of the process, of another tenant or of a sister organisation stands in for a missing one."""
    async with town((("acme", "north"), ("globex", None))) as world:
        for place in (("acme", None), ("acme", "south"), ("initech", None)):
            with pytest.raises(NotConfigured):
                await world.app.gateway.call(call(place))
        shared = await world.app.gateway.call(
            replace(call(("globex", "north")), tool_name=tool(("globex", None), "echo"))
        )
        assert [(run.run_id, run.account) for run in world.sim.runs] == [(shared.run_id, "globex")]
    async with open_world(tmp_path, connect={}, sim_api_key="sk-sim-sandbox-acme", tenant_id="acme") as world:
        with pytest.raises(NotConfigured):  # a server for many has no key of its own, whatever is set
            await world.app.gateway.call(call(("acme", None)))


# --- nobody sees another's history ------------------------------------------------------------------


@pytest.mark.requirement("R11", "R13", "R35")
@BOUNDED
@given(runs=st.lists(st.tuples(places, st.sampled_from(["echo", "asking"])), min_size=1, max_size=8))
async def test_no_id_and_no_cursor_leads_to_another_places_execution(
    runs: list[tuple[tuple[str, str | None], str]],
) -> None:
    """Ours, SIM's run id, a stolen cursor: seen by the rule, and else as unknown as nonsense."""
    async with town() as world:
        app = world.app
        rows = [await app.gateway.call(call(place, kind, mode=None)) for place, kind in runs]
        asked = len(world.sim.requests)
        cursors: list[str | None] = [None]
        for place in PLACES:
            page = await app.runs.page(person(place), ExecutionFilter(), limit=1)
            cursors.append(page.next_cursor)
        for reader in PLACES:
            visible = {row.id for row in rows if may_see(reader, row)}
            for cursor in cursors:
                page = await app.runs.page(person(reader), ExecutionFilter(), limit=100, cursor=cursor)
                assert {row.id for row in page.executions} <= visible
                assert page.total == len(visible)
            everything = await app.runs.page(person(reader), ExecutionFilter(), limit=100)
            assert {row.id for row in everything.executions} == visible
            for row in rows:
                if row.id not in visible:
                    await _is_unknown(world, person(reader), row)
        assert len(world.sim.requests) == asked
        assert [await world.row(row) for row in rows] == rows


async def _is_unknown(world: World, who: Principal, row: Execution) -> None:
    runs = world.app.runs
    doors: tuple[Callable[[str], Awaitable[Execution]], ...] = (
        lambda any_id: runs.get(who, any_id),
        lambda any_id: runs.cancel(who, any_id),
        lambda any_id: runs.resume(who, any_id, {"approved": True}),
    )
    for door in doors:
        words: set[str] = set()
        for any_id in (row.id, row.run_id, row.job_id, "nonsense"):
            if any_id is None:
                continue
            with pytest.raises(NotFound) as refusal:
                await door(any_id)
            words.add(refusal.value.message)
        assert len(words) == 1


@pytest.mark.requirement("R13", "R35")
async def test_the_same_idempotency_key_of_two_tenants_is_two_calls() -> None:
    """Keys are guessable; what somebody else ran under one is theirs."""
    async with town() as world:
        rows = [
            await world.app.gateway.call(call(place, idempotency_key="1"))
            for place in (("acme", None), ("globex", None), ("initech", None))
        ]
        assert [row.tenant_id for row in rows] == ["acme", "globex", "initech"]
        assert len(world.started) == 3


# --- nobody changes what is another's ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that changes something, done with every right by somebody of `place`, aimed at `at`."""

    place: tuple[str, str | None]
    at: tuple[str, str | None]
    what: str

    async def carry_out(self, world: World, tokens: dict[tuple[str, str | None], str]) -> None:
        app, who = world.app, person(self.place)
        match self.what:
            case "connect":
                await app.administration.set_up(who, api_key=key(self.place), organization_id=self.at[1])
            case "switch off":
                await app.administration.set_enabled(who, is_enabled=False)
            case "remove":
                await app.administration.remove(who)
            case "allow":
                fields = {"name": tool(self.at, "echo"), "workflow_id": workflow_id(account(self.at), "echo")}
                await app.workflows.allow(who, fields)
            case "disallow":
                await app.workflows.disallow(who, tool(self.at, "echo"))
            case "replace":
                await app.workflows.replace_allow_list(who, ())
            case "revoke":
                await app.tokens.revoke(who.tenant_id, tokens[self.at])
            case _:
                raise AssertionError(self.what)


ONE_BY_ONE = ("remove", "switch off", "remove", "connect", "revoke")
"""Without settings of its own, an organisation is served by the tenant's, which it may not change."""
DEEDS = ("connect", "switch off", "remove", "allow", "disallow", "replace", "revoke")


@pytest.mark.requirement("R11", "R35", "R41")
@BOUNDED
@given(
    deeds=st.lists(
        st.builds(Deed, place=places, at=places, what=st.sampled_from(DEEDS)), min_size=1, max_size=6
    )
)
@example(deeds=[Deed(place=("acme", "north"), at=("acme", None), what=what) for what in ONE_BY_ONE])
async def test_no_deed_touches_what_belongs_to_another_place(deeds: list[Deed]) -> None:
    """Another tenant's settings, allow-list and tokens stay as they are; so do a sister's settings."""
    async with town() as world:
        tokens = {place: (await _token(world, place)) for place in PLACES}
        for deed in deeds:
            before = {place: await _belongings(world, place) for place in PLACES}
            with suppress(SimMcpError):  # refused: then nothing may have changed at all
                await deed.carry_out(world, tokens)
            for place in PLACES:
                after = await _belongings(world, place)
                if place[0] != deed.place[0]:
                    assert after == before[place], (deed, place)
                elif deed.place[1] is not None and place[1] != deed.place[1]:
                    assert after[:2] == before[place][:2], (deed, place)  # settings and their history


async def _token(world: World, place: tuple[str, str | None]) -> str:
    made, _ = await world.app.tokens.create(person(place), name="t", expires_at=None, created_by="ada")
    return made.id


async def _belongings(world: World, place: tuple[str, str | None]) -> tuple[object, ...]:
    store, tenant_id = world.app.store, TenantId(place[0])
    return (
        await _exactly(world, place),
        await store.integrations.history(tenant_id, place[1]),
        await store.tools.entries(tenant_id),
        await store.tools.version(tenant_id),
        await store.tokens.list(tenant_id),
    )


async def _exactly(world: World, place: tuple[str, str | None]) -> Integration | None:
    """The settings of exactly this place, not those that stand in for missing ones."""
    found = await world.app.store.integrations.current(TenantId(place[0]), place[1])
    return found if found is not None and found.organization_id == place[1] else None


@pytest.mark.requirement("R12", "R35")
async def test_two_tenants_at_one_address_share_no_client() -> None:
    """The same base URL, even the same integration id: the client is that of the tenant's own revision."""
    async with town((("acme", None), ("globex", None))) as world:
        clients = world.app.runs._clients
        found = [
            await clients.get(each)
            for each in [
                await world.app.store.integrations.current(TenantId(name), None)
                for name in ("acme", "globex")
            ]
            if each is not None
        ]
        assert len({id(each) for each in found}) == 2
        forged = Integration(
            id=IntegrationId("forged"),
            tenant_id=TenantId("acme"),
            organization_id=None,
            revision=1,
            base_url=SIM_URL,
            is_enabled=True,
            has_api_key=True,
            workspace_id=None,
            updated_at=datetime(2026, 1, 1, tzinfo=UTC),
            updated_by="mallory",
        )
        with pytest.raises(NotConfigured):
            await clients.get(forged)
