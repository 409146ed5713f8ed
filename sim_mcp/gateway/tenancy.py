"""Which SIM account serves a principal: the stored one, or the one key of this process."""

from __future__ import annotations

from dataclasses import dataclass

from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import Disabled, NotConfigured
from sim_mcp.model.integration import Integration, IntegrationId
from sim_mcp.model.principal import Principal, TenantId
from sim_mcp.store import Store

PROCESS_KEY_ID = IntegrationId("process-key")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ProcessKey:
    """`SIM_API_KEY` of a stdio session: serves one tenant, lives in memory, is never written down.

    `revision` must differ from process to process, because nobody can tell afterwards whether two
    processes had the same key.
    """

    tenant_id: TenantId
    api_key: str
    base_url: str
    revision: int


class Tenancy:
    """Finds the integration in force; unseals its key for the client factory and for nobody else."""

    def __init__(self, *, store: Store, clock: Clock, process_key: ProcessKey | None = None) -> None:
        self._store = store
        self._clock = clock
        self._process_key = process_key

    async def find(self, tenant_id: TenantId, organization_id: str | None) -> Integration | None:
        """The integration in force, enabled or not; `None` when there is none."""
        own = self._own(tenant_id)
        return own or await self._store.integrations.current(tenant_id, organization_id)

    async def look(self, principal: Principal) -> tuple[Integration | None, int]:
        """`find`, and the version of the tenant's allow-list, of one moment."""
        integration, version = await self._store.integrations.in_force(
            principal.tenant_id, principal.organization_id
        )
        return self._own(principal.tenant_id) or integration, version

    async def usable(self, principal: Principal) -> Integration:
        """The integration in force, ready for a call.

        Raises:
            NotConfigured: the tenant has no SIM account connected.
            Disabled: it is switched off.
        """
        return self.ready(await self.find(principal.tenant_id, principal.organization_id))

    def ready(self, integration: Integration | None) -> Integration:
        """`integration`, if calls can be made with it.

        Raises:
            NotConfigured, Disabled: as `usable`.
        """
        if integration is None or not integration.has_api_key:
            raise NotConfigured(
                "No SIM account is connected for this tenant. An administrator connects one with the tool "
                "sim_setup, `sim-mcp setup` or POST /api/integration/sim/setup."
            )
        if not integration.is_enabled:
            raise Disabled(
                "The SIM integration of this tenant is switched off. An administrator switches it on "
                "with the tool sim_setup (enabled=true) or `sim-mcp setup --enable`."
            )
        return integration

    def _own(self, tenant_id: TenantId) -> Integration | None:
        own = self._process_key
        if own is None or own.tenant_id != tenant_id:
            return None
        return Integration(
            id=PROCESS_KEY_ID,
            tenant_id=tenant_id,
            organization_id=None,
            revision=own.revision,
            base_url=own.base_url,
            is_enabled=True,
            has_api_key=True,
            workspace_id=None,
            updated_at=self._clock.now(),
            updated_by="SIM_API_KEY",
        )

    async def key_of(self, integration: Integration) -> str:
        """The API key of exactly this revision. Only the client factory calls this.

        Raises:
            NotConfigured: the key is gone or cannot be opened.
        """
        own = self._process_key
        if own is not None and integration.id == PROCESS_KEY_ID:
            return own.api_key
        return await self._store.integrations.api_key(integration)
