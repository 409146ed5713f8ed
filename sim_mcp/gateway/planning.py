"""Dry runs: every step of the corridor but SIM's execute, and what they found. Nothing is run or recorded."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sim_mcp.gateway.allowance import Allowance
from sim_mcp.gateway.call import Gateway
from sim_mcp.gateway.curation import drift_of
from sim_mcp.gateway.plans import LASTS_S, Plans
from sim_mcp.model.errors import SimError
from sim_mcp.model.execution import Call, ExecutionId
from sim_mcp.model.json import Json
from sim_mcp.model.run import Deployment
from sim_mcp.model.tool import Mode, WorkflowTool
from sim_mcp.resilience import Breakers, BreakerState, Proximity, Throttle
from sim_mcp.sim import SimClients

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a call would do, had it been one.

    `input` is without secrets. `attaches_to` is the execution that the call would get instead of a
    run of its own. `problem` is what SIM said when it was asked about the workflow; then there is no
    ticket. `ticket` binds a later call to exactly this, for `ticket_lasts_s` seconds.
    """

    tool: WorkflowTool
    mode: Mode
    timeout_s: float
    base_url: str
    settings_revision: int
    input: Json
    attaches_to: ExecutionId | None
    deployment: Deployment | None
    drift: tuple[str, ...]
    breaker: BreakerState
    proximity: Proximity
    executions_left: int | None
    cost_left: float | None
    problem: str | None
    ticket: str | None
    ticket_lasts_s: float = LASTS_S


class Planner:
    """Makes plans."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        allowance: Allowance,
        plans: Plans,
        clients: SimClients,
        breakers: Breakers,
        throttle: Throttle,
    ) -> None:
        self._gateway = gateway
        self._allowance = allowance
        self._plans = plans
        self._clients = clients
        self._breakers = breakers
        self._throttle = throttle

    async def plan(self, call: Call) -> Plan:
        """What `call` would do now. SIM is only read from; a plan counts as a call for the rate limit alone.

        Raises:
            SimMcpError: what the call itself would be refused with before SIM is asked.
        """
        checked = await self._gateway.checked(call)
        tool, integration = checked.tool, checked.integration
        with self._allowance.admit(call.principal.tenant_id, tool):
            proximity = self._throttle.proximity(call.principal.tenant_id)
            budget = await self._allowance.left(call.principal.tenant_id, tool)
        deployment, drift, ticket, problem = None, (), None, None
        try:
            client = await self._clients.get(integration)
            deployment = await client.deployment(tool.workflow_id)
            drift = await drift_of(client, tool) if deployment.is_deployed else ()
            ticket = await self._plans.ticket(call, tool, integration)
        except SimError as error:
            problem = error.message
        return Plan(
            tool=tool,
            mode=checked.request.mode,
            timeout_s=checked.request.timeout_s,
            base_url=integration.base_url,
            settings_revision=integration.revision,
            input=checked.stored_input,
            attaches_to=checked.earlier.id if checked.earlier else None,
            deployment=deployment,
            drift=drift,
            breaker=self._breakers.of(integration.tenant_id, integration.base_url).state,
            proximity=proximity,
            executions_left=budget.executions_left,
            cost_left=budget.cost_left,
            problem=problem,
            ticket=ticket,
        )
