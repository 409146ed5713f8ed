"""Calls in a second, side by side: our server with everything on against servers that do the same POST bare.

Run: `uv run python -m benchmarks.throughput [--seconds S] [--rounds N] [--fastmcp PYTHON]
[--contextforge PYTHON]`. In every round each server is loaded in turn, so that a busy machine slows them all;
ratios are those of the medians. `--fastmcp` names an interpreter that has FastMCP and uvicorn,
`--contextforge` one that has mcp-contextforge-gateway. CPU is the server process's own, for each call.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contextforge import contextforge
from benchmarks.load import Target, load, mcp_call
from benchmarks.processes import PORT_IN_URL, Running, running, set_up, upstream

CALLERS = (1, 16, 64)
DELAYS_MS = (0, 50)
OURS, LIMIT = "sim-mcp", "floor-aiohttp"
RIVALS: tuple[str, ...] = ("floor-httpx", "sdk", "sdk-low-level", LIMIT)


@dataclass(slots=True)
class Score:
    """What was measured of one server at one load, a value for each round."""

    per_s: list[float] = field(default_factory=list[float])
    p50_ms: list[float] = field(default_factory=list[float])
    p99_ms: list[float] = field(default_factory=list[float])
    cpu_ms: list[float] = field(default_factory=list[float])

    def row(self, limit: Score) -> str:
        """The medians, and the ratio of the calls to those of `limit`."""
        per_s, p50, p99, cpu = (
            statistics.median(each) for each in (self.per_s, self.p50_ms, self.p99_ms, self.cpu_ms)
        )
        ratio = per_s / statistics.median(limit.per_s)
        return f"{per_s:8.0f} {p50:8.2f} {p99:8.2f} {cpu:8.3f} {ratio:8.2f}"


def measure(
    servers: dict[str, tuple[Running, Target]], *, callers: int, seconds: float, rounds: int
) -> dict[str, Score]:
    """Load every server in turn, `rounds` times."""
    scores = {name: Score() for name in servers}
    for name, (_, target) in servers.items():
        asyncio.run(load(target, callers=callers, duration_s=min(1.0, seconds)))
        assert scores[name].per_s == []
    for number in range(rounds):
        names = list(servers)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            server, target = servers[name]
            cpu_s = server.cpu_s()
            seen = asyncio.run(load(target, callers=callers, duration_s=seconds))
            score = scores[name]
            score.per_s.append(seen.per_s)
            score.p50_ms.append(seen.percentile_ms(50))
            score.p99_ms.append(seen.percentile_ms(99))
            score.cpu_ms.append((server.cpu_s() - cpu_s) / seen.calls * 1000)
    return scores


def told(delay_ms: int, callers: int, scores: dict[str, Score]) -> bool:
    """Print the table of one load; whether every promise held there."""
    print(f"\nupstream {delay_ms} ms, {callers} callers")
    print(f"  {'server':16} {'calls/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8} {'of limit':>8}")
    for name, score in scores.items():
        print(f"  {name:16} {score.row(scores[LIMIT])}")
    ours = statistics.median(scores[OURS].per_s)
    held = True
    for name, score in scores.items():
        if name == OURS:
            continue
        ratio = ours / statistics.median(score.per_s)
        least = 0.4 if name == LIMIT else 0.9 if callers == 1 and name.startswith("sdk") else 1.0
        if callers == 1 and name in ("floor-httpx", "fastmcp", "contextforge"):
            least = 0.0  # nothing was promised of a single caller there
        is_held = ratio >= least
        held = held and is_held
        wanted = f"wanted at least {least}" if least else "nothing promised"
        print(f"  ours / {name:14} {ratio:5.2f}, {wanted}{'' if is_held else '  MISSED'}")
    return held


def main() -> int:
    """Print a table for each load; 0 when every promise held."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fastmcp", metavar="PYTHON")
    parser.add_argument("--contextforge", metavar="PYTHON")
    parser.add_argument("--callers", type=int, nargs="*", default=list(CALLERS))
    parser.add_argument("--delays", type=int, nargs="*", default=list(DELAYS_MS))
    options = parser.parse_args()
    held = True
    for delay_ms in options.delays:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            sim = stack.enter_context(running(upstream(delay_ms)))
            ours = set_up(folder / "ours", sim.port)
            served = stack.enter_context(
                running(ours.command, environment=ours.environment, port_in=PORT_IN_URL)
            )
            servers = {OURS: (served, ours.target(served.port))}
            rivals = dict.fromkeys(RIVALS, sys.executable)
            if options.fastmcp:
                rivals["fastmcp"] = options.fastmcp
            for name, python in rivals.items():
                server = stack.enter_context(
                    running([python, "-m", "benchmarks.rivals", name, str(sim.port)])
                )
                arguments: dict[str, object] = {"employee": "Ada"}
                if name == "fastmcp":
                    arguments = {"input": arguments}
                servers[name] = (server, mcp_call(server.port, tool="echo", arguments=arguments))
            if options.contextforge:
                servers["contextforge"] = stack.enter_context(
                    contextforge(options.contextforge, folder / "contextforge", sim.port)
                )
            for callers in options.callers:
                scores = measure(servers, callers=callers, seconds=options.seconds, rounds=options.rounds)
                held = told(delay_ms, callers, scores) and held
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
