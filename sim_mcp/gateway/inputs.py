"""The input of a call as it may be stored, and the secrets that were taken out of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sim_mcp.gateway.masking import Secrets
from sim_mcp.gateway.outcomes import MAX_STORED_INPUT_BYTES, bounded
from sim_mcp.gateway.redaction import Redactor
from sim_mcp.model.json import Json
from sim_mcp.model.principal import TenantId
from sim_mcp.model.workbench import Workbench


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanInput:
    """`stored` is without secrets and of bounded size; `secrets` are to be masked in whatever comes back."""

    stored: Json
    secrets: Secrets

    def with_secrets(self, more: Secrets) -> CleanInput:
        """The same input, with more to mask: what the server itself sends beside it."""
        return (
            CleanInput(stored=self.stored, secrets=self.secrets.with_(*more.values)) if more.values else self
        )


class Inputs:
    """Looks through inputs for secrets, each once; large ones on the workbench."""

    def __init__(self, redactor: Redactor, *, workbench: Workbench) -> None:
        self._redactor = redactor
        self._workbench = workbench

    async def clean(self, tenant_id: TenantId, value: Json) -> CleanInput:
        """`value` as it may be stored. Cancelling waits for a thread that looks through a large one."""
        return await self._workbench.run_over(tenant_id, value, partial(self._cleaned, value))

    def _cleaned(self, value: Json) -> CleanInput:
        redacted, secrets = self._redactor.split(value)
        return CleanInput(stored=bounded(redacted, MAX_STORED_INPUT_BYTES), secrets=secrets)
