"""Asking SIM again, as often as the retry policy allows for what is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import SimError
from sim_mcp.resilience import RetryPolicy, Verb

T = TypeVar("T")


async def insisted(
    ask: Callable[[], Awaitable[T]], *, verb: Verb, within_s: float, retry: RetryPolicy, clock: Clock
) -> T:
    """What `ask` answers, asked again while the policy allows it for `verb` and `within_s` seconds last.

    Raises:
        SimError: the last one, when it must not be asked again.
    """
    began_s, attempt = clock.monotonic(), 0
    while True:
        attempt += 1
        try:
            return await ask()
        except SimError as error:
            elapsed_s = clock.monotonic() - began_s
            wait_s = retry.wait_s(error, verb=verb, attempt=attempt, elapsed_s=elapsed_s, within_s=within_s)
            if wait_s is None:
                raise
            await clock.sleep(wait_s)
