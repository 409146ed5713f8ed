"""`SimClients`: builds a client for each revision of an integration, once, and closes what it drops."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import NotConfigured
from sim_mcp.model.integration import Integration, IntegrationId
from sim_mcp.model.principal import TenantId
from sim_mcp.sim.flight import Flight
from sim_mcp.sim.hosts import AllowedHosts, check_base_url

if TYPE_CHECKING:
    import ssl

    import httpx

    from sim_mcp.sim.client import SimClient

MAX_CLIENTS = 512
REST_AFTER_S = 5.0
"""A little longer than idle connections are kept (`pool.KEEP_ALIVE_S`): nothing is left to keep then."""

_Key = tuple[IntegrationId, int]


class SimClients:
    """The clients of this process, at most `max_clients` of them; the least recently used leaves first.

    Tenants share nothing but the trusted TLS authorities: each client has its own key, connections
    and probe. A client that is dropped finishes its calls in flight before its connections close,
    and one that somebody still holds keeps working.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        key_of: Callable[[Integration], Awaitable[str]],
        allowed_hosts: Sequence[str],
        transport_of: Callable[[Integration], httpx.AsyncBaseTransport] | None = None,
        max_clients: int = MAX_CLIENTS,
    ) -> None:
        """Open nothing.

        Args:
            clock: For probes and `Retry-After`.
            key_of: Unseals the key of an integration; asked only when a client is built.
            allowed_hosts: Host patterns that a base URL may name although they are not public.
            transport_of: Replaces the network (tests, the sandbox).
            max_clients: How many clients stay open.
        """
        self._clock = clock
        self._key_of = key_of
        self._allowed = AllowedHosts(tuple(allowed_hosts))
        self._transport_of = transport_of
        self._max_clients = max_clients
        self._clients: OrderedDict[_Key, SimClient] = OrderedDict()
        self._tenants: dict[_Key, TenantId] = {}
        self._awake: OrderedDict[_Key, float] = OrderedDict()
        """When each client was used last, the longest ago first; those that rest are not in it."""
        self._forgotten = 0
        """Counts `forget`: a client that was being built meanwhile may hold a key that is gone."""
        self._flights: dict[_Key, Flight[SimClient]] = {}
        self._ssl_context: ssl.SSLContext | None = None

    async def get(self, integration: Integration) -> SimClient:
        """The client of this revision; older revisions of the same integration are closed.

        Any number of first calls at once build one client and ask for the key once.

        Raises:
            NotConfigured: The integration has no API key.
            InvalidInput: Its base URL is not allowed (any more), or its key cannot be sent.
        """
        key = (integration.id, integration.revision)
        await self._use(key)
        client = self._clients.get(key)
        if client is not None:
            self._clients.move_to_end(key)
            return client
        flight = self._flights.setdefault(key, Flight())
        try:
            return await flight.join(lambda: self._build(integration))
        finally:
            if flight.is_idle and self._flights.get(key) is flight:
                del self._flights[key]

    @asynccontextmanager
    async def _trial(self, integration: Integration, api_key: str) -> AsyncGenerator[SimClient]:
        client = self._client(integration, api_key)
        try:
            yield client
        finally:
            await client.aclose()

    def trial(self, *, base_url: str, api_key: str) -> AbstractAsyncContextManager[SimClient]:
        """A client for a key that is not stored yet; closed at the end of the block.

        Raises:
            InvalidInput: The base URL is not allowed, or the key cannot be sent. On entering.
        """
        candidate = Integration(
            id=IntegrationId("trial"),
            tenant_id=TenantId("trial"),
            organization_id=None,
            revision=0,
            base_url=base_url,
            is_enabled=True,
            has_api_key=True,
            workspace_id=None,
            updated_at=self._clock.now(),
            updated_by="trial",
        )
        return self._trial(candidate, api_key)

    async def forget(self, tenant_id: TenantId | None) -> None:
        """Let go of the clients of `tenant_id` (`None`: of everybody) and of their keys.

        For settings that were changed or removed. Idle connections close at once, used ones with
        their last call; the next call builds a client from what is in force then.
        """
        self._forgotten += 1
        theirs = [key for key, owner in self._tenants.items() if tenant_id in {None, owner}]
        await self._retire(theirs)

    async def aclose(self) -> None:
        """Close every client now. Call it when nothing runs any more."""
        clients = list(self._clients.values())
        self._clients.clear()
        self._tenants.clear()
        for client in clients:
            await client.aclose()

    async def _use(self, key: _Key) -> None:
        """Note that `key` is used, and let those rest that were not for a while: nothing of them is open."""
        now_s = self._clock.monotonic()
        self._awake[key] = now_s
        self._awake.move_to_end(key)
        while self._awake:  # others use, and forget, while one is put to rest
            oldest, used_s = next(iter(self._awake.items()))
            if used_s >= now_s - REST_AFTER_S:
                return
            del self._awake[oldest]
            client = self._clients.get(oldest)
            if client is not None:
                await client.rest()

    async def _build(self, integration: Integration) -> SimClient:
        key = (integration.id, integration.revision)
        if key in self._clients:  # built between our look and our turn
            return self._clients[key]
        forgotten = self._forgotten
        api_key = await self._key_of(integration) if integration.has_api_key else ""
        if not api_key:
            raise NotConfigured("No SIM API key is stored for this integration; run setup with a key.")
        if key in self._clients:  # a build that outlived its cancelled caller's was faster
            return self._clients[key]
        client = self._client(integration, api_key)
        if self._forgotten != forgotten:  # serves who asked for it, and closes behind them
            await client.retire()
            return client
        self._clients[key], self._tenants[key] = client, integration.tenant_id
        await self._drop(integration)
        return client

    def _client(self, integration: Integration, api_key: str) -> SimClient:
        from sim_mcp.sim.client import SimClient
        from sim_mcp.sim.wire import Wire

        base_url = check_base_url(integration.base_url, allowed_hosts=self._allowed.patterns)
        wire = Wire(
            base_url=base_url,
            api_key=api_key,
            open_transport=lambda: self._transport(integration),
            clock=self._clock,
        )
        return SimClient(wire, clock=self._clock)

    async def _drop(self, newest: Integration) -> None:
        """Retire older revisions of `newest`, and whoever was not used for the longest time."""
        older = [key for key in self._clients if key[0] == newest.id and key[1] < newest.revision]
        surplus = len(self._clients) - len(older) - self._max_clients
        others = [key for key in self._clients if key not in older][: max(surplus, 0)]
        await self._retire([*older, *others])

    async def _retire(self, keys: Sequence[_Key]) -> None:
        dropped = [self._clients.pop(key) for key in keys]
        for key in keys:
            del self._tenants[key]
            self._awake.pop(key, None)
        with anyio.CancelScope(shield=True):
            for client in dropped:
                await client.retire()

    def _transport(self, integration: Integration) -> httpx.AsyncBaseTransport:
        if self._transport_of is not None:
            return self._transport_of(integration)
        from sim_mcp.sim import pool

        if self._ssl_context is None:
            self._ssl_context = pool.trusted_context()
        return pool.pooled_transport(ssl_context=self._ssl_context, allowed=self._allowed)
