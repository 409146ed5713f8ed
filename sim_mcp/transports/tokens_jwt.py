"""Bearer tokens that somebody else signed: JSON Web Tokens (contract section 5).

A shared secret verifies HS256, the identity provider's published keys (`jwks`) everything else; which
of the two is asked is decided by the algorithm, so that a public key never serves as a secret. The
claims' defaults read the host platform's session tokens. It signs other things with the same secret
(password resets, mail verification, refresh tokens), so a good signature alone proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sim_mcp.model.errors import Unauthorized
from sim_mcp.model.principal import Permission, Principal, TenantId, parse_permissions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jwt import PyJWK

    from sim_mcp.config import Settings

LEEWAY_S = 30
"""How far the signer's clock may be from ours."""
LONGEST_TOKEN_BYTES = 16 * 1024
LONGEST_NAME = 255
LATEST_TIME_S = 2**40
"""Times beyond this (the year 36,812) are not times; it also keeps NaN and infinity out."""
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
ACCESS_TOKEN_TYPE = "ACCESS_TOKEN_TYPE"  # noqa: S105 - the name of a kind of token, not a token


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A caller whose token was checked. `expires_at_s` is in seconds since the epoch, if it ends."""

    principal: Principal
    issuer: str
    expires_at_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a token says of its own signature. Only good for choosing among keys that we know."""

    algorithm: str
    key_id: str | None


def header_of(token: str, settings: Settings) -> Header:
    """The header of `token`, if it is one that may count here.

    Nothing else of it is read: a key, or an address of keys, that comes with the token proves nothing.

    Raises:
        Unauthorized: not a JSON Web Token, or not with a signature that the settings admit.
    """
    import jwt

    if len(token) > LONGEST_TOKEN_BYTES:
        raise Unauthorized(f"The token is longer than {LONGEST_TOKEN_BYTES} bytes.")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise Unauthorized("The token is not valid.") from None
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm not in settings.auth_algorithms:
        raise Unauthorized("The token is signed in a way that this server does not accept.")
    if str(header.get("typ", "JWT")).lower() not in _TYPES or "crit" in header or header.get("b64") is False:
        raise Unauthorized("The token is not an access token.")
    if key_id is not None and not (isinstance(key_id, str) and len(key_id) <= LONGEST_NAME):
        raise Unauthorized("The token is not valid.")
    return Header(algorithm=algorithm, key_id=key_id)


def verify_jwt(
    token: str, settings: Settings, now: datetime, *, key: PyJWK | str, algorithm: str
) -> Verified:
    """Whom `token`, signed with `key`, stands for at `now`.

    Raises:
        Unauthorized: for anything that is not a current access token of a known tenant. The message
            names the rule, never the token's content.
    """
    claims = _signed_claims(token, settings, key=key, algorithm=algorithm)
    expires_at_s = _check_times(claims, now.timestamp())
    _check_kind(claims)
    principal = Principal(
        tenant_id=TenantId(_name(claims, settings.auth_claim_tenant)),
        organization_id=_maybe_name(claims, settings.auth_claim_organization),
        subject=_subject(claims, settings),
        permissions=_permissions(claims, settings),
    )
    issuer = claims.get("iss")
    return Verified(
        principal=principal,
        issuer=issuer if isinstance(issuer, str) else "jwt",
        expires_at_s=expires_at_s + LEEWAY_S,
    )


def _signed_claims(token: str, settings: Settings, *, key: PyJWK | str, algorithm: str) -> Mapping[str, Any]:
    import jwt

    try:
        # Times are checked by us, by the clock that was handed in.
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=settings.auth_issuer,
            audience=settings.auth_audience,
            options={
                "require": ["exp"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_sub": False,
                "verify_jti": False,
                "verify_iss": settings.auth_issuer is not None,
                "verify_aud": settings.auth_audience is not None,
            },
        )
    except jwt.InvalidIssuerError:
        raise Unauthorized("The token comes from another issuer.") from None
    except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError):
        raise Unauthorized("The token lacks a claim or is meant for another audience.") from None
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise Unauthorized("The token is not valid.") from None


def _check_times(claims: Mapping[str, Any], now_s: float) -> int:
    expires_at_s = _time(claims, "exp")
    if expires_at_s is None:
        raise Unauthorized("The token has no expiry.")
    if expires_at_s + LEEWAY_S <= now_s:
        raise Unauthorized("The token has expired.")
    for claim in ("iat", "nbf"):
        from_s = _time(claims, claim)
        if from_s is not None and from_s > now_s + LEEWAY_S:
            raise Unauthorized("The token is not valid yet.")
    return int(expires_at_s)


def _time(claims: Mapping[str, Any], claim: str) -> float | None:
    value = claims.get(claim)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST_TIME_S:
        raise Unauthorized(f"The token's {claim!r} is not a time.")
    return value


def _check_kind(claims: Mapping[str, Any]) -> None:
    """Identity providers sign other things with the same key: mails, invitations, refresh tokens."""
    named = (claims.get("tokenType", ACCESS_TOKEN_TYPE), claims.get("token_type"), claims.get("token_use"))
    is_access = (
        named[0] == ACCESS_TOKEN_TYPE
        and (named[1] is None or str(named[1]).lower() in {"access_token", "bearer"})
        and (named[2] is None or str(named[2]).lower() == "access")
    )
    if not is_access or any(claim in claims for claim in ("code", "purpose", "appointmentId", "at_hash")):
        raise Unauthorized("The token is not an access token.")


def _name(claims: Mapping[str, Any], claim: str) -> str:
    value = claims.get(claim)
    if not isinstance(value, str) or not _is_plain(value):
        raise Unauthorized(f"The token does not name a {claim!r}.")
    return value


def _maybe_name(claims: Mapping[str, Any], claim: str) -> str | None:
    # An empty organisation is refused: read as "none" it would mean the whole tenant.
    return None if claims.get(claim) is None else _name(claims, claim)


def _subject(claims: Mapping[str, Any], settings: Settings) -> str:
    for claim in settings.auth_claim_subject:
        if claims.get(claim) is not None:
            return _name(claims, claim)
    raise Unauthorized("The token does not say whom it stands for.")


def _permissions(claims: Mapping[str, Any], settings: Settings) -> frozenset[Permission]:
    listed = claims.get(settings.auth_claim_permissions)
    if isinstance(listed, list):
        names: list[object] = [*listed]
        return parse_permissions(names)
    if isinstance(listed, str):  # as OAuth writes scopes
        return parse_permissions(listed.split())
    role = claims.get(settings.auth_claim_role)
    if listed is not None or not isinstance(role, str) or not role:
        raise Unauthorized("The token carries neither permissions nor a role.")
    return parse_permissions(settings.auth_role_permissions.get(role, []))


def _is_plain(value: str) -> bool:
    return 0 < len(value) <= LONGEST_NAME and value.isprintable() and value == value.strip()
