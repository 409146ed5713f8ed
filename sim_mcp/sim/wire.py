"""The seam to the network: one key, one base URL, bounded answers, and our errors for its failures.

Nothing above this file knows `httpx`. The key leaves only in the `X-API-Key` header and only to the
base URL; no cookie is kept (a cookie would turn calls into session calls, sim-api 11.K), no redirect
is followed, no proxy or credential is taken from the environment.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import anyio

from sim_mcp import __version__
from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import SimError, SimUnavailable
from sim_mcp.sim.exchange import Answer, Effect, TextStream, check_api_key
from sim_mcp.sim.losses import broken_off, late, not_sim, too_large, unreachable, unreadable
from sim_mcp.sim.meter import count_request
from sim_mcp.sim.parsing import parse_json, retry_after_s
from sim_mcp.sim.storage import without_storage
from sim_mcp.sim.unpacking import unpack_in_pieces
from sim_mcp.sim.wording import Wording

if TYPE_CHECKING:
    import httpx

MAX_ANSWER_BYTES = 32 * 1024 * 1024
READ_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10.0


class Wire:
    """Sends requests to one base URL with one key. One HTTP attempt per call, never more."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        open_transport: Callable[[], httpx.AsyncBaseTransport],
        clock: Clock,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        """Open nothing yet: the first request calls `open_transport`.

        Raises:
            InvalidInput: The key cannot be sent.
        """
        self._base_url = base_url
        self._api_key = check_api_key(api_key)
        self.words = Wording(base_url=base_url, api_key=api_key)
        self._clock = clock
        self._open_transport = open_transport
        self._max_answer_bytes = max_answer_bytes
        self._transport: httpx.AsyncBaseTransport | None = None
        self._in_flight = 0
        self._is_retired = False
        self._is_tired = False
        self._is_closed = False

    def __repr__(self) -> str:
        """The origin only."""
        return f"<Wire to {self.words.origin}>"

    async def get(self, path: str, *, query: Mapping[str, str] | None = None) -> Answer:
        """Read `path` (from `path_of`).

        Raises:
            SimUnavailable: No usable answer came. Nothing was begun.
            NotASimApi: The answer was not JSON, or a redirect.
        """
        url = f"{path}?{urlencode(query)}" if query else path
        async with self.open("GET", url, effect=Effect.NOTHING, timeout_s=READ_TIMEOUT_S) as answer:
            return self._whole(answer)

    async def post(self, path: str, *, effect: Effect, timeout_s: float) -> Answer:
        """Post to `path` without a body and read a JSON answer. Errors as in `open`."""
        async with self.open("POST", path, effect=effect, timeout_s=timeout_s) as answer:
            return self._whole(answer)

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        effect: Effect,
        timeout_s: float,
    ) -> AsyncGenerator[Answer | TextStream]:
        """Send one request; the answer is valid inside the block. `timeout_s` bounds the whole block.

        Cancelled: the connection is closed, which makes SIM abort a sync run (sim-api 1.8); the
        caller should still cancel it by its id.

        Raises:
            SimUnavailable: It surely never reached SIM, or had no effect.
            SimTimeout: A sync or stream execute had no end within `timeout_s`.
            SimAnswerLost: It was sent and the answer is missing or unusable.
            NotASimApi: A redirect (never followed), or no JSON.
            SimPayloadTooLarge: The request, says a proxy; or the answer, when nothing was begun.
            SimRateLimited: A 429 without JSON.
        """
        import httpx

        with anyio.move_on_after(timeout_s) as scope:
            async with self._connected() as transport:
                with self._translated(effect, timeout_s=timeout_s):
                    request = httpx.Request(
                        method,
                        _url(f"{self._base_url}{path}"),
                        content=content,
                        headers=self._headers(headers or {}, has_body=content is not None),
                        extensions={"timeout": _timeouts(timeout_s)},
                    )
                    count_request()
                    response = await transport.handle_async_request(request)
                unpack_in_pieces(response)
                try:
                    yield await self._answer(response, effect, timeout_s)
                finally:
                    with anyio.CancelScope(shield=True):
                        await response.aclose()
            return
        if scope.cancelled_caught:
            raise late(effect=effect, timeout_s=timeout_s)

    async def aclose(self) -> None:
        """Close the connections now. Later requests fail as unavailable."""
        self._is_closed = True
        await self._disconnect()

    async def retire(self) -> None:
        """Close the connections as soon as no request uses them. Later requests open one for themselves."""
        self._is_retired = True
        if self._in_flight == 0:
            await self._disconnect()

    async def rest(self) -> None:
        """As `retire`, but later requests open connections that stay again."""
        self._is_tired = self._in_flight > 0
        if not self._is_tired:
            await self._disconnect()

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[httpx.AsyncBaseTransport]:
        if self._is_closed:
            raise SimUnavailable("The connection to SIM is closed because this process is stopping.")
        if self._transport is None:
            self._transport = self._open_transport()
        self._in_flight += 1
        try:
            yield self._transport
        finally:
            self._in_flight -= 1
            if (self._is_retired or self._is_tired) and self._in_flight == 0:
                self._is_tired = False
                await self._disconnect()

    async def _disconnect(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            with anyio.CancelScope(shield=True):
                await transport.aclose()

    def _headers(self, more: Mapping[str, str], *, has_body: bool) -> dict[str, str]:
        headers = {
            "X-API-Key": self._api_key,
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": f"sim-mcp/{__version__}",
        }
        if has_body:
            headers["Content-Type"] = "application/json"
        return {**headers, **more}

    async def _answer(
        self, response: httpx.Response, effect: Effect, timeout_s: float
    ) -> Answer | TextStream:
        status, headers = response.status_code, _texts(response.headers.raw)
        request_id = _short_id(self.words.tidy(headers.get("x-request-id", "")))
        if 300 <= status < 400:
            target = self.words.target_of(headers.get("location", ""))
            raise not_sim(f"it redirects to {target}", self.words, effect=effect, status=status)
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        chunks = self._chunks(response, effect, timeout_s)
        if content_type == "text/event-stream" and status == 200:
            return TextStream(chunks=chunks, request_id=request_id)
        async with aclosing(chunks):
            raw = self.words.without_key_bytes(b"".join([chunk async for chunk in chunks]))
        waits_s = retry_after_s(headers.get("retry-after"), now=self._clock.now())
        try:
            body, kept_back = without_storage(parse_json(raw), raw)
        except ValueError:
            raise unreadable(
                self.words, effect=effect, status=status, content_type=content_type, waits_s=waits_s
            ) from None
        return Answer(
            status=status, body=body, retry_after_s=waits_s, request_id=request_id, kept_back=kept_back
        )

    async def _chunks(
        self, response: httpx.Response, effect: Effect, timeout_s: float
    ) -> AsyncGenerator[bytes]:
        left = self._max_answer_bytes
        with self._translated(effect, timeout_s=timeout_s, is_sent=True):
            async for chunk in response.aiter_bytes():
                left -= len(chunk)
                if left < 0:
                    raise too_large(effect=effect, limit_bytes=self._max_answer_bytes)
                yield chunk

    def _whole(self, answer: Answer | TextStream) -> Answer:
        if isinstance(answer, Answer):
            return answer
        raise not_sim("HTTP 200 with an event stream", self.words, effect=Effect.NOTHING, status=200)

    @contextmanager
    def _translated(self, effect: Effect, *, timeout_s: float, is_sent: bool = False) -> Generator[None]:
        """Turn the network's exceptions into ours: unreachable before the request left, lost after."""
        import httpx

        unsent = (
            httpx.ConnectError,
            httpx.ConnectTimeout,
            httpx.PoolTimeout,
            httpx.ProxyError,
            httpx.UnsupportedProtocol,
            httpx.LocalProtocolError,
            httpx.InvalidURL,
        )
        try:
            yield
        except SimError:
            raise
        except Exception as error:  # the edge of this room: every foreign exception ends here
            detail = self.words.detail(f"{type(error).__name__}: {error}")
            if isinstance(error, unsent) and not is_sent:
                raise unreachable(self.words, detail=detail) from error
            if isinstance(error, httpx.ReadTimeout):
                raise late(effect=effect, timeout_s=timeout_s) from error
            raise broken_off(self.words, effect=effect, detail=detail) from error


def _timeouts(timeout_s: float) -> dict[str, float]:
    """Connecting gets less than the whole, so that an unreachable SIM is told apart from a slow one."""
    connect_s = min(CONNECT_TIMEOUT_S, 0.9 * timeout_s)
    return {"connect": connect_s, "read": timeout_s, "write": timeout_s, "pool": connect_s}


@lru_cache(maxsize=512)
def _url(text: str) -> httpx.URL:
    """Parsing one takes longer than sending it; most calls go where earlier ones went."""
    import httpx

    return httpx.URL(text)


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Each header's last value by its name in lower case, read once for all: httpx reads all for each."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def _short_id(text: str) -> str | None:
    return text if re.fullmatch(r"[\w.:-]{1,128}", text, re.ASCII) else None
