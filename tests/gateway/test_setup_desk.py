"""The one-time link: who may ask for it, what it may do, and that a key goes only where it was typed for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from sim_mcp.app import Needs
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Conflict, Forbidden, InvalidInput, NotFound, SimUnavailable
from sim_mcp.model.principal import Permission
from sim_mcp.model.setup_link import MOST_TRIES, LinkState
from sim_mcp.sim.fake import FakeSim
from tests.patience import PATIENCE_S
from tests.setup_visits import KEY, OTHER_KEY, WORKSPACES, Network
from tests.world import SandboxTime, World, open_world, principal

pytestmark = pytest.mark.anyio

ADA = principal("acme")
ELSEWHERE = "https://sim.elsewhere.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A world without connections, and the network behind it."""

    world: World
    network: Network

    async def keys(self, tenant: str = "acme") -> str | None:
        """The stored key of a tenant."""
        current = await self.world.app.store.integrations.current(principal(tenant).tenant_id, None)
        return None if current is None else await self.world.app.store.integrations.api_key(current)


@pytest.fixture
def network(clock: ManualClock) -> Network:
    """The way to the fake SIM."""
    return Network(FakeSim(time=SandboxTime(clock)))


@pytest.fixture
async def opened(tmp_path: Path, clock: ManualClock, network: Network) -> AsyncGenerator[Opened]:
    """Nobody is connected yet."""
    async with open_world(
        tmp_path, clock=clock, sim=network.sim, transport_of=network.of, connect={}
    ) as world:
        yield Opened(world=world, network=network)


def replica(
    folder: Path, clock: ManualClock, network: Network, *, needs: Needs | None = None
) -> AbstractAsyncContextManager[World]:
    """One of several processes on the same database."""
    return open_world(folder, clock=clock, sim=network.sim, transport_of=network.of, connect={}, needs=needs)


@pytest.mark.requirement("R2", "R8", "R9", "R35")
async def test_the_key_is_stored_as_the_one_who_asked(opened: Opened) -> None:
    """Tenant, organisation, name and switch come from the link; the other tenant keeps having nothing."""
    desk = opened.world.app.setup
    asker = replace(ADA, organization_id="north", subject="carla")
    issued = await desk.issue(asker, is_enabled=False)
    report = await desk.redeem(issued.secret, api_key=KEY)
    stored = report.integration
    assert (stored.tenant_id, stored.organization_id, stored.updated_by) == ("acme", "north", "carla")
    assert (stored.base_url, stored.is_enabled) == ("https://sim.example.com", False)
    assert await opened.world.app.administration.settings(principal("globex")) is None
    [revision] = await opened.world.app.administration.history(asker)
    assert revision.changed_by == "carla"


@pytest.mark.requirement("R33")
async def test_asking_needs_the_permission_to_connect(opened: Opened) -> None:
    """EDIT, VIEW and DELETE together are not enough."""
    others = frozenset(Permission) - {Permission.ADD}
    with pytest.raises(Forbidden) as refused:
        await opened.world.app.setup.issue(replace(ADA, permissions=others))
    assert refused.value.permission == "INTEGRATION_ADD"


@pytest.mark.requirement("R60")
async def test_a_link_is_bound_to_one_address(opened: Opened) -> None:
    """A new one when asked for, else the present one; a forbidden one is refused before anybody types."""
    desk = opened.world.app.setup
    first = await desk.issue(ADA, base_url=ELSEWHERE + "/")
    assert first.link.base_url == ELSEWHERE
    await desk.redeem(first.secret, api_key=KEY)
    assert (await desk.issue(ADA)).link.base_url == ELSEWHERE
    assert {host for host, _ in opened.network.sent} == {"sim.elsewhere.example"}
    for wrong in ("http://127.0.0.1", "ftp://sim.example.com", "https://user:secret@sim.example.com"):
        with pytest.raises(InvalidInput) as refused:
            await desk.issue(ADA, base_url=wrong)
        assert "secret" not in str(refused.value)


@pytest.mark.requirement("R60")
async def test_no_stored_key_is_ever_sent_to_another_address(opened: Opened) -> None:
    """Asking for a link to a new address sends nothing; only what is typed there goes there."""
    desk = opened.world.app.setup
    await desk.redeem((await desk.issue(ADA)).secret, api_key=KEY)
    issued = await desk.issue(ADA, base_url=ELSEWHERE)
    await desk.look(issued.secret)
    with pytest.raises(InvalidInput):
        await desk.redeem(issued.secret, api_key="sk-sim-typed-for-elsewhere")
    sent = {key for host, key in opened.network.sent if host == "sim.elsewhere.example"}
    assert sent == {"sk-sim-typed-for-elsewhere"}
    assert await opened.keys() == KEY


async def test_a_rejected_key_leaves_the_link_open_for_a_few_more(opened: Opened) -> None:
    """A typo costs a try; the right key then works; guessing ends the link."""
    desk = opened.world.app.setup
    issued, spent = await desk.issue(ADA), await desk.issue(ADA)
    with pytest.raises(InvalidInput, match="does not accept"):
        await desk.redeem(issued.secret, api_key="sk-sim-mistyped")
    await desk.redeem(issued.secret, api_key=KEY)
    for _ in range(MOST_TRIES):
        with pytest.raises(InvalidInput):
            await desk.redeem(spent.secret, api_key="sk-sim-guessed")
    with pytest.raises(Conflict):
        await desk.redeem(spent.secret, api_key=OTHER_KEY)
    seen = await desk.look(spent.secret)
    assert seen is not None
    assert (seen.state, seen.is_done) == (LinkState.SPENT, True)
    assert await opened.keys() == KEY


async def test_an_unreachable_sim_stores_nothing_and_leaves_the_link_open(opened: Opened) -> None:
    """The person may try again when SIM is back."""
    desk = opened.world.app.setup
    issued = await desk.issue(ADA)
    opened.network.is_cut = True
    with pytest.raises(SimUnavailable):
        await desk.redeem(issued.secret, api_key=KEY)
    assert await opened.keys() is None
    opened.network.is_cut = False
    await desk.redeem(issued.secret, api_key=KEY)


async def test_used_expired_declined_and_invented_links_store_nothing(
    opened: Opened, clock: ManualClock
) -> None:
    """SIM is not even asked."""
    desk = opened.world.app.setup
    used, declined, late = [await desk.issue(ADA) for _ in range(3)]
    await desk.redeem(used.secret, api_key=KEY)
    await desk.decline(ADA, declined.link.id)
    clock.advance(600)
    asked = len(opened.network.sent)
    for secret in (used.secret, declined.secret, late.secret, "A" * 43, ""):
        with pytest.raises(Conflict, match="sim_setup"):
            await desk.redeem(secret, api_key=OTHER_KEY)
    assert len(opened.network.sent) == asked
    assert await opened.keys() == KEY


@pytest.mark.requirement("R8")
async def test_two_people_who_send_at_once_store_one_key(tmp_path: Path, clock: ManualClock) -> None:
    """Two replicas, one link, two keys that SIM accepts: one is told that the other was faster."""
    network = Network(FakeSim(time=SandboxTime(clock)))
    outcomes: list[str] = []
    async with replica(tmp_path, clock, network) as one, replica(tmp_path, clock, network) as two:
        issued = await one.app.setup.issue(ADA)

        async def send(world: World, key: str) -> None:
            try:
                await world.app.setup.redeem(issued.secret, api_key=key)
                outcomes.append(key)
            except Conflict:
                outcomes.append("refused")

        async with anyio.create_task_group() as group:
            group.start_soon(send, one, KEY)
            group.start_soon(send, two, OTHER_KEY)
        assert outcomes.count("refused") == 1
        [revision] = await two.app.administration.history(ADA)
        assert revision.revision == 1


@pytest.mark.requirement("R35")
async def test_the_id_of_a_link_is_of_use_to_its_issuer_alone(opened: Opened) -> None:
    """Another tenant, organisation or person cannot look at it, wait for it or end it."""
    desk = opened.world.app.setup
    issued = await desk.issue(ADA)
    for stranger in (principal("globex"), principal("acme", "eve"), replace(ADA, organization_id="north")):
        assert await desk.find(stranger, issued.link.id) is None
        assert await desk.wait(stranger, issued.link.id, patience_s=60) is None
        await desk.decline(stranger, issued.link.id)
    seen = await desk.find(ADA, issued.link.id)
    assert seen is not None
    assert seen.state is LinkState.OPEN


async def test_whoever_waits_hears_of_a_link_that_another_process_served(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Within a second of it; and at the end of the patience it is still open."""
    network = Network(FakeSim(time=SandboxTime(clock)))
    async with replica(tmp_path, clock, network) as one, replica(tmp_path, clock, network) as two:
        issued = await one.app.setup.issue(ADA)
        states: list[LinkState] = []

        async def wait(patience_s: float) -> None:
            seen = await one.app.setup.wait(ADA, issued.link.id, patience_s=patience_s)
            assert seen is not None
            states.append(seen.state)

        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as group:
                group.start_soon(wait, 0.5)
                await clock.sleeper(within_s=0.5)
                clock.advance(0.5)
            async with anyio.create_task_group() as group:
                group.start_soon(wait, 45.0)
                await clock.sleeper(within_s=1)
                await two.app.setup.redeem(issued.secret, api_key=KEY)
                clock.advance(1)
        assert states == [LinkState.OPEN, LinkState.USED]


async def test_one_of_several_workspaces_is_chosen_once(opened: Opened, clock: ManualClock) -> None:
    """The key stays; what is none of them, a second choice and a late one change nothing."""
    opened.network.workspaces = WORKSPACES
    desk = opened.world.app.setup
    issued, late = await desk.issue(ADA), await desk.issue(principal("globex"))
    with pytest.raises(Conflict):
        await desk.choose(issued.secret, workspace_id="ws-1")
    report = await desk.redeem(issued.secret, api_key=KEY)
    assert report.integration.workspace_id is None
    with pytest.raises(InvalidInput):
        await desk.choose(issued.secret, workspace_id="ws-3")
    chosen = await desk.choose(issued.secret, workspace_id="ws-2")
    assert (chosen.workspace_id, chosen.revision) == ("ws-2", 2)
    assert await opened.keys() == KEY
    with pytest.raises(Conflict):
        await desk.choose(issued.secret, workspace_id="ws-1")
    await desk.redeem(late.secret, api_key=OTHER_KEY)
    clock.advance(600)
    with pytest.raises(Conflict):
        await desk.choose(late.secret, workspace_id="ws-1")
    seen = await desk.look(late.secret)
    assert seen is not None
    assert seen.is_done


async def test_a_choice_does_not_undo_what_happened_since(opened: Opened) -> None:
    """Switched off meanwhile, or removed: the settings of the later hand stand."""
    opened.network.workspaces = WORKSPACES
    app = opened.world.app
    issued = await app.setup.issue(ADA)
    await app.setup.redeem(issued.secret, api_key=KEY)
    await app.administration.set_enabled(ADA, is_enabled=False)
    with pytest.raises(Conflict, match="changed since"):
        await app.setup.choose(issued.secret, workspace_id="ws-1")
    await app.administration.remove(ADA)
    with pytest.raises(Conflict, match="changed since"):
        await app.setup.choose(issued.secret, workspace_id="ws-1")
    assert await app.administration.settings(ADA) is None


async def test_a_choice_that_comes_second_by_a_hair_changes_nothing(opened: Opened) -> None:
    """The settings move on between the look and the save: the save is undone."""
    opened.network.workspaces = WORKSPACES
    app = opened.world.app
    issued = await app.setup.issue(ADA)
    await app.setup.redeem(issued.secret, api_key=KEY)
    refused: list[str] = []

    async def choose() -> None:
        try:
            await app.setup.choose(issued.secret, workspace_id="ws-1")
        except Conflict as error:
            refused.append(error.message)

    async with anyio.create_task_group() as group, app.store.database.transaction() as writer:
        group.start_soon(choose)
        for _ in range(20):
            await anyio.wait_all_tasks_blocked()
            await app.store.ping()
        await writer.execute(
            "INSERT INTO integration_revisions SELECT tenant_id, scope, 2, id, base_url, 0, 'other',"
            " NULL, 0, 0, changed_fields, changed_at, 'eve' FROM integration_revisions"
        )
    assert len(refused) == 1
    settings = await app.administration.settings(ADA)
    assert settings is not None
    assert (settings.revision, settings.workspace_id) == (2, "other")


async def test_a_session_with_a_key_of_its_own_gets_no_link(tmp_path: Path, clock: ManualClock) -> None:
    """A stored key would not count there, so nobody is sent to type one."""
    async with open_world(
        tmp_path, clock=clock, connect={}, needs=Needs(uses_process_key=True, follows_up=False),
        tenant_id="acme", sim_api_key=KEY,
    ) as world:  # fmt: skip
        with pytest.raises(Conflict, match="SIM_API_KEY"):
            await world.app.setup.issue(ADA)
        with pytest.raises(Conflict, match="SIM_API_KEY"):
            await world.app.administration.removable(ADA)
        await world.app.setup.issue(principal("globex"))


@pytest.mark.requirement("R41")
async def test_a_removal_closes_the_tenants_client_at_once_and_nobody_elses(
    tmp_path: Path, clock: ManualClock
) -> None:
    """In the process that removes before it answers, in another one when it hears of it."""
    one_net, two_net = (Network(FakeSim(time=SandboxTime(clock))) for _ in range(2))
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(replica(tmp_path, clock, one_net))
        await one.app.administration.set_up(ADA, api_key=KEY)
        await one.app.administration.set_up(principal("globex"), api_key=OTHER_KEY)
        two = await stack.enter_async_context(replica(tmp_path, clock, two_net, needs=Needs(drain_s=0)))
        for world in (one, two):
            for tenant in ("acme", "globex"):
                health = await world.app.status.health(principal(tenant))
                assert health is not None
                assert health.is_key_accepted
        before = (one_net.closed, two_net.closed)
        await one.app.administration.remove(ADA)
        assert (one_net.closed, two_net.closed) == (before[0] + 1, before[1])
        with anyio.fail_after(PATIENCE_S):
            while two_net.closed == before[1]:
                await clock.sleeper(within_s=1)
                clock.advance(1)
                await anyio.lowlevel.checkpoint()
        assert two_net.closed == before[1] + 1
        with pytest.raises(NotFound):
            await two.app.administration.remove(ADA)
