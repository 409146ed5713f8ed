"""Connecting a SIM account: what an administrator does once, and undoes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.gateway.curation import only_workspace, quiet
from sim_mcp.gateway.tenancy import PROCESS_KEY_ID, Tenancy
from sim_mcp.model.errors import Conflict, Fault, Forbidden, InvalidInput, NotFound, SimRejectedKey
from sim_mcp.model.facts import Observer, SettingsChanged
from sim_mcp.model.integration import Integration, Revision
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.model.run import Probe, Usage
from sim_mcp.sim import SimClients, check_base_url
from sim_mcp.store import Store

if TYPE_CHECKING:
    from sim_mcp.model.json import Json
    from sim_mcp.model.setup_link import SetupLink
    from sim_mcp.store.database import Statements


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupReport:
    """What connecting an account found."""

    integration: Integration
    probe: Probe
    usage: Usage | None


class Administration:
    """What a principal may do to its tenant's connection."""

    def __init__(
        self,
        *,
        store: Store,
        tenancy: Tenancy,
        clients: SimClients,
        default_base_url: str,
        allowed_hosts: Sequence[str],
        observer: Observer,
    ) -> None:
        self._store = store
        self._tenancy = tenancy
        self._clients = clients
        self._default_base_url = default_base_url
        self._allowed_hosts = tuple(allowed_hosts)
        self._observer = observer

    async def set_up(
        self,
        principal: Principal,
        *,
        api_key: str,
        base_url: str | None = None,
        is_enabled: bool = True,
        organization_id: str | None = None,
        workspace_id: str | None = None,
        link: SetupLink | None = None,
    ) -> SetupReport:
        """Try the key at SIM, then store it sealed as a new revision of the settings.

        With `link`, storing the key and using the link up are one step: both happen, or neither.

        Raises:
            Conflict: somebody else used `link` meanwhile; nothing was stored.
            Forbidden: without ADD, or for another organisation than the principal's.
            InvalidInput: a base URL that is not allowed, or a key that SIM rejects.
            SimUnavailable, NotASimApi: SIM cannot be reached; nothing was stored.
        """
        principal.require(Permission.ADD)
        organization = _organization(principal, organization_id)
        url = check_base_url(base_url or self._default_base_url, allowed_hosts=self._allowed_hosts)
        probe, usage = await self._try_key(url, api_key)

        async def claim(transaction: Statements, saved: Integration) -> None:
            found = _found(probe, usage)
            if link is not None and not await self._store.setup_links.claim(
                transaction, link, revision=saved.revision, found=found
            ):
                raise Conflict("This link was used a moment ago; nothing was stored. Ask for a new one.")

        integration = await self._store.integrations.save(
            principal.tenant_id,
            organization,
            api_key=api_key,
            base_url=url,
            is_enabled=is_enabled,
            workspace_id=workspace_id or only_workspace(probe),
            changed_by=principal.subject,
            along=claim,
        )
        await self.changed(principal)
        return SetupReport(integration=integration, probe=probe, usage=usage)

    async def connectable(self, principal: Principal, base_url: str | None) -> str:
        """Where a key typed for `principal` would go: `base_url`, else where the present one goes.

        Raises:
            Forbidden: without ADD.
            InvalidInput: a base URL that is not allowed.
            Conflict: the session's key comes from `SIM_API_KEY`, so a stored one would not count.
        """
        principal.require(Permission.ADD)
        current = await self._tenancy.find(principal.tenant_id, principal.organization_id)
        if current is not None and current.id == PROCESS_KEY_ID:
            raise _process_key()
        present = self._default_base_url if current is None else current.base_url
        return check_base_url(base_url or present, allowed_hosts=self._allowed_hosts)

    async def settings(self, principal: Principal) -> Integration | None:
        """The integration in force for this principal; never the key.

        Raises:
            Forbidden: without VIEW.
        """
        principal.require(Permission.VIEW)
        return await self._tenancy.find(principal.tenant_id, principal.organization_id)

    async def set_enabled(self, principal: Principal, *, is_enabled: bool) -> Integration:
        """Switch the integration on or off.

        Raises:
            Forbidden: without ADD.
            NotFound: there is none.
        """
        principal.require(Permission.ADD)
        current = await self._stored(principal)
        changed = await self._store.integrations.set_enabled(
            principal.tenant_id, current.organization_id, is_enabled=is_enabled, changed_by=principal.subject
        )
        await self.changed(principal)
        return changed

    async def removable(self, principal: Principal) -> Integration:
        """What `remove` would remove; changes nothing.

        Raises:
            Forbidden: without DELETE, or when the settings serve more than the principal's organisation.
            NotFound: there is none.
            Conflict: the session's key comes from `SIM_API_KEY`.
        """
        principal.require(Permission.DELETE)
        return await self._stored(principal)

    async def remove(self, principal: Principal) -> None:
        """Remove the integration, destroy its sealed key and close its connections.

        A call in flight may still receive its answer; none that begins later finds a key.

        Raises:
            Forbidden: without DELETE.
            NotFound: there is none.
        """
        current = await self.removable(principal)
        await self._store.integrations.remove(
            principal.tenant_id, current.organization_id, changed_by=principal.subject
        )
        await self.changed(principal)

    async def history(self, principal: Principal) -> tuple[Revision, ...]:
        """Who changed which settings when, newest first; those of removed settings too.

        An organisation that never had settings of its own sees the tenant-wide ones, which serve it.

        Raises:
            Forbidden: without VIEW.
        """
        principal.require(Permission.VIEW)
        return await self._revisions(principal)

    async def needs_key(self, principal: Principal, revision: int) -> bool:
        """Whether `restore` of `revision` must be given the key again.

        Raises:
            As `restore`.
        """
        principal.require(Permission.ADD)
        return await self._needs_key(principal, await self._restorable(principal, revision))

    async def restore(
        self, principal: Principal, revision: int, *, api_key: str | None = None
    ) -> Integration:
        """Undo: put base URL, workspace and switch of an earlier revision in force, as a new revision.

        Keys are not in the history. The stored one stays in force, unless it was typed for another
        base URL or removed: then `api_key` must be given, and is tried at SIM first. Otherwise
        whoever may change settings could have somebody else's key sent to a server of his own.

        Raises:
            Forbidden: without ADD, or when the settings are the whole tenant's.
            NotFound: there is no such revision.
            Conflict: the revision is a removal, or this session uses `SIM_API_KEY`.
            InvalidInput: the key must be given again, SIM rejects it, or the base URL is not allowed
                any more.
            SimUnavailable, NotASimApi: SIM cannot be reached to try the key; nothing was stored.
        """
        principal.require(Permission.ADD)
        wanted = await self._restorable(principal, revision)
        url = check_base_url(wanted.base_url, allowed_hosts=self._allowed_hosts)
        if api_key is not None:
            await self._try_key(url, api_key)
        elif await self._needs_key(principal, wanted):
            fault = Fault("apiKey", f"is required to restore revision {revision}")
            raise InvalidInput(
                f"The key in force was not typed for {url!r}, or was removed. Give a SIM API key for it "
                f"to restore revision {revision}.",
                faults=(fault,),
            )
        restored = await self._store.integrations.save(
            principal.tenant_id,
            wanted.organization_id,
            api_key=api_key,
            base_url=url,
            is_enabled=wanted.is_enabled,
            workspace_id=wanted.workspace_id,
            changed_by=principal.subject,
        )
        await self.changed(principal)
        return restored

    async def _revisions(self, principal: Principal) -> tuple[Revision, ...]:
        own = await self._store.integrations.history(principal.tenant_id, principal.organization_id)
        if own or principal.organization_id is None:
            return own
        return await self._store.integrations.history(principal.tenant_id, None)

    async def _restorable(self, principal: Principal, revision: int) -> Revision:
        current = await self._tenancy.find(principal.tenant_id, principal.organization_id)
        if current is not None and current.id == PROCESS_KEY_ID:
            raise _process_key()
        known = await self._revisions(principal)
        wanted = next((each for each in known if each.revision == revision), None)
        if wanted is None:
            raise NotFound("There is no such revision of the settings. Their history lists the known ones.")
        if wanted.organization_id != principal.organization_id:
            raise _whole_tenants()
        if wanted.is_removed:
            raise Conflict(f"Revision {revision} is a removal: remove the integration instead.")
        return wanted

    async def _needs_key(self, principal: Principal, wanted: Revision) -> bool:
        newest = (await self._revisions(principal))[0]
        return newest.is_removed or not newest.has_api_key or newest.base_url != wanted.base_url

    async def _try_key(self, base_url: str, api_key: str) -> tuple[Probe, Usage | None]:
        async with self._clients.trial(base_url=base_url, api_key=api_key) as client:
            try:
                probe = await client.probe()
            except SimRejectedKey as error:
                message = "SIM does not accept this API key; create a new one in SIM's settings"
                raise InvalidInput(f"{message}.", faults=(Fault("apiKey", message),)) from error
            return probe, await quiet(client.usage)

    async def _stored(self, principal: Principal) -> Integration:
        current = await self._tenancy.find(principal.tenant_id, principal.organization_id)
        if current is None:
            raise NotFound("No SIM account is connected for this tenant.")
        if current.id == PROCESS_KEY_ID:
            raise _process_key()
        if principal.organization_id is not None and current.organization_id != principal.organization_id:
            raise _whole_tenants()
        return current

    async def changed(self, principal: Principal) -> None:
        """Forget the key that was in force, then tell. Other processes do the same when they notice."""
        await self._clients.forget(principal.tenant_id)
        self._observer(SettingsChanged(tenant_id=principal.tenant_id, kind="integration"))


def _process_key() -> Conflict:
    return Conflict("This session uses the key in SIM_API_KEY, which is not stored: unset it instead.")


def _whole_tenants() -> Forbidden:
    return Forbidden("These settings serve the whole tenant; an administrator of the tenant changes them.")


def _found(probe: Probe, usage: Usage | None) -> Json:
    """What SIM told about a key, as a link keeps it."""
    limits: Json = None
    if usage is not None:
        limits = {
            "plan": usage.plan,
            "sync_per_minute": usage.sync_per_minute,
            "async_per_minute": usage.async_per_minute,
            "period_cost": usage.period_cost,
            "period_limit": usage.period_limit,
        }
    workspaces: list[Json] = [
        {"workspace_id": each.workspace_id, "name": each.name} for each in probe.workspaces
    ]
    return {"dialect": probe.dialect.value, "workspaces": workspaces, "usage": limits}


def _organization(principal: Principal, asked: str | None) -> str | None:
    if principal.organization_id is None or asked in {None, principal.organization_id}:
        return asked or principal.organization_id
    raise Forbidden("The settings of another organisation cannot be changed with this token.")
