"""Tokens that must not count, and an identity provider that misbehaves."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm
from jwt.warnings import InsecureKeyLengthWarning

from sim_mcp.config import Settings
from sim_mcp.model.clock import ManualClock
from tests.transports.provider import (
    AUDIENCE,
    ISSUER,
    JWKS_SETTINGS,
    JWKS_URL,
    Provider,
    public_jwk,
    rsa_key,
)
from tests.transports.web import NOW_S, Web, bearer, claims, open_web, signed
from tests.world import SECRET, settings

pytestmark = pytest.mark.anyio

RSA_KEY = rsa_key()
OTHER_RSA = rsa_key()
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


@pytest.fixture
def provider() -> Provider:
    """Publishes one key of each kind."""
    known = Provider()
    known.publish("rsa", RSA_KEY, use="sig", alg="RS256")
    known.publish("ec", EC_KEY)
    known.publish("ed", ED_KEY, use="sig")
    return known


@pytest.fixture
async def web(tmp_path: Path, provider: Provider) -> AsyncGenerator[Web]:
    """A server that accepts the provider's tokens beside those of the shared secret."""
    async with open_web(
        tmp_path, identity_transport=provider.transport(), auth_jwt_secret=SECRET, **JWKS_SETTINGS
    ) as opened:
        yield opened


def by(token: str) -> dict[str, str]:
    """The header of somebody with this token."""
    return {"authorization": f"Bearer {token}"}


async def status(web: Web, token: str) -> int:
    """What the settings answer to this token."""
    return (await web.ask("GET", "/settings", by=by(token))).status_code


def unsigned_part(value: object) -> str:
    """One part of a token, written by hand."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.requirement("R10")
@pytest.mark.parametrize(("key_id", "algorithm"), [("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA")])
async def test_the_provider_s_tokens_count(web: Web, provider: Provider, key_id: str, algorithm: str) -> None:
    """All three kinds of key, fetched once, each tenant as itself."""
    for tenant in ("acme", "globex", "acme"):
        answer = await web.ask("GET", "/settings", by=by(provider.token(key_id, algorithm, tenant)))
        assert (answer.status_code, answer.json()["tenantId"]) == (200, tenant)
    shared = bearer(iss=ISSUER, aud=AUDIENCE)
    assert (await web.ask("GET", "/settings", by=shared)).status_code == 200
    assert provider.fetches == 1


def _headers(**members: Any) -> dict[str, Any]:
    return {"kid": "rsa", **members}


def _payload(**changes: Any) -> dict[str, Any]:
    return claims(iss=ISSUER, aud=AUDIENCE, **changes)


def _by_rsa(headers: dict[str, Any] | None = None, key: Any = RSA_KEY, **changes: Any) -> str:
    return jwt.encode(_payload(**changes), key, algorithm="RS256", headers=_headers(**(headers or {})))


def _hmac_with(secret: bytes) -> str:
    """HS256 with something public as its secret; by hand, because the library refuses to sign it."""
    import hashlib
    import hmac

    told = f"{unsigned_part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'rsa'})}.{unsigned_part(_payload())}"
    mac = hmac.new(secret, told.encode(), hashlib.sha256).digest()
    return f"{told}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


_PUBLIC = RSA_KEY.public_key()
ATTACKS: dict[str, str] = {
    "unsigned": f"{unsigned_part({'alg': 'none', 'kid': 'rsa'})}.{unsigned_part(_payload())}.",
    "unsigned, spelt otherwise": f"{unsigned_part({'alg': 'nOnE'})}.{unsigned_part(_payload())}.",
    "RS512": jwt.encode(_payload(), RSA_KEY, algorithm="RS512", headers=_headers()),
    "PS256": jwt.encode(_payload(), RSA_KEY, algorithm="PS256", headers=_headers()),
    "HS256 with the public key as PEM": _hmac_with(
        _PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    ),
    "HS256 with the public key as DER": _hmac_with(
        _PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ),
    "HS256 with the public key as JWK": _hmac_with(json.dumps(public_jwk(RSA_KEY)).encode()),
    "HS256 with an empty secret": _hmac_with(b""),
    "RS256 with another's key": _by_rsa(key=OTHER_RSA),
    "RS256 under an EC key's name": _by_rsa({"kid": "ec"}),
    "an embedded key": _by_rsa({"jwk": public_jwk(OTHER_RSA), "kid": "x"}, key=OTHER_RSA),
    "an address of keys": _by_rsa({"jku": "https://evil.example.com/keys", "kid": "x"}, key=OTHER_RSA),
    "an address of certificates": _by_rsa({"x5u": "https://evil.example.com/c", "kid": "x"}, key=OTHER_RSA),
    "a critical extension": _by_rsa({"crit": ["exp"], "exp": NOW_S}),
    "a name that is a path": _by_rsa({"kid": "../../etc/passwd"}, key=OTHER_RSA),
    "a logout token": _by_rsa({"typ": "logout+jwt"}),
    "expired": _by_rsa(exp=NOW_S - 31),
    "not valid yet": _by_rsa(nbf=NOW_S + 31),
    "issued in the future": _by_rsa(iat=NOW_S + 31),
    "no expiry": _by_rsa(exp=...),
    "an expiry beyond all floats": _by_rsa(exp=10**400),
    "another audience": jwt.encode(
        claims(iss=ISSUER, aud="https://other.example.com"), RSA_KEY, "RS256", headers=_headers()
    ),
    "no audience": jwt.encode(claims(iss=ISSUER), RSA_KEY, "RS256", headers=_headers()),
    "another issuer": jwt.encode(
        claims(iss="https://evil.example.com", aud=AUDIENCE), RSA_KEY, "RS256", headers=_headers()
    ),
    "no tenant": _by_rsa(tenantId=...),
    "two tenants": _by_rsa(tenantId=["acme", "globex"]),
    "a tenant within": _by_rsa(tenantId={"acme": True}),
    "a refresh token": _by_rsa(token_type="refresh_token"),
    "a client without a person": _by_rsa(token_use="client_credentials"),
    "a megabyte": _by_rsa(padding="x" * 1_000_000),
    "deeply nested": _by_rsa(deep=json.loads("[" * 400 + "]" * 400), tenantId=...),
    "not UTF-8": f"{unsigned_part({'alg': 'RS256', 'kid': 'rsa'})}.{'_w' * 20}.{'A' * 43}",
    "a header that is a list": f"{unsigned_part(['RS256'])}.{unsigned_part(_payload())}.{'A' * 43}",
    "an algorithm that is a list": f"{unsigned_part({'alg': ['RS256']})}.{unsigned_part(_payload())}.AAAA",
    "a name that is an object": f"{unsigned_part({'alg': 'RS256', 'kid': {}})}.{unsigned_part({})}.AAAA",
    "an encrypted token": "eyJ.a.b.c.d",
}


@pytest.mark.requirement("R10", "R60")
@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_forged_or_foreign_token_gets_nowhere(
    web: Web, attack: str, caplog: pytest.LogCaptureFixture
) -> None:
    """401 in the one error format; neither the answer nor the log repeats the token."""
    token = ATTACKS[attack]
    with caplog.at_level(logging.DEBUG):
        answer = await web.ask("GET", "/settings", by=by(token))
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED"), answer.text
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    for part in token.split("."):
        assert len(part) < 12 or part not in answer.text + caplog.text


@pytest.mark.requirement("R60")
async def test_a_flood_of_unknown_keys_is_one_look_at_the_provider_in_ten_seconds(
    web: Web, provider: Provider
) -> None:
    """Whoever invents names of keys does not make us knock at the provider's door."""
    assert await status(web, provider.token("rsa", "RS256")) == 200
    for number in range(30):
        assert await status(web, _by_rsa({"kid": f"unknown-{number}"})) == 401
    assert provider.fetches == 1, "the first look was a moment ago"
    web.clock.advance(10)
    for number in range(30):
        await status(web, _by_rsa({"kid": f"other-{number}"}))
    assert provider.fetches == 2


async def test_a_new_key_counts_as_soon_as_it_is_published(web: Web, provider: Provider) -> None:
    """Rotation needs no restart: an unknown name makes us look."""
    assert await status(web, provider.token("rsa", "RS256")) == 200
    provider.publish("next", OTHER_RSA)
    web.clock.advance(10)
    assert await status(web, provider.token("next", "RS256")) == 200


async def test_a_key_that_is_taken_back_counts_no_more(web: Web, provider: Provider) -> None:
    """After ten minutes we look again, whatever callers send."""
    assert await status(web, provider.token("rsa", "RS256")) == 200
    del provider.published[0]
    web.clock.advance(601)
    assert await status(web, provider.token("rsa", "RS256")) == 401


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((503, b""), id="down"),
        pytest.param((200, b"<html>"), id="no JSON"),
        pytest.param((200, b"[]"), id="no key set"),
        pytest.param((200, b"[" * 100_000), id="nested without end"),
        pytest.param((200, b'{"keys":[' + b" " * 300_000 + b"]}"), id="too large"),
        pytest.param((302, b""), id="elsewhere"),
    ],
)
async def test_a_provider_that_does_not_answer_is_named_and_known_keys_go_on(
    web: Web, provider: Provider, answer: tuple[int, bytes]
) -> None:
    """Not knowing is no judgement on the token: 503, never 401; what was known counts for a day."""
    provider.answer = answer
    token = provider.token("rsa", "RS256", exp=NOW_S + 200_000)
    unknown = await web.ask("GET", "/settings", by=by(token))
    assert (unknown.status_code, unknown.headers["retry-after"]) == (503, "10")
    assert "www-authenticate" not in unknown.headers
    provider.answer = None
    web.clock.advance(10)
    assert await status(web, token) == 200
    provider.answer = answer
    web.clock.advance(80_000)
    assert await status(web, token) == 200
    web.clock.advance(6_500)
    assert await status(web, token) == 503


async def test_only_public_signing_keys_of_the_right_kind_are_taken(
    tmp_path: Path, provider: Provider
) -> None:
    """Secrets, encryption keys, short keys and nonsense in the key set are passed over."""
    small = rsa_key(1024)
    odd: list[Any] = [
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "kid": "oct"},
        public_jwk(OTHER_RSA, kid="enc", use="enc"),
        public_jwk(OTHER_RSA, kid="ops", key_ops=["encrypt"]),
        public_jwk(OTHER_RSA, kid="alg", alg="RS512"),
        public_jwk(small, kid="small"),
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "kid": "off", "x": "AQ", "y": "AQ"},
        "nonsense",
        None,
    ]
    provider.published = [*odd, *provider.published]
    async with open_web(tmp_path, identity_transport=provider.transport(), **JWKS_SETTINGS) as web:
        for key_id in ("enc", "ops", "alg"):
            assert await status(web, _by_rsa({"kid": key_id}, key=OTHER_RSA)) == 401
        with pytest.warns(InsecureKeyLengthWarning):
            short = _by_rsa({"kid": "small"}, key=small)
        assert await status(web, short) == 401
        assert await status(web, provider.token("rsa", "RS256")) == 200


async def test_a_token_without_a_key_s_name_counts_when_one_key_fits(
    tmp_path: Path, provider: Provider
) -> None:
    """With two that fit, nobody guesses."""
    token = jwt.encode(_payload(), RSA_KEY, algorithm="RS256")
    provider.published = [public_jwk(RSA_KEY)]
    async with open_web(tmp_path / "a", identity_transport=provider.transport(), **JWKS_SETTINGS) as web:
        assert await status(web, token) == 200
    provider.published.append(public_jwk(OTHER_RSA))
    async with open_web(tmp_path / "b", identity_transport=provider.transport(), **JWKS_SETTINGS) as web:
        assert await status(web, token) == 401


async def test_an_algorithm_that_is_switched_off_counts_no_more(tmp_path: Path, provider: Provider) -> None:
    """The operator pins what may sign; the secret is then just another string."""
    async with open_web(
        tmp_path, identity_transport=provider.transport(), auth_algorithms=("ES256",), **JWKS_SETTINGS
    ) as web:
        assert await status(web, provider.token("ec", "ES256")) == 200
        assert await status(web, provider.token("rsa", "RS256")) == 401
        assert await status(web, signed(_payload())) == 401


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"auth_jwks_url": JWKS_URL}, "SIM_MCP_AUTH_AUDIENCE"),
        ({"auth_jwks_url": "http://id.example.com/keys", "auth_audience": "a"}, "https://"),
        ({"auth_jwks_url": "file:///etc/passwd", "auth_audience": "a"}, "https://"),
        ({"auth_algorithms": ("none",)}, "unknown algorithm"),
        ({"auth_role_permissions": {"ADMIN": ["INTEGRATION_ALL"]}}, "unknown permission"),
    ],
)
def test_settings_that_would_let_strangers_in_are_refused(
    tmp_path: Path, changes: dict[str, Any], remedy: str
) -> None:
    """Before the server starts, with the remedy."""
    with pytest.raises(ValueError, match=remedy):
        settings(tmp_path, **changes)


def test_a_provider_on_this_machine_may_speak_plain_http(tmp_path: Path, clock: ManualClock) -> None:
    """For trying things out; nobody listens on the loopback."""
    del clock
    asked: Settings = settings(tmp_path, auth_jwks_url="http://127.0.0.1:9000/keys", auth_audience="a")
    assert asked.auth_jwks_url == "http://127.0.0.1:9000/keys"


def test_the_private_half_of_a_published_key_is_not_kept() -> None:
    """A provider that publishes too much does not make us hold its secrets."""
    from sim_mcp.transports.jwks import _parsed

    whole = json.loads(RSAAlgorithm.to_jwk(RSA_KEY))
    key = _parsed(whole, "RS256")
    assert key is not None
    assert isinstance(key.key, rsa.RSAPublicKey)
