"""A stream stays open as long as the token that opened it counts, and not longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sim_mcp.transports.auth import Authenticator

_GONE: Message = {"type": "http.disconnect"}


async def serve_while_valid(
    app: ASGIApp,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    authenticator: Authenticator,
    header: str | None,
) -> None:
    """Serve a request until it ends, or until the token in `header` has expired or was revoked.

    The application then hears what it hears of a caller that hung up, so that it closes everything
    in its own order; the caller gets the regular end of the answer.
    """
    is_over = anyio.Event()
    has_begun = has_ended = False

    async def watch() -> None:
        await authenticator.until_invalid(header)
        is_over.set()

    async def told(message: Message) -> None:
        nonlocal has_begun, has_ended
        has_begun = True
        has_ended = message["type"] == "http.response.body" and not message.get("more_body", False)
        await send(message)

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await app(scope, _ending(receive, is_over), told)
        group.cancel_scope.cancel()
    if is_over.is_set() and has_begun and not has_ended:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _ending(receive: Receive, is_over: anyio.Event) -> Receive:
    """`receive`, which tells of a caller that hung up as soon as `is_over` is set."""

    async def heard() -> Message:
        message = _GONE
        async with anyio.create_task_group() as group:

            async def end() -> None:
                await is_over.wait()
                group.cancel_scope.cancel()

            group.start_soon(end)
            message = await receive()
            group.cancel_scope.cancel()
        return message

    return heard
