"""Which addresses a tenant may make us ask."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_mcp.model.errors import InvalidInput
from sim_mcp.sim import check_base_url
from sim_mcp.sim.hosts import is_public_address


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://www.sim.ai", "https://www.sim.ai"),
        (" https://www.sim.ai/ ", "https://www.sim.ai"),
        ("https://WWW.Sim.AI.", "https://www.sim.ai"),
        ("https://host.example/prefix/", "https://host.example/prefix"),
        ("https://host.example/a/b//", "https://host.example/a/b"),
        ("https://host.example:8443/x", "https://host.example:8443/x"),
        ("https://8.8.8.8", "https://8.8.8.8"),
        ("https://[64:ff9b::8.8.8.8]", "https://[64:ff9b::808:808]"),
        ("https://[2606:4700:4700:0::1111]/", "https://[2606:4700:4700::1111]"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_a_public_address_is_normalised(url: str, normal: str) -> None:
    """A path prefix stays, slashes and case do not."""
    assert check_base_url(url, allowed_hosts=()) == normal


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:3000",
        "https://127.0.0.1",
        "https://127.1",
        "https://2130706433",
        "https://0x7f000001",
        "https://0x7f.1",
        "https://017700000001",
        "https://0177.0.0.1",
        "https://0.0.0.0",
        "https://10.0.0.8",
        "https://172.16.4.4",
        "https://192.168.1.1",
        "https://100.64.0.1",
        "https://169.254.169.254",
        "https://224.0.0.1",
        "https://240.0.0.1",
        "https://255.255.255.255",
        "https://[::1]",
        "https://[::]",
        "https://[fe80::1]",
        "https://[fe80::1%25eth0]",
        "https://[fd00::1]",
        "https://[::ffff:127.0.0.1]",
        "https://[::ffff:7f00:1]",
        "https://[64:ff9b::7f00:1]",
        "https://[2002:7f00:1::]",
        "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "https://localhost",
        "https://LOCALHOST.",
        "https://sim.localhost",
        "https://printer.local",
        "https://metadata.google.internal",
        "https://sim",
        "http://www.sim.ai",
    ],
)
def test_a_private_or_unprotected_address_needs_the_operator(url: str) -> None:
    """Every spelling of the inside is refused, and so is a key in the clear; the setting is named."""
    with pytest.raises(InvalidInput, match=r"SIM_MCP_SIM_ALLOWED_HOSTS|valid URL") as caught:
        check_base_url(url, allowed_hosts=("other.example",))
    assert caught.value.faults[0].path == "$.base_url"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "www.sim.ai",
        "ftp://www.sim.ai",
        "https://",
        "https:///x",
        "https://user@www.sim.ai",
        "https://user:pw@www.sim.ai",
        "https://@www.sim.ai",
        "https://www.sim.ai?x=1",
        "https://www.sim.ai?",
        "https://www.sim.ai#x",
        "https://www.sim.ai:99999",
        "https://www.sim.ai:port",
        "https://www.sim.ai/a/../b",
        "https://www.sim.ai/%2e%2e/b",
        "https://www.si m.ai",
        "https://www.sim.ai\r\nX-Evil: 1",
        "https://www.sim.ai\\@evil.example",
        "https://a..b",
        "https://-a.example",
        "https://[::1",
        "https://" + "a" * 3000 + ".example",
    ],
)
def test_what_is_no_base_url_is_refused_whatever_is_allowed(url: str) -> None:
    """Credentials, queries, climbing paths and garbage are never needed."""
    with pytest.raises(InvalidInput) as caught:
        check_base_url(url, allowed_hosts=("www.sim.ai", "*.example"))
    assert "pw" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "pattern", "is_admitted"),
    [
        ("http://127.0.0.1:3000", "127.0.0.1:3000", True),
        ("http://127.0.0.1:3001", "127.0.0.1:3000", False),
        ("http://127.0.0.1", "127.0.0.1:80", True),
        ("https://sim.internal", "sim.internal", True),
        ("https://SIM.internal", " Sim.Internal ", True),
        ("https://sim.internal", "internal", False),
        ("http://eu.corp.example", "*.corp.example", True),
        ("http://eu.corp.example:81", "*.corp.example:81", True),
        ("http://corp.example", "*.corp.example", False),
        ("http://evilcorp.example", "*.corp.example", False),
        ("http://[::1]:3000", "[::1]:3000", True),
        ("http://[0:0::1]", "::1", True),
        ("https://sim", "sim", True),
    ],
)
def test_the_operator_admits_by_pattern(url: str, pattern: str, *, is_admitted: bool) -> None:
    """A pattern is a host, a domain's hosts, or either at one port."""
    if is_admitted:
        assert check_base_url(url, allowed_hosts=(pattern,))
    else:
        with pytest.raises(InvalidInput):
            check_base_url(url, allowed_hosts=(pattern,))


@given(st.ip_addresses(v=4))
def test_wrapped_addresses_are_as_private_as_what_they_wrap(address: object) -> None:
    """IPv6 forms of an IPv4 address open no way around the rule."""
    assert is_public_address(f"::ffff:{address}") == is_public_address(str(address))


@given(st.text())
def test_no_text_breaks_the_check(url: str) -> None:
    """Anything typed is either a base URL or explained."""
    with contextlib.suppress(InvalidInput):
        assert check_base_url(url, allowed_hosts=()).startswith("https://")


@given(st.sampled_from(["https://www.sim.ai", "https://a.example:8/x/y"]))
def test_normal_is_normal(url: str) -> None:
    """Checking twice changes nothing."""
    once = check_base_url(url, allowed_hosts=())
    assert check_base_url(once, allowed_hosts=()) == once
