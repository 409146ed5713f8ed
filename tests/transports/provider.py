"""An identity provider: signs tokens, publishes its keys, and counts how often it is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from starlette.types import Receive, Scope, Send

from tests.transports.web import claims

ISSUER = "https://id.example.com"
AUDIENCE = "https://mcp.example.com/mcp"
JWKS_URL = f"{ISSUER}/keys"
JWKS_SETTINGS: dict[str, Any] = {
    "auth_jwks_url": JWKS_URL,
    "auth_issuer": ISSUER,
    "auth_audience": AUDIENCE,
}


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """A fresh RSA key; making one takes a moment, so tests share `Provider.RSA`."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def public_jwk(key: Any, **members: Any) -> dict[str, Any]:
    """The public half of `key` as a JWK, with further members."""
    match key:
        case rsa.RSAPrivateKey():
            written = RSAAlgorithm.to_jwk(key.public_key())
        case ec.EllipticCurvePrivateKey():
            written = ECAlgorithm.to_jwk(key.public_key())
        case _:
            written = OKPAlgorithm.to_jwk(key.public_key())
    return {**json.loads(written), **members}


@dataclass
class Provider:
    """ASGI app and signer. `answer` replaces what it says: status and body."""

    keys: dict[str, Any] = field(default_factory=dict[str, Any])
    published: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    answer: tuple[int, bytes] | None = None
    fetches: int = 0

    def publish(self, key_id: str, key: Any, **members: Any) -> None:
        """Sign with `key` under `key_id` from now on, and publish it."""
        self.keys[key_id] = key
        self.published.append(public_jwk(key, kid=key_id, **members))

    def token(self, key_id: str, algorithm: str, tenant: str = "acme", **changes: Any) -> str:
        """A token of this provider."""
        payload = claims(tenant, iss=ISSUER, aud=AUDIENCE, **changes)
        return jwt.encode(payload, self.keys[key_id], algorithm=algorithm, headers={"kid": key_id})

    def transport(self) -> httpx.AsyncBaseTransport:
        """How the server under test reaches this provider."""
        return httpx.ASGITransport(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /keys`."""
        del receive
        assert scope["path"] == "/keys"
        self.fetches += 1
        status, body = self.answer or (200, json.dumps({"keys": self.published}).encode())
        headers = [(b"location", b"https://evil.example.com/keys")] if status == 302 else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
