"""`tools/list` by the number of tools, beside the SDK's low-level server with as many.

Run: `uv run python -m benchmarks.tools_list [--seconds S] [--rounds N]`. Ours tells a hundred tools a page;
the whole list is the sum of its pages. Promised is that the first page takes no longer for more pages.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import yaml

from benchmarks.load import META, Target, load
from benchmarks.processes import PORT_IN_URL, SPEC, Ours, Running, running, set_up, upstream

COUNTS = (10, 100, 1000)
MOST_RATIO = 1.5
"""The first of ten pages to the only one, at most."""


def listing(port: int, *, token: str | None = None, cursor: str | None = None) -> Target:
    """A `tools/list` of revision 2026-07-28."""
    params = {"_meta": META} if cursor is None else {"_meta": META, "cursor": cursor}
    headers = {
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/list",
    }
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    message = {"jsonrpc": "2.0", "id": "ID", "method": "tools/list", "params": params}
    body = json.dumps(message).replace('"ID"', "%d")
    return Target(port=port, path="/mcp", headers=headers, body=body, proof=b'"inputSchema"')


def pages(first: Target) -> list[Target]:
    """That page and every one after it."""
    found, target = list[Target](), first
    with httpx.Client() as client:
        while True:
            found.append(target)
            answer = client.post(
                f"http://127.0.0.1:{target.port}{target.path}",
                headers=target.headers,
                content=target.body.replace("%d", "1").encode(),
            )
            lines = [line for line in answer.text.splitlines() if line.startswith("data:")]
            told = json.loads(lines[-1].removeprefix("data:") if lines else answer.text)
            cursor = told["result"].get("nextCursor")
            if cursor is None:
                return found
            params = {"_meta": META, "cursor": cursor}
            message = {"jsonrpc": "2.0", "id": "ID", "method": "tools/list", "params": params}
            target = replace(first, body=json.dumps(message).replace('"ID"', "%d"))


@contextmanager
def ours_with(count: int, folder: Path, sim_port: int) -> Generator[tuple[Ours, Running]]:
    """Our server with so many tools of one tenant."""
    [tool] = yaml.safe_load(SPEC)["tools"]
    tools = [tool, *({**tool, "name": f"echo_{number}"} for number in range(1, count))]
    ours = set_up(folder, sim_port, spec=yaml.safe_dump({"tenant": "acme", "tools": tools}))
    with running(ours.command, environment=ours.environment, port_in=PORT_IN_URL) as server:
        yield ours, server


def measured(target: Target, seconds: float) -> tuple[float, float]:
    """p50 and p99 of one caller, in milliseconds."""
    asyncio.run(load(target, callers=1, duration_s=0.5))
    seen = asyncio.run(load(target, callers=1, duration_s=seconds))
    return seen.percentile_ms(50), seen.percentile_ms(99)


def main() -> int:
    """Print a line for each number of tools; 0 when the first page stays as fast."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sim = stack.enter_context(running(upstream(0)))
        ours: dict[int, list[Target]] = {}
        bare: dict[int, Target] = {}
        for count in COUNTS:
            site, server = stack.enter_context(ours_with(count, folder / str(count), sim.port))
            ours[count] = pages(listing(server.port, token=site.token))
            command = [sys.executable, "-m", "benchmarks.rivals", "sdk-low-level", str(sim.port), str(count)]
            bare[count] = listing(stack.enter_context(running(command)).port)
        seen: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
        for _ in range(options.rounds):
            for count in COUNTS:
                seen["ours", count].append(measured(ours[count][0], options.seconds))
                seen["bare", count].append(measured(bare[count], options.seconds))
        rest = {count: sum(measured(page, 0.3)[0] for page in ours[count][1:]) for count in COUNTS}
    p50, p99 = (
        {which: statistics.median(each[place] for each in values) for which, values in seen.items()}
        for place in (0, 1)
    )
    for count in COUNTS:
        first, other = ("ours", count), ("bare", count)
        whole = p50[first] + rest[count]
        print(
            f"{count:5} tools: first page p50 {p50[first]:6.2f} p99 {p99[first]:6.2f} ms, "
            f"all {len(ours[count]):2} pages {whole:7.2f} ms; "
            f"bare SDK, one page p50 {p50[other]:6.2f} p99 {p99[other]:6.2f} ms; "
            f"whole list ours / SDK {whole / p50[other]:.2f}"
        )
    ratio = p50["ours", 1000] / p50["ours", 100]
    held = ratio <= MOST_RATIO
    missed = "" if held else "  MISSED"
    print(f"first page of 1,000 / of 100 tools: {ratio:.2f}, wanted at most {MOST_RATIO}{missed}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
