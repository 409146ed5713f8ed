"""The sandbox behind real sockets on the loopback interface."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import anyio
import anyio.lowlevel
import httpx
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.sim.fake import FakeSim, demo_account, faults, serve_fake
from tests.fake.test_recordings import flow, flow2
from tests.patience import PATIENCE_S
from tests.world import SandboxTime

pytestmark = [pytest.mark.anyio, pytest.mark.sockets]

KEY = {"X-API-Key": demo_account("acme").api_key}


def client_of(url: str) -> httpx.AsyncClient:
    """A client of acme that is in no hurry."""
    return httpx.AsyncClient(base_url=url, headers=KEY, timeout=PATIENCE_S)


async def until(is_so: Callable[[], bool]) -> None:
    """Give the others turns until `is_so`."""
    with anyio.fail_after(PATIENCE_S):
        while not is_so():
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("fault", "started", "told"),
    [
        (faults.LostAnswer(), 1, "without sending a response"),
        (faults.NotBegunReset(), 0, "without sending a response"),
        (faults.ResetMidBody(), 1, "incomplete|without sending complete message body"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_the_socket_is_really_cut(fault: faults.Fault, started: int, told: str) -> None:
    """No answer or half of one, then the end of the connection; the next request gets a new one."""
    fake = FakeSim()
    fake.script(fault)
    async with serve_fake(fake) as url, client_of(url) as client:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError), match=told):
            await client.post(f"{flow('quick')}/execute", json={})
        assert len(fake.runs) == started
        assert (await client.post(f"{flow('quick')}/execute", json={})).status_code == 200


async def test_a_stream_arrives_word_by_word() -> None:
    """Frames come while the run goes on; the last two are `final` and the end mark."""
    fake = FakeSim()
    async with serve_fake(fake) as url, client_of(url) as client:
        standings: list[str] = []
        frames: list[object] = []
        body = {"input": {"topic": "hours"}, "stream": True}
        async with client.stream("POST", f"{flow2('streaming')}/execute", json=body) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    frames.append(json.loads(line[6:]))
                    (run,) = fake.runs
                    standings.append(run.standing(run.started_at) if not frames[1:] else "")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert standings[0] == "running"
    assert len(frames) > 10
    assert frames[-2:] == [{"event": "final", "data": {"success": True, "output": {}}}, "[DONE]"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_closed_socket_aborts_the_run(stream: bool) -> None:  # noqa: FBT001  # two cases
    """Sync and stream runs die with their connection (sim-api 1.8)."""
    fake = FakeSim()
    async with serve_fake(fake) as url, client_of(url) as client:
        async with anyio.create_task_group() as caller:
            body = {"seconds": 86_400, "stream": stream}
            caller.start_soon(partial(client.post, f"{flow('slow')}/execute", json=body, timeout=None))
            await until(lambda: len(fake.runs) == 1)
            caller.cancel_scope.cancel()
        (run,) = fake.runs
        with anyio.fail_after(PATIENCE_S):
            await run.stopped.wait()
    assert run.cancelled_at is not None


async def test_a_dribbling_answer_outlives_any_read_timeout() -> None:
    """Only a deadline for the whole helps: minutes pass at the sandbox, and each piece comes in time."""
    clock = ManualClock()
    time = SandboxTime(clock)
    fake = FakeSim(time=time)
    fake.script(faults.SlowLoris(interval_s=10))
    begun_at = clock.now()
    async with (
        serve_fake(fake) as url,
        client_of(url) as client,
        client.stream("POST", f"{flow('quick')}/execute", json={}) as answer,
    ):
        async for _ in answer.aiter_raw():
            if time.now() - begun_at > timedelta(minutes=10):
                break
    assert time.now() - begun_at > timedelta(minutes=10)


async def test_a_hanging_request_does_not_keep_the_server_open() -> None:
    """Leaving the block ends everything, and the process's signals were never touched."""
    before = signal.getsignal(signal.SIGTERM)
    fake = FakeSim(path_prefix="/sim")
    fake.script(faults.Hang(), verb="any")
    with anyio.fail_after(PATIENCE_S):
        async with serve_fake(fake) as url:
            assert url.endswith("/sim")
            assert signal.getsignal(signal.SIGTERM) is before
            host, _, port = url.removeprefix("http://").removesuffix("/sim").partition(":")
            stream = await anyio.connect_tcp(host, int(port))
            await stream.send(b"GET /sim/api/health HTTP/1.1\r\nHost: sim\r\n\r\n")
            await until(lambda: len(fake.requests) == 1)
        async with stream:
            rest = [chunk async for chunk in stream]
    assert b"200 OK" not in b"".join(rest)
    assert len(fake.requests) == 1
