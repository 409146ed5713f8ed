"""The real transport, against a socket on this machine: what is proven unsent, and what is not."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import anyio
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from anyio.abc import SocketAttribute, SocketStream

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import SimAnswerLost, SimError, SimUnavailable
from sim_mcp.model.execution import Status
from sim_mcp.model.integration import Integration
from sim_mcp.model.run import RunId
from sim_mcp.model.tool import WorkflowId
from sim_mcp.sim import SimClients
from sim_mcp.sim.client import SimClient
from sim_mcp.sim.hosts import AllowedHosts
from sim_mcp.sim.pool import GuardedResolver
from tests.sim.scripted import KEY, request_of

pytestmark = [pytest.mark.anyio, pytest.mark.sockets]

OFF = b'{"error":{"code":"NOT_FOUND","message":"Not found"}}'
OK = b'{"success":true,"executionId":"r1","output":{"a":1}}'

Answering = Callable[[bytes, SocketStream], Awaitable[None]]


def http(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-request-id: a1b2c3d4\r\n{headers}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def listening(answer: Answering) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """A server that reads one request at a time and lets `answer` do what it wants with the socket."""
    heads = list[bytes]()

    async def serve(stream: SocketStream) -> None:
        async with stream:
            try:
                while True:
                    head = await read_request(stream)
                    heads.append(head)
                    if b"/api/v2/workspaces" in head:
                        await stream.send(http(OFF, status="404 Not Found"))
                    else:
                        await answer(head, stream)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610  # a socket's, not Django's
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{port}", heads
        group.cancel_scope.cancel()


async def read_request(stream: SocketStream) -> bytes:
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += await stream.receive()
    head, _, body = raw.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    left = int(lengths[0].split(b":")[1]) - len(body) if lengths else 0
    while left > 0:
        left -= len(await stream.receive())
    return head


@asynccontextmanager
async def client_at(base_url: str, clock: ManualClock) -> AsyncGenerator[SimClient]:
    async def no_key(_: Integration) -> str:
        return KEY

    clients = SimClients(clock=clock, key_of=no_key, allowed_hosts=("127.0.0.1",))
    async with clients.trial(base_url=base_url, api_key=KEY) as client:
        yield client
    await clients.aclose()


async def test_a_run_goes_over_a_real_socket(clock: ManualClock) -> None:
    """Paths arrive encoded, no cookie comes back, and nothing of the environment's proxies is used."""

    async def answer(_: bytes, stream: SocketStream) -> None:
        await stream.send(http(OK, headers="set-cookie: session=abc\r\n"))

    async with listening(answer) as (base_url, heads), client_at(base_url, clock) as client:
        request = request_of(workflow_id=WorkflowId("a/b:c"))
        for name in ("r1", "r2"):
            run = await client.execute(request, run_id=RunId(name))
            assert run.status is Status.COMPLETED
    first, second = [head for head in heads if head.startswith(b"POST")]
    target = first.split(b" ")[1]
    assert target in {
        b"/api/workflows/a%2Fb%3Ac/execute",
        b"/api/workflows/a%2Fb:c/execute",  # aiohttp writes a colon as itself: the same path
    }
    assert b"cookie" not in second.lower()


@pytest.mark.parametrize(
    "sends", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", b"nonsense\r\n\r\n"]
)
async def test_a_connection_that_breaks_after_sending_leaves_doubt(
    sends: bytes,
    clock: ManualClock,
) -> None:
    """The request arrived; whatever is wrong with the answer, a run may exist."""

    async def answer(_: bytes, stream: SocketStream) -> None:
        if sends:
            await stream.send(sends)
        await stream.aclose()

    async with listening(answer) as (base_url, heads), client_at(base_url, clock) as client:
        with pytest.raises(SimAnswerLost):
            await client.execute(request_of(), run_id=RunId("r1"))
    assert len([head for head in heads if head.startswith(b"POST")]) == 1


async def test_a_connection_that_is_reset_after_sending_leaves_doubt(clock: ManualClock) -> None:
    """A reset looks like a connection problem, but the request had been read."""

    async def answer(_: bytes, stream: SocketStream) -> None:
        raw: socket.socket = stream.extra(SocketAttribute.raw_socket)  # noqa: S610  # a socket's, not Django's
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        await stream.aclose()

    async with listening(answer) as (base_url, _), client_at(base_url, clock) as client:
        with pytest.raises(SimAnswerLost):
            await client.execute(request_of(), run_id=RunId("r1"))


async def test_a_port_where_nobody_listens_proves_that_nothing_began(clock: ManualClock) -> None:
    """A refused connection carried no request."""
    with socket.socket() as taken:  # held, so that nobody else begins to listen there
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with client_at(f"http://127.0.0.1:{port}", clock) as client:
            with pytest.raises(SimUnavailable) as caught:
                await client.health()
    assert "nothing was started" in caught.value.message


async def test_a_stream_arrives_piece_by_piece(clock: ManualClock) -> None:
    """The first text is heard while SIM still holds the rest back."""
    heard, went_on = anyio.Event(), list[bool]()

    async def answer(_: bytes, stream: SocketStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        await stream.send(b'data: {"blockId":"b","chunk":"Hel"}\n\ndata: {"blockId"')
        await heard.wait()
        went_on.append(True)
        await stream.send(
            b':"b","chunk":"lo"}\n\ndata: {"event":"final","data":{"success":true,"output":{}}}\n\n'
        )
        await stream.aclose()

    async def on_text(_: str) -> None:
        heard.set()

    async with listening(answer) as (base_url, _), client_at(base_url, clock) as client:
        run = await client.execute(request_of(), run_id=RunId("r1"), on_text=on_text)
    assert (run.output, went_on) == ({"content": "Hello"}, [True])


class Zone(AbstractResolver):
    """DNS with fixed answers."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=each, port=port, family=family, proto=0, flags=0)
            for each in self.addresses
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("addresses", "allowed", "passes"),
    [
        (["8.8.8.8"], (), True),
        (["127.0.0.1"], (), False),
        (["8.8.8.8", "10.0.0.1"], (), False),
        (["::ffff:10.0.0.1"], (), False),
        (["169.254.169.254"], ("other.example",), False),
        (["10.0.0.1"], ("sim.example",), True),
        (["10.0.0.1"], ("sim.example:8443",), False),
    ],
)
async def test_a_public_name_may_not_lead_inside(
    addresses: list[str],
    allowed: tuple[str, ...],
    *,
    passes: bool,
) -> None:
    """What DNS answers is checked where it is used, unless the operator listed the name."""
    resolver = GuardedResolver(allowed=AllowedHosts(allowed), inner=Zone(*addresses))
    if passes:
        assert len(await resolver.resolve("SIM.example.", 443)) == len(addresses)
    else:
        with pytest.raises(OSError, match="private"):
            await resolver.resolve("sim.example", 443)
    await resolver.close()


async def test_a_name_that_leads_inside_is_unreachable(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way: a tenant's public name that resolves to this machine never gets a connection."""
    monkeypatch.setattr(aiohttp, "ThreadedResolver", lambda: Zone("127.0.0.1"))

    async def no_key(_: Integration) -> str:
        return KEY

    clients = SimClients(clock=clock, key_of=no_key, allowed_hosts=())
    async with clients.trial(base_url="https://sim.attacker.example", api_key=KEY) as client:
        with pytest.raises(SimError) as caught:
            await client.health()
    await clients.aclose()
    assert isinstance(caught.value, SimUnavailable)
    assert "private" in (caught.value.detail or "")
