"""The frame of every verb: on which event loop it runs."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec

from sim_mcp.cli.session import run


def test_what_runs_for_long_runs_on_the_faster_loop_where_that_is_installed() -> None:
    """Other verbs do not pay for its import."""

    async def loop() -> str:
        return type(asyncio.get_running_loop()).__module__.partition(".")[0]

    faster = "asyncio" if find_spec("uvloop") is None else "uvloop"
    assert (run(loop), run(loop, for_long=True)) == ("asyncio", faster)
