"""The frame of every verb: on which event loop it runs, and what a server is spared."""

from __future__ import annotations

import asyncio
import gc
from importlib.util import find_spec

from sim_mcp.cli.session import run, settle_down


def test_what_runs_for_long_runs_on_the_faster_loop_where_that_is_installed() -> None:
    """Other verbs do not pay for its import."""

    async def loop() -> str:
        return type(asyncio.get_running_loop()).__module__.partition(".")[0]

    faster = "asyncio" if find_spec("uvloop") is None else "uvloop"
    assert (run(loop), run(loop, for_long=True)) == ("asyncio", faster)


def test_the_garbage_collector_looks_no_more_at_what_a_server_has_loaded() -> None:
    """A full collection of everything would stop all calls for a tenth of a second."""
    before = gc.get_freeze_count()
    try:
        settle_down()
        assert gc.get_freeze_count() - before > 10_000
    finally:
        gc.unfreeze()
