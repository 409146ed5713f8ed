"""An identity provider: real keys, a real HTTP answer with a JWK Set, and ways to be broken or evil."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import anyio
import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.transports.web import claims

ISSUER = "https://id.example.com"
AUDIENCE = "https://mcp.example.com/mcp"
JWKS_URL = f"{ISSUER}/.well-known/jwks.json"
SETTINGS: dict[str, Any] = {
    "auth_jwt_secret": None,
    "auth_jwks_url": JWKS_URL,
    "auth_issuer": ISSUER,
    "auth_audience": AUDIENCE,
}
"""How a server trusts this provider."""


@cache
def rsa_key(bits: int = 2048, nth: int = 0) -> RSAPrivateKey:
    """The nth RSA key of that size: making one is slow."""
    del nth
    return generate_rsa(public_exponent=65537, key_size=bits)


@cache
def private_keys() -> dict[str, tuple[str, Any]]:
    """One key of each kind: its `kid`, its algorithm and the private key."""
    return {
        "rsa-1": ("RS256", rsa_key()),
        "ec-1": ("ES256", generate_private_key(SECP256R1())),
        "ed-1": ("EdDSA", Ed25519PrivateKey.generate()),
    }


def public_jwk(key: Any, **changes: Any) -> dict[str, Any]:
    """The public half as a JWK; a change to `...` leaves the field out."""
    writers = {"RSA": RSAAlgorithm.to_jwk, "EC": ECAlgorithm.to_jwk, "ED": OKPAlgorithm.to_jwk}
    write = next(writer for name, writer in writers.items() if type(key).__name__.upper().startswith(name))
    known = json.loads(write(key.public_key()))
    return {name: value for name, value in (known | {"use": "sig"} | changes).items() if value is not ...}


def provider_claims(tenant: str = "acme", **changes: Any) -> dict[str, Any]:
    """What the provider says about somebody of `tenant`."""
    return claims(tenant, **({"sub": "ada", "iss": ISSUER, "aud": AUDIENCE} | changes))


def encoded(part: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def forged(header: dict[str, Any], payload: dict[str, Any] | bytes, secret: bytes) -> str:
    """A token signed by HMAC-SHA256 with whatever bytes, as an attacker would."""
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signed_part = f"{encoded(json.dumps(header).encode())}.{encoded(content)}"
    return f"{signed_part}.{encoded(hmac.digest(secret, signed_part.encode(), hashlib.sha256))}"


@dataclass(kw_only=True)
class IdentityProvider:
    """Publishes `published`; signs with any of `private_keys`."""

    published: list[Any] = field(default_factory=list[Any])
    fetches: int = 0
    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    asked: list[str] = field(default_factory=list[str])
    hold: anyio.Event | None = None
    """Answers wait for it."""

    @classmethod
    def honest(cls) -> IdentityProvider:
        """One that publishes a key of each kind."""
        return cls(published=[public_jwk(key, kid=kid) for kid, (_, key) in private_keys().items()])

    def token(
        self,
        tenant: str = "acme",
        *,
        kid: str = "rsa-1",
        headers: dict[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        """A token that the provider signed; a header of `...` is left out."""
        algorithm, key = private_keys()[kid]
        head = {"kid": kid} | (headers or {})
        return jwt.encode(
            provider_claims(tenant, **changes),
            key,
            algorithm=algorithm,
            headers={name: value for name, value in head.items() if value is not ...},
        )

    def transport(self) -> httpx.AsyncBaseTransport:
        """The network between a server and this provider."""
        return httpx.ASGITransport(self)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        del receive
        self.fetches += 1
        self.asked.append(f"{scope['scheme']}://{dict(scope['headers'])[b'host'].decode()}{scope['path']}")
        if self.hold is not None:
            await self.hold.wait()
        body = self.body if self.body is not None else json.dumps({"keys": self.published}).encode()
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
