"""Tells connected clients that their tool list changed, each tenant its own alone.

2026-07-28 clients hold a `subscriptions/listen` stream open; earlier ones get
`notifications/tools/list_changed` in their session.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY, ListenHandler, ServerEvent, ToolsListChanged
from mcp_types import SubscriptionFilter, SubscriptionsListenResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from sim_mcp.model.facts import Fact, SettingsChanged

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectSendStream
    from mcp.server.context import ServerRequestContext
    from mcp.server.session import ServerSession
    from mcp_types import SubscriptionsListenRequestParams

    from sim_mcp.app import App
    from sim_mcp.model.principal import Permission, Principal, TenantId

log = logging.getLogger(__name__)

MOST_STREAMS_OF_A_TENANT = 64
MOST_SESSIONS_OF_A_TENANT = 64
MOST_SESSIONS = 1024
SEND_WITHIN_S = 1.0
_KINDS_THAT_CHANGE_TOOLS = frozenset({"tools", "integration", "everything"})
_KINDS_THAT_END_STREAMS = frozenset({"tokens", "everything"})


class TenantBus:
    """The events of one tenant; the SDK's listen handler is its only kind of subscriber."""

    def __init__(self) -> None:
        self._listeners: dict[object, Callable[[ServerEvent], None]] = {}
        self.streams = ListenHandler(self, max_subscriptions=MOST_STREAMS_OF_A_TENANT)

    @property
    def is_deserted(self) -> bool:
        """Whether nobody listens."""
        return not self._listeners

    async def publish(self, event: ServerEvent) -> None:
        """Tell `event` to every stream."""
        self.tell(event)

    def tell(self, event: ServerEvent) -> None:
        """Tell `event` to every stream, at once."""
        for listener in tuple(self._listeners.values()):
            listener(event)

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Tell `listener` from now on; call the result to stop."""
        token = object()
        self._listeners[token] = listener
        return lambda: self._listeners.pop(token, None) and None


class Sessions:
    """The sessions of earlier revisions that one transport serves, and the queue of what to tell them."""

    def __init__(self, queue: MemoryObjectSendStream[TenantId | None]) -> None:
        self._known: OrderedDict[tuple[TenantId, str], ServerSession] = OrderedDict()
        self._permissions: dict[tuple[TenantId, str], frozenset[Permission]] = {}
        self._queue = queue

    def remember(self, principal: Principal, session_id: str, session: ServerSession) -> None:
        """Tell `session` about changes of the caller's tenant, until newer sessions take its place."""
        tenant_id = principal.tenant_id
        of_tenant = [key for key in self._known if key[0] == tenant_id]
        if len(of_tenant) >= MOST_SESSIONS_OF_A_TENANT:
            self._forget(of_tenant[0])
        if len(self._known) >= MOST_SESSIONS:
            self._forget(next(iter(self._known)))
        self._known[tenant_id, session_id] = session
        self._permissions[tenant_id, session_id] = principal.permissions

    async def touch(self, principal: Principal, session_id: str) -> None:
        """Keep a session that is in use longer than idle ones.

        Its caller may come with another token of the same person: when that one allows something
        else, the session is told that its tools are others now.
        """
        key = (principal.tenant_id, session_id)
        if key not in self._known:
            return
        self._known.move_to_end(key)
        if self._permissions[key] != principal.permissions:
            self._permissions[key] = principal.permissions
            await self._tell_one(key)

    def enqueue(self, tenant_id: TenantId | None) -> None:
        """Have the tenant's sessions told soon; everybody's for `None`."""
        if any(tenant_id in {None, owner} for owner, _ in self._known):
            try:
                self._queue.send_nowait(tenant_id)
            except anyio.WouldBlock:
                log.warning("too many tool-list changes wait to be told; one is skipped")

    async def tell(self, tenant_id: TenantId | None) -> None:
        """Send the notice to every session of the tenant; those that cannot take it are forgotten."""
        for key in list(self._known):
            if tenant_id in {None, key[0]}:
                await self._tell_one(key)

    async def _tell_one(self, key: tuple[TenantId, str]) -> None:
        session = self._known.get(key)
        if session is None:  # pushed out while others were told
            return
        with anyio.move_on_after(SEND_WITHIN_S) as scope:
            await session.send_tool_list_changed()
        if scope.cancelled_caught:
            self._forget(key)

    def _forget(self, key: tuple[TenantId, str]) -> None:
        self._known.pop(key, None)
        self._permissions.pop(key, None)


class Notices:
    """Listens to the app's facts and passes tool-list changes on."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._buses: dict[TenantId, TenantBus] = {}
        self._places: list[Sessions] = []
        self._unsubscribe: Callable[[], None] | None = None

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[Sessions]:
        """Pass changes on while one transport serves; yields where it remembers its sessions."""
        send, receive = anyio.create_memory_object_stream["TenantId | None"](100)
        sessions = Sessions(send)
        self._places.append(sessions)
        if self._unsubscribe is None:
            self._unsubscribe = self._app.facts.subscribe(self._notice)

        async def tell() -> None:
            async for tenant_id in receive:
                await sessions.tell(tenant_id)

        try:
            with send, receive:
                async with anyio.create_task_group() as group:
                    group.start_soon(tell)
                    yield sessions
                    group.cancel_scope.cancel()
        finally:
            self._places.remove(sessions)
            if not self._places and self._unsubscribe is not None:
                self._unsubscribe()
                self._unsubscribe = None

    async def listen(
        self,
        ctx: ServerRequestContext[Any, Any],
        params: SubscriptionsListenRequestParams,
        *,
        tenant_id: TenantId,
        ends_in_s: float | None,
    ) -> SubscriptionsListenResult:
        """Serve one listen stream of `tenant_id`, for `ends_in_s` seconds at most.

        It is acknowledged for the tool list alone, whatever else was wanted: no other change is ever told.
        """
        wanted = SubscriptionFilter(tools_list_changed=params.notifications.tools_list_changed)
        params = params.model_copy(update={"notifications": wanted})
        bus = self._buses.setdefault(tenant_id, TenantBus())
        try:
            with anyio.move_on_after(ends_in_s):
                return await bus.streams(ctx, params)
        finally:
            if bus.is_deserted and self._buses.get(tenant_id) is bus:
                del self._buses[tenant_id]
        return SubscriptionsListenResult(_meta={SUBSCRIPTION_ID_META_KEY: ctx.request_id})

    def close(self) -> None:
        """End every listen stream in an orderly way."""
        for bus in tuple(self._buses.values()):
            bus.streams.close()

    def _notice(self, fact: Fact) -> None:
        if not isinstance(fact, SettingsChanged):
            return
        buses = [bus for owner, bus in self._buses.items() if fact.tenant_id in {None, owner}]
        if fact.kind in _KINDS_THAT_CHANGE_TOOLS:
            for bus in buses:
                bus.tell(ToolsListChanged())
            for sessions in self._places:
                sessions.enqueue(fact.tenant_id)
        if fact.kind in _KINDS_THAT_END_STREAMS:
            for bus in buses:
                bus.streams.close()  # clients listen again, with a token that is checked again


def is_legacy(ctx: ServerRequestContext[Any, Any]) -> bool:
    """Whether the message belongs to a session of an earlier revision."""
    return ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS
