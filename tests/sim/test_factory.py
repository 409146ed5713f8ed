"""Clients are built once per revision, shared by nobody else, and closed when they are no longer needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import InvalidInput, NotConfigured, SimUnavailable
from sim_mcp.model.integration import Integration, IntegrationId
from sim_mcp.model.principal import TenantId
from sim_mcp.sim import SimClients
from sim_mcp.sim.client import SimClient
from sim_mcp.sim.factory import REST_AFTER_S
from tests.sim.scripted import says

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R12")]

KEYS = {"acme": "sk-sim-acme-SECRET", "globex": "sk-sim-globex-SECRET"}


def integration(tenant: str, *, revision: int = 1, base_url: str = "https://sim.example.com") -> Integration:
    return Integration(
        id=IntegrationId(f"int-{tenant}"),
        tenant_id=TenantId(tenant),
        organization_id=None,
        revision=revision,
        base_url=base_url,
        is_enabled=True,
        has_api_key=tenant in KEYS,
        workspace_id=None,
        updated_at=ManualClock().now(),
        updated_by="ops",
    )


class Network:
    """Remembers which transports were opened and closed, and holds answers back on request."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.keys: list[str] = []
        self.gate = anyio.Event()
        self.gate.set()

    def transport_of(self, integration: Integration) -> httpx.AsyncBaseTransport:
        name = f"{integration.tenant_id}@{integration.revision}"
        self.opened.append(name)
        network = self

        class Transport(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                network.keys.append(request.headers["x-api-key"])
                await network.gate.wait()
                return says(200, {"status": "ok"})

            async def aclose(self) -> None:
                network.closed.append(name)

        return Transport()


class Keyring:
    """Counts how often a key is unsealed."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = anyio.Event()
        self.gate.set()

    async def key_of(self, integration: Integration) -> str:
        self.asked.append(f"{integration.tenant_id}@{integration.revision}")
        await self.gate.wait()
        return KEYS[integration.tenant_id]


@asynccontextmanager
async def clients_of(
    network: Network, keyring: Keyring, clock: ManualClock, *, max_clients: int = 8
) -> AsyncGenerator[SimClients]:
    clients = SimClients(
        clock=clock,
        key_of=keyring.key_of,
        allowed_hosts=(),
        transport_of=network.transport_of,
        max_clients=max_clients,
    )
    try:
        yield clients
    finally:
        await clients.aclose()


async def test_fifty_first_calls_build_one_client(clock: ManualClock) -> None:
    """The key is unsealed once, whoever comes at the same time."""
    network, keyring, found = Network(), Keyring(), list[SimClient]()
    keyring.gate = anyio.Event()
    async with clients_of(network, keyring, clock) as clients, anyio.create_task_group() as group:

        async def ask() -> None:
            found.append(await clients.get(integration("acme")))

        for _ in range(50):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        keyring.gate.set()
    assert keyring.asked == ["acme@1"]
    assert len(found) == 50
    assert len({id(client) for client in found}) == 1


async def test_a_cancelled_builder_leaves_the_others_a_client(clock: ManualClock) -> None:
    """Whoever waits behind an impatient first caller still gets one, and the same one."""
    network, keyring, found = Network(), Keyring(), list[SimClient]()
    keyring.gate = anyio.Event()
    async with clients_of(network, keyring, clock) as clients, anyio.create_task_group() as group:

        async def ask(scope: anyio.CancelScope) -> None:
            with scope:
                found.append(await clients.get(integration("acme")))

        first = anyio.CancelScope()
        for scope in (first, *(anyio.CancelScope() for _ in range(5))):
            group.start_soon(ask, scope)
            await anyio.wait_all_tasks_blocked()
        first.cancel()
        await anyio.wait_all_tasks_blocked()
        group.start_soon(ask, anyio.CancelScope())
        await anyio.wait_all_tasks_blocked()
        keyring.gate.set()
    assert len(found) == 6
    assert len({id(client) for client in found}) == 1


async def test_tenants_share_neither_key_nor_connection(clock: ManualClock) -> None:
    """The same SIM for two tenants means two clients, each with its own key."""
    network, keyring = Network(), Keyring()
    async with clients_of(network, keyring, clock) as clients:
        for tenant in ("acme", "globex"):
            await (await clients.get(integration(tenant))).health()
    assert network.keys == ["sk-sim-acme-SECRET", "sk-sim-globex-SECRET"]
    assert network.opened == ["acme@1", "globex@1"]


async def test_a_new_revision_gets_a_new_client_and_closes_the_old_one(clock: ManualClock) -> None:
    """A rotated key counts from the next call on."""
    network, keyring = Network(), Keyring()
    async with clients_of(network, keyring, clock) as clients:
        old = await clients.get(integration("acme"))
        await old.health()
        other = await clients.get(integration("globex"))
        await other.health()
        new = await clients.get(integration("acme", revision=2))
        assert new is not old
        assert network.closed == ["acme@1"]
    assert keyring.asked == ["acme@1", "globex@1", "acme@2"]


async def test_a_client_that_nobody_uses_keeps_nothing_open_and_serves_again(clock: ManualClock) -> None:
    """Whoever calls lets the others rest: not one with a call in flight, before that call is over."""
    network, keyring, trips = Network(), Keyring(), list[float]()
    async with clients_of(network, keyring, clock) as clients, anyio.create_task_group() as group:
        acme = await clients.get(integration("acme"))
        await acme.health()
        clock.advance(REST_AFTER_S)
        await clients.get(integration("globex"))
        assert network.closed == []
        clock.advance(1)
        await clients.get(integration("globex"))
        assert network.closed == ["acme@1"]
        assert await clients.get(integration("acme")) is acme
        network.gate = anyio.Event()

        async def ask() -> None:
            trips.append(await acme.health())

        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        clock.advance(REST_AFTER_S + 1)
        await clients.get(integration("globex"))
        assert network.closed == ["acme@1"]
        network.gate.set()
        await anyio.wait_all_tasks_blocked()
        assert (len(trips), network.closed) == (1, ["acme@1", "acme@1"])
        await acme.health()
        assert network.closed == ["acme@1", "acme@1"]
    assert keyring.asked == ["acme@1", "globex@1"]
    assert network.opened == ["acme@1"] * 3


async def test_a_call_in_flight_outlives_its_revision(clock: ManualClock) -> None:
    """Settings may change in the middle of a run: its answer still arrives, then the connection closes."""
    network, keyring, trips = Network(), Keyring(), list[float]()
    async with clients_of(network, keyring, clock) as clients, anyio.create_task_group() as group:
        old = await clients.get(integration("acme"))
        network.gate = anyio.Event()

        async def ask() -> None:
            trips.append(await old.health())

        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        await clients.get(integration("acme", revision=2))
        assert not network.closed
        network.gate.set()
        await anyio.wait_all_tasks_blocked()
        assert (len(trips), network.closed) == (1, ["acme@1"])
        await old.health()  # somebody who still holds it is served, and leaves nothing open
        assert network.closed == ["acme@1", "acme@1"]


@pytest.mark.requirement("R41")
async def test_a_forgotten_tenant_keeps_no_client_and_the_others_keep_theirs(clock: ManualClock) -> None:
    """Idle connections close at once; the next call asks for the key again."""
    network, keyring = Network(), Keyring()
    async with clients_of(network, keyring, clock) as clients:
        for tenant in ("acme", "globex"):
            await (await clients.get(integration(tenant))).health()
        await clients.forget(TenantId("acme"))
        assert network.closed == ["acme@1"]
        await (await clients.get(integration("acme"))).health()
        assert keyring.asked == ["acme@1", "globex@1", "acme@1"]
        await clients.forget(None)
        assert network.closed == ["acme@1", "globex@1", "acme@1"]


@pytest.mark.requirement("R41")
async def test_a_client_that_was_being_built_while_its_tenant_was_forgotten_is_not_kept(
    clock: ManualClock,
) -> None:
    """Its key may be gone already: it serves who asked for it, and closes behind them."""
    network, keyring, found = Network(), Keyring(), list[SimClient]()
    keyring.gate = anyio.Event()
    async with clients_of(network, keyring, clock) as clients:
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                found.append(await clients.get(integration("acme")))

            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            await clients.forget(TenantId("acme"))
            keyring.gate.set()
        await found[0].health()
        assert network.opened == network.closed == ["acme@1"]
        assert await clients.get(integration("acme")) is not found[0]


async def test_the_least_recently_used_client_leaves(clock: ManualClock) -> None:
    """The number of open clients is bounded, whatever the number of tenants."""
    network, keyring = Network(), Keyring()
    async with clients_of(network, keyring, clock, max_clients=2) as clients:
        for name in ("acme", "globex"):
            await (await clients.get(integration(name))).health()
        await clients.get(integration("acme"))
        KEYS["initech"] = "sk-sim-initech-SECRET"
        try:
            await clients.get(integration("initech"))
        finally:
            del KEYS["initech"]
        assert network.closed == ["globex@1"]


async def test_closing_closes_every_client(clock: ManualClock) -> None:
    """After the end nothing is open, and a late call is told so."""
    network, keyring = Network(), Keyring()
    async with clients_of(network, keyring, clock) as clients:
        client = await clients.get(integration("acme"))
        await client.health()
    assert network.closed == network.opened == ["acme@1"]
    with pytest.raises(SimUnavailable):
        await client.health()


async def test_an_integration_without_a_key_is_not_configured(clock: ManualClock) -> None:
    """No key, no request: a keyless call could run a draft as anonymous (sim-api 1.2)."""
    keyring = Keyring()
    async with clients_of(Network(), keyring, clock) as clients:
        with pytest.raises(NotConfigured):
            await clients.get(integration("nobody"))
    assert not keyring.asked


async def test_an_address_that_is_no_longer_allowed_is_refused(clock: ManualClock) -> None:
    """The rule is applied where the client is built, not only where the address was typed."""
    async with clients_of(Network(), Keyring(), clock) as clients:
        with pytest.raises(InvalidInput):
            await clients.get(integration("acme", base_url="http://127.0.0.1:3000"))


async def test_a_trial_uses_the_given_key_and_leaves_nothing_open(clock: ManualClock) -> None:
    """Setup asks SIM before it stores a key."""
    network, keyring = Network(), Keyring()
    async with clients_of(network, keyring, clock) as clients:
        async with clients.trial(base_url="https://sim.example.com/", api_key="sk-sim-new") as client:
            await client.health()
        assert (network.keys, network.closed, keyring.asked) == (["sk-sim-new"], ["trial@0"], [])


@pytest.mark.parametrize("api_key", ["", "a\r\nX: 1", "a\x00b", "schlüssel", "a b"])
async def test_a_key_that_cannot_be_sent_is_refused_without_being_repeated(
    api_key: str, clock: ManualClock
) -> None:
    """A key with a line break would become a header of its own."""
    async with clients_of(Network(), Keyring(), clock) as clients:
        with pytest.raises(InvalidInput) as caught:
            async with clients.trial(base_url="https://sim.example.com", api_key=api_key):
                pass
    assert not api_key or api_key not in caught.value.message


def test_the_face_imports_no_http_library() -> None:
    """Start-up on stdio pays for HTTP only when SIM is asked."""
    code = "import sys, sim_mcp.sim; print(sorted({'httpx', 'aiohttp', 'certifi', 'ssl'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() in {"[]", "['ssl']"}
