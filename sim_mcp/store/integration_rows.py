"""Revisions of an integration as rows: the next one drafted, written, and read back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sim_mcp.model.integration import Integration, IntegrationId, Revision
from sim_mcp.model.json import is_array
from sim_mcp.model.principal import TenantId
from sim_mcp.store import columns
from sim_mcp.store.sealing import Binding

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sim_mcp.store.database import Row, Statements

_TENANT_WIDE = "*"
_ORGANIZATION = "o:"

_INSERT = """
INSERT INTO integration_revisions (
  tenant_id, scope, revision, id, base_url, is_enabled, workspace_id, sealed_key, has_api_key,
  is_removed, changed_fields, changed_at, changed_by
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionDraft:
    """A revision about to be written, still with the settings of the one before it."""

    tenant_id: TenantId
    organization_id: str | None
    id: IntegrationId
    revision: int
    base_url: str
    is_enabled: bool
    workspace_id: str | None
    is_fresh: bool
    """Whether nothing was in force before: then every setting counts as changed."""
    is_removed: bool = False
    changed_fields: tuple[str, ...] = ()
    changed_at: datetime
    changed_by: str

    @classmethod
    def after(
        cls,
        head: Integration | None,
        *,
        is_fresh: bool,
        tenant_id: TenantId,
        organization_id: str | None,
        new_id: Callable[[], str],
        changed_at: datetime,
        changed_by: str,
    ) -> RevisionDraft:
        """The draft that follows `head`, or the very first."""
        return cls(
            tenant_id=tenant_id,
            organization_id=organization_id,
            id=IntegrationId(new_id()) if head is None else head.id,
            revision=1 if head is None else head.revision + 1,
            base_url="" if head is None else head.base_url,
            is_enabled=False if head is None else head.is_enabled,
            workspace_id=None if head is None else head.workspace_id,
            is_fresh=is_fresh,
            changed_at=changed_at,
            changed_by=changed_by,
        )

    @property
    def binding(self) -> Binding:
        """What this revision's key is sealed to, its base URL included."""
        return Binding(
            tenant_id=self.tenant_id,
            organization_id=self.organization_id,
            integration_id=self.id,
            revision=self.revision,
            audience=self.base_url,
        )

    def with_enabled(self, *, is_enabled: bool) -> RevisionDraft:
        """The draft with only the switch moved."""
        return self.with_settings(
            base_url=self.base_url, is_enabled=is_enabled, workspace_id=self.workspace_id, has_new_key=False
        )

    def with_settings(
        self, *, base_url: str, is_enabled: bool, workspace_id: str | None, has_new_key: bool
    ) -> RevisionDraft:
        """The draft with these settings, and the names of those that differ from before."""
        differs = {
            "api_key": has_new_key,
            "base_url": self.is_fresh or base_url != self.base_url,
            "is_enabled": self.is_fresh or is_enabled != self.is_enabled,
            "workspace_id": workspace_id != (None if self.is_fresh else self.workspace_id),
        }
        return replace(
            self,
            base_url=base_url,
            is_enabled=is_enabled,
            workspace_id=workspace_id,
            changed_fields=tuple(name for name, is_changed in differs.items() if is_changed),
        )

    def as_removal(self, *, had_api_key: bool) -> RevisionDraft:
        """The draft that ends the settings."""
        changed = ("api_key", "is_enabled") if had_api_key else ("is_enabled",)
        return replace(
            self,
            is_enabled=False,
            is_removed=True,
            changed_fields=changed if self.is_enabled else changed[:-1],
        )


async def insert_revision(transaction: Statements, draft: RevisionDraft, *, sealed_key: str | None) -> Row:
    """Write `draft` and destroy the sealed keys of every revision before it."""
    await transaction.execute(
        "UPDATE integration_revisions SET sealed_key = NULL WHERE tenant_id = ? AND scope = ?",
        [draft.tenant_id, organization_scope(draft.organization_id)],
    )
    (row,) = await transaction.fetch_all(
        _INSERT,
        [
            draft.tenant_id,
            organization_scope(draft.organization_id),
            draft.revision,
            draft.id,
            draft.base_url,
            int(draft.is_enabled),
            draft.workspace_id,
            sealed_key,
            int(sealed_key is not None),
            int(draft.is_removed),
            columns.json_text(draft.changed_fields),
            columns.micros(draft.changed_at),
            columns.clean(draft.changed_by),
        ],
    )
    return row


def organization_scope(organization_id: str | None) -> str:
    """The organisation as a column that is never null: nulls would not count as equal in a unique key."""
    return _TENANT_WIDE if organization_id is None else _ORGANIZATION + organization_id


def binding_of(row: Row) -> Binding:
    """What the key in `row` was sealed to."""
    return Binding(
        tenant_id=TenantId(columns.text(row, "tenant_id")),
        organization_id=_organization(row),
        integration_id=IntegrationId(columns.text(row, "id")),
        revision=columns.whole(row, "revision"),
        audience=columns.text(row, "base_url"),
    )


def to_integration(row: Row) -> Integration:
    """The settings in `row`."""
    return Integration(
        id=IntegrationId(columns.text(row, "id")),
        tenant_id=TenantId(columns.text(row, "tenant_id")),
        organization_id=_organization(row),
        revision=columns.whole(row, "revision"),
        base_url=columns.text(row, "base_url"),
        is_enabled=columns.flag(row, "is_enabled"),
        has_api_key=columns.flag(row, "has_api_key"),
        workspace_id=columns.maybe_text(row, "workspace_id"),
        updated_at=columns.moment(row, "changed_at"),
        updated_by=columns.text(row, "changed_by"),
    )


def to_revision(row: Row) -> Revision:
    """The history entry in `row`."""
    changed_fields = columns.json_value(row, "changed_fields")
    return Revision(
        revision=columns.whole(row, "revision"),
        organization_id=_organization(row),
        changed_at=columns.moment(row, "changed_at"),
        changed_by=columns.text(row, "changed_by"),
        changed_fields=tuple(str(name) for name in changed_fields) if is_array(changed_fields) else (),
        base_url=columns.text(row, "base_url"),
        is_enabled=columns.flag(row, "is_enabled"),
        workspace_id=columns.maybe_text(row, "workspace_id"),
        has_api_key=columns.flag(row, "has_api_key"),
        is_removed=columns.flag(row, "is_removed"),
    )


def _organization(row: Row) -> str | None:
    scope = columns.text(row, "scope")
    return None if scope == _TENANT_WIDE else scope.removeprefix(_ORGANIZATION)
