"""A SIM that packs far more into an answer than it sends: memory is bounded by what we read, not by it."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncGenerator, Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import RunBegan, SimAnswerLost, SimPayloadTooLarge, SimUnavailable
from sim_mcp.model.execution import Status
from sim_mcp.model.tool import Mode
from sim_mcp.sim.unpacking import PIECE_BYTES
from tests.sim.scripted import RUN, WORKFLOW, ScriptedSim, client_of, request_of

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R60")]

LIMIT_BYTES = 1024 * 1024
MEGABYTE = 1024 * 1024
Packing = Callable[[bytes], bytes]


def bare_deflate(body: bytes) -> bytes:
    """RFC 1951 without a wrapper, as some servers send under the name of `deflate`."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def twice(body: bytes) -> bytes:
    return gzip.compress(gzip.compress(body))


PACKINGS: dict[str, tuple[str, Packing]] = {
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "bare deflate": ("deflate", bare_deflate),
}
TOWERS: dict[str, tuple[str, Packing]] = {
    "gzip in gzip": ("gzip, gzip", twice),
    "gzip in deflate": ("gzip, deflate", lambda body: zlib.compress(gzip.compress(body))),
}


def packed(
    content: bytes, encoding: str, *, kind: str = "application/json", packet: int = 64 * 1024
) -> httpx.Response:
    """An answer that comes over the network in packets, as real ones do."""

    async def packets() -> AsyncGenerator[bytes]:
        for at in range(0, len(content), packet):
            yield content[at : at + packet]

    headers = {"content-type": kind, "content-encoding": encoding, "x-request-id": "r-1"}
    return httpx.Response(200, headers=headers, content=packets())


@pytest.mark.parametrize("name", [*PACKINGS, *TOWERS])
async def test_an_answer_that_unpacks_without_end_takes_no_memory(clock: ManualClock, name: str) -> None:
    """64 MiB out of 64 KiB: refused after the first piece too many; a run is to be looked up."""
    encoding, pack = (PACKINGS | TOWERS)[name]
    bomb = pack(b'"' + b"a" * (64 * MEGABYTE))
    assert len(bomb) < MEGABYTE
    sim = ScriptedSim(*[packed(bomb, encoding, packet=len(bomb)) for _ in range(2)])
    async with client_of(sim, clock, max_answer_bytes=LIMIT_BYTES) as client:
        tracemalloc.start()
        try:
            with pytest.raises(SimAnswerLost) as lost:
                await client.execute(request_of(), run_id=RUN)
            with pytest.raises((SimPayloadTooLarge, SimUnavailable)) as read:
                await client.run(WORKFLOW, RUN)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (lost.value.began, read.value.began) == (RunBegan.MAYBE, RunBegan.NO)
    assert peak < 8 * MEGABYTE, peak


async def test_a_stream_that_unpacks_without_end_is_cut_off(clock: ManualClock) -> None:
    """Events are bounded like any answer."""
    bomb = gzip.compress(b"data: " + b"a" * (64 * MEGABYTE))
    sim = ScriptedSim(packed(bomb, "gzip", kind="text/event-stream"))
    async with client_of(sim, clock, max_answer_bytes=LIMIT_BYTES) as client:
        with pytest.raises(SimAnswerLost):
            await client.execute(request_of(Mode.STREAM), run_id=RUN)


@pytest.mark.parametrize("packet", [1, 7, 64 * 1024])
@pytest.mark.parametrize("name", PACKINGS)
async def test_a_compressed_answer_reads_the_same_however_it_is_cut(
    clock: ManualClock, name: str, packet: int
) -> None:
    """Also larger than one piece: nothing of it is lost between two."""
    encoding, pack = PACKINGS[name]
    text = "".join(chr(97 + at % 26) * (at % 97) for at in range(PIECE_BYTES // 16))
    body = json.dumps({"success": True, "executionId": RUN, "output": {"text": text}}).encode()
    assert len(body) > 2 * PIECE_BYTES
    sim = ScriptedSim(packed(pack(body), encoding, packet=packet))
    async with client_of(sim, clock) as client:
        run = await client.execute(request_of(), run_id=RUN)
    assert (run.status, run.output) == (Status.COMPLETED, {"text": text})


@given(garbage=st.binary(max_size=300), encoding=st.sampled_from(["gzip", "deflate", "br", "gzip, br", "x"]))
async def test_an_answer_that_only_says_it_is_compressed_is_a_lost_one(garbage: bytes, encoding: str) -> None:
    """Garbage, and kinds that we do not read: never an exception of the unpacker's."""
    sim = ScriptedSim(packed(b"\x00" + garbage, encoding))
    async with client_of(sim, ManualClock()) as client:
        with pytest.raises(SimAnswerLost):
            await client.execute(request_of(), run_id=RUN)


async def test_a_compressed_answer_that_ends_early_is_a_lost_one(clock: ManualClock) -> None:
    """Half of it is not the half of an answer."""
    whole = gzip.compress(json.dumps({"success": True, "output": "x" * 500}).encode())
    sim = ScriptedSim(packed(whole[: len(whole) // 2], "gzip"))
    async with client_of(sim, clock) as client:
        with pytest.raises(SimAnswerLost):
            await client.execute(request_of(), run_id=RUN)
