"""Settings that decide who is let in: what cannot be meant is refused at start, with a remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim_mcp.config import load_settings
from sim_mcp.model.errors import InvalidInput
from sim_mcp.transports.http import check_authentication
from tests.transports.identity_provider import AUDIENCE, JWKS_URL, SETTINGS
from tests.world import open_world

pytestmark = pytest.mark.requirement("R5")
KEYS, AUDIENCES = "SIM_MCP_AUTH_JWKS_URL", "SIM_MCP_AUTH_AUDIENCE"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Nothing of the machine's own settings."""
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def refusal(environment: pytest.MonkeyPatch, **variables: str) -> str:
    """What is said about these variables."""
    for name, value in variables.items():
        environment.setenv(name, value)
    with pytest.raises(InvalidInput) as error:
        load_settings()
    for value in variables.values():
        assert len(value) < 12 or value not in error.value.message
    return error.value.message


def test_keys_of_a_provider_need_an_audience(environment: pytest.MonkeyPatch) -> None:
    """The provider signs tokens for others too; the remedy names this server's own URL."""
    said = refusal(environment, **{KEYS: JWKS_URL})
    assert f"{AUDIENCES}: " in said
    assert "https://mcp.example.com/mcp" in said
    environment.setenv("SIM_MCP_PUBLIC_URL", "https://tools.acme.example/sim/")
    assert "https://tools.acme.example/sim/mcp" in refusal(environment, **{KEYS: JWKS_URL})
    environment.setenv(AUDIENCES, AUDIENCE)
    assert load_settings().auth_audience == AUDIENCE


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example.com/keys",
        "http://127.0.0.1.evil.example/keys",
        "http://localhost@evil.example/keys",
        "https://name:secret-word@id.example.com/keys",
        "https://id.example.com/keys#fragment",
        "ftp://id.example.com/keys",
        "file:///etc/keys.json",
        "https:///keys",
        "https://[::1/keys",
        "id.example.com/keys",
        "",
    ],
)
def test_keys_come_over_a_safe_way_only(environment: pytest.MonkeyPatch, url: str) -> None:
    """Who can change the keys on their way decides who is let in."""
    assert f"{KEYS}: " in refusal(environment, **{KEYS: url, AUDIENCES: AUDIENCE})


@pytest.mark.parametrize(
    "url", [JWKS_URL, "http://127.0.0.1:8080/keys", "http://localhost/keys", "http://[::1]:1/keys"]
)
def test_https_and_this_machine_are_safe(environment: pytest.MonkeyPatch, url: str) -> None:
    """Plain http is for trying things out."""
    environment.setenv(KEYS, url)
    environment.setenv(AUDIENCES, AUDIENCE)
    assert load_settings().auth_jwks_url == url


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SIM_MCP_AUTH_CLAIM_TENANT", ""),
        ("SIM_MCP_AUTH_CLAIM_ORGANIZATION", ""),
        ("SIM_MCP_AUTH_CLAIM_SUBJECT", " , "),
        ("SIM_MCP_AUTH_CLAIM_PERMISSIONS", ""),
        ("SIM_MCP_AUTH_CLAIM_ROLE", ""),
        ("SIM_MCP_AUTH_ROLE_PERMISSIONS", '{"ADMIN": ["INTEGRATION_ADMIN"]}'),
        ("SIM_MCP_AUTH_JWT_SECRET", "too-short"),
        ("SIM_MCP_AUTH_JWT_SECRET", "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(
    environment: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """A misspelt permission would silently be none, a public key is no secret."""
    assert f"{variable}: " in refusal(environment, **{variable: value})


@pytest.mark.anyio
async def test_keys_of_a_provider_are_authentication_enough(tmp_path: Path) -> None:
    """The server starts on any address."""
    trust: dict[str, Any] = SETTINGS
    async with open_world(tmp_path, connect={}, **trust) as world:
        await check_authentication(world.app, host="0.0.0.0", allow_unauthenticated=False)  # noqa: S104 - never bound
