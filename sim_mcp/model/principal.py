"""Who asks, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NewType

from sim_mcp.model.errors import Forbidden

if TYPE_CHECKING:
    from collections.abc import Iterable

TenantId = NewType("TenantId", str)


class Permission(StrEnum):
    """The host platform's four integration permissions (contract section 5), and the operator's own."""

    ADD = "INTEGRATION_ADD"
    EDIT = "INTEGRATION_EDIT"
    VIEW = "INTEGRATION_VIEW"
    DELETE = "INTEGRATION_DELETE"
    METRICS = "metrics"
    """Reading what the server counts about all tenants (contract section 8): no tenant's right."""


ALL_PERMISSIONS = frozenset(set(Permission) - {Permission.METRICS})
"""Everything that somebody can do for one tenant."""
PERMISSIONS = tuple(each.value for each in Permission if each in ALL_PERMISSIONS)
"""Their names, in the order of the contract."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller: which tenant, which organisation of it, which person or program, with which rights.

    Built from a verified token, or on stdio from the settings; never from arguments.
    """

    tenant_id: TenantId
    organization_id: str | None = None
    subject: str = "unknown"
    permissions: frozenset[Permission] = frozenset()

    @classmethod
    def system(cls, tenant_id: TenantId, organization_id: str | None = None) -> Principal:
        """The server itself, acting for one tenant (events, schedules, follow-up)."""
        return cls(
            tenant_id=tenant_id,
            organization_id=organization_id,
            subject="system",
            permissions=ALL_PERMISSIONS,
        )

    def may(self, permission: Permission) -> bool:
        """Whether this principal holds `permission`."""
        return permission in self.permissions

    def require(self, permission: Permission) -> None:
        """Return when this principal holds `permission`.

        Raises:
            Forbidden: naming the missing permission.
        """
        if permission not in self.permissions:
            raise Forbidden(
                f"This needs the permission {permission.value}: ask an administrator of your tenant for it.",
                permission=permission.value,
            )

    def require_named(self, *, tenant_id: str | None = None, organization_id: str | None = None) -> None:
        """Return when what a request names is this principal's own. `None` names nothing.

        Raises:
            Forbidden: it names another tenant or organisation, or an organisation where the
                principal belongs to none: a name only ever narrows, and never chooses.
        """
        if tenant_id not in {None, self.tenant_id}:
            raise Forbidden("The header `Tenant-Id` names another tenant than the token. Leave it out.")
        if organization_id not in {None, self.organization_id}:
            raise Forbidden(
                "The header `Organization-Id` names another organisation than the token. Leave it out."
            )


def parse_permissions(names: Iterable[object]) -> frozenset[Permission]:
    """The integration permissions among `names`; every other name is ignored."""
    known = {permission.value: permission for permission in Permission}
    return frozenset(known[name] for name in names if isinstance(name, str) and name in known)
