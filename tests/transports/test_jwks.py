"""The identity provider's keys: which are used, how long, and how often it is asked."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio.abc import SocketAttribute, SocketStream

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import IdentityUnavailable, Unauthorized
from sim_mcp.transports.auth import Authenticator
from sim_mcp.transports.jwks import FETCH_EVERY_S, FRESH_S, LARGEST_DOCUMENT_BYTES, USABLE_S, KeyRing
from sim_mcp.transports.jwks_keys import MOST_KEYS, read_key_set
from tests.transports.identity_provider import (
    JWKS_URL,
    SETTINGS,
    IdentityProvider,
    private_keys,
    public_jwk,
    rsa_key,
)
from tests.transports.web import bearer
from tests.world import SECRET, open_world

pytestmark = pytest.mark.anyio
RSA, EC, ED = (key for _, key in private_keys().values())


@pytest.fixture
def provider() -> IdentityProvider:
    """It publishes a key of each kind."""
    return IdentityProvider.honest()


@pytest.fixture
def ring(provider: IdentityProvider, clock: ManualClock) -> KeyRing:
    """Its keys as a server keeps them."""
    return KeyRing(JWKS_URL, clock=clock, open_transport=provider.transport)


@pytest.fixture
async def door(
    tmp_path: Path, provider: IdentityProvider, clock: ManualClock
) -> AsyncGenerator[Authenticator]:
    """The check of bearer tokens in a server that trusts the provider."""
    async with open_world(
        tmp_path, clock=clock, connect={}, identity_transport=provider.transport, **SETTINGS
    ) as world:
        yield Authenticator(world.app)


async def tenant_of(door: Authenticator, token: str) -> str:
    """The tenant that the door sees in the token."""
    return (await door.authenticate(f"Bearer {token}")).principal.tenant_id


@pytest.mark.requirement("R10")
@pytest.mark.parametrize("kid", list(private_keys()))
@pytest.mark.parametrize("kind", ["JWT", "at+jwt", "AT+JWT", "application/at+jwt", ...])
async def test_a_token_by_each_kind_of_key_names_its_tenant(
    door: Authenticator, provider: IdentityProvider, kid: str, kind: Any
) -> None:
    """RS256, ES256 and EdDSA, with the types that access tokens have."""
    for tenant in ("acme", "globex"):
        token = provider.token(tenant, kid=kid, headers={"typ": None if kind is ... else kind})
        assert await tenant_of(door, token) == tenant
    assert provider.fetches == 1


async def test_secret_and_provider_work_side_by_side(
    tmp_path: Path, provider: IdentityProvider, clock: ManualClock
) -> None:
    """Each algorithm has its own key; issuer and audience count for both."""
    both: dict[str, Any] = SETTINGS | {"auth_jwt_secret": SECRET}
    async with open_world(
        tmp_path, clock=clock, connect={}, identity_transport=provider.transport, **both
    ) as world:
        door = Authenticator(world.app)
        assert await tenant_of(door, provider.token("globex")) == "globex"
        shared = bearer("acme", iss=SETTINGS["auth_issuer"], aud=SETTINGS["auth_audience"])
        assert (await door.authenticate(shared["authorization"])).principal.tenant_id == "acme"
        with pytest.raises(Unauthorized):
            await door.authenticate(bearer("acme")["authorization"])


@pytest.mark.parametrize(
    ("entry", "is_used"),
    [
        pytest.param(public_jwk(RSA, kid="k"), True, id="RSA"),
        pytest.param(public_jwk(EC, kid="k", alg="ES256", use=..., key_ops=["verify"]), True, id="EC"),
        pytest.param(public_jwk(ED), True, id="without a name"),
        pytest.param(public_jwk(ED, kid=7), True, id="a name that is no text"),
        pytest.param(public_jwk(RSA, use="enc"), False, id="for encryption"),
        pytest.param(public_jwk(RSA, alg="RS512"), False, id="for another algorithm"),
        pytest.param(public_jwk(RSA, alg="HS256"), False, id="for HMAC"),
        pytest.param(public_jwk(RSA, alg=None), False, id="for nothing"),
        pytest.param(public_jwk(RSA, key_ops=["encrypt"]), False, id="for other operations"),
        pytest.param(public_jwk(RSA, key_ops="verify"), False, id="operations that are no list"),
        pytest.param(public_jwk(rsa_key(1024)), False, id="weak RSA"),
        pytest.param(public_jwk(RSA, d="AQAB"), False, id="a private key"),
        pytest.param({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "use": "sig"}, False, id="symmetric"),
        pytest.param(public_jwk(EC, crv="P-384"), False, id="another curve"),
        pytest.param(public_jwk(EC, y=...), False, id="half a point"),
        pytest.param(public_jwk(EC, x="AAAA"), False, id="a point beside the curve"),
        pytest.param(public_jwk(RSA, n="!"), False, id="not base64"),
        pytest.param(public_jwk(RSA, n=7), False, id="a number as text"),
        pytest.param({"kty": ["RSA"]}, False, id="a list as type"),
        pytest.param({}, False, id="nothing"),
        pytest.param("key", False, id="no object"),
    ],
)
def test_only_keys_that_can_verify_are_used(entry: Any, *, is_used: bool) -> None:
    """What cannot be used is left out, and spoils nothing beside it."""
    document = json.dumps({"keys": [entry, public_jwk(ED, kid="good")]}).encode()
    found = read_key_set(document)
    assert len(found.keys) == 1 + is_used
    assert found.knows("good")


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b'{"keys":{}}', b"\xff", b"[" * 100_000, b"<html>", b'{"keys":null}']
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    """A login page must not read as "no keys"."""
    with pytest.raises(ValueError, match=r".+"):
        read_key_set(document)


def test_an_empty_set_is_a_set_and_a_huge_one_is_cut() -> None:
    """No keys: nobody is let in. Too many: the first ones count."""
    assert read_key_set(b'{"keys":[]}').keys == ()
    many = [public_jwk(ED, kid=str(number)) for number in range(MOST_KEYS + 5)]
    assert len(read_key_set(json.dumps({"keys": many}).encode()).keys) == MOST_KEYS


async def test_a_token_without_a_key_name_is_checked_with_every_fitting_key(
    door: Authenticator, provider: IdentityProvider
) -> None:
    """Named keys and nameless ones; a named token never falls back to a nameless key."""
    provider.published = [public_jwk(rsa_key(nth=1)), public_jwk(rsa_key(nth=2)), public_jwk(RSA)]
    assert await tenant_of(door, provider.token(headers={"kid": ...})) == "acme"
    with pytest.raises(Unauthorized):
        await tenant_of(door, provider.token())


async def test_two_keys_of_one_name_are_told_apart_by_their_algorithm(
    door: Authenticator, provider: IdentityProvider
) -> None:
    """Some providers name all of a generation alike."""
    provider.published = [public_jwk(RSA, kid="same"), public_jwk(EC, kid="same")]
    for kid in ("rsa-1", "ec-1"):
        assert await tenant_of(door, provider.token(kid=kid, headers={"kid": "same"})) == "acme"


@pytest.mark.requirement("R60")
async def test_a_new_key_is_fetched_when_a_token_names_it(
    door: Authenticator, provider: IdentityProvider, clock: ManualClock
) -> None:
    """A rotation takes effect with the first token, without a restart."""
    provider.published = [public_jwk(RSA, kid="rsa-1")]
    await tenant_of(door, provider.token())
    provider.published.append(public_jwk(EC, kid="ec-1"))
    clock.advance(FETCH_EVERY_S)
    assert await tenant_of(door, provider.token(kid="ec-1")) == "acme"
    assert provider.fetches == 2


@pytest.mark.requirement("R60")
async def test_a_flood_of_unknown_keys_causes_a_fetch_every_ten_seconds(
    door: Authenticator, provider: IdentityProvider, clock: ManualClock
) -> None:
    """However many callers, however they are spread; and known keys go on being accepted."""
    await tenant_of(door, provider.token())
    clock.advance(FETCH_EVERY_S)
    for _ in range(3):
        before = provider.fetches

        async def attack(number: int) -> None:
            with pytest.raises(Unauthorized):
                await tenant_of(door, provider.token(headers={"kid": f"unknown-{number}"}))

        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(attack, number)
        clock.advance(FETCH_EVERY_S - 1)
        await attack(50)
        assert provider.fetches == before + 1
        assert await tenant_of(door, provider.token("globex")) == "globex"
        clock.advance(1)


async def test_callers_share_one_fetch(ring: KeyRing, provider: IdentityProvider, clock: ManualClock) -> None:
    """A cold start under load asks once; and whoever has usable keys does not wait for the next."""
    provider.hold = anyio.Event()
    found: list[int] = []

    async def ask() -> None:
        found.append(len((await ring.current()).keys))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        provider.hold.set()
    assert (found, provider.fetches) == ([3] * 20, 1)
    provider.hold = anyio.Event()
    clock.advance(FRESH_S)
    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        await ask()
        assert len(found) == 21
        provider.hold.set()
    assert provider.fetches == 2


async def test_a_caller_who_leaves_does_not_spoil_the_fetch(
    ring: KeyRing, provider: IdentityProvider
) -> None:
    """The fetch is everybody's: it is finished whoever began it."""
    provider.hold = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(ring.current)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
        provider.hold.set()
    assert len((await ring.current()).keys) == 3
    assert provider.fetches == 1


async def test_old_keys_serve_for_an_hour_while_the_provider_is_down(
    door: Authenticator, provider: IdentityProvider, clock: ManualClock
) -> None:
    """Then nobody can tell good from bad tokens, and saying 401 would be a lie."""
    await tenant_of(door, provider.token())
    provider.status = 503
    clock.advance(USABLE_S - 1)
    assert await tenant_of(door, provider.token()) == "acme"
    clock.advance(60)
    with pytest.raises(IdentityUnavailable) as down:
        await tenant_of(door, provider.token())
    assert down.value.retry_after_s == FETCH_EVERY_S
    provider.status = 200
    clock.advance(FETCH_EVERY_S)
    assert await tenant_of(door, provider.token()) == "acme"


async def test_a_withdrawn_key_counts_for_ten_minutes_at_most(
    door: Authenticator, provider: IdentityProvider, clock: ManualClock
) -> None:
    """The provider is asked again when the keys are that old, even though they still serve."""
    await tenant_of(door, provider.token())
    provider.published = [public_jwk(EC, kid="ec-1")]
    clock.advance(FRESH_S)
    with pytest.raises(Unauthorized):
        await tenant_of(door, provider.token())


@pytest.mark.requirement("R60")
@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ({"status": 302, "headers": {"location": "https://evil.example/keys"}}, "HTTP status 302"),
        ({"status": 500}, "HTTP status 500"),
        ({"body": b"x" * (LARGEST_DOCUMENT_BYTES + 1)}, "more than 262144 bytes"),
        ({"body": b"<html>sign in</html>"}, "no usable answer (JSONDecodeError)"),
        ({"body": b"[]"}, "it is not a JWK Set"),
        ({"headers": {"content-encoding": "gzip"}}, "a compressed answer, which was not asked for"),
    ],
)
async def test_an_unusable_answer_is_logged_and_nobody_is_let_in(
    door: Authenticator,
    provider: IdentityProvider,
    caplog: pytest.LogCaptureFixture,
    faults: dict[str, Any],
    reason: str,
) -> None:
    """No redirect is followed, no large or compressed document read; the log names the fault."""
    for name, value in faults.items():
        setattr(provider, name, value)
    with caplog.at_level(logging.WARNING), pytest.raises(IdentityUnavailable):
        await tenant_of(door, provider.token())
    assert caplog.messages == [f"the identity provider's keys cannot be read: {reason}"]
    assert provider.asked == [JWKS_URL]


async def test_a_provider_that_never_answers_is_not_waited_for(
    provider: IdentityProvider, clock: ManualClock
) -> None:
    """The wait is bounded, whatever the network does."""
    provider.hold = anyio.Event()
    ring = KeyRing(JWKS_URL, clock=clock, open_transport=provider.transport, fetch_within_s=0.01)
    with pytest.raises(IdentityUnavailable):
        await ring.current()


async def test_a_provider_that_cannot_be_reached_is_logged_without_its_words(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Exceptions of the network may carry anything."""

    class Broken(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("some secret", request=request)

    with pytest.raises(IdentityUnavailable):
        await KeyRing(JWKS_URL, clock=clock, open_transport=Broken).current()
    assert caplog.messages == ["the identity provider's keys cannot be read: no usable answer (ConnectError)"]


@pytest.mark.sockets
@pytest.mark.requirement("R60")
async def test_keys_are_read_over_a_real_connection_and_through_no_proxy(
    provider: IdentityProvider, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the environment names: keys come from the configured address, or not at all."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    body = json.dumps({"keys": provider.published}).encode()

    async def answer(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(
                b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            )
            await stream.send(body)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - a listener, not a query
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, answer)
            ring = KeyRing(f"http://127.0.0.1:{port}/keys", clock=clock)
            assert len((await ring.current()).keys) == 3
            group.cancel_scope.cancel()
