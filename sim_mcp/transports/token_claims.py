"""What the claims of a signed token mean: whom it stands for, and whether it was made to be used here.

The defaults read the host platform's session tokens (contract section 5). A good signature alone
proves nothing: the same keys sign password resets, mail verifications, invitations and refresh tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sim_mcp.model.errors import Unauthorized
from sim_mcp.model.principal import Permission, Principal, TenantId, parse_permissions

if TYPE_CHECKING:
    from sim_mcp.config import Settings

LEEWAY_S = 30
"""How far the signer's clock may be from ours."""
LONGEST_NAME = 255
LATEST_TIME_S = 2**40
"""Times beyond this (the year 36,812) are not times; it also keeps NaN and infinity out."""

KINDS = {
    "tokenType": frozenset({"access_token_type"}),  # the host platform's sessions
    "token_type": frozenset(
        {"access_token", "bearer"}
    ),  # its MCP login; refresh tokens share key and audience
    "token_use": frozenset(
        {"access"}
    ),  # "client_credentials" stands for no person there, "id" is an ID token
}
"""Claims that say what a token is for, and what they may say, in any case. Absent is fine."""
FOREIGN_PURPOSES = ("code", "purpose", "appointmentId")
"""Claims of the platform's mail links: verification and sign-in codes, password resets, appointments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A caller whose token was checked. `expires_at_s` is in seconds since the epoch, if it ends."""

    principal: Principal
    issuer: str
    expires_at_s: int | None = None


def read_claims(claims: Mapping[str, Any], settings: Settings, now_s: float) -> Verified:
    """Whom the signed `claims` stand for at `now_s`, in seconds since the epoch.

    Raises:
        Unauthorized: they are not those of a current access token of one tenant for this server. The
            message names the rule, never a claim's content.
    """
    _check_address(claims, settings)
    expires_at_s = _check_times(claims, now_s)
    _check_kind(claims)
    issuer = claims.get("iss")
    return Verified(
        principal=Principal(
            tenant_id=TenantId(_name(claims, settings.auth_claim_tenant)),
            organization_id=_maybe_name(claims, settings.auth_claim_organization),
            subject=_subject(claims, settings),
            permissions=_permissions(claims, settings),
        ),
        issuer=issuer if isinstance(issuer, str) else "jwt",
        expires_at_s=expires_at_s + LEEWAY_S,
    )


def _check_address(claims: Mapping[str, Any], settings: Settings) -> None:
    if settings.auth_issuer is not None and claims.get("iss") != settings.auth_issuer:
        raise Unauthorized("The token comes from another issuer.")
    meant_for = claims.get("aud")
    listed = cast("list[object]", meant_for) if isinstance(meant_for, list) else [meant_for]
    if settings.auth_audience is not None and settings.auth_audience not in listed:
        raise Unauthorized("The token is meant for another audience.")


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
    said = [(claims[claim], wanted) for claim, wanted in KINDS.items() if claim in claims]
    is_access = all(isinstance(value, str) and value.lower() in wanted for value, wanted in said)
    if not is_access or any(claim in claims for claim in FOREIGN_PURPOSES):
        raise Unauthorized("The token is not an access token.")


def _claim(claims: Mapping[str, Any], name: str) -> object:
    """The claim of that name; else, for `a.b`, what stands under `b` in the object `a`."""
    if name in claims:
        return claims[name]
    value: object = claims
    for part in name.split("."):
        value = cast("Mapping[str, object]", value).get(part) if isinstance(value, Mapping) else None
    return value


def _name(claims: Mapping[str, Any], claim: str) -> str:
    value = _claim(claims, claim)
    if not isinstance(value, str) or not _is_plain(value):
        raise Unauthorized(f"The token does not name a {claim!r}.")
    return value


def _maybe_name(claims: Mapping[str, Any], claim: str) -> str | None:
    # An empty organisation is refused: read as "none" it would mean the whole tenant.
    return None if _claim(claims, claim) is None else _name(claims, claim)


def _subject(claims: Mapping[str, Any], settings: Settings) -> str:
    for claim in settings.auth_claim_subject:
        if _claim(claims, claim) is not None:
            return _name(claims, claim)
    raise Unauthorized("The token does not say whom it stands for.")


def _permissions(claims: Mapping[str, Any], settings: Settings) -> frozenset[Permission]:
    """The permissions that are listed, or else those of the role.

    A list is an array of names or, as OAuth writes scopes, one text with spaces between them.
    """
    listed = _claim(claims, settings.auth_claim_permissions)
    if isinstance(listed, str):
        return parse_permissions(listed.split(" "))
    if isinstance(listed, list):
        return parse_permissions(cast("list[object]", listed))
    role = _claim(claims, settings.auth_claim_role)
    if listed is not None or not isinstance(role, str) or not role:
        raise Unauthorized("The token carries neither permissions nor a role.")
    return parse_permissions(settings.auth_role_permissions.get(role, []))


def _is_plain(value: str) -> bool:
    return 0 < len(value) <= LONGEST_NAME and value.isprintable() and value == value.strip()
