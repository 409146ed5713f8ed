"""The input of a call as it may be stored, and the secrets that were taken out of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import anyio
import anyio.to_thread

from sim_mcp.gateway.masking import Secrets
from sim_mcp.gateway.outcomes import MAX_STORED_INPUT_BYTES, bounded
from sim_mcp.gateway.redaction import Redactor
from sim_mcp.model.json import Json, is_heavier_than

HEAVY_INPUT = 50_000
"""Characters of an input from which on it is looked through in a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanInput:
    """`stored` is without secrets and of bounded size; `secrets` are to be masked in whatever comes back."""

    stored: Json
    secrets: Secrets


class Inputs:
    """Looks through inputs for secrets, each once. Large ones wait for each other, not everybody for them."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._heavy = anyio.CapacityLimiter(1)

    async def clean(self, value: Json) -> CleanInput:
        """`value` as it may be stored. Cancelling waits for a thread that looks through a large one."""
        if not is_heavier_than(value, HEAVY_INPUT):
            return self._cleaned(value)
        return await anyio.to_thread.run_sync(partial(self._cleaned, value), limiter=self._heavy)

    def _cleaned(self, value: Json) -> CleanInput:
        redacted, secrets = self._redactor.split(value)
        return CleanInput(stored=bounded(redacted, MAX_STORED_INPUT_BYTES), secrets=secrets)
