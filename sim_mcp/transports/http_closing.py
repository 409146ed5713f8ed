"""An orderly end over HTTP: whoever waits for a call is answered, then the other streams end.

Left to itself the library of the streams cuts them all at the signal, answers under way included; a client
that was cut off does not know that its call goes on, and may make it again.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim_mcp.app import App

ANSWERED_WITHIN_S = 3.5
"""How long calls may still come to their ends; then their callers are told to follow them."""
SENT_WITHIN_S = 0.2
LOOK_EVERY_S = 0.05


@contextmanager
def streams_outlive_the_signal() -> Generator[None]:
    """Inside the block no stream is cut because the process was told to end, until `end_streams`."""
    from sse_starlette.sse import AppStatus

    AppStatus.disable_automatic_graceful_drain()
    try:
        yield
    finally:
        AppStatus.enable_automatic_graceful_drain_mode()


async def end_streams(app: App) -> None:
    """Answer everybody who waits for a call, then let the open streams end.

    The calls themselves go on until the rooms close; what is not over then is followed at the next start.
    """
    from sse_starlette.sse import AppStatus

    waiting, clock = app.gateway.waiting, app.outside.clock
    waiting.begin_closing(within_s=ANSWERED_WITHIN_S)
    ends_at_s = clock.monotonic() + ANSWERED_WITHIN_S + SENT_WITHIN_S
    while waiting.is_waited_for and clock.monotonic() < ends_at_s:
        await clock.sleep(LOOK_EVERY_S)
    await clock.sleep(SENT_WITHIN_S)
    AppStatus.enable_automatic_graceful_drain_mode()
