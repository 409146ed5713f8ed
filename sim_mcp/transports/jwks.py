"""The keys of the configured identity provider: fetched from one fixed URL, cached, renewed with a bound.

No token can make us ask another address, and no number of tokens can make us ask more than once in
ten seconds.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio

from sim_mcp.model.errors import IdentityUnavailable
from sim_mcp.transports.jwks_keys import KeySet, read_key_set

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from sim_mcp.model.clock import Clock

log = logging.getLogger(__name__)

FRESH_S = 600.0
"""How long keys are used without asking again: a withdrawn key counts as long as that."""
USABLE_S = 3600.0
"""How long keys are used while the provider cannot be reached."""
FETCH_EVERY_S = 10.0
"""At least this lies between the beginnings of two fetches, whatever tokens arrive."""
FETCH_WITHIN_S = 5.0
LARGEST_DOCUMENT_BYTES = 256 * 1024


class KeyRing:
    """The provider's keys. Callers that need a fetch share one."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        open_transport: Callable[[], httpx.AsyncBaseTransport] | None = None,
        fetch_within_s: float = FETCH_WITHIN_S,
    ) -> None:
        """Fetch nothing yet. `open_transport` stands in for the network."""
        self._url = url
        self._clock = clock
        self._open_transport = open_transport
        self._fetch_within_s = fetch_within_s
        self._fetching = anyio.Lock()
        self._keys: KeySet | None = None
        self._fetched_at_s = 0.0
        self._asked_at_s: float | None = None

    async def current(self) -> KeySet:
        """Keys that are at most ten minutes old, or an hour while the provider does not answer.

        Waits for a fetch only when there is nothing usable, or when nobody else is at it.

        Raises:
            IdentityUnavailable: there are none; it says nothing about any token.
        """
        if self._is_younger_than(FRESH_S) or (self._fetching.locked() and self._is_younger_than(USABLE_S)):
            return self._known()
        async with self._fetching:
            if not self._is_younger_than(FRESH_S):
                await self._fetch()
        if not self._is_younger_than(USABLE_S):
            self._keys = None
        return self._known()

    async def renewed(self, known: KeySet) -> KeySet:
        """Keys fetched after `known`, for a token that names a key which is not among them.

        `known` itself when the last fetch is less than ten seconds old, or fails.
        """
        async with self._fetching:
            if self._keys is known:
                await self._fetch()
        return self._keys or known

    def _known(self) -> KeySet:
        if self._keys is None:
            raise IdentityUnavailable(
                "The keys of the identity provider cannot be read at present: try again soon. The operator "
                "finds the reason in the server's log.",
                retry_after_s=self._wait_s(),
            )
        return self._keys

    def _is_younger_than(self, age_s: float) -> bool:
        return self._keys is not None and self._clock.monotonic() - self._fetched_at_s < age_s

    def _wait_s(self) -> float:
        if self._asked_at_s is None:
            return 0.0
        return max(0.0, self._asked_at_s + FETCH_EVERY_S - self._clock.monotonic())

    async def _fetch(self) -> None:
        """Replace the keys, unless it is too soon or the provider gives no usable answer."""
        import httpx

        if self._wait_s() > 0:
            return
        self._asked_at_s = self._clock.monotonic()
        try:
            # Shielded: many callers wait for this one; the one that happens to do it may leave.
            with anyio.fail_after(self._fetch_within_s, shield=True):
                self._keys = read_key_set(await self._document())
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            log.warning("the identity provider's keys cannot be read: %s", _reason(error))
            return
        self._fetched_at_s = self._clock.monotonic()
        log.info("the identity provider publishes %d usable keys", len(self._keys.keys))

    async def _document(self) -> bytes:
        import httpx

        transport = httpx.AsyncHTTPTransport() if self._open_transport is None else self._open_transport()
        async with (
            httpx.AsyncClient(
                transport=transport, trust_env=False, follow_redirects=False, timeout=self._fetch_within_s
            ) as client,
            client.stream(
                "GET", self._url, headers={"accept": "application/json", "accept-encoding": "identity"}
            ) as answer,
        ):
            if answer.status_code != 200:
                raise ValueError(f"HTTP status {answer.status_code}")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("a compressed answer, which was not asked for")
            document = bytearray()
            async for chunk in answer.aiter_raw():
                document += chunk
                if len(document) > LARGEST_DOCUMENT_BYTES:
                    raise ValueError(f"more than {LARGEST_DOCUMENT_BYTES} bytes")
            return bytes(document)


def _reason(error: Exception) -> str:
    """What to log: our own words for faults of the content, the kind of a network failure otherwise."""
    is_ours = type(error) is ValueError
    return str(error) if is_ours else f"no usable answer ({type(error).__name__})"
