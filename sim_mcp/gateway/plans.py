"""Dry runs that bind: a plan's ticket lets exactly the call through that was shown, once.

A plan shows what a call would do; between looking and doing, the input, the tool, the settings or the
deployed workflow may change. A call that brings the ticket of its plan is refused when any of them did.
"""

from __future__ import annotations

import hashlib
import json

from sim_mcp.gateway.tickets import Tickets
from sim_mcp.model.errors import Conflict
from sim_mcp.model.execution import Call
from sim_mcp.model.integration import Integration
from sim_mcp.model.json import Json
from sim_mcp.model.tool import WorkflowTool
from sim_mcp.sim import SimClients

PURPOSE = "plan"
LASTS_S = 600.0


class Plans:
    """Writes and redeems the tickets of dry runs."""

    def __init__(self, *, tickets: Tickets, clients: SimClients) -> None:
        self._tickets = tickets
        self._clients = clients

    async def ticket(self, call: Call, tool: WorkflowTool, integration: Integration) -> str:
        """The ticket of a plan for `call`, good for ten minutes and one call of the same principal.

        Raises:
            SimError: SIM does not tell which version of the workflow is deployed.
        """
        shown = await self._shown(call, tool, integration)
        return self._tickets.seal(call.principal, PURPOSE, {"shown": shown}, lasts_s=LASTS_S)

    async def redeem(self, call: Call, tool: WorkflowTool, integration: Integration) -> None:
        """Use up the ticket that `call` brings, if it brings one.

        Raises:
            Conflict: it is unknown, expired or used, or something changed since the plan was shown.
            SimError: SIM does not tell which version of the workflow is deployed.
        """
        if call.plan_ticket is None:
            return
        ticket = self._tickets.open(call.principal, PURPOSE, call.plan_ticket)
        if ticket is None:
            raise Conflict(
                "The plan is unknown or older than ten minutes: nothing was run. Make a new dry run."
            )
        if ticket.content.get("shown") != await self._shown(call, tool, integration):
            raise Conflict(
                "The call is not what the plan showed (its input, the tool, the settings or the deployed "
                "workflow changed): nothing was run. Make a new dry run."
            )
        if not await self._tickets.spend(call.principal, ticket):
            raise Conflict("The plan was used before: nothing was run. Make a new dry run for another run.")

    async def _shown(self, call: Call, tool: WorkflowTool, integration: Integration) -> str:
        client = await self._clients.get(integration)
        deployed = await client.deployment(tool.workflow_id)
        shown: list[Json] = [
            tool.name,
            tool.workflow_id,
            (call.mode or tool.mode).value,
            call.timeout_s if call.timeout_s is not None else tool.timeout_s,
            list(tool.selected_outputs),
            tool.input_schema,
            integration.revision,
            deployed.is_deployed,
            deployed.version,
            None if deployed.deployed_at is None else deployed.deployed_at.isoformat(),
            call.arguments,
        ]
        text = json.dumps(shown, sort_keys=True, separators=(",", ":"))  # ASCII, whatever it holds
        return hashlib.sha256(text.encode()).hexdigest()
