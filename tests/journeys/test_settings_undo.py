"""The settings' history and going back: what it tells, and that no key travels to another's server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from inline_snapshot import snapshot

from sim_mcp.app import Needs
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Conflict, Forbidden, InvalidInput, NotFound
from sim_mcp.model.integration import Integration
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.sim.fake import FakeSim, demo_account
from tests.world import SIM_URL, SandboxTime, World, open_world, principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R8", "R9")]

KEY = demo_account("acme").api_key
OTHER_URL = "https://other-sim.example.com"
EVIL_URL = "https://attacker.example.com"
ADA = principal("acme")


class Network:
    """Leads every base URL to the fake SIM, and remembers which key was sent to which host.

    The attacker's server accepts any key: it says so that it gets one.
    """

    def __init__(self, sim: FakeSim) -> None:
        self._sim = sim
        self.sent: dict[str, set[str]] = {}

    def transport_of(self, integration: Integration) -> httpx.AsyncBaseTransport:
        network, inner = self, self._sim.transport()

        class Transport(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                network.sent.setdefault(request.url.host, set()).add(request.headers["x-api-key"])
                if request.url.host in EVIL_URL:
                    request.headers["x-api-key"] = KEY
                return await inner.handle_async_request(request)

        assert integration.tenant_id
        return Transport()


@pytest.fixture
def network(clock: ManualClock) -> Network:
    """The network of one test."""
    return Network(FakeSim(time=SandboxTime(clock)))


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock, network: Network) -> AsyncGenerator[World]:
    """Both tenants connected."""
    async with open_world(tmp_path, clock=clock, transport_of=network.transport_of) as opened:
        yield opened


def of_north(subject: str = "bob") -> Principal:
    """Somebody of an organisation of acme's."""
    return replace(principal("acme", subject), organization_id="north")


async def test_the_history_tells_who_changed_what_and_never_a_key(world: World, clock: ManualClock) -> None:
    """Newest first, a removal included; another tenant's is its own."""
    clock.advance(60)
    await world.app.administration.set_enabled(principal("acme", "bob"), is_enabled=False)
    await world.app.administration.remove(principal("acme", "bob"))
    history = await world.app.administration.history(ADA)
    assert [
        (each.revision, each.changed_by, each.changed_fields, each.is_enabled, each.is_removed)
        for each in history
    ] == snapshot(
        [
            (3, "bob", ("api_key",), False, True),
            (2, "bob", ("is_enabled",), False, False),
            (1, "ada", ("api_key", "base_url", "is_enabled", "workspace_id"), True, False),
        ]
    )
    assert (history[0].changed_at - history[-1].changed_at).total_seconds() == 60
    assert KEY not in repr(history)
    assert len(await world.app.administration.history(principal("globex"))) == 1


async def test_going_back_is_a_new_revision_with_the_stored_key(world: World, network: Network) -> None:
    """Same base URL: switch and workspace are as they were, and nobody has to type anything."""
    first = await world.app.administration.settings(ADA)
    assert first is not None
    await world.app.administration.set_enabled(ADA, is_enabled=False)
    await world.app.administration.set_up(ADA, api_key=KEY, workspace_id="another")
    assert not await world.app.administration.needs_key(ADA, 1)
    restored = await world.app.administration.restore(principal("acme", "bob"), 1)
    assert (restored.revision, restored.updated_by) == (4, "bob")
    assert (restored.base_url, restored.is_enabled, restored.workspace_id, restored.has_api_key) == (
        *(first.base_url, first.is_enabled, first.workspace_id),
        True,
    )
    assert await world.app.administration.settings(ADA) == restored
    await world.allow("acme", "echo")
    assert (await world.app.gateway.call(world.call("acme", "echo"))).settings_revision == 4
    assert network.sent == {"sim.example.com": {KEY, demo_account("globex").api_key}}


@pytest.mark.requirement("R31", "R60")
async def test_a_key_cannot_be_had_by_undoing(world: World, network: Network) -> None:
    """A junk key for one's own server, wait for the real one, undo: the real key stays where it is."""
    mallory = principal("acme", "mallory")
    await world.app.administration.set_up(mallory, api_key="junk", base_url=EVIL_URL)
    await world.app.administration.set_up(ADA, api_key=KEY)
    assert await world.app.administration.needs_key(mallory, 2)
    with pytest.raises(InvalidInput, match="Give a SIM API key") as caught:
        await world.app.administration.restore(mallory, 2)
    assert caught.value.faults[0].path == "apiKey"
    current = await world.app.administration.settings(ADA)
    assert current is not None
    assert (current.revision, current.base_url) == (3, SIM_URL)
    await world.app.administration.set_enabled(mallory, is_enabled=True)
    await world.app.workflows.discover(mallory)
    assert network.sent["attacker.example.com"] == {"junk"}


async def test_another_base_url_comes_back_with_its_key_after_a_trial(world: World, network: Network) -> None:
    """The key is tried at that SIM first; one that it rejects changes nothing."""
    await world.app.administration.set_up(ADA, api_key=KEY, base_url=OTHER_URL)
    with pytest.raises(InvalidInput, match="does not accept this API key"):
        await world.app.administration.restore(ADA, 1, api_key="sk-wrong-0123456789")
    restored = await world.app.administration.restore(ADA, 1, api_key=KEY)
    assert (restored.revision, restored.base_url) == (3, SIM_URL)
    assert network.sent["other-sim.example.com"] == {KEY}


async def test_removed_settings_stay_readable_and_come_back_with_the_key(world: World) -> None:
    """The key was destroyed: it must be typed again. A removal itself cannot be put in force."""
    await world.app.administration.remove(ADA)
    assert len(await world.app.administration.history(ADA)) == 2
    with pytest.raises(InvalidInput, match="was removed"):
        await world.app.administration.restore(ADA, 1)
    with pytest.raises(Conflict, match="is a removal"):
        await world.app.administration.restore(ADA, 2, api_key=KEY)
    assert (await world.app.administration.restore(ADA, 1, api_key=KEY)).revision == 3
    assert await world.app.administration.needs_key(ADA, 1) is False


@pytest.mark.requirement("R9", "R35")
async def test_an_organisation_goes_back_in_its_own_settings_only(world: World) -> None:
    """It reads the tenant's while these serve it, and changes them never; its own are its own."""
    with pytest.raises(Forbidden, match="whole tenant"):
        await world.app.administration.restore(of_north(), 1)
    assert [each.organization_id for each in await world.app.administration.history(of_north())] == [None]
    await world.app.administration.set_up(of_north(), api_key=KEY)
    await world.app.administration.set_enabled(of_north(), is_enabled=False)
    assert [each.revision for each in await world.app.administration.history(of_north())] == [2, 1]
    restored = await world.app.administration.restore(of_north(), 1)
    assert (restored.organization_id, restored.revision, restored.is_enabled) == ("north", 3, True)
    tenants = await world.app.administration.settings(ADA)
    assert tenants is not None
    assert tenants.revision == 1
    for who in (principal("globex"), replace(of_north(), organization_id="south"), ADA):
        with pytest.raises((NotFound, Forbidden)):
            await world.app.administration.restore(who, 3)


@pytest.mark.requirement("R33")
async def test_reading_needs_view_and_going_back_needs_add(world: World) -> None:
    """Each permission alone."""
    viewer = replace(ADA, permissions=frozenset({Permission.VIEW}))
    adder = replace(ADA, permissions=frozenset({Permission.ADD}))
    assert await world.app.administration.history(viewer)
    assert await world.app.administration.restore(adder, 1)
    for refused in (
        world.app.administration.restore(viewer, 1),
        world.app.administration.needs_key(viewer, 1),
        world.app.administration.history(adder),
    ):
        with pytest.raises(Forbidden):
            await refused


async def test_a_base_url_that_is_not_allowed_any_more_stays_away(tmp_path: Path) -> None:
    """The operator's list counts when the settings come back, too."""
    inside = "http://sim.internal:3000"
    async with open_world(tmp_path, connect={}, sim_allowed_hosts=("sim.internal",)) as world:
        await world.app.administration.set_up(ADA, api_key=KEY, base_url=inside)
        await world.app.administration.set_up(ADA, api_key=KEY)
    async with open_world(tmp_path, connect={}) as world:
        with pytest.raises(InvalidInput, match="SIM_MCP_SIM_ALLOWED_HOSTS"):
            await world.app.administration.restore(ADA, 1, api_key=KEY)


async def test_a_session_with_a_key_of_its_own_changes_no_stored_settings(tmp_path: Path) -> None:
    """`SIM_API_KEY` is in force, so going back would change nothing that this session sees."""
    async with open_world(tmp_path):
        pass
    needs = Needs(follows_up=False, drain_s=0, uses_process_key=True)
    async with open_world(tmp_path, connect={}, needs=needs, sim_api_key=KEY, tenant_id="acme") as world:
        with pytest.raises(Conflict, match="SIM_API_KEY"):
            await world.app.administration.restore(ADA, 1)
