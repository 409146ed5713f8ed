"""Telling a pause from a result where an answer alone cannot (sim-api 1.11)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from sim_mcp.model.errors import NotASimApi, SimError, SimNotFound
from sim_mcp.model.execution import Status
from sim_mcp.model.run import Run
from sim_mcp.sim.pauses import is_likely_pause, may_be_pause, pauses_of_output


async def confirmed(run: Run, look: Callable[[], Awaitable[Run]]) -> Run:
    """`run` as it stands in SIM's own record, when its output could as well be a pause.

    A run that does not look like a pause is returned without asking. When the record cannot be had
    because the server has no such route, the more likely reading stands; when asking failed, the
    run is `processing`: not a success until somebody looked.

    Args:
        run: A completed run as its answer told it.
        look: Reads SIM's record of that run.
    """
    if run.status is not Status.COMPLETED or not may_be_pause(run.output):
        return run
    paused = replace(run, status=Status.PAUSED, pauses=pauses_of_output(run.output))
    try:
        record = await look()
    except (NotASimApi, SimNotFound):
        return paused if is_likely_pause(run.output) else run
    except SimError:
        return paused if is_likely_pause(run.output) else replace(run, status=Status.PROCESSING)
    if record.status is Status.PAUSED:
        return replace(paused, pauses=paused.pauses or record.pauses)
    return replace(run, status=record.status, error=record.error)
