"""Integrations as append-only revisions: the settings in force, who changed what, and the sealed key.

Only the newest revision holds a key. Replacing or removing a key destroys every older copy of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.errors import Conflict, Fault, InvalidInput, NotConfigured
from sim_mcp.model.integration import Integration, IntegrationId, Revision
from sim_mcp.store import columns
from sim_mcp.store.changes import ChangeKind, record_change
from sim_mcp.store.integration_rows import (
    RevisionDraft,
    binding_of,
    insert_revision,
    organization_scope,
    to_integration,
    to_revision,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from sim_mcp.model.clock import Clock
    from sim_mcp.model.principal import TenantId
    from sim_mcp.store.database import Database, Row, Statements
    from sim_mcp.store.sealing import Sealer

    Along: TypeAlias = Callable[[Statements, Integration], Awaitable[None]]

KEY_IS_NEEDED = (
    "A stored SIM API key is only sent to the base URL for which it was typed. "
    "Give the key again together with the other base URL."
)

_HEAD = """
SELECT * FROM integration_revisions WHERE tenant_id = ? AND scope = ? ORDER BY revision DESC LIMIT 1
"""
_IN_FORCE = """
SELECT r.*, (SELECT version FROM allow_list_versions WHERE tenant_id = asked.tenant_id) AS tools_version
FROM (
  SELECT CAST(? AS TEXT) AS tenant_id, CAST(? AS TEXT) AS scope UNION SELECT CAST(? AS TEXT), CAST(? AS TEXT)
) AS asked
LEFT JOIN integration_revisions AS r
ON r.tenant_id = asked.tenant_id AND r.scope = asked.scope AND r.revision = (
  SELECT MAX(revision) FROM integration_revisions WHERE tenant_id = asked.tenant_id AND scope = asked.scope
)
ORDER BY asked.scope DESC
"""
"""An organisation's settings before the tenant's (`o:` comes after `*`), and how new its list is, at once."""
HEADS = """
SELECT r.* FROM integration_revisions AS r
JOIN (
  SELECT tenant_id, scope, MAX(revision) AS newest FROM integration_revisions GROUP BY tenant_id, scope
) AS heads ON heads.tenant_id = r.tenant_id AND heads.scope = r.scope AND heads.newest = r.revision
WHERE r.is_removed = 0 ORDER BY r.tenant_id, r.scope
"""
"""Everybody's settings in force: for the operator alone."""


@dataclass(frozen=True, slots=True)
class Integrations:
    """The SIM settings of all tenants. Every question but the operator's names its tenant first."""

    database: Database
    sealer: Sealer
    clock: Clock
    new_id: Callable[[], str]

    async def current(self, tenant_id: TenantId, organization_id: str | None) -> Integration | None:
        """The settings that serve this organisation: its own, else the tenant-wide ones, else `None`.

        Removed settings count as absent. Disabled ones do not: they are returned as they are.
        """
        return (await self.in_force(tenant_id, organization_id))[0]

    async def in_force(
        self, tenant_id: TenantId, organization_id: str | None
    ) -> tuple[Integration | None, int]:
        """`current`, and the version of the tenant's allow-list (`AllowList.version`), of one moment."""
        own, everybody = organization_scope(organization_id), organization_scope(None)
        rows = await self.database.fetch_all(_IN_FORCE, [tenant_id, own, tenant_id, everybody])
        kept = [row for row in rows if row["id"] is not None and not columns.flag(row, "is_removed")]
        version = columns.maybe_whole(rows[0], "tools_version") or 0
        return to_integration(kept[0]) if kept else None, version

    async def get(self, tenant_id: TenantId, integration_id: IntegrationId | str) -> Integration | None:
        """The settings in force under this id, or `None` when unknown or removed."""
        row = await self.database.fetch_one(
            "SELECT * FROM integration_revisions WHERE tenant_id = ? AND id = ?"
            " ORDER BY revision DESC LIMIT 1",
            [tenant_id, integration_id],
        )
        return None if row is None or columns.flag(row, "is_removed") else to_integration(row)

    async def save(
        self,
        tenant_id: TenantId,
        organization_id: str | None,
        *,
        api_key: str | None,
        base_url: str,
        is_enabled: bool,
        workspace_id: str | None,
        changed_by: str,
        along: Along | None = None,
    ) -> Integration:
        """Make these the settings of exactly this tenant and organisation; return the new revision.

        `api_key` `None` keeps the stored key, if there is one: only for the base URL for which it was
        typed, because whoever may change the settings need not know the key. The first save makes the
        id, which stays for good, also across a removal. Simultaneous saves get consecutive revisions.
        `along` is told of the new revision inside the same transaction; what it raises undoes the save.

        Raises:
            InvalidInput: when a stored key would go to another base URL; nothing was changed then.
            NotConfigured: when the key to keep cannot be opened; nothing was changed then.
        """
        async with self.database.transaction() as transaction:
            await record_change(transaction, tenant_id, ChangeKind.INTEGRATION)
            head = await self._head(transaction, tenant_id, organization_id)
            draft = self._draft(tenant_id, organization_id, head, changed_by)
            if api_key is None and draft.base_url != base_url and _has_key(head):
                raise InvalidInput(KEY_IS_NEEDED, faults=(Fault("apiKey", "is required"),))
            plain = api_key if api_key is not None else self._open_key(head)
            draft = draft.with_settings(
                base_url=base_url,
                is_enabled=is_enabled,
                workspace_id=workspace_id,
                has_new_key=api_key is not None,
            )
            sealed_key = None if plain is None else self.sealer.seal(plain, draft.binding)
            saved = to_integration(await insert_revision(transaction, draft, sealed_key=sealed_key))
            if along is not None:
                await along(transaction, saved)
            return saved

    async def set_enabled(
        self, tenant_id: TenantId, organization_id: str | None, *, is_enabled: bool, changed_by: str
    ) -> Integration:
        """Switch the settings of exactly this tenant and organisation on or off, as a new revision.

        Raises:
            NotConfigured: when there are none.
        """
        async with self.database.transaction() as transaction:
            await record_change(transaction, tenant_id, ChangeKind.INTEGRATION)
            head = await self._head(transaction, tenant_id, organization_id)
            if head is None or columns.flag(head, "is_removed"):
                raise _not_connected()
            draft = self._draft(tenant_id, organization_id, head, changed_by).with_enabled(
                is_enabled=is_enabled
            )
            plain = self._open_key(head)
            sealed_key = None if plain is None else self.sealer.seal(plain, draft.binding)
            return to_integration(await insert_revision(transaction, draft, sealed_key=sealed_key))

    async def api_key(self, integration: Integration) -> str:
        """The SIM API key of exactly this revision, in clear. For the client factory alone.

        Raises:
            NotConfigured: when the tenant has stored none, or it cannot be opened.
            Conflict: when the settings have moved on and this revision's key is destroyed.
        """
        row = await self.database.fetch_one(
            "SELECT * FROM integration_revisions WHERE tenant_id = ? AND id = ? AND revision = ?",
            [integration.tenant_id, integration.id, integration.revision],
        )
        if row is None or not columns.flag(row, "has_api_key"):
            raise _not_connected()
        plain = self._open_key(row)
        if plain is None:
            raise Conflict("The SIM settings were changed a moment ago: call again.")
        return plain

    async def remove(self, tenant_id: TenantId, organization_id: str | None, *, changed_by: str) -> bool:
        """Remove the settings of exactly this tenant and organisation and destroy their key.

        `False` when there were none. The history stays.
        """
        async with self.database.transaction() as transaction:
            head = await self._head(transaction, tenant_id, organization_id)
            if head is None or columns.flag(head, "is_removed"):
                return False
            await record_change(transaction, tenant_id, ChangeKind.INTEGRATION)
            draft = self._draft(tenant_id, organization_id, head, changed_by).as_removal(
                had_api_key=columns.flag(head, "has_api_key")
            )
            await insert_revision(transaction, draft, sealed_key=None)
        return True

    async def history(self, tenant_id: TenantId, organization_id: str | None) -> tuple[Revision, ...]:
        """Every revision of exactly this tenant's and organisation's settings, newest first.

        Those of removed settings too; none of them holds a key.
        """
        rows = await self.database.fetch_all(
            "SELECT * FROM integration_revisions WHERE tenant_id = ? AND scope = ? ORDER BY revision DESC",
            [tenant_id, organization_scope(organization_id)],
        )
        return tuple(to_revision(row) for row in rows)

    async def all(self) -> tuple[Integration, ...]:
        """The settings in force of every tenant. For the operator's tools only."""
        return tuple(to_integration(row) for row in await self.database.fetch_all(HEADS))

    async def reseal_all(self) -> int:
        """Seal every stored key under the newest encryption key; return how many were not yet.

        Revisions and ids stay, so nobody has to reconnect. Safe while the server runs and repeatable.

        Raises:
            NotConfigured: at the end, when some could not be opened; all others are done by then.
        """
        resealed, closed = 0, 0
        async with self.database.transaction() as transaction:
            for row in await transaction.fetch_all(HEADS):
                sealed_key = columns.maybe_text(row, "sealed_key")
                if sealed_key is None or self.sealer.is_newest(sealed_key):
                    continue
                try:
                    await self._reseal(transaction, row, sealed_key)
                    resealed += 1
                except NotConfigured:
                    closed += 1
        if closed:
            raise NotConfigured(
                f"{closed} stored SIM API keys cannot be opened with the configured encryption keys"
                f" ({resealed} others were sealed anew): add the missing key, or run setup again"
                " for those tenants."
            )
        return resealed

    async def _reseal(self, transaction: Statements, row: Row, sealed_key: str) -> None:
        binding = binding_of(row)
        plain = self.sealer.unseal(sealed_key, binding)
        await transaction.execute(
            "UPDATE integration_revisions SET sealed_key = ? WHERE tenant_id = ? AND id = ? AND revision = ?",
            [self.sealer.seal(plain, binding), binding.tenant_id, binding.integration_id, binding.revision],
        )

    async def _head(
        self, statements: Statements, tenant_id: TenantId, organization_id: str | None
    ) -> Row | None:
        return await statements.fetch_one(_HEAD, [tenant_id, organization_scope(organization_id)])

    def _open_key(self, row: Row | None) -> str | None:
        sealed_key = None if row is None else columns.maybe_text(row, "sealed_key")
        return None if row is None or sealed_key is None else self.sealer.unseal(sealed_key, binding_of(row))

    def _draft(
        self, tenant_id: TenantId, organization_id: str | None, head: Row | None, changed_by: str
    ) -> RevisionDraft:
        return RevisionDraft.after(
            None if head is None else to_integration(head),
            is_fresh=head is None or columns.flag(head, "is_removed"),
            tenant_id=tenant_id,
            organization_id=organization_id,
            new_id=self.new_id,
            changed_at=self.clock.now(),
            changed_by=changed_by,
        )


def _has_key(row: Row | None) -> bool:
    return row is not None and columns.maybe_text(row, "sealed_key") is not None


def _not_connected() -> NotConfigured:
    return NotConfigured("No SIM account is connected: run setup with an API key from SIM's settings.")
