"""A SIM that does nothing but answer: so little work that what is measured is the servers before it.

Run: `python -m benchmarks.upstream DELAY_MS`; prints its port. It speaks as much of SIM's v2 API as a call
takes: the probe, and a completed run. Whatever else is asked it says that it knows nothing of it.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RUN_ID = re.compile(rb"\r\nx-run-id: *([^\r]+)", re.IGNORECASE)
WORKFLOW_ID = "wf-benchmark"


class Sim(asyncio.Protocol):
    """One connection."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                return
            self._buffer = self._buffer[whole:]
            status, body = _answer(head)
            delay_s = self._delay_s if head.startswith(b"POST") else 0.0
            reply = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            whole_reply = reply % (status, len(body), body)
            if delay_s:
                asyncio.get_running_loop().call_later(delay_s, self._write, whole_reply)
            else:
                self._write(whole_reply)

    def _write(self, reply: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(reply)


def _answer(head: bytes) -> tuple[bytes, bytes]:
    path = head.split(b" ", 2)[1].split(b"?")[0]
    if head.startswith(b"POST") and path.endswith(b"/execute"):
        given = _RUN_ID.search(head)
        run = {
            "runId": given[1].decode() if given else "run",
            "workflowId": WORKFLOW_ID,
            "status": "completed",
            "output": {"result": {"summary": "ok", "hours": 7.5}},
            "error": None,
            "startedAt": "2026-01-01T00:00:00.000Z",
            "endedAt": "2026-01-01T00:00:00.001Z",
            "durationMs": 1,
        }
        return b"200 OK", json.dumps({"data": run}).encode()
    if path == b"/api/v2/workspaces":
        return b"200 OK", b'{"data":[{"id":"w","name":"Benchmark"}],"nextCursor":null}'
    return b"404 Not Found", b'{"error":{"code":"NOT_FOUND","message":"Not found"}}'


async def main(delay_s: float) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(lambda: Sim(delay_s), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) / 1000))
