"""Who is let in, as whom, and for how long."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, authorization_context

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Unauthorized
from sim_mcp.model.principal import ALL_PERMISSIONS, Permission, Principal, TenantId
from sim_mcp.transports.auth import MOST_REMEMBERED, Authenticator, current_principal
from sim_mcp.transports.http_bearer import CallerToken
from sim_mcp.transports.token_claims import Verified
from sim_mcp.transports.tokens_jwt import verify_jwt
from tests.transports.web import NOW_S, claims, signed
from tests.world import SECRET, World, open_world, principal, settings

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[World]:
    """An app without tenants: only its settings and its token table matter here."""
    async with open_world(tmp_path, clock=clock, connect={}) as opened:
        yield opened


@pytest.fixture
def verify(tmp_path: Path, clock: ManualClock) -> Callable[..., Verified]:
    """Checks a JWT under the test settings, changed as asked."""

    def checked(token: str, **changes: Any) -> Verified:
        return anyio.run(verify_jwt, token, settings(tmp_path, **changes), clock.now())

    return checked


@pytest.mark.requirement("R10")
def test_the_host_platform_s_token_names_the_caller(verify: Callable[..., Verified]) -> None:
    """Its session token is accepted as it is, and foreign permissions are ignored."""
    found = verify(signed(claims("acme", organizationId="org-1", permissions=["INTEGRATION_VIEW", "X"])))
    assert found.principal == Principal(
        tenant_id=TenantId("acme"),
        organization_id="org-1",
        subject="4b7f2d5e-5f0c-4d6c-9a0e-0f9f6f1f6b11",
        permissions=frozenset({Permission.VIEW}),
    )


REFUSED: dict[str, dict[str, Any]] = {
    "no tenant": {"tenantId": ...},
    "a null tenant": {"tenantId": None},
    "an empty tenant": {"tenantId": ""},
    "a blank tenant": {"tenantId": " "},
    "a padded tenant": {"tenantId": " acme"},
    "an array of tenants": {"tenantId": ["acme", "globex"]},
    "a number as tenant": {"tenantId": 7},
    "an unprintable tenant": {"tenantId": "acme\0globex"},
    "half a character as tenant": {"tenantId": "acme\ud800"},
    "a tenant without end": {"tenantId": "a" * 256},
    "an array of organisations": {"organizationId": ["a"]},
    "an empty organisation": {"organizationId": ""},
    "no subject": {"id": ...},
    "a number as subject": {"id": 7},
    "an unusable first subject": {"sub": ""},
    "neither permissions nor role": {"permissions": ..., "role": ...},
    "a number of permissions": {"permissions": 4},
    "an object of permissions": {"permissions": {"INTEGRATION_ADD": True}},
    "an object as tenant": {"tenantId": {"id": "acme"}},
    "several roles": {"permissions": ..., "role": ["ADMIN"]},
    "a mail verification token": {"code": "1234"},
    "a refresh token": {"tokenType": "REFRESH_TOKEN_TYPE"},
    "a null token type": {"tokenType": None},
    "a list of token types": {"tokenType": ["ACCESS_TOKEN_TYPE"]},
    "a refresh token of the MCP login": {"token_type": "refresh_token"},
    "a token for no person": {"token_use": "client_credentials"},
    "an ID token": {"token_use": "id"},
    "a password reset token": {"purpose": "password-reset"},
    "an appointment link": {"appointmentId": "a-1"},
    "no expiry": {"exp": ...},
    "expired": {"exp": NOW_S - 30},
    "an expiry that is no number": {"exp": "never"},
    "an endless expiry": {"exp": float("inf")},
    "an expiry that compares with nothing": {"exp": float("nan")},
    "a yes as expiry": {"exp": True},
    "an expiry beyond all years": {"exp": 10**400},
    "issued in the future": {"iat": NOW_S + 31},
    "not valid yet": {"nbf": NOW_S + 31},
}


@pytest.mark.requirement("R10", "R60")
@pytest.mark.parametrize("why", REFUSED)
def test_a_signed_token_of_the_wrong_kind_is_refused(why: str, verify: Callable[..., Verified]) -> None:
    """The secret signs many things; only a current access token of one tenant counts."""
    with pytest.raises(Unauthorized) as refusal:
        verify(signed(claims(**REFUSED[why])))
    assert "acme" not in refusal.value.message


@pytest.mark.requirement("R10", "R60")
@pytest.mark.parametrize(
    "token",
    [
        pytest.param(signed(claims(), secret="another-secret-of-more-than-32-bytes"), id="another secret"),
        pytest.param(signed(claims(), secret="", algorithm="none"), id="unsigned"),
        pytest.param(signed(claims(), secret=SECRET * 2, algorithm="HS512"), id="another algorithm"),
        pytest.param(signed(claims()) + "x", id="a changed signature"),
        pytest.param(signed(claims())[:-20], id="a cut signature"),
        pytest.param("eyJ.eyJ.eyJ", id="no token at all"),
        pytest.param("é" * 20, id="not even ASCII"),
        pytest.param(signed(claims(padding="x" * 17_000)), id="longer than 16 KiB"),
    ],
)
def test_a_token_with_a_wrong_signature_is_refused(token: str, verify: Callable[..., Verified]) -> None:
    """HS256 by our secret, and nothing else."""
    with pytest.raises(Unauthorized):
        verify(token)


def test_clocks_may_differ_by_half_a_minute(verify: Callable[..., Verified]) -> None:
    """30 s of leeway on both sides."""
    assert verify(signed(claims(exp=NOW_S - 29))).expires_at_s == NOW_S + 1
    assert verify(signed(claims(iat=NOW_S + 30, nbf=NOW_S + 30)))


def test_a_role_stands_in_for_absent_permissions_only(verify: Callable[..., Verified]) -> None:
    """A role maps to permissions; an empty list of permissions means none, whatever the role."""
    assert verify(signed(claims(permissions=...))).principal.permissions == ALL_PERMISSIONS
    assert verify(signed(claims(permissions=None))).principal.permissions == ALL_PERMISSIONS
    assert verify(signed(claims(permissions=..., role="EMPLOYEE"))).principal.permissions == frozenset()
    assert verify(signed(claims(permissions=[], role="SUPER_ADMIN"))).principal.permissions == frozenset()


def test_issuer_and_audience_count_when_they_are_set(verify: Callable[..., Verified]) -> None:
    """A token for somebody else is not for us."""
    ours = signed(claims(iss="https://id.example.com", aud="sim-mcp"))
    wanted = {"auth_issuer": "https://id.example.com", "auth_audience": "sim-mcp"}
    assert verify(ours, **wanted).issuer == "https://id.example.com"
    for changes in ({"iss": "https://evil.example.com"}, {"aud": "other"}, {"iss": ...}, {"aud": ...}):
        payload = claims(iss="https://id.example.com", aud="sim-mcp") | changes
        with pytest.raises(Unauthorized):
            verify(signed({name: value for name, value in payload.items() if value is not ...}), **wanted)


@pytest.mark.requirement("R10")
async def test_an_own_token_counts_until_it_is_revoked(world: World) -> None:
    """Revocation is effective at the very next request: own tokens are not remembered."""
    token, secret = await world.app.tokens.create(
        principal("acme"), name="ci", expires_at=None, created_by="ada"
    )
    door = Authenticator(world.app)
    assert (await door.authenticate(f"Bearer {secret}")).principal == principal("acme")
    assert await world.app.tokens.revoke(TenantId("acme"), token.id)
    with pytest.raises(Unauthorized):
        await door.authenticate(f"Bearer {secret}")


async def test_an_own_token_expires(world: World, clock: ManualClock) -> None:
    """After its time it is unknown."""
    _, secret = await world.app.tokens.create(
        principal("acme"), name="ci", expires_at=clock.now() + timedelta(hours=1), created_by="ada"
    )
    door = Authenticator(world.app)
    await door.authenticate(f"Bearer {secret}")
    clock.advance(3600)
    with pytest.raises(Unauthorized):
        await door.authenticate(f"Bearer {secret}")


async def test_a_remembered_token_does_not_outlive_its_expiry(world: World, clock: ManualClock) -> None:
    """Remembering saves the signature check for up to a minute, never the expiry."""
    door = Authenticator(world.app)
    header = f"Bearer {signed(claims(exp=NOW_S + 5))}"
    first = await door.authenticate(header)
    assert await door.authenticate(header) is first
    clock.advance(34.9)
    assert await door.authenticate(header) is first
    clock.advance(0.2)
    with pytest.raises(Unauthorized):
        await door.authenticate(header)


async def test_a_token_is_checked_again_after_a_minute(world: World, clock: ManualClock) -> None:
    """What is remembered is forgotten."""
    door = Authenticator(world.app)
    header = f"Bearer {signed(claims())}"
    first = await door.authenticate(header)
    clock.advance(60)
    assert await door.authenticate(header) is not first


async def test_only_so_many_tokens_are_remembered(world: World) -> None:
    """A flood of valid tokens does not fill the memory; refused ones are not kept at all."""
    door = Authenticator(world.app)
    for number in range(MOST_REMEMBERED + 10):
        await door.authenticate(f"Bearer {signed(claims(n=number))}")
    with pytest.raises(Unauthorized):
        await door.authenticate("Bearer nonsense")
    assert len(door._remembered) == MOST_REMEMBERED


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YWRhOnB3", "bearer\u00a0x"])
async def test_a_header_without_a_bearer_token_is_refused(header: str | None, world: World) -> None:
    """No token, no caller."""
    with pytest.raises(Unauthorized):
        await Authenticator(world.app).authenticate(header)


@pytest.mark.requirement("R35")
def test_the_same_person_of_another_tenant_owns_other_sessions() -> None:
    """The SDK binds sessions to what we give it: tenant and organisation are in it, rights are not."""

    def owner(**changes: Any) -> object:
        known: dict[str, Any] = {"tenant_id": TenantId("acme"), "subject": "ada"}
        who = Principal(**(known | changes))
        verified = Verified(principal=who, issuer="jwt")
        return authorization_context(AuthenticatedUser(CallerToken.of(verified)))

    assert owner() == owner(permissions=ALL_PERMISSIONS)
    others = [owner(tenant_id=TenantId("globex")), owner(organization_id="org-1"), owner(subject="bob")]
    assert owner() not in others


def test_the_sdk_never_gets_the_token_itself() -> None:
    """What is not there cannot leak."""
    caller = CallerToken.of(Verified(principal=principal("acme"), issuer="jwt"))
    assert caller.token == ""


async def test_the_principal_is_that_of_the_message() -> None:
    """The token of the request wins; a stdio session is its own principal; nobody is nobody."""
    assert current_principal(principal("acme")) == principal("acme")
    with pytest.raises(Unauthorized):
        current_principal(None)
    user = AuthenticatedUser(CallerToken.of(Verified(principal=principal("globex"), issuer="jwt")))
    reset = auth_context_var.set(user)
    try:
        assert current_principal(principal("acme")) == principal("globex")
    finally:
        auth_context_var.reset(reset)
