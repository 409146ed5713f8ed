"""One look at SIM: which requests it sends, and what they teach."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sim_mcp.gateway.forms import with_pauses
from sim_mcp.gateway.stopping import cancel_at_sim, is_to_be_cancelled
from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import SimError, SimNotFound
from sim_mcp.model.execution import Execution, ExecutionId
from sim_mcp.model.integration import Integration
from sim_mcp.model.run import Run, RunId
from sim_mcp.model.tool import WorkflowId
from sim_mcp.resilience import Breakers
from sim_mcp.sim import SimClients

if TYPE_CHECKING:
    from sim_mcp.sim import SimClient

log = logging.getLogger(__name__)

MOST_ABSENCES = 1000
REST_S = 2.0
"""How long a row is left alone after a look when somebody only wants to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at a row that was claimed: its number since the run began or paused, and whether it was due.

    Only a due row has no living keeper, so only then a run may be given up.
    """

    execution: Execution
    number: int
    is_due: bool


class Inquiry:
    """Asks SIM about runs. One per process."""

    def __init__(self, *, clients: SimClients, breakers: Breakers, clock: Clock) -> None:
        self._clients = clients
        self._breakers = breakers
        self._clock = clock

    async def ask(self, look: Look, integration: Integration) -> Run | None:
        """The run as SIM knows it now; `None` when it knows none, or not yet.

        One whose cancel was asked for a moment ago is cancelled again first.

        Raises:
            SimMcpError: SIM could not be asked.
        """
        execution = look.execution
        breaker = self._breakers.of(integration.tenant_id, integration.base_url)
        client = await self._clients.get(integration)
        workflow_id, run_id = WorkflowId(execution.workflow_id or ""), RunId(execution.run_id or "")
        with breaker.guard():
            if look.is_due and is_to_be_cancelled(execution, self._clock.now()):
                await self._cancel_again(client, execution)
            try:
                run = await client.run(workflow_id, run_id, job_id=execution.job_id)
            except SimNotFound:
                return None
        return await with_pauses(client, workflow_id, run_id, run)

    async def _cancel_again(self, client: SimClient, execution: Execution) -> None:
        """The run is asked about in any case: a cancel that is refused again changes nothing."""
        try:
            await cancel_at_sim(client, execution)
        except SimError as error:
            log.info("SIM did not cancel the run of execution %s: %s", execution.id, error.message)


class Glances:
    """Whom this process looked up for somebody a moment ago: a client in a tight loop costs no write then."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recent: dict[ExecutionId, float] = {}

    def may_look(self, execution_id: ExecutionId) -> bool:
        """Whether it is long enough ago; if so, it counts as looked up now."""
        now_s = self._clock.monotonic()
        self._recent = {each: at_s for each, at_s in self._recent.items() if now_s - at_s < REST_S}
        if execution_id in self._recent:
            return False
        self._recent[execution_id] = now_s
        return True


class Absences:
    """Since when this process has seen SIM not know a run, by the clock that nobody sets."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[ExecutionId, tuple[datetime, float]] = {}

    def lasted_s(self, execution_id: ExecutionId, since: datetime) -> float:
        """How long the absence that the row dates from `since` was seen to last; 0 when it is new here."""
        now_s = self._clock.monotonic()
        noted, seen_s = self._seen.pop(execution_id, (since, now_s))
        if noted != since:  # the run was found meanwhile, or another one began
            seen_s = now_s
        self._seen[execution_id] = (since, seen_s)
        while len(self._seen) > MOST_ABSENCES:  # who is forgotten is only waited for longer
            del self._seen[next(iter(self._seen))]
        return now_s - seen_s
