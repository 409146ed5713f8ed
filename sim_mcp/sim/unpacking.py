"""Compressed answers, unpacked piece by piece, so that whoever counts the pieces can stop in time.

`httpx` unpacks each packet whole: 64 KiB become 64 MiB, and in two layers of compression 64 GiB, before
anybody can count them.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

PIECE_BYTES = 64 * 1024
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


def unpack_in_pieces(response: httpx.Response) -> None:
    """Let `response.aiter_bytes` give pieces of at most `PIECE_BYTES` where the answer is compressed.

    One layer of gzip or deflate is unpacked, which is what we ask for. Anything else stays as it came:
    nobody can read it, and that is told like any other unreadable answer.
    """
    if "content-encoding" not in response.headers:
        return
    import httpx

    layers = response.headers.get_list("content-encoding", split_commas=True)
    kinds = [kind for each in layers if (kind := each.strip().lower()) not in {"", "identity"}]
    if not kinds:
        return
    response.headers.pop("content-encoding")  # `httpx` would unpack it otherwise

    class Unpacked(httpx.AsyncByteStream):
        """The unpacked bytes of `packed`, which it closes."""

        def __init__(self, packed: httpx.AsyncByteStream, kind: str) -> None:
            self._packed = packed
            self._kind = kind

        def __aiter__(self) -> AsyncIterator[bytes]:
            return _pieces(self._packed, self._kind)

        async def aclose(self) -> None:
            await self._packed.aclose()

    if kinds in (["gzip"], ["deflate"]) and isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = Unpacked(response.stream, kinds[0])


async def _pieces(packed: AsyncIterable[bytes], kind: str) -> AsyncIterator[bytes]:
    """Raises `zlib.error` for what is not compressed so. What follows the end is left unread."""
    unpacker, rest = None, b""
    async for packet in packed:
        rest += packet
        if unpacker is None:
            if len(rest) < 2:  # too little to tell which form it is
                continue
            unpacker = zlib.decompressobj(_GZIP if kind == "gzip" else _form_of(rest))
        while rest and not unpacker.eof:
            yield unpacker.decompress(rest, PIECE_BYTES)
            rest = unpacker.unconsumed_tail
        if unpacker.eof:
            return
    while unpacker is not None:
        piece = unpacker.decompress(b"", PIECE_BYTES)  # what the last packet made, and nobody took yet
        if not piece:
            return
        yield piece


def _form_of(start: bytes) -> int:
    """Servers mean either of two forms by `deflate`: RFC 1950, or, wrongly, the bare RFC 1951."""
    is_wrapped = start[0] & 0x0F == 8 and (start[0] << 8 | start[1]) % 31 == 0
    return _ZLIB if is_wrapped else _RAW
