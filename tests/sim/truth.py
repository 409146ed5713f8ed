"""The shape of a row of the truth tables: what SIM says, and the one thing that it means."""

from __future__ import annotations

from dataclasses import dataclass

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import ErrorCode, RunBegan, SimError
from sim_mcp.model.execution import Status
from sim_mcp.model.tool import Mode
from tests.sim.scripted import KEY, RUN, Reply, ScriptedSim, client_of, request_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """A run with this status (and code), or an error of exactly this class."""

    status: Status | None = None
    error: type[SimError] | None = None
    code: ErrorCode | None = None
    began: RunBegan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One answer to execute; `record` is what SIM says when the run is looked up."""

    when: str
    reply: Reply
    means: Means
    record: Reply | None = None
    mode: Mode = Mode.SYNC


COMPLETED = Means(status=Status.COMPLETED)
PAUSED = Means(status=Status.PAUSED)
CANCELLED = Means(status=Status.CANCELLED)
QUEUED = Means(status=Status.QUEUED)
PROCESSING = Means(status=Status.PROCESSING)
FAILED = Means(status=Status.FAILED, code=ErrorCode.EXECUTION_ERROR)
TIMED_OUT = Means(status=Status.FAILED, code=ErrorCode.TIMEOUT)


def no(error: type[SimError], code: ErrorCode) -> Means:
    """Refused, and surely nothing began."""
    return Means(error=error, code=code, began=RunBegan.NO)


def maybe(error: type[SimError], code: ErrorCode) -> Means:
    """No answer to rely on: a run may exist."""
    return Means(error=error, code=code, began=RunBegan.MAYBE)


async def meaning_of(row: Row, *, v2: bool, clock: ManualClock) -> Means:
    """What the client makes of `row`. Also checks that one POST left and that no secret came back."""
    sim = ScriptedSim(row.reply, *([row.record] if row.record else []), v2=v2)
    async with client_of(sim, clock) as client:
        try:
            run = await client.execute(request_of(row.mode), run_id=RUN)
        except SimError as error:
            told = f"{error.message} {error.detail} {error!r}"
            means = Means(error=type(error), code=error.code, began=error.began)
        else:
            told = repr(run.error)
            means = Means(status=run.status, code=run.error.code if run.error else None)
            assert (run.run_id, run.error is not None) == (RUN, run.status is Status.FAILED)
    assert KEY not in told
    assert "<html" not in told
    assert len(sim.posts) == 1
    assert not sim.replies
    return means
