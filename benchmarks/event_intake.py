"""Events taken in, beside duplicates of one event and beside calls by REST.

Run: `uv run python -m benchmarks.event_intake [--seconds S] [--rounds N]`. Taken in means: stored, with the
job that it starts, before it is answered. The server runs no jobs meanwhile (`--no-worker`): intake alone
is measured. Nothing is promised in numbers; ratios are those of the medians.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx

from benchmarks.load import Load, Target, load
from benchmarks.processes import PORT_IN_URL, running, set_up, upstream
from benchmarks.upstream import WORKFLOW_ID

BASE_PATH = "/api/integration/sim"
EVENT = "timer.stopped"
CALLERS = (1, 16)
NEW, AGAIN, CALL = "new events", "one event again", "calls by REST"


def targets(port: int, token: str) -> dict[str, Target]:
    """What is posted; an id of `%d` makes every message another one."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def posting(path: str, body: str, proof: bytes) -> Target:
        return Target(port=port, path=BASE_PATH + path, headers=headers, body=body, proof=proof)

    event = json.dumps({"id": "ID", "event": EVENT, "data": {"employee": "Ada"}})
    call = json.dumps({"input": {"employee": "Ada"}})
    return {
        NEW: posting("/events", event.replace('"ID"', '"evt-%d"'), b'"duplicate":false'),
        AGAIN: posting("/events", event.replace('"ID"', '"evt-again"'), b'"duplicate":true'),
        CALL: posting(f"/workflows/{WORKFLOW_ID}/execute", call, b'"hours'),
    }


def row(what: str, seen: list[Load], usual: float) -> str:
    """The medians, and the ratio of the rate to `usual`."""
    per_s, p50, p99 = (
        statistics.median(values)
        for values in (
            [each.per_s for each in seen],
            [each.percentile_ms(50) for each in seen],
            [each.percentile_ms(99) for each in seen],
        )
    )
    return f"  {what:16} {per_s:7.0f}/s   p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   ratio {per_s / usual:.2f}"


def main() -> int:
    """Print a table for each number of callers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sim = stack.enter_context(running(upstream(0)))
        ours = set_up(folder / "ours", sim.port, permissions="add,view,edit")
        server = stack.enter_context(
            running([*ours.command, "--no-worker"], environment=ours.environment, port_in=PORT_IN_URL)
        )
        mapped = httpx.post(
            f"http://127.0.0.1:{server.port}{BASE_PATH}/events/mappings",
            headers={"Authorization": f"Bearer {ours.token}"},
            json={"event": EVENT, "workflowId": WORKFLOW_ID},
        )
        mapped.raise_for_status()
        posted = targets(server.port, ours.token)
        first = replace(posted[AGAIN], proof=b'"duplicate":false', is_single=True)
        for target in (first, replace(posted[CALL], is_single=True)):  # the event, and a call that loads code
            asyncio.run(load(target, callers=1, duration_s=60))
        for callers in CALLERS:
            seen: dict[str, list[Load]] = {what: [] for what in posted}
            for _ in range(options.rounds):
                for what, target in posted.items():
                    seen[what].append(asyncio.run(load(target, callers=callers, duration_s=options.seconds)))
            usual = statistics.median(each.per_s for each in seen[CALL])
            print(f"{callers} callers")
            for what, loads in seen.items():
                print(row(what, loads, usual))
    return 0


if __name__ == "__main__":
    sys.exit(main())
