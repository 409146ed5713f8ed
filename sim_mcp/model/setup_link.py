"""A one-time link to the setup page: who asked for it, what it may do, and how far it got."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from sim_mcp.model.json import is_array, is_object
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.model.run import Workspace

if TYPE_CHECKING:
    from datetime import datetime

    from sim_mcp.model.json import Json
    from sim_mcp.model.principal import TenantId

MOST_TRIES = 5
"""How many keys may be tried at SIM over one link; a typo must not cost a new link, guessing must."""


class LinkState(Enum):
    """Where a link stands."""

    OPEN = auto()
    USED = auto()
    EXPIRED = auto()
    SPENT = auto()  # too many keys that SIM did not accept


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupLink:
    """What is known about a link; its secret was shown once and is not among it.

    `base_url` is where the key will be sent: it was fixed when the link was made, so whoever holds
    the link cannot point a key elsewhere. `found` is what SIM told when it accepted the key:
    `{dialect, workspaces: [{workspace_id, name}], usage}`.
    """

    id: str
    tenant_id: TenantId
    organization_id: str | None
    subject: str
    base_url: str
    is_enabled: bool
    created_at: datetime
    expires_at: datetime
    tries: int = 0
    used_at: datetime | None = None
    revision: int | None = None
    found: Json = None
    chosen_at: datetime | None = None

    @property
    def tries_left(self) -> int:
        """How many more keys may be tried."""
        return max(0, MOST_TRIES - self.tries)

    @property
    def dialect(self) -> str | None:
        """Which API generation answered, once the key was stored."""
        return str(self.found["dialect"]) if is_object(self.found) and "dialect" in self.found else None

    @property
    def workspaces(self) -> tuple[Workspace, ...]:
        """The workspaces that the key was found to see."""
        listed = self.found.get("workspaces") if is_object(self.found) else None
        return tuple(
            Workspace(workspace_id=str(each.get("workspace_id")), name=str(each.get("name")))
            for each in (listed if is_array(listed) else ())
            if is_object(each)
        )

    @property
    def principal(self) -> Principal:
        """Who acts through the link: its issuer, with the one permission that issuing needed."""
        return Principal(
            tenant_id=self.tenant_id,
            organization_id=self.organization_id,
            subject=self.subject,
            permissions=frozenset({Permission.ADD}),
        )

    def state_at(self, now: datetime) -> LinkState:
        """Whether it still opens the page, and if not, why."""
        if self.used_at is not None:
            return LinkState.USED
        if not self.tries_left:
            return LinkState.SPENT
        return LinkState.EXPIRED if now >= self.expires_at else LinkState.OPEN
