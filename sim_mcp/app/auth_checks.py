"""Findings about who may call over HTTP: the part of the check-up that grows with every way to log in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from sim_mcp.config import Settings
from sim_mcp.model.check import Check

if TYPE_CHECKING:
    import httpx

_FEWEST_DISTINCT = 12
"""A random secret of 32 bytes has about 28 different ones, its hexadecimal text about 14 to 16."""
_DEFAULTS = ("change", "example", "password", "placeholder", "replace", "secret-key", "secretkey")
_FETCH_WITHIN_S = 5.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthFacts:
    """What the checks of this file may know. `has_tokens` is `None` when the database is closed."""

    settings: Settings
    has_tokens: bool | None
    identity_transport: Callable[[], httpx.AsyncBaseTransport] | None = None

    @property
    def is_http_meant(self) -> bool:
        """Whether the settings make sense only for a server that others reach."""
        settings = self.settings
        return bool(settings.public_url or settings.allowed_hosts or settings.allowed_origins)


AuthCheck: TypeAlias = Callable[[AuthFacts], Awaitable[Sequence[Check]]]


async def authentication(facts: AuthFacts) -> Sequence[Check]:
    """Whether anybody could call over HTTP."""
    ways: list[str] = []
    if facts.settings.auth_jwt_secret is not None:
        ways.append("JWTs by SIM_MCP_AUTH_JWT_SECRET")
    if facts.settings.auth_jwks_url is not None:
        ways.append("JWTs by SIM_MCP_AUTH_JWKS_URL")
    if facts.has_tokens:
        ways.append("tokens of this server")
    if ways:
        return [Check.ok("auth", f"HTTP callers are told apart by {' and '.join(ways)}.")]
    message = "No authentication is configured, so `serve --transport http` refuses to start."
    remedy = "create a token with `sim-mcp token create`, or set SIM_MCP_AUTH_JWKS_URL"
    if facts.is_http_meant:
        return [Check.failure("auth", message, remedy=remedy)]
    return [Check.skipped("auth", f"{message} Stdio needs none.", remedy=f"for HTTP: {remedy}")]


async def jwt_secret(facts: AuthFacts) -> Sequence[Check]:
    """Whether the shared secret could be guessed. The settings refuse fewer than 32 bytes already."""
    name, secret = "jwt_secret", facts.settings.auth_jwt_secret
    if secret is None:
        return []
    text = secret.get_secret_value()
    is_known = any(word in text.lower() for word in _DEFAULTS)
    if is_known or len(set(text)) < _FEWEST_DISTINCT:
        return [
            Check.warning(
                name,
                "SIM_MCP_AUTH_JWT_SECRET looks like a phrase or a pattern: whoever guesses it is any tenant.",
                remedy="use a random one, here and where tokens are signed: `openssl rand -base64 48`",
            )
        ]
    return [Check.ok(name, "SIM_MCP_AUTH_JWT_SECRET looks random.")]


async def key_set(facts: AuthFacts) -> Sequence[Check]:
    """Whether the identity provider publishes keys where the settings say."""
    import httpx

    name, url = "key_set", facts.settings.auth_jwks_url
    if url is None:
        return []
    transport = facts.identity_transport() if facts.identity_transport is not None else None
    try:
        async with httpx.AsyncClient(
            transport=transport, trust_env=False, follow_redirects=False, timeout=_FETCH_WITHIN_S
        ) as client:
            answer = await client.get(url)
        listed = answer.json().get("keys") if answer.status_code == 200 else None
    except (httpx.HTTPError, ValueError, AttributeError):
        listed = None
    if not listed or not isinstance(listed, list):
        return [
            Check.failure(
                name,
                "There is no key set at SIM_MCP_AUTH_JWKS_URL, so none of the provider's tokens can "
                "be checked.",
                remedy="open that URL from this machine: it must answer 200 with JSON that lists `keys`",
            )
        ]
    return [Check.ok(name, "The identity provider publishes its keys.")]


async def public_url(facts: AuthFacts) -> Sequence[Check]:
    """Whether links and metadata will name an address that clients reach and trust."""
    name, url = "public_url", facts.settings.public_url
    if url is None:
        if not facts.is_http_meant:
            return []
        return [
            Check.warning(
                name,
                "SIM_MCP_PUBLIC_URL is not set, so metadata and setup links name whatever host was asked.",
                remedy="set SIM_MCP_PUBLIC_URL to the URL that clients use",
            )
        ]
    parts = urlsplit(url)
    if parts.username is not None or parts.query or parts.fragment:
        return [
            Check.failure(
                name,
                "SIM_MCP_PUBLIC_URL has a user name, a query or a fragment, which no client expects.",
                remedy="write it as https://host or https://host/prefix",
            )
        ]
    if parts.scheme.lower() == "http" and parts.hostname not in _LOOPBACK:
        return [
            Check.warning(
                name,
                "SIM_MCP_PUBLIC_URL is plain http: bearer tokens travel in the clear.",
                remedy="put TLS in front and write https://",
            )
        ]
    return [Check.ok(name, f"Clients are told {parts.scheme}://{parts.netloc}{parts.path}.")]


async def host_lists(facts: AuthFacts) -> Sequence[Check]:
    """Entries of the host and origin lists that can never match anything."""
    settings = facts.settings
    found = [
        Check.failure(
            "allowed_hosts",
            f"The entry {entry!r} of SIM_MCP_ALLOWED_HOSTS never matches: it is no `Host` header.",
            remedy="write the host alone, as `mcp.example.com`, `mcp.example.com:8443` or `name:*`",
        )
        for entry in settings.allowed_hosts
        if "/" in entry or "@" in entry or entry.startswith("*")
    ]
    found += [
        Check.failure(
            "allowed_origins",
            f"The entry {entry!r} of SIM_MCP_ALLOWED_ORIGINS never matches: it is no origin.",
            remedy="write scheme and host, as `https://app.example.com`",
        )
        for entry in settings.allowed_origins
        if "://" not in entry or entry.partition("://")[2].rstrip("/").count("/")
    ]
    return found


AUTH_CHECKS: Sequence[AuthCheck] = (authentication, jwt_secret, key_set, public_url, host_lists)
"""In the order in which they are shown. A further way to log in adds its check here."""
