"""Clients that take their time: they are cut off after a while, and hold up nobody."""

from __future__ import annotations

import json
import select
import socket
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import anyio.abc
import httpx
import pytest

from sim_mcp.model.execution import Status
from sim_mcp.transports import http_patience
from sim_mcp.transports.rest_views import BASE_PATH
from tests.patience import PATIENCE_S
from tests.transports.test_http_serving import real_bearer, served
from tests.world import World, workflow_id

pytestmark = [pytest.mark.anyio, pytest.mark.sockets, pytest.mark.requirement("R66", "F25")]

SOON_S = 0.2


def head_of(world_path: str, tenant: str, length: int) -> bytes:
    """The head of a call by REST, whose body is to have `length` bytes."""
    fields = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(length)}
    lines = [f"{name}: {value}" for name, value in (fields | real_bearer(tenant)).items()]
    return ("\r\n".join([f"POST {world_path} HTTP/1.1", *lines]) + "\r\n\r\n").encode()


async def connected(url: str) -> anyio.abc.SocketStream:
    """A connection to the server at `url`, over which nothing was said."""
    return await anyio.connect_tcp("127.0.0.1", urlsplit(url).port or 0)


async def everything(stream: anyio.abc.SocketStream) -> bytes:
    """What comes until the server closes."""
    return b"".join([part async for part in stream])


def told(answer: bytes) -> tuple[int, dict[str, object]]:
    """Status and body of one answer, without its random id."""
    head, _, body = answer.partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert len(problem.pop("requestId")) == 32
    return int(head.split()[1]), problem


def cut_off(raw: socket.socket) -> bool:
    """Whether the server ends the connection, without anything being read from it."""
    ending = select.poll()
    ending.register(raw, 0)  # nothing but ends and errors
    return bool(ending.poll(PATIENCE_S * 1000))


async def assert_others_are_served(world: World, url: str) -> None:
    """The other tenant's call meanwhile."""
    path = f"{url}{BASE_PATH}/workflows/{workflow_id('globex', 'quick')}/execute"
    async with httpx.AsyncClient() as client:
        answer = await client.post(path, headers=real_bearer("globex"), json={"input": {}})
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    del world


@pytest.mark.parametrize("said", ["nothing", "half a head", "half a body"])
async def test_a_request_that_never_ends_is_refused_and_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, said: str
) -> None:
    """408 with a remedy, no row, and the other tenant is served meanwhile."""
    monkeypatch.setattr(http_patience, "REQUEST_WITHIN_S", SOON_S)
    async with served(tmp_path) as (world, url):
        for tenant in ("acme", "globex"):
            await world.allow(tenant, "quick")
        path = f"{BASE_PATH}/workflows/{workflow_id('acme', 'quick')}/execute"
        head = head_of(path, "acme", 100)
        async with await connected(url) as stream:
            await stream.send({"nothing": b"", "half a head": head[:60], "half a body": head + b'{"in'}[said])
            await assert_others_are_served(world, url)
            status, problem = told(await everything(stream))
        assert status == 408
        assert problem == {
            "statusCode": 408,
            "message": "The request was not complete in time: send it again, all at once. Nothing was done.",
            "error": "Request Timeout",
            "code": "INVALID_INPUT",
            "executionId": None,
        }
        assert await world.rows("acme") == ()
        assert [run.account for run in world.sim.runs] == ["globex"]
        assert [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"] == []


async def test_a_request_that_comes_byte_by_byte_but_in_time_is_served(tmp_path: Path) -> None:
    """Slow is not wrong."""
    async with served(tmp_path) as (world, url):
        await world.allow("acme", "quick")
        path = f"{BASE_PATH}/workflows/{workflow_id('acme', 'quick')}/execute"
        body = b'{"input":{}}'
        async with await connected(url) as stream:
            for byte in head_of(path, "acme", len(body)) + body:
                await stream.send(bytes([byte]))
            assert (await stream.receive()).startswith(b"HTTP/1.1 200")
        assert [row.status for row in await world.rows("acme")] == [Status.COMPLETED]


async def test_who_reads_nothing_is_cut_off_and_the_call_keeps_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer is larger than what the network holds for it; the result is in the history, whole."""
    monkeypatch.setattr(http_patience, "READ_WITHIN_S", SOON_S)
    async with served(tmp_path) as (world, url):
        await world.allow("acme", "echo")
        await world.allow("globex", "quick")
        path = f"{BASE_PATH}/workflows/{workflow_id('acme', 'echo')}/execute"
        text = "x" * 8_000_000
        body = json.dumps({"input": {"text": text}}).encode()
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await anyio.to_thread.run_sync(raw.connect, ("127.0.0.1", urlsplit(url).port))
            await anyio.to_thread.run_sync(raw.sendall, head_of(path, "acme", len(body)) + body)
            await assert_others_are_served(world, url)
            assert await anyio.to_thread.run_sync(cut_off, raw)
        [row] = await world.rows("acme")
        assert row.status is Status.COMPLETED
