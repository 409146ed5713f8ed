"""How long until the first `tools/list` over stdio, against a bare server of the same SDK.

Run: `uv run python -m benchmarks.stdio_start [ROUNDS]`. Both servers are started in turn, so that a busy
machine slows both; the promise is the ratio of the medians, at most 1.3.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

PROMISE = 1.3
BARE = """
import anyio
import mcp.types as t
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

async def list_tools(ctx, params):
    tool = t.Tool(name="echo", description="Echo.", input_schema={"type": "object"})
    return t.ListToolsResult(tools=[tool])

async def main():
    server = Server("bare", on_list_tools=list_tools)
    async with stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())

anyio.run(main)
"""
MESSAGES = [
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "benchmark", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
]


def first_list_s(command: list[str], environment: dict[str, str]) -> float:
    """Seconds from starting `command` to its answer to `tools/list`."""
    began_s = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for message in MESSAGES:
            process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()
        for line in process.stdout:
            if json.loads(line).get("id") == 2:
                elapsed_s = time.perf_counter() - began_s
                process.stdin.close()
                process.wait(timeout=20)
                return elapsed_s
    raise RuntimeError(f"{command[-1]} ended without an answer")


def main() -> int:
    """Print both medians and their ratio; 0 when the promise holds."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    ours = [sys.executable, "-m", "sim_mcp", "serve", "--transport", "stdio"]
    bare = [sys.executable, "-c", BARE]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "SIM_MCP_DATA_DIR": folder, "SIM_API_KEY": "sk-sim-benchmark-only"}
        first_list_s(ours, environment)  # creates the database and warms both sets of compiled files
        first_list_s(bare, environment)
        times = [(first_list_s(bare, environment), first_list_s(ours, environment)) for _ in range(rounds)]
    bare_s, ours_s = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"bare SDK server {bare_s * 1000:.0f} ms, sim-mcp {ours_s * 1000:.0f} ms (medians of {rounds})")
    print(f"ratio {ours_s / bare_s:.2f}, promised at most {PROMISE}")
    return 0 if ours_s / bare_s <= PROMISE else 1


if __name__ == "__main__":
    sys.exit(main())
