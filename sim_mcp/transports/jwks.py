"""The public keys of the identity provider: fetched from one configured address, and kept.

Nothing in a token says where keys come from (`jku`, `x5u`, `jwk` and the like are never read), so a
caller cannot bring its own. A token that names an unknown key makes us look once, however many come.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from sim_mcp.model.errors import IdentityUnavailable, Unauthorized
from sim_mcp.model.json import JsonObject, is_array, is_object

if TYPE_CHECKING:
    import httpx
    from jwt import PyJWK

    from sim_mcp.model.clock import Clock

log = logging.getLogger(__name__)

FRESH_S = 600.0
"""How long keys are used without looking again."""
KEPT_S = 86_400.0
"""How long keys are used while the provider does not answer."""
PAUSE_S = 10.0
"""Between two fetches, whatever callers send."""
FETCH_WITHIN_S = 5.0
LARGEST_BYTES = 256 * 1024
MOST_KEYS = 100
LEAST_RSA_BITS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """One published key and the one algorithm that it may be used with."""

    key_id: str | None
    algorithm: str
    key: PyJWK


class JwksKeys:
    """The provider's keys. One fetch at a time, and at most one in ten seconds."""

    def __init__(self, url: str, *, clock: Clock, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url
        self._clock = clock
        self._transport = transport
        self._keys: tuple[_Key, ...] = ()
        self._fetched_s: float | None = None
        self._asked_s: float | None = None
        self._fetching = anyio.Lock()

    async def find(self, key_id: str | None, algorithm: str) -> PyJWK:
        """The key named `key_id`, fit for `algorithm`; without a name, the only one that fits.

        Raises:
            Unauthorized: the provider publishes no such key.
            IdentityUnavailable: the provider does not answer, and what it last said is too old.
        """
        if self._age_s() > FRESH_S:
            await self._refresh()
        if self._age_s() > KEPT_S:
            raise IdentityUnavailable(
                "Tokens cannot be checked at the moment: the identity provider does not answer. Try again.",
                retry_after_s=PAUSE_S,
            )
        found = self._chosen(key_id, algorithm)
        if found is None:
            await self._refresh()
            found = self._chosen(key_id, algorithm)
        if found is None:
            raise Unauthorized("The token is signed with a key that the identity provider does not publish.")
        return found

    def _age_s(self) -> float:
        return float("inf") if self._fetched_s is None else self._clock.monotonic() - self._fetched_s

    def _chosen(self, key_id: str | None, algorithm: str) -> PyJWK | None:
        fitting = [each for each in self._keys if each.algorithm == algorithm]
        if key_id is not None:
            fitting = [each for each in fitting if each.key_id == key_id]
        return fitting[0].key if len(fitting) == 1 else None

    async def _refresh(self) -> None:
        """Fetch the keys, unless somebody did a moment ago. What is known stays when that fails."""
        async with self._fetching:
            now_s = self._clock.monotonic()
            if self._asked_s is not None and now_s - self._asked_s < PAUSE_S:
                return
            self._asked_s = now_s
            document = await self._fetched()
            if document is not None:
                self._keys = tuple(_keys_in(document))
                self._fetched_s = now_s

    async def _fetched(self) -> JsonObject | None:
        import httpx

        try:
            with anyio.fail_after(FETCH_WITHIN_S):
                async with httpx.AsyncClient(
                    transport=self._transport, follow_redirects=False, trust_env=False, timeout=FETCH_WITHIN_S
                ) as client:
                    document = json.loads(await _body(client, self._url))
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError) as error:
            log.warning("the identity provider's keys cannot be read: %s", type(error).__name__)
            return None
        if not is_object(document) or not is_array(document.get("keys")):
            log.warning("the identity provider's answer is no key set")
            return None
        return document


async def _body(client: httpx.AsyncClient, url: str) -> bytes:
    body = bytearray()
    async with client.stream("GET", url, headers={"accept": "application/json"}) as answer:
        if answer.status_code != 200:
            raise ValueError(f"HTTP {answer.status_code}")
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > LARGEST_BYTES:
                raise ValueError("too large")
    return bytes(body)


def _keys_in(document: JsonObject) -> Iterator[_Key]:
    listed = document.get("keys")
    for item in listed[:MOST_KEYS] if is_array(listed) else []:
        algorithm = _algorithm_of(item) if is_object(item) else None
        if algorithm is None or not is_object(item):
            continue
        key = _parsed(dict(item), algorithm)
        if key is not None:
            name = item.get("kid")
            yield _Key(key_id=name if isinstance(name, str) else None, algorithm=algorithm, key=key)


def _algorithm_of(item: JsonObject) -> str | None:
    """The one algorithm that a public signing key is for; `None` for every other kind of key."""
    uses = item.get("key_ops")
    if item.get("use", "sig") != "sig" or (is_array(uses) and "verify" not in uses):
        return None
    match item.get("kty"), item.get("crv"):
        case "RSA", _:
            fits = "RS256"
        case "EC", "P-256":
            fits = "ES256"
        case "OKP", "Ed25519":
            fits = "EdDSA"
        case _:
            return None  # a shared secret ("oct") has no place in a public document
    return fits if item.get("alg", fits) == fits else None


def _parsed(item: dict[str, Any], algorithm: str) -> PyJWK | None:
    import jwt

    public = {
        name: value for name, value in item.items() if name not in {"d", "p", "q", "dp", "dq", "qi", "oth"}
    }
    try:
        key = jwt.PyJWK(public, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        log.warning("one of the identity provider's keys cannot be read")
        return None
    if algorithm == "RS256" and key.key.key_size < LEAST_RSA_BITS:
        log.warning("one of the identity provider's RSA keys is shorter than %d bits", LEAST_RSA_BITS)
        return None
    return key
