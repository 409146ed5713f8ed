"""The secrets of an input, kept sealed beside its unfinished row: whoever settles it masks them.

A run may outlive the process that was told the input. Without this, an echo of a password would
reach the row of a run that was settled after a restart.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

from sim_mcp.gateway.masking import Secrets
from sim_mcp.model.errors import NotConfigured
from sim_mcp.model.execution import Execution
from sim_mcp.model.integration import IntegrationId
from sim_mcp.store import Binding, Executions, Sealer


class Keepsakes:
    """Seals secrets to their tenant and row, and opens them again."""

    def __init__(self, *, executions: Executions, sealer: Sealer) -> None:
        self._executions = executions
        self._sealer = sealer

    def seal(self, execution: Execution, secrets: Secrets) -> str | None:
        """`secrets` as the row keeps them; `None` when there are none."""
        values = secrets.values
        if not values:
            return None
        text = json.dumps(sorted(values))  # ASCII, so that any text can be sealed
        return self._sealer.seal(text, _binding(execution))

    async def of(self, execution: Execution) -> Secrets:
        """The secrets of an unfinished row. None when its encryption key is gone."""
        sealed = await self._executions.sealed_secrets(execution.tenant_id, execution.id)
        if sealed is None:
            return Secrets()
        try:
            text = self._sealer.unseal(sealed, _binding(execution))
        except NotConfigured:
            return Secrets()
        return Secrets(cast("Sequence[str]", json.loads(text)))

    async def add(self, execution: Execution, secrets: Secrets) -> Secrets:
        """Keep `secrets` (of an answer to a pause) beside those of the input; all of them."""
        together = (await self.of(execution)).with_(*secrets.values)
        sealed = self.seal(execution, together)
        if sealed is not None:
            await self._executions.keep_secrets(execution.tenant_id, execution.id, sealed)
        return together


def _binding(execution: Execution) -> Binding:
    return Binding(
        tenant_id=execution.tenant_id,
        organization_id=execution.organization_id,
        integration_id=IntegrationId(execution.id),
        revision=0,
        purpose="input-secrets",
    )
