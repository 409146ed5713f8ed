"""One tenant's connection to SIM. Holds no key: only the store and the client factory see one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from datetime import datetime

    from sim_mcp.model.principal import TenantId

IntegrationId = NewType("IntegrationId", str)

PROVIDER_NAME = "Sim"
"""The host platform's name for this integration."""


class Dialect(StrEnum):
    """SIM's API generations that can execute workflows (sim-api section 0)."""

    V2 = "v2"
    LEGACY = "legacy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """The settings in force: one immutable revision of them.

    `organization_id` is `None` for settings that serve the whole tenant. `revision` counts from 1
    and grows by one with every change; (`id`, `revision`) identifies a client and its key.
    """

    id: IntegrationId
    tenant_id: TenantId
    organization_id: str | None
    revision: int
    base_url: str
    is_enabled: bool
    has_api_key: bool
    workspace_id: str | None
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One entry of the settings' history: who changed which fields, when, and what they were then.

    `has_api_key` tells what was true then: only the newest revision still has its key.
    """

    revision: int
    organization_id: str | None
    changed_at: datetime
    changed_by: str
    changed_fields: tuple[str, ...]
    base_url: str
    is_enabled: bool
    workspace_id: str | None
    has_api_key: bool
    is_removed: bool
