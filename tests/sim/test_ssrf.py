"""A tenant names the server, our process connects: nothing it names leads inside, at any moment."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohappyeyeballs
import aiohttp
import anyio
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from anyio.abc import SocketAttribute, SocketStream
from hypothesis import given
from hypothesis import strategies as st

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import InvalidInput, NotASimApi, SimUnavailable
from sim_mcp.model.integration import Integration
from sim_mcp.sim import SimClients, check_base_url
from sim_mcp.sim.client import SimClient
from sim_mcp.sim.hosts import AllowedHosts, is_public_address
from sim_mcp.sim.pool import GuardedResolver
from tests.sim.scripted import KEY
from tests.sim.test_sockets import http, listening

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R60")]

PUBLIC = "93.184.215.14"
NAME = "sim.attacker.example"


class Zone(AbstractResolver):
    """DNS that gives one scripted answer after the other, and counts how often it was asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(hostname=host, host=each, port=port, family=family, proto=0, flags=0)
            for each in found
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def client_at(base_url: str, *allowed: str) -> AsyncGenerator[SimClient]:
    """A client of its own, so that no name is remembered from before."""

    async def no_key(_: Integration) -> str:
        return KEY

    clients = SimClients(clock=ManualClock(), key_of=no_key, allowed_hosts=allowed)
    async with clients.trial(base_url=base_url, api_key=KEY) as client:
        yield client
    await clients.aclose()


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses to which a connection was tried; none succeeds."""
    tried = list[str]()

    async def refuse(*, addr_infos: list[Any], **_: object) -> None:
        tried.extend(str(info[4][0]) for info in addr_infos)
        raise ConnectionRefusedError(111, "nobody listens in this test")

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", refuse)
    return tried


def lead(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> Zone:
    """Let every name resolve to `answers`, in turn."""
    zone = Zone(*answers)
    monkeypatch.setattr(aiohttp, "ThreadedResolver", lambda: zone)
    return zone


async def test_a_name_that_is_rebound_inside_is_refused(
    attempts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Public when the settings were checked, private when the call is made: no connection is tried."""
    zone = lead(monkeypatch, [PUBLIC], ["127.0.0.1"])
    for _ in range(2):
        async with client_at(f"https://{NAME}") as client:
            with pytest.raises(SimUnavailable):
                await client.health()
    assert (zone.asked, attempts) == (2, [PUBLIC])


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    attempts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One question for each connection: there is no second answer that could differ."""
    zone = lead(monkeypatch, [PUBLIC, "2606:4700::1111"], ["127.0.0.1"])
    async with client_at(f"https://{NAME}") as client:
        with pytest.raises(SimUnavailable):
            await client.health()
    assert zone.asked == 1
    assert set(attempts) <= {PUBLIC, "2606:4700::1111"}
    assert attempts


@pytest.mark.parametrize(
    "answer",
    [
        [PUBLIC, "10.0.0.1"],
        ["10.0.0.1", PUBLIC],
        ["::ffff:127.0.0.1"],
        ["::ffff:7f00:1"],
        ["0.0.0.0"],  # noqa: S104  # an answer, not a binding
        ["::"],
        ["64:ff9b::a9fe:a9fe"],
        ["64:ff9b:1::7f00:1"],
        ["2002:7f00:1::"],
        ["fe80::1%2"],
        ["3fff::1"],
        ["169.254.169.254"],
        ["192.88.99.1"],
        ["not an address"],
        [],
    ],
)
async def test_an_answer_with_one_bad_address_is_refused_whole(
    answer: list[str], attempts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mixed answers, wrapped addresses, the unspecified one, and none at all."""
    lead(monkeypatch, answer)
    async with client_at(f"https://{NAME}") as client:
        with pytest.raises(SimUnavailable, match="nothing was started"):
            await client.health()
    assert attempts == []


@pytest.mark.sockets
async def test_the_name_stays_in_the_request_and_in_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pinning the address changes neither the `Host` header nor the server name that TLS asks for."""
    lead(monkeypatch, ["127.0.0.1"])
    hello = list[bytes]()

    async def answer(_: bytes, stream: SocketStream) -> None:
        await stream.send(http(b'{"status":"ok"}'))

    async def listen_to_tls(stream: SocketStream) -> None:
        async with stream:
            hello.append(await stream.receive())

    async with listening(answer) as (base_url, heads):
        port = base_url.rpartition(":")[2]
        async with client_at(f"http://sim.example:{port}", "sim.example") as client:
            await client.health()
    assert f"host: sim.example:{port}".encode() in heads[0].lower()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610  # a socket's, not Django's
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, listen_to_tls)
        async with client_at(f"https://sim.example:{port}", "sim.example") as client:
            with pytest.raises(SimUnavailable):
                await client.health()
        group.cancel_scope.cancel()
    assert b"sim.example" in hello[0]


@pytest.mark.sockets
@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 X"])
async def test_a_redirect_is_never_followed(status: str) -> None:
    """Wherever it points: the key was given to the base URL alone."""
    targets = list[str]()

    async def answer(_: bytes, stream: SocketStream) -> None:
        await stream.send(http(b"{}", status=status, headers=f"location: {targets[0]}/inside\r\n"))

    async with listening(answer) as (base_url, heads):
        targets.append(base_url)
        async with client_at(base_url, "127.0.0.1") as client:
            with pytest.raises(NotASimApi, match="redirects"):
                await client.health()
    assert not [head for head in heads if b"/inside" in head]


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://134744072", "https://8.8.8.8"),
        ("https://0x8.010.2056", "https://8.8.8.8"),
        ("https://8.8.8.8.:443/", "https://8.8.8.8:443"),
        ("https://８.８.８.８", "https://8.8.8.8"),  # noqa: RUF001  # full-width digits are the subject
        ("https://Bücher.example//", "https://xn--bcher-kva.example"),
        ("https://host.example/a%2Fb/", "https://host.example/a%2Fb"),
        ("https://host.example//evil.example/", "https://host.example//evil.example"),
        ("https://host.example/@evil.example", "https://host.example/@evil.example"),
    ],
)
def test_every_spelling_of_a_host_becomes_its_usual_one(url: str, normal: str) -> None:
    """What is stored, shown and connected to is one and the same."""
    assert check_base_url(url, allowed_hosts=()) == normal


@pytest.mark.parametrize(
    "url",
    [
        "https://１２７.0.0.1",  # noqa: RUF001  # full-width digits are the subject
        "https://127。0。0。1",
        "https://①②⑦.0.0.1",  # circled digits are the subject
        "https://[::ffff:10.0.0.1]",
        "https://[::ffff:0:7f00:1]",
        "https://[64:ff9b:1::1]",
        "https://[4000::1]",
        "https://user:secret@host.example",
        "https://host.example@127.0.0.1",
        "https://127.0.0.1#@host.example",
        "https://127.0.0.1\t.example",
        "https://host.example:0x50",
        "https://host.example%2eevil.example",
    ],
)
def test_a_disguised_inside_is_refused(url: str) -> None:
    """And the message repeats no password."""
    with pytest.raises(InvalidInput) as caught:
        check_base_url(url, allowed_hosts=())
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("host", "port", "pattern", "is_admitted"),
    [
        ("10.0.0.1", 443, "*", False),
        ("10.0.0.1", 443, "", False),
        ("10.0.0.1", 443, "*.0.0.1", False),
        ("10.0.0.1", 443, "*.", False),
        ("sim.internal", 443, "*.*", False),
        ("sim.internal", 443, "sim.internal.", True),
        ("sim.internal", 443, "sim.internal:", True),
        ("sim.internal", 443, "sim.internal:0443", False),
        ("sim.internal", 8443, "sim.internal:443", False),
        ("a.b.internal", 443, "*.internal", True),
        ("internal", 443, "*.internal", False),
        ("xn--bcher-kva.example", 443, "bücher.example", True),
        ("eu.xn--bcher-kva.example", 443, "*.bücher.example", True),
        ("::1", 443, "[0:0:0:0:0:0:0:1]:443", True),
        ("::1", 443, "[::zz]", False),
        ("::1", 443, "[:::::]", False),
        ("127.0.0.1", 443, "2130706433", True),
        ("sim.internal", 443, "https://sim.internal", False),
    ],
)
def test_a_pattern_admits_what_it_names_and_nothing_else(
    host: str, port: int, pattern: str, *, is_admitted: bool
) -> None:
    """What is no pattern matches nobody and breaks nothing."""
    assert AllowedHosts(("other.example", pattern)).admits(host, port) is is_admitted


addresses = st.ip_addresses(v=4) | st.ip_addresses(v=6)
"""Hypothesis draws from the special networks on purpose."""


@given(addresses)
def test_an_address_is_public_only_if_the_standard_library_finds_so(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """And for IPv4, whenever it does, but for networks that newer standards took out of use."""
    is_usual = address.is_global and not (address.is_multicast or address.is_reserved or address.is_private)
    is_wrapped = isinstance(address, ipaddress.IPv6Address) and (
        address.sixtofour or address.ipv4_mapped or address in ipaddress.ip_network("64:ff9b::/96")
    )
    if is_public_address(str(address)):
        assert is_usual or is_wrapped
    elif isinstance(address, ipaddress.IPv4Address):
        assert not is_usual or address in ipaddress.ip_network("192.88.99.0/24")


@given(st.ip_addresses(v=4))
def test_every_wrapping_of_an_address_is_as_public_as_itself(address: ipaddress.IPv4Address) -> None:
    """Mapped, 6to4 and NAT64 open no way around the rule."""
    number = int(address)
    wrapped = [
        (0xFFFF << 32) | number,
        (0x2002 << 112) | (number << 80),
        (0x0064FF9B << 96) | number,
    ]
    expected = is_public_address(str(address))
    assert [is_public_address(str(ipaddress.IPv6Address(each))) for each in wrapped] == [expected] * 3


@given(st.lists(addresses.map(str), max_size=4))
def test_names_pass_only_with_public_addresses_alone(found: list[str]) -> None:
    """For any answer: all of it is public, or nothing of it is used."""

    async def resolve() -> list[ResolveResult] | None:
        try:
            return await GuardedResolver(allowed=AllowedHosts(()), inner=Zone(found)).resolve(NAME, 443)
        except OSError:
            return None

    passed = anyio.run(resolve)
    if found and all(is_public_address(each) for each in found):
        assert passed is not None
        assert [each["host"] for each in passed] == found
    else:
        assert passed is None


@given(st.ip_addresses(v=4), st.sampled_from(["{}", "{:d}", "{:#x}", "{:#o}"]))
def test_a_literal_address_is_judged_in_every_spelling(address: ipaddress.IPv4Address, form: str) -> None:
    """Dotted, decimal, hexadecimal and octal mean the same to the system, so they do to us."""
    number = int(address)
    text = str(address) if form == "{}" else form.format(number).replace("0o", "0")
    try:
        passed: str | None = check_base_url(f"https://{text}", allowed_hosts=())
    except InvalidInput:
        passed = None
    assert passed == (f"https://{address}" if is_public_address(str(address)) else None)
