"""Memory over many calls: it must not grow with them.

Run: `uv run python -m benchmarks.memory [--calls N]`. The first tenth warms caches and pools up; from then on
the server's memory is looked at after every tenth, and what it grew by is told for each thousand calls.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.load import load
from benchmarks.processes import PORT_IN_URL, running, set_up, upstream

CALLERS = 16
PARTS = 10
MOST_PER_THOUSAND_BYTES = 100_000
"""At most: 200,000 calls may then take 20 MB, an eighth of what the server holds anyway."""


def main() -> int:
    """Print the memory after each part; 0 when it does not grow."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=200_000)
    options = parser.parse_args()
    part = max(1, options.calls // PARTS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sim = stack.enter_context(running(upstream(0)))
        ours = set_up(folder / "ours", sim.port)
        server = stack.enter_context(running(ours.command, environment=ours.environment, port_in=PORT_IN_URL))
        target = ours.target(server.port)
        calls, seen = 0, list[tuple[int, int]]()
        for number in range(1, PARTS + 1):
            while calls < number * part:
                calls += asyncio.run(load(target, callers=CALLERS, duration_s=5)).calls
            time.sleep(1)  # until nothing is under way
            seen.append((calls, server.memory_bytes()))
            print(f"after {calls:8} calls {seen[-1][1] / 1e6:7.1f} MB", flush=True)
    (first_calls, first), (last_calls, last) = seen[0], seen[-1]
    growth = (last - first) / (last_calls - first_calls) * 1000
    held = growth <= MOST_PER_THOUSAND_BYTES
    print(
        f"{growth / 1000:.1f} KB for each thousand calls, wanted at most {MOST_PER_THOUSAND_BYTES / 1000:.0f}"
    )
    print("flat" if held else "MISSED")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
