"""JSON Web Tokens that somebody else signed: with the shared secret, or with a key of the identity provider.

Which algorithm belongs to which key is fixed here: HS256 to the secret, RS256, ES256 and EdDSA to the
provider's published keys. Of a token's header only `alg`, `kid` and `typ` are read; key material or
addresses in it (`jwk`, `jku`, `x5c`, `x5u`) are never looked at.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from sim_mcp.model.errors import Unauthorized
from sim_mcp.transports.jwks_keys import ASYMMETRIC
from sim_mcp.transports.token_claims import Verified, read_claims

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from jwt import PyJWK

    from sim_mcp.config import Settings
    from sim_mcp.transports.jwks import KeyRing
    from sim_mcp.transports.jwks_keys import PublicKey

LONGEST_TOKEN_BYTES = 16 * 1024
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""What `typ` may say (RFC 9068): other types are other things, signed with the same keys."""


async def verify_jwt(token: str, settings: Settings, now: datetime, ring: KeyRing | None = None) -> Verified:
    """Whom `token` stands for at `now`. `ring` holds the provider's keys, if one is configured.

    Raises:
        Unauthorized: for anything that is not a current access token of a known tenant. The message
            names the rule, never the token's content.
        IdentityUnavailable: the provider's keys are needed and cannot be read.
    """
    if len(token) > LONGEST_TOKEN_BYTES:
        raise Unauthorized(f"The token is longer than {LONGEST_TOKEN_BYTES} bytes.")
    header = _header(token)
    algorithm, secret = header.get("alg"), settings.auth_jwt_secret
    if algorithm == "HS256" and secret is not None:
        payload = _opened(token, secret.get_secret_value(), algorithm)
    elif isinstance(algorithm, str) and algorithm in ASYMMETRIC and ring is not None:
        payload = await _signed_by_provider(token, header.get("kid"), algorithm, ring)
    else:
        raise Unauthorized("The token is signed in a way that this server does not accept.")
    if payload is None:
        raise Unauthorized("The token's signature is not valid here.")
    return read_claims(_object(payload), settings, now.timestamp())


def _header(token: str) -> Mapping[str, Any]:
    if _SHAPE.match(token) is None:
        raise Unauthorized("The token is not one of this server's own, and no JSON Web Token.")
    first = token.partition(".")[0]
    try:
        header = _object(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except ValueError:
        raise Unauthorized("The token's header cannot be read.") from None
    if "crit" in header or "b64" in header:
        raise Unauthorized("The token demands an extension that this server does not know.")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Unauthorized("The token is not an access token.")
    return header


async def _signed_by_provider(token: str, kid: object, algorithm: str, ring: KeyRing) -> bytes | None:
    if not isinstance(kid, str | None):
        return None
    keys = await ring.current()
    payload = _opened_by_any(token, keys.fitting(kid, algorithm))
    if payload is None and not keys.knows(kid):
        newer = await ring.renewed(keys)
        if newer is not keys:
            payload = _opened_by_any(token, newer.fitting(kid, algorithm))
    return payload


def _opened_by_any(token: str, keys: Sequence[PublicKey]) -> bytes | None:
    opened = (_opened(token, each.key, each.algorithm) for each in keys)
    return next((payload for payload in opened if payload is not None), None)


def _opened(token: str, key: str | PyJWK, algorithm: str) -> bytes | None:
    """The payload, if `key` signed it with `algorithm`."""
    import jwt

    try:
        payload = jwt.PyJWS(algorithms=[algorithm]).decode(token, key, algorithms=[algorithm])
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    return payload if isinstance(payload, bytes) else None


def _object(raw: bytes) -> Mapping[str, Any]:
    """The JSON object in `raw`: strict UTF-8, no name twice, no NaN.

    A name that stands twice could be read differently by whoever checked the token before us.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unrepeated, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):
        raise Unauthorized("The token's content cannot be read.") from None
    if not isinstance(value, dict):
        raise Unauthorized("The token's content cannot be read.")
    return value  # pyright: ignore[reportUnknownVariableType]  # any JSON object


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
