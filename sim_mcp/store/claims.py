"""Idempotency keys: which execution holds one, and what was asked under it.

A hold is a column of the execution's own row under a unique index, so that of any number of equal
calls one writes its row and the others find it. What was asked is kept as a hash that is sealed to
the row: it says nothing about an input that could be guessed, and moves on with `keys rotate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from sim_mcp.model.errors import NotConfigured
from sim_mcp.model.integration import IntegrationId
from sim_mcp.model.principal import TenantId
from sim_mcp.store import columns
from sim_mcp.store.execution_rows import from_row
from sim_mcp.store.sealing import Binding

if TYPE_CHECKING:
    from datetime import datetime

    from sim_mcp.model.clock import Clock
    from sim_mcp.model.execution import Execution
    from sim_mcp.store.database import Database, Row
    from sim_mcp.store.sealing import Sealer

KEY_HELD_FOR = timedelta(hours=24)
"""How long an idempotency key stays in use, counted from the creation of the row that holds it.

A caller's key stays in use for as long as its call is not over: a clock that was set forward must not run it
twice. No other claim is held for longer.
"""
ATTACHED = "attach:"
"""How the names of claims begin that were made for equal calls, not for a caller's key."""

_HELD = """
SELECT tenant_id, id, organization_id, key_digest FROM executions
WHERE key_digest IS NOT NULL AND (created_at > ? OR finished_at IS NULL)
"""
_HOLDER = """
SELECT * FROM executions WHERE tenant_id = ? AND key_claim = ?
  AND (created_at > ? OR (finished_at IS NULL AND key_claim NOT LIKE 'attach:%'))
LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a call asks for: to be the only one of its tenant under `name`.

    Made by `Claims.claim`. A hold of a row that was created at `outdated_at` or before counts no more, but
    for a caller's key whose call is not over.
    """

    name: str
    sealed_digest: str
    outdated_at: datetime


class Holder(NamedTuple):
    """Who holds a claim. `digest` is `None` when it cannot be opened (its encryption key is gone)."""

    execution: Execution
    digest: str | None


@dataclass(frozen=True, slots=True)
class Claims:
    """The idempotency keys of all tenants that are in use."""

    database: Database
    sealer: Sealer
    clock: Clock

    async def holder(
        self, tenant_id: TenantId, name: str, *, held_for: timedelta = KEY_HELD_FOR
    ) -> Holder | None:
        """The execution that has held `name` for less than `held_for`, or `None` when there is none."""
        row = await self.database.fetch_one(
            _HOLDER, [tenant_id, name, columns.micros(self._outdated_at(held_for))]
        )
        return None if row is None else Holder(from_row(row), self._digest(row))

    def claim(
        self, execution: Execution, name: str, digest: str, *, held_for: timedelta = KEY_HELD_FOR
    ) -> Claim:
        """The claim with which the row of `execution` is to be opened, valid for `held_for`."""
        binding = _binding(execution.tenant_id, execution.organization_id, execution.id)
        return Claim(
            name=name,
            sealed_digest=self.sealer.seal(digest, binding),
            outdated_at=self._outdated_at(held_for),
        )

    async def reseal_all(self) -> int:
        """Seal every kept digest under the newest encryption key; return how many were not yet.

        One that cannot be opened stays as it is: its key stays in use, and no request matches it.
        """
        resealed = 0
        for row in await self.database.fetch_all(_HELD, [columns.micros(self._outdated_at(KEY_HELD_FOR))]):
            digest, sealed = self._digest(row), columns.text(row, "key_digest")
            if digest is None or self.sealer.is_newest(sealed):
                continue
            # Guarded by the old text: a row that was freed meanwhile must not get a digest again.
            resealed += await self.database.execute(
                "UPDATE executions SET key_digest = ? WHERE tenant_id = ? AND id = ? AND key_digest = ?",
                [self.sealer.seal(digest, _binding_of(row)), row["tenant_id"], row["id"], sealed],
            )
        return resealed

    def _outdated_at(self, held_for: timedelta) -> datetime:
        return self.clock.now() - held_for

    def _digest(self, row: Row) -> str | None:
        sealed = columns.maybe_text(row, "key_digest")
        try:
            return None if sealed is None else self.sealer.unseal(sealed, _binding_of(row))
        except NotConfigured:
            return None


def _binding_of(row: Row) -> Binding:
    tenant_id = TenantId(columns.text(row, "tenant_id"))
    return _binding(tenant_id, columns.maybe_text(row, "organization_id"), columns.text(row, "id"))


def _binding(tenant_id: TenantId, organization_id: str | None, execution_id: str) -> Binding:
    return Binding(
        tenant_id=tenant_id,
        organization_id=organization_id,
        integration_id=IntegrationId(execution_id),
        revision=0,
        purpose="request-digest",
    )
