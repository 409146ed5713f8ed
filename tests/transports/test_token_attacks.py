"""Tokens that an attacker would send: each is refused in one way, and nothing of it is repeated anywhere."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from sim_mcp.config import Settings
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Unauthorized
from sim_mcp.transports.jwks import FETCH_EVERY_S
from sim_mcp.transports.tokens_jwt import verify_jwt
from tests.transports.identity_provider import (
    AUDIENCE,
    ISSUER,
    SETTINGS,
    IdentityProvider,
    encoded,
    forged,
    private_keys,
    provider_claims,
    public_jwk,
    rsa_key,
)
from tests.transports.web import NOW_S, Web, claims, open_web, signed
from tests.world import SECRET

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R10", "R60")]

Attack: TypeAlias = Callable[[IdentityProvider], str]
EVIL = "https://evil.example/keys"
ATTACKER = rsa_key(nth=666)
RSA = private_keys()["rsa-1"][1]
PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
DER = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def by_provider(**changes: Any) -> Attack:
    """A token that the provider really signed, with other claims."""
    return lambda provider: provider.token(**changes)


def with_header(**headers: Any) -> Attack:
    """A token that the provider really signed, with other header fields."""
    return lambda provider: provider.token(headers=headers)


def by_attacker(**headers: Any) -> Attack:
    """Good claims, signed with the attacker's own key."""

    def token(_: IdentityProvider) -> str:
        head = {"kid": "rsa-1"} | headers
        return jwt.encode(provider_claims(), ATTACKER, algorithm="RS256", headers=head)

    return token


def by_hmac(secret: bytes, **headers: Any) -> Attack:
    """Good claims, signed by HMAC with something that is no secret."""
    return lambda _: forged(
        {"alg": "HS256", "typ": "JWT", "kid": "rsa-1"} | headers, provider_claims(), secret
    )


def by_key(payload: bytes) -> Attack:
    """A token over exactly these bytes, really signed by the provider."""
    return lambda _: jwt.PyJWS().encode(payload, RSA, algorithm="RS256", headers={"kid": "rsa-1"})


def by_secret(payload: bytes) -> Attack:
    """A token over exactly these bytes, really signed with the shared secret."""
    return lambda _: forged({"alg": "HS256", "typ": "JWT"}, payload, SECRET.encode())


def written(**changes: Any) -> bytes:
    """Claims as JSON."""
    return json.dumps(provider_claims(**changes)).encode()


def unsigned(algorithm: str) -> Attack:
    """Good claims without a signature."""
    head = encoded(json.dumps({"alg": algorithm, "typ": "JWT", "kid": "rsa-1"}).encode())
    return lambda _: f"{head}.{encoded(written())}."


def swapped(provider: IdentityProvider) -> str:
    """The signature of one tenant's token under another's claims."""
    head, _, signature = provider.token("globex").split(".")
    return f"{head}.{encoded(written())}.{signature}"


TWICE = written().replace(b'"tenantId": "acme"', b'"tenantId": "globex", "tenantId": "acme"')
DEEP = written().replace(b'"ADMIN"', b"[" * 5000 + b"]" * 5000)

ATTACKS: dict[str, Attack] = {
    "no signature": unsigned("none"),
    "no signature, spelt otherwise": unsigned("NoNe"),
    "no signature under a real algorithm": unsigned("RS256"),
    "no algorithm": lambda _: forged({"typ": "JWT"}, provider_claims(), SECRET.encode()),
    "a list of algorithms": lambda _: forged({"alg": ["HS256"]}, provider_claims(), SECRET.encode()),
    "HS256 with the public key as PEM": by_hmac(PEM),
    "HS256 with the public key as stripped PEM": by_hmac(PEM.strip()),
    "HS256 with the public key as DER": by_hmac(DER),
    "HS256 with the public key as JWK": by_hmac(json.dumps(public_jwk(RSA, kid="rsa-1")).encode()),
    "HS256 with the modulus": by_hmac(public_jwk(RSA)["n"].encode()),
    "HS256 with an empty secret": by_hmac(b""),
    "HMAC under the name of RS256": by_hmac(PEM, alg="RS256"),
    "another HMAC": lambda _: signed(provider_claims(), secret=SECRET * 2, algorithm="HS512"),
    "another RSA algorithm": lambda _: jwt.encode(
        provider_claims(), RSA, algorithm="PS256", headers={"kid": "rsa-1"}
    ),
    "a larger RSA algorithm": lambda _: jwt.encode(
        provider_claims(), RSA, algorithm="RS512", headers={"kid": "rsa-1"}
    ),
    "the algorithm of another key": with_header(kid="ec-1"),
    "the attacker's key": by_attacker(),
    "the attacker's key in the token": by_attacker(jwk=public_jwk(ATTACKER, kid="rsa-1")),
    "the attacker's key at an address": by_attacker(jku=EVIL, kid="evil"),
    "the attacker's certificate at an address": by_attacker(x5u=EVIL),
    "the attacker's certificate in the token": by_attacker(x5c=["MIIB"]),
    "a key name that is a path": by_attacker(kid="../../../../dev/null"),
    "a key name that is SQL": by_attacker(kid="x' UNION SELECT 'secret"),
    "a key name that is a number": lambda provider: provider.token(headers={"kid": ...}).replace(
        provider.token(headers={"kid": ...}).split(".")[0],
        encoded(json.dumps({"alg": "RS256", "kid": 1}).encode()),
    ),
    "a critical extension": by_attacker(crit=["exp"]),
    "a critical extension, well signed": lambda _: forged(
        {"alg": "HS256", "crit": ["exp"], "exp": 1}, provider_claims(), SECRET.encode()
    ),
    "an unencoded payload": lambda _: forged(
        {"alg": "HS256", "b64": False, "crit": ["b64"]}, provider_claims(), SECRET.encode()
    ),
    "a type that is no access token": with_header(typ="logout+jwt"),
    "a security event": with_header(typ="secevent+jwt"),
    "expired": by_provider(exp=NOW_S - 31),
    "issued in the future": by_provider(iat=NOW_S + 31),
    "not valid yet": by_provider(nbf=NOW_S + 31),
    "no expiry": by_provider(exp=...),
    "a huge expiry": by_provider(exp=10**4000),
    "an expiry beyond any number": by_key(written().replace(str(NOW_S + 86_400).encode(), b"1e999")),
    "an expiry of too many digits": by_key(written().replace(str(NOW_S + 86_400).encode(), b"9" * 5000)),
    "an expiry that is NaN": by_key(written().replace(str(NOW_S + 86_400).encode(), b"NaN")),
    "another audience": by_provider(aud="https://other.example.com/mcp"),
    "other audiences": by_provider(aud=["https://other.example.com/mcp", AUDIENCE + "/"]),
    "no audience": by_provider(aud=...),
    "an audience that contains ours": by_provider(aud=AUDIENCE + ".evil.example"),
    "an object as audience": by_provider(aud={AUDIENCE: True}),
    "another issuer": by_provider(iss="https://evil.example"),
    "the issuer of another tenant's realm": by_provider(iss=ISSUER + "/realms/globex"),
    "no issuer": by_provider(iss=...),
    "a list of issuers": by_key(written(iss=[ISSUER])),
    "no tenant": by_provider(tenantId=...),
    "a list of tenants": by_provider(tenantId=["acme", "globex"]),
    "an object as tenant": by_provider(tenantId={"id": "acme"}),
    "an empty tenant": by_provider(tenantId=""),
    "a tenant with a tail": by_provider(tenantId="acme\u0000"),
    "a refresh token": by_provider(token_type="refresh_token"),
    "a token without a person": by_provider(token_use="client_credentials"),
    "a password reset": by_provider(purpose="password-reset"),
    "the tenant twice": by_key(TWICE),
    "the tenant twice, by the secret": by_secret(TWICE),
    "nested without end": by_key(DEEP),
    "nested without end, by the secret": by_secret(DEEP),
    "not UTF-8": by_key(written().replace(b"acme", b"acm\xff")),
    "UTF-16": by_key(written().decode().encode("utf-16")),
    "no object": by_key(b'"acme"'),
    "no JSON": by_key(b"acme"),
    "a swapped signature": swapped,
    "a changed signature": lambda provider: provider.token()[:-6] + "AAAAAA",
    "a signature with padding": lambda provider: provider.token() + "==",
    "a fourth part": lambda provider: provider.token() + ".AAAA",
    "a line break": lambda provider: provider.token().replace(".", ".\t", 1),
    "one megabyte": by_provider(padding="x" * 1_000_000),
    "one megabyte of dots": lambda _: "." * 1_000_000,
    "one megabyte of nothing": lambda _: "A" * 1_000_000,
    "not ASCII": lambda _: "é" * 30,
    "not one of our own": lambda _: "simmcp_" + "A" * 43,
}


@asynccontextmanager
async def trusting(folder: Path, provider: IdentityProvider, **changes: Any) -> AsyncGenerator[Web]:
    """A server that trusts the provider; `changes` may add the secret."""
    trust: dict[str, Any] = SETTINGS | changes
    async with open_web(folder, connect={}, identity_transport=provider.transport, **trust) as web:
        yield web


def parts_of(token: str) -> list[str]:
    """What must not be repeated: the token and each of its longer parts."""
    return [part for part in (token, *token.split(".")) if len(part) > 12]


@pytest.mark.parametrize("has_secret", [False, True])
async def test_every_attack_is_refused_alike(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, has_secret: bool
) -> None:
    """401 in the one error format with a challenge, at both doors; no word of it in answer or log."""
    provider = IdentityProvider.honest()
    caplog.set_level(logging.DEBUG)
    async with trusting(tmp_path, provider, auth_jwt_secret=SECRET if has_secret else None) as web:
        good = {"authorization": f"Bearer {provider.token()}"}
        assert (await web.ask("GET", "/settings", by=good)).status_code == 200
        for name, attack in ATTACKS.items():
            token = attack(provider)
            for path in ("/mcp", "/api/integration/sim/settings"):
                caplog.clear()
                header = (b"authorization", f"Bearer {token}".encode("latin-1"))
                answer = await web.client.get(path, headers=[header])
                body = answer.json()
                assert (answer.status_code, body["statusCode"], body["code"]) == (401, 401, "UNAUTHORIZED"), (
                    name
                )
                assert set(body) == {"statusCode", "message", "error", "code", "requestId", "executionId"}
                assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
                told = answer.text + str(answer.headers) + caplog.text
                assert [part for part in parts_of(token) if part in told] == [], name
                assert "evil" not in told, name
    assert {asked.rpartition("/")[0] for asked in provider.asked} == {f"{ISSUER}/.well-known"}


async def test_unknown_keys_by_the_thousand_cost_one_fetch(tmp_path: Path) -> None:
    """Through the door, all at once, then again; the provider counts."""
    provider = IdentityProvider.honest()
    async with trusting(tmp_path, provider) as web:
        await web.ask("GET", "/settings", by={"authorization": f"Bearer {provider.token()}"})
        web.clock.advance(FETCH_EVERY_S)
        token = provider.token(headers={"kid": "key-000"})
        head = encoded(json.dumps({"alg": "RS256", "kid": "key-000"}).encode())

        async def ask(number: int) -> None:
            own = encoded(json.dumps({"alg": "RS256", "kid": f"key-{number:03}"}).encode())
            sent = token.replace(token.partition(".")[0], own if number else head)
            answer = await web.ask("GET", "/settings", by={"authorization": f"Bearer {sent}"})
            assert answer.status_code == 401

        for _ in range(2):
            async with anyio.create_task_group() as group:
                for number in range(200):
                    group.start_soon(ask, number)
        assert provider.fetches == 2


async def test_a_provider_that_is_down_is_not_the_caller_s_fault(tmp_path: Path) -> None:
    """503 and when to come back, without a challenge that would make clients throw good tokens away."""
    provider = IdentityProvider.honest()
    provider.status = 500
    async with trusting(tmp_path, provider) as web:
        answer = await web.ask("GET", "/settings", by={"authorization": f"Bearer {provider.token()}"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
        assert "www-authenticate" not in answer.headers


async def test_two_servers_with_one_provider_do_not_share_tokens(tmp_path: Path) -> None:
    """RFC 8707: a token for one resource is refused by the other, although one key signed both."""
    provider = IdentityProvider.honest()
    other = "https://other.example.com/mcp"
    async with trusting(tmp_path, provider, auth_audience=other) as web:
        ours = {"authorization": f"Bearer {provider.token(aud=[other, 'account'])}"}
        assert (await web.ask("GET", "/settings", by=ours)).status_code == 200
        theirs = {"authorization": f"Bearer {provider.token(aud=AUDIENCE)}"}
        assert (await web.ask("GET", "/settings", by=theirs)).status_code == 401


async def test_a_key_of_another_tenant_s_provider_is_nobody_s_here(tmp_path: Path) -> None:
    """Same key name, same claims, another provider: only the configured one counts."""
    provider = IdentityProvider(published=[public_jwk(RSA, kid="rsa-1")])
    async with trusting(tmp_path, provider) as web:
        mine = {"authorization": f"Bearer {provider.token('globex')}"}
        assert (await web.ask("GET", "/settings", by=mine)).status_code == 200
        theirs = jwt.encode(provider_claims("globex"), ATTACKER, algorithm="RS256", headers={"kid": "rsa-1"})
        answer = await web.ask("GET", "/settings", by={"authorization": f"Bearer {theirs}"})
        assert answer.status_code == 401


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
CLAIMS = st.dictionaries(
    st.sampled_from(sorted({*claims(), "sub", "aud", "iss", "nbf", "code", "typ"})), JSON
)
HEADERS = st.dictionaries(st.sampled_from(["typ", "kid", "jku", "jwk", "x5u", "crit", "b64", "cty"]), JSON)


@settings(deadline=None)
@given(changes=CLAIMS, header=HEADERS)
@example(changes={}, header={})
def test_whatever_is_signed_names_one_plain_tenant_or_nobody(
    changes: dict[str, Any], header: dict[str, Any]
) -> None:
    """No mixture of claims and headers crashes the check, or gets past it as something odd."""
    token = forged(header | {"alg": "HS256"}, claims() | changes, SECRET.encode())
    try:
        found = anyio.run(verify_jwt, token, Settings(auth_jwt_secret=SecretStr(SECRET)), ManualClock().now())
    except Unauthorized:
        assert changes or header
        return
    who = found.principal
    assert who.tenant_id == (claims() | changes)["tenantId"]
    for name in (who.tenant_id, who.subject, who.organization_id or "none"):
        assert name.strip() == name != ""
        assert name.isprintable()


@settings(deadline=None)
@given(
    token=st.text(max_size=60)
    | st.from_regex(r"[A-Za-z0-9_-]{0,9}(\.[A-Za-z0-9_-]{0,9}){0,4}", fullmatch=True)
)
def test_whatever_is_not_signed_is_refused(token: str) -> None:
    """Refused, and never a crash."""
    with pytest.raises(Unauthorized):
        anyio.run(verify_jwt, token, Settings(auth_jwt_secret=SecretStr(SECRET)), ManualClock().now())
