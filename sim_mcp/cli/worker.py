"""`sim-mcp worker`: only the background work, for deployments that keep it apart from `serve --no-worker`."""

from __future__ import annotations

from contextlib import suppress

from sim_mcp.cli.options import Config
from sim_mcp.cli.printing import note
from sim_mcp.cli.session import read_settings, run, settle_down, until_stopped


def worker(*, config: Config = None) -> None:
    """Run what events and schedules start, follow unfinished runs, and purge, until stopped."""
    settings = read_settings(config, is_server=True)

    async def work() -> None:
        from sim_mcp.app import Needs, open_app

        async with open_app(settings, needs=Needs(runs_jobs=True)):
            settle_down()
            note("Working. Stop with Ctrl-C.")
            await until_stopped()

    with suppress(KeyboardInterrupt):  # being stopped is how it ends
        run(work, for_long=True)
