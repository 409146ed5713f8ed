"""Callers: keep-alive connections that post one message after the other, and how long each answer took."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where calls go, and what they carry. `body` has `%d` where the id of the message goes."""

    port: int
    path: str
    headers: dict[str, str]
    body: str
    proof: bytes
    """What every right answer contains."""
    is_single: bool = False
    """Whether a caller calls once and leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What callers saw."""

    calls: int
    elapsed_s: float
    latencies_s: tuple[float, ...]

    @property
    def per_s(self) -> float:
        """Calls in a second."""
        return self.calls / self.elapsed_s

    def percentile_ms(self, percent: float) -> float:
        """The latency that so many percent of the calls did not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000


async def load(target: Target, *, callers: int, duration_s: float) -> Load:
    """Let `callers` call for `duration_s`.

    Raises:
        RuntimeError: an answer is not what was asked for.
    """
    latencies: list[float] = []
    began_s = time.perf_counter()
    ends_s = began_s + duration_s
    await asyncio.gather(*(_caller(target, number, ends_s, latencies) for number in range(callers)))
    elapsed_s = time.perf_counter() - began_s
    return Load(calls=len(latencies), elapsed_s=elapsed_s, latencies_s=tuple(latencies))


async def _caller(target: Target, number: int, ends_s: float, latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    fields = "".join(f"{name}: {value}\r\n" for name, value in target.headers.items())
    head = f"POST {target.path} HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n{fields}"
    call_id = number * 10**12 + time.monotonic_ns() // 1000  # another one in every run of a server
    try:
        while time.perf_counter() < ends_s:
            call_id += 1
            body = target.body.replace("%d", str(call_id)).encode()
            began_s = time.perf_counter()
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await _answer(reader)
            latencies.append(time.perf_counter() - began_s)
            if target.proof not in answer:
                raise RuntimeError(f"not an answer to a call: {answer[:400]!r}")
            if target.is_single:
                return
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lowered = head.lower()
    if b"transfer-encoding: chunked" in lowered:
        parts: list[bytes] = []
        while size := int(await reader.readline(), 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        await reader.readline()
        return b"".join(parts)
    length = int(lowered.split(b"content-length:")[1].split(b"\r\n")[0])
    return head[:12] + await reader.readexactly(length)


META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
}


def mcp_call(
    port: int, *, path: str = "/mcp", tool: str, arguments: dict[str, object], token: str | None = None
) -> Target:
    """A `tools/call` of revision 2026-07-28, which needs no session."""
    message = {
        "jsonrpc": "2.0",
        "id": "ID",
        "method": "tools/call",
        "params": {"name": tool, "arguments": arguments, "_meta": META},
    }
    headers = {
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps(message).replace('"ID"', "%d")
    return Target(port=port, path=path, headers=headers, body=body, proof=b'"hours')
