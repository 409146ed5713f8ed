"""Connecting a SIM account by a one-time link: a secret must not pass through a model.

Somebody who may connect gets a link; whoever opens it within its time may store one key, as the one
who asked and for nobody else's tenant. The link carries no key, and the key never leaves the page
but for SIM and the sealed column.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sim_mcp.model.errors import Conflict, Fault, InvalidInput
from sim_mcp.model.principal import Permission
from sim_mcp.model.setup_link import LinkState, SetupLink

if TYPE_CHECKING:
    from sim_mcp.gateway.administration import Administration, SetupReport
    from sim_mcp.model.clock import Clock
    from sim_mcp.model.integration import Integration
    from sim_mcp.model.principal import Principal
    from sim_mcp.store import Store
    from sim_mcp.store.database import Statements

LOOK_EVERY_S = 1.0
"""How often a waiting caller looks whether a link was used: the page may be served by another process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedLink:
    """A link and the secret that opens it, which nobody can read again."""

    link: SetupLink
    secret: str

    def __repr__(self) -> str:
        """Without the secret: that is all of the authority."""
        return f"IssuedLink(link={self.link!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenLink:
    """A link as it stands at this moment."""

    link: SetupLink
    state: LinkState

    @property
    def may_choose(self) -> bool:
        """Whether the key was stored, several workspaces were found, and none is chosen yet."""
        link = self.link
        return self.state is LinkState.USED and link.chosen_at is None and len(link.workspaces) > 1

    @property
    def is_done(self) -> bool:
        """Whether nobody can do anything more with it."""
        return self.state is not LinkState.OPEN and not self.may_choose


class SetupDesk:
    """Issues links for principals, and serves whoever holds the secret of one."""

    def __init__(self, *, store: Store, administration: Administration, clock: Clock) -> None:
        self._store = store
        self._administration = administration
        self._clock = clock

    async def issue(
        self, principal: Principal, *, base_url: str | None = None, is_enabled: bool = True
    ) -> IssuedLink:
        """A link by which a person connects an account for `principal`'s tenant and organisation.

        The key will go to `base_url`; when absent, to where the present key goes, else to the
        server's default SIM.

        Raises:
            Forbidden: without ADD.
            InvalidInput: a base URL that is not allowed.
            Conflict: this session's key comes from `SIM_API_KEY`.
            Throttled: too many unused links.
        """
        url = await self._administration.connectable(principal, base_url)
        link, secret = await self._store.setup_links.create(principal, base_url=url, is_enabled=is_enabled)
        return IssuedLink(link=link, secret=secret)

    async def look(self, secret: str) -> SeenLink | None:
        """The link that `secret` opens, as it stands; `None` for unknown and forged ones alike."""
        link = await self._store.setup_links.find(secret)
        return None if link is None else self._seen(link)

    async def find(self, principal: Principal, link_id: str) -> SeenLink | None:
        """The link that `principal` itself asked for; `None` for everybody else's and unknown ones."""
        link = await self._store.setup_links.get(principal.tenant_id, link_id)
        if link is None or (link.organization_id, link.subject) != (
            principal.organization_id,
            principal.subject,
        ):
            return None
        return self._seen(link)

    async def redeem(self, secret: str, *, api_key: str) -> SetupReport:
        """Try the key at SIM, and store it as the link's issuer; that uses the link up.

        A key that SIM does not accept leaves the link open for some more tries.

        Raises:
            InvalidInput: SIM does not accept the key, or nobody could send it.
            Conflict: the link is not open, or somebody else used it just now; nothing was stored.
            SimError: SIM cannot be asked; nothing was stored.
        """
        link = await self._store.setup_links.find(secret)
        if link is None or not await self._store.setup_links.take_try(link):
            raise _not_open()
        return await self._administration.set_up(
            link.principal,
            api_key=api_key,
            base_url=link.base_url,
            is_enabled=link.is_enabled,
            link=link,
        )

    async def choose(self, secret: str, *, workspace_id: str) -> Integration:
        """After a key that sees several workspaces was stored: settle which one to offer, once.

        Raises:
            InvalidInput: no such workspace was found.
            Conflict: it is chosen already, the settings moved on, or the time is over.
        """
        seen = await self.look(secret)
        if seen is None or not seen.may_choose or self._clock.now() >= seen.link.expires_at:
            raise _not_open()
        if workspace_id not in {each.workspace_id for each in seen.link.workspaces}:
            message = "is none of the workspaces that this key sees"
            raise InvalidInput(f"The workspace {message}.", faults=(Fault("workspace", message),))
        return await self._offer(seen.link, workspace_id)

    async def _offer(self, link: SetupLink, workspace_id: str) -> Integration:
        """Offer this workspace of the account that `link` connected; the key stays."""
        link.principal.require(Permission.ADD)
        moved_on = Conflict("The settings were changed since; choose with `sim-mcp setup --workspace`.")
        current = await self._store.integrations.current(link.tenant_id, link.organization_id)
        if current is None or current.revision != link.revision:
            raise moved_on

        async def note(transaction: Statements, saved: Integration) -> None:
            is_next = saved.revision == current.revision + 1
            if not is_next or not await self._store.setup_links.choose(
                transaction, link, revision=saved.revision
            ):
                raise moved_on

        integration = await self._store.integrations.save(
            link.tenant_id,
            current.organization_id,
            api_key=None,
            base_url=current.base_url,
            is_enabled=current.is_enabled,
            workspace_id=workspace_id,
            changed_by=link.subject,
            along=note,
        )
        await self._administration.changed(link.principal)
        return integration

    async def decline(self, principal: Principal, link_id: str) -> None:
        """End a link that its issuer does not want any more; one that was used stays used."""
        seen = await self.find(principal, link_id)
        if seen is not None:
            await self._store.setup_links.close(seen.link)

    async def wait(self, principal: Principal, link_id: str, *, patience_s: float) -> SeenLink | None:
        """The principal's link once it is not open any more, or after `patience_s` seconds as it is then."""
        ends_at_s = self._clock.monotonic() + patience_s
        while True:
            seen = await self.find(principal, link_id)
            left_s = ends_at_s - self._clock.monotonic()
            if seen is None or seen.state is not LinkState.OPEN or left_s <= 0:
                return seen
            await self._clock.sleep(min(LOOK_EVERY_S, left_s))

    def _seen(self, link: SetupLink) -> SeenLink:
        seen = SeenLink(link=link, state=link.state_at(self._clock.now()))
        if seen.may_choose and self._clock.now() >= link.expires_at:
            # Too late to choose: nobody is waited for any more.
            return replace(seen, link=replace(link, chosen_at=link.expires_at))
        return seen


def _not_open() -> Conflict:
    return Conflict("This link is used, expired or unknown. Ask for a new one with sim_setup.")
