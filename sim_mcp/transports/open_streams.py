"""Open streams end with the token that opened them.

A request is checked when it comes; a stream may stay open for days. So its token is checked again
every minute, at its expiry, and whenever tokens of its tenant changed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from sim_mcp.model.errors import SimMcpError, Unauthorized
from sim_mcp.model.facts import Fact, SettingsChanged
from sim_mcp.transports.http_bearer import authorization_of, caller_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sim_mcp.app import Facts
    from sim_mcp.transports.auth import Authenticator
    from sim_mcp.transports.http_bearer import CallerToken

log = logging.getLogger(__name__)

LOOK_EVERY_S = 60.0
LOOK_AT_MOST_EVERY_S = 1.0
_KINDS_THAT_CHANGE_TOKENS = frozenset({"tokens", "everything"})


class WhileValid:
    """Serves GET requests, which may be answered by a stream, for as long as the caller's token is valid.

    To the application the end looks like a client that left, so that nothing under way is lost by
    it that a lost connection would not lose. Stands behind `RequireBearer`. Other methods are passed
    on: who asked for something was let in then, and gets the answer.
    """

    def __init__(self, app: ASGIApp, authenticator: Authenticator, *, facts: Facts) -> None:
        self._app = app
        self._authenticator = authenticator
        self._facts = facts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        ended = anyio.Event()
        answer = _Answer(send)
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, scope, ended)
            await self._app(scope, _UntilEnded(receive, ended), answer.pass_on)
            group.cancel_scope.cancel()
        if ended.is_set():
            await answer.finish()

    async def _watch(self, scope: Scope, ended: anyio.Event) -> None:
        """Set `ended` once the token is not valid any more."""
        caller, header = caller_of(scope), authorization_of(scope)
        changes = _Changes(caller)
        unsubscribe = self._facts.subscribe(changes)
        try:
            while True:
                await self._until_next_look(caller, changes)
                try:
                    await self._authenticator.authenticate(header)
                except Unauthorized:
                    ended.set()
                    return
                except SimMcpError as error:  # says nothing about the token: look again
                    log.warning("an open stream's token cannot be checked: %s", error.message)
        finally:
            unsubscribe()

    async def _until_next_look(self, caller: CallerToken, changes: _Changes) -> None:
        clock = self._authenticator.clock
        wait_s = LOOK_EVERY_S
        if caller.expires_at is not None:
            wait_s = min(wait_s, caller.expires_at - clock.now().timestamp())

        async def sleep() -> None:
            await clock.sleep(max(LOOK_AT_MOST_EVERY_S, wait_s))
            group.cancel_scope.cancel()

        async def hear() -> None:
            await changes.next()
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(sleep)
            group.start_soon(hear)


class _Changes:
    """Hears of changes to the tokens of one caller's tenant, also between two looks."""

    def __init__(self, caller: CallerToken) -> None:
        self._tenant_id = caller.principal.tenant_id
        self._changed = anyio.Event()

    def __call__(self, fact: Fact) -> None:
        if (
            isinstance(fact, SettingsChanged)
            and fact.kind in _KINDS_THAT_CHANGE_TOKENS
            and fact.tenant_id in {None, self._tenant_id}
        ):
            self._changed.set()

    async def next(self) -> None:
        """Return once there was a change since the last time."""
        await self._changed.wait()
        self._changed = anyio.Event()


@dataclass(frozen=True, slots=True)
class _UntilEnded:
    """The client's messages, until it is to have left."""

    receive: Receive
    ended: anyio.Event

    async def __call__(self) -> Message:
        message: Message = {"type": "http.disconnect"}

        async def hear() -> None:
            nonlocal message
            message = await self.receive()
            group.cancel_scope.cancel()

        async def end() -> None:
            await self.ended.wait()
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(hear)
            group.start_soon(end)
        return message


class _Answer:
    """Passes an answer on, and knows how far it got."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_open = False

    async def pass_on(self, message: Message) -> None:
        """Send a part of the answer."""
        await self._send(message)
        if message["type"] == "http.response.start":
            self._is_open = True
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self._is_open = False

    async def finish(self) -> None:
        """End an answer that was begun, in an orderly way."""
        if self._is_open:
            await self.pass_on({"type": "http.response.body", "body": b"", "more_body": False})
