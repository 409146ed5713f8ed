"""What a principal is shown is what it may call: for random tenants, rights and specs, while they change too.

The calls carry an argument that no tool takes. A tool that is there refuses it by its schema, before
anything is sent to SIM; a tool that is not there is unknown; and where the whole integration is closed,
every name gets the same refusal.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp.shared.exceptions import MCPError

from sim_mcp.catalog import SpecSet, read_specs
from sim_mcp.model.principal import ALL_PERMISSIONS, Permission, Principal, TenantId
from sim_mcp.transports.admin_tools import ADMIN_TOOLS, AdminTools
from sim_mcp.transports.mcp import build_server
from tests.authority import ADMIN_TOOL_NEEDS
from tests.journeys.mcp_clients import ERAS, Era, names, over_http, structured
from tests.patience import PATIENCE_S
from tests.transports.web import open_web
from tests.world import TENANTS, World, open_world, principal, spec

pytestmark = pytest.mark.anyio

BOUNDED = settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate])
"""A walk has few steps and opens a server for each: reading one that fails is faster than shrinking it."""
NONSENSE = {"no_tool_takes_this": 1}
CLOSED = frozenset({"NOT_CONFIGURED", "DISABLED"})
"""How every name of a tenant is refused that has no account, or has switched it off."""
WORKFLOW_NAMES = ("a", "b", "c", "sim_status")
"""Few, so that files, the store and both tenants meet on the same ones; the last may be nobody's."""
ASKED = (*WORKFLOW_NAMES, "never_heard_of", "A", "", "sim_get_settings", "sim_allow_workflow")

Flavour = str
FLAVOURS: dict[Flavour, dict[str, Any]] = {
    "sound": {},
    "disabled": {"enabled": False},
    "held back": {"input_schema": {"type": "array"}},
    "broken": {"timeout_s": "soon"},
}
_TAKES_NOTHING = {"type": "object", "additionalProperties": False}


def entry(tenant: str, name: str, flavour: Flavour) -> dict[str, Any]:
    """A tool spec of that flavour."""
    return spec(tenant, "echo", name, **({"input_schema": _TAKES_NOTHING} | FLAVOURS[flavour]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """From now on the spec files say this: tenant, name and flavour of each tool, names not always once."""

    tools: tuple[tuple[str, str, Flavour], ...]

    async def carry_out(self, world: World, folder: Path, model: Model) -> None:
        model.files = self.tools
        world.app.gateway._tools.replace(self._written_to(folder))

    def _written_to(self, folder: Path) -> SpecSet:
        for path in folder.iterdir():
            path.unlink()
        for number, (tenant, name, flavour) in enumerate(self.tools):
            document = {"tenant": tenant, "tools": [entry(tenant, name, flavour)]}
            (folder / f"{number}.json").write_text(json.dumps(document), encoding="utf-8")
        return read_specs(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An entry of the allow-list is put, or taken off (`None`), as another replica might have done it."""

    tenant: str
    name: str
    flavour: Flavour | None

    async def carry_out(self, world: World, folder: Path, model: Model) -> None:
        del folder
        tools, tenant_id = world.app.store.tools, TenantId(self.tenant)
        model.stored.pop((self.tenant, self.name), None)
        if self.flavour is None:
            await tools.remove(tenant_id, self.name, changed_by="ada")
            return
        model.stored[self.tenant, self.name] = self.flavour
        await tools.put(tenant_id, self.name, entry(self.tenant, self.name, self.flavour), changed_by="ada")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The settings of a tenant, or of one organisation of it, change."""

    tenant: str
    organization: str | None
    to: str

    async def carry_out(self, world: World, folder: Path, model: Model) -> None:
        del folder
        rows, whose = world.app.store.integrations, (TenantId(self.tenant), self.organization)
        if self.to == "removed":
            await rows.remove(*whose, changed_by="ada")
            model.connections.pop(whose, None)
            return
        model.connections[whose] = self.to
        await rows.save(
            *whose,
            api_key=f"sk-sim-sandbox-{self.tenant}",
            base_url="https://sim.example.com",
            is_enabled=self.to == "on",
            workspace_id=None,
            changed_by="ada",
        )


Change = Files | Stored | Connection
Viewer = tuple[Principal, AdminTools, Era]


class Model:
    """What is there by the rules of contract sections 5 and 6, told in the simplest way."""

    def __init__(self) -> None:
        self.files: tuple[tuple[str, str, Flavour], ...] = ()
        self.stored: dict[tuple[str, str], Flavour] = {}
        self.connections: dict[tuple[str, str | None], str] = {}

    def state(self, who: Principal) -> str | None:
        """How the integration that serves `who` stands: its organisation's own, else the tenant's."""
        own = self.connections.get((who.tenant_id, who.organization_id))
        return own or self.connections.get((who.tenant_id, None))

    def visible(self, who: Principal, mode: AdminTools) -> set[str]:
        """Every name that `who` may call."""
        offered = {"full": set(ALL_PERMISSIONS), "read": {Permission.VIEW}, "off": set[Permission]()}[mode]
        admin = {name for name in ADMIN_TOOLS if ADMIN_TOOL_NEEDS[name] in who.permissions & offered}
        if Permission.EDIT not in who.permissions or self.state(who) != "on":
            return admin
        return admin | self._tools(who.tenant_id)

    def _tools(self, tenant: str) -> set[str]:
        flavours: defaultdict[str, list[Flavour]] = defaultdict(list)
        for owner, name, flavour in self.files:
            if owner == tenant:
                flavours[name].append(flavour)
        sound = {
            name: [each for each in found if each in {"sound", "disabled"}]
            for name, found in flavours.items()
        }
        from_files = {name for name, found in sound.items() if found == ["sound"]}
        from_store = {name for owner, name in self.stored if owner == tenant and name not in flavours}
        kept = {name for name in from_store if self.stored[tenant, name] == "sound"}
        return {name for name in from_files | kept if not name.startswith("sim_")}


tenants = st.sampled_from(TENANTS)
organizations = st.sampled_from([None, "north", "south"])
tool_names = st.sampled_from(WORKFLOW_NAMES)
flavours = st.sampled_from(["sound", "sound", *FLAVOURS])
principals = st.builds(
    Principal,
    tenant_id=tenants.map(TenantId),
    organization_id=organizations,
    permissions=st.frozensets(st.sampled_from(sorted(ALL_PERMISSIONS)), min_size=1)
    | st.just(ALL_PERMISSIONS),
)
changes = st.one_of(
    st.builds(Files, tools=st.lists(st.tuples(tenants, tool_names, flavours), max_size=6).map(tuple)),
    st.builds(Stored, tenant=tenants, name=tool_names, flavour=st.none() | flavours),
    st.builds(
        Connection,
        tenant=tenants,
        organization=organizations,
        to=st.sampled_from(["on", "off", "removed"]),
    ),
)
viewers = st.tuples(principals, st.sampled_from(["full", "full", "read", "off"]), st.sampled_from(ERAS))


@asynccontextmanager
async def stage() -> AsyncGenerator[tuple[World, Path, Model]]:
    """A world in which acme is connected and globex is not, and a folder for spec files."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory) / "specs"
        folder.mkdir()
        async with open_world(Path(directory), connect={}, rate_per_minute=60_000) as world:
            model = Model()
            for change in (
                Connection(tenant="acme", organization=None, to="on"),
                Stored(tenant="acme", name="a", flavour="sound"),
            ):
                await change.carry_out(world, folder, model)
            yield world, folder, model


@asynccontextmanager
async def watching(world: World, who: Principal, mode: AdminTools, era: Era) -> AsyncGenerator[Client]:
    """The official client in a session of `who`."""
    server = build_server(world.app, own=who, admin_tools=mode)
    with anyio.fail_after(PATIENCE_S):
        async with Client(server, mode=era) as client:
            yield client


async def answers(client: Client, asked: Iterable[str]) -> dict[str, str]:
    """For each name how a call of it ended: `unknown`, or the code of the tool's own refusal."""
    found: dict[str, str] = {}
    for name in asked:
        try:
            result = await client.call_tool(name, NONSENSE)
        except MCPError as error:
            told = (error.error.code, error.error.data)
            found[name] = "unknown" if told == (-32602, {"code": "NOT_FOUND"}) else str(told)
        else:
            found[name] = str(structured(result)["error"]["code"])
    return found


def those_there(found: dict[str, str]) -> set[str]:
    """The names that were there: neither unknown, nor refused because the integration is closed."""
    return {name for name, answer in found.items() if answer not in {"unknown", *CLOSED}}


@pytest.mark.requirement("R3", "R11", "R33", "R35", "R64")
@BOUNDED
@given(
    steps=st.lists(st.tuples(changes, viewers), min_size=1, max_size=5),
)
async def test_the_names_that_are_listed_are_the_names_that_can_be_called(
    steps: list[tuple[Change, Viewer]],
) -> None:
    """After any walk through files, allow-lists and settings, in either era, over all pages."""
    async with stage() as (world, folder, model):
        for change, viewer in steps:
            await change.carry_out(world, folder, model)
            for who, mode, era in (viewer, everything_for(change, viewer)):
                await agrees(world, model, who, mode, era)


def everything_for(change: Change, viewer: Viewer) -> Viewer:
    """Somebody with every right where `change` happened, and an admin tool of each kind."""
    who, _, era = viewer
    tenant = who.tenant_id if isinstance(change, Files) else change.tenant
    organization = change.organization if isinstance(change, Connection) else who.organization_id
    full = Principal(tenant_id=TenantId(tenant), organization_id=organization, permissions=ALL_PERMISSIONS)
    return full, "full", era


async def agrees(world: World, model: Model, who: Principal, mode: AdminTools, era: Era) -> None:
    """Return when list, calls and the model say the same of `who`."""
    async with watching(world, who, mode, era) as client:
        listed = await names(client)
        found = await answers(client, {*ASKED, *listed})
    assert len(listed) == len(set(listed))
    assert set(listed) == those_there(found) == model.visible(who, mode)
    closed = {answer for answer in found.values() if answer in CLOSED}
    if closed:  # then no name tells anything: every one that is no admin tool gets the same
        assert {found[name] for name in found if name not in listed} == closed


@pytest.mark.requirement("R11", "R33", "R35")
@BOUNDED
@given(before=st.lists(changes, max_size=3), change=changes, viewer=viewers)
async def test_nobody_is_shown_or_served_anything_else_while_it_changes(
    before: list[Change], change: Change, viewer: Viewer
) -> None:
    """A list or a call that overlaps a change is that of before or of after, never of another tenant."""
    who, mode, era = viewer
    async with stage() as (world, folder, model):
        for each in before:
            await each.carry_out(world, folder, model)
        async with watching(world, who, mode, era) as client:
            seen: list[set[str]] = []
            called: list[dict[str, str]] = []
            first = model.visible(who, mode)

            async def look() -> None:
                seen.append(set(await names(client)))
                called.append(await answers(client, WORKFLOW_NAMES))
                seen.append(set(await names(client)))

            async with anyio.create_task_group() as group:
                group.start_soon(look)
                group.start_soon(change.carry_out, world, folder, model)
                group.start_soon(look)
            last = model.visible(who, mode)
            assert all(each in (first, last) for each in seen), (first, seen, last)
            for found in called:
                there = those_there(found)
                assert there <= first | last
                assert there >= (first & last & set(WORKFLOW_NAMES))
            assert set(await names(client)) == last  # once it is over, it is over


@pytest.mark.requirement("R10", "R33", "R35")
@pytest.mark.parametrize("era", ERAS)
async def test_a_session_is_worth_what_the_token_of_the_message_is(tmp_path: Path, era: Era) -> None:
    """Rights that are taken away, and tokens that are revoked, count at the next message of a session."""
    async with open_web(tmp_path, has_tools=True) as web:
        tokens = web.world.app.tokens
        await web.world.allow("acme", "echo", "a", input_schema=_TAKES_NOTHING)

        async def token(*held: Permission) -> tuple[str, str]:
            who = replace(principal("acme"), permissions=frozenset(held))
            made, secret = await tokens.create(who, name="t", expires_at=None, created_by="ada")
            return made.id, secret

        model = Model()
        model.connections["acme", None] = "on"
        model.stored["acme", "a"] = "sound"
        current = await token(*ALL_PERMISSIONS)
        async with over_http(web, era, lambda: current[1]) as client:
            for held in (*[{each} for each in ALL_PERMISSIONS], set[Permission](), set(ALL_PERMISSIONS)):
                current = await token(*held)
                who = replace(principal("acme"), permissions=frozenset(held))
                listed = await names(client)
                assert set(listed) == those_there(await answers(client, {*ASKED, *listed}))
                assert set(listed) == model.visible(who, "full")
            assert await tokens.revoke(TenantId("acme"), current[0])
            for ask in (lambda: names(client), lambda: client.call_tool("a", NONSENSE)):
                with pytest.raises(MCPError, match="Server returned an error response"):
                    await ask()
