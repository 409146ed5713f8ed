"""Asking SIM to cancel a run: for how long, and in which words a cancel that did not work is told.

A cancel can reach SIM before the run that it is for (sim-api 4.2), and SIM can fail to do it (4.3). So
the row notes when it was asked for, and the follower repeats it for a while.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sim_mcp.model.errors import Conflict, SimError, SimMcpError, SimNotFound
from sim_mcp.model.execution import Execution
from sim_mcp.model.run import Cancellation, RunId
from sim_mcp.model.tool import WorkflowId

if TYPE_CHECKING:
    from sim_mcp.sim import SimClient

CANCEL_FOR_S = 60.0
"""How long after the request SIM is asked again to cancel a run that goes on."""
LEASES_BACK_S = 30.0
"""After that time every living call surely has its lease again."""
_FOLLOWED = (
    "The run goes on as far as is known, and is followed to its real end: look with sim_get_execution."
)


def is_to_be_cancelled(row: Execution, now: datetime) -> bool:
    """Whether SIM should be asked (again) to cancel the run of `row`."""
    asked_at = row.cancel_requested_at
    if asked_at is None or row.status.is_final:
        return False
    # A request in the future is from before the clock went back; it stays good until it is over.
    return (now - asked_at).total_seconds() < CANCEL_FOR_S


def may_still_arrive(row: Execution, now: datetime) -> bool:
    """Whether a living call may stand behind a due row: while its cancel is repeated no lease is renewed."""
    asked_at = row.cancel_requested_at
    return asked_at is not None and (now - asked_at).total_seconds() < CANCEL_FOR_S + LEASES_BACK_S


async def cancel_at_sim(client: SimClient, row: Execution) -> Cancellation:
    """Ask SIM once to cancel the run of `row`, which was sent.

    Raises:
        SimError: what SIM said instead; `SimNotFound` when it does not know the run, or not yet.
    """
    return await client.cancel(WorkflowId(row.workflow_id or ""), RunId(row.run_id or ""))


def not_cancelled(row: Execution, answer: Cancellation | SimError) -> SimMcpError:
    """The error for a caller whose cancel did not stop the run of `row`: what was tried, what SIM said."""
    if isinstance(answer, SimNotFound):
        error: SimMcpError = Conflict(
            "SIM was asked to cancel the run and does not know it, or not yet. The cancel is noted: nothing "
            f"more is sent for this call, and for {CANCEL_FOR_S:.0f} seconds SIM is asked again to cancel. "
            "What comes of it stands in the execution: look with sim_get_execution."
        )
    elif isinstance(answer, SimError):
        error = answer
        error.message = f"SIM was asked to cancel the run, without success: {answer.message} {_FOLLOWED}"
    elif answer.already_final:
        error = Conflict(
            f"The cancel came too late: SIM says that the run is over ({answer.reason!r}). How it ended is "
            "being looked up: look with sim_get_execution."
        )
    else:
        error = Conflict(
            f"SIM was asked to cancel the run and could not cancel it (reason {answer.reason!r}). {_FOLLOWED}"
        )
    error.execution_id = row.id
    return error
