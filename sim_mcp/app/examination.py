"""The whole check-up of an installation, for its operator: the process, then each tenant.

Runs whatever is broken: every look is bounded in time, and one that fails is a finding and hides no
other. It creates nothing, migrates nothing, and runs nothing at SIM.
"""

from __future__ import annotations

import logging
import secrets
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import anyio

from sim_mcp.app.auth_checks import AUTH_CHECKS, AuthFacts
from sim_mcp.app.opening import open_app
from sim_mcp.app.rooms import App, Needs, Seams
from sim_mcp.catalog import SpecSet
from sim_mcp.config import Settings
from sim_mcp.gateway import complaint, halves, remedy_for
from sim_mcp.model.check import Check, Level
from sim_mcp.model.errors import InvalidInput, SimMcpError, StoreUnavailable
from sim_mcp.model.principal import TenantId
from sim_mcp.store import (
    FileFindings,
    Sealer,
    StoredConnection,
    allow_list_owners,
    inspect_file,
    is_postgres,
    open_store,
    stored_connections,
)

log = logging.getLogger(__name__)

LONGEST_S = 60.0
"""How long one look may take; the integrity of a large database is the slowest."""
_AT_ONCE = 4


class Owner(NamedTuple):
    """Whose connection: a tenant's, or one of its organisations' own."""

    tenant_id: TenantId
    organization_id: str | None = None

    def __str__(self) -> str:
        return self.tenant_id if self.organization_id is None else f"{self.tenant_id}/{self.organization_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Every finding: of the process, and of each tenant that was looked at."""

    process: tuple[Check, ...]
    tenants: dict[Owner, tuple[Check, ...]] = field(default_factory=dict[Owner, tuple[Check, ...]])

    @property
    def checks(self) -> tuple[Check, ...]:
        """All findings in one row."""
        return (*self.process, *(check for checks in self.tenants.values() for check in checks))


async def examine(
    settings: Settings,
    *,
    owner: Owner | None = None,
    is_everybody: bool = False,
    seams: Seams | None = None,
    longest_s: float = LONGEST_S,
) -> Examination:
    """Look the installation over.

    Args:
        settings: Those in force.
        owner: Whose connection to look at; by default that of the settings.
        is_everybody: Look at every tenant's instead.
        seams: What comes in from outside.
        longest_s: How long one look may take.
    """
    examiner = _Examiner(settings, seams or Seams(), longest_s)
    own = owner or Owner(TenantId(settings.tenant_id), settings.organization_id)
    return await examiner.examine(own, is_everybody=is_everybody)


async def looked(
    name: str, look: Callable[[], Awaitable[Sequence[Check]]], *, longest_s: float
) -> list[Check]:
    """What `look` finds; when it fails or takes too long, that is the finding, under `name`."""
    try:
        with anyio.fail_after(longest_s):
            return [*await look()]
    except TimeoutError:
        return [
            Check.failure(
                name,
                f"It was not done after {longest_s:g} s.",
                remedy="look again when the machine is less busy",
            )
        ]
    except SimMcpError as error:
        return [Check.failure(name, complaint(error), remedy=remedy_for(error))]
    except OSError as error:
        said = f"The system refused it: {error.strerror or type(error).__name__}."
        return [Check.failure(name, said, remedy="give this user the right to look at it")]
    except Exception as error:  # an edge: a check's own bug must not hide the other findings
        log.debug("the check %s failed", name, exc_info=error)
        said = f"The check itself failed ({type(error).__name__})."
        return [Check.failure(name, said, remedy="see where with SIM_MCP_LOG_LEVEL=debug, and report it")]


class _Examiner:
    def __init__(self, settings: Settings, seams: Seams, longest_s: float) -> None:
        self._settings = settings
        self._seams = seams
        self._longest_s = longest_s
        self._specs: SpecSet | None = None
        self._file: FileFindings | None = None
        self._is_shared = is_postgres(settings.store_url)
        self._connections: Sequence[StoredConnection] = ()
        self._has_tokens: bool | None = None
        self._blocked: str | None = None
        """Why the database cannot be used, as the name of the check that says so."""

    async def examine(self, own: Owner, *, is_everybody: bool) -> Examination:
        process: list[Check] = []
        for name, look in self._machine().items():
            process += await self._look(name, look)
        if (blocking := next((each for each in process if _blocks(each)), None)) is not None:
            self._blocked = blocking.name
        tenants: dict[Owner, tuple[Check, ...]] = {}
        if self._blocked is None:
            opened = await self._look("app", lambda: self._opened(process, tenants, own, is_everybody))
            process += opened
        else:
            tenants[own] = (_out_of_reach(self._blocked),)
        for check in AUTH_CHECKS:
            facts = AuthFacts(
                settings=self._settings,
                has_tokens=self._has_tokens,
                identity_transport=self._seams.identity_transport,
            )
            process += await self._look("auth", lambda check=check, facts=facts: check(facts))
        return Examination(process=tuple(process), tenants=tenants)

    async def _look(self, name: str, look: Callable[[], Awaitable[Sequence[Check]]]) -> list[Check]:
        return await looked(name, look, longest_s=self._longest_s)

    def _machine(self) -> dict[str, Callable[[], Awaitable[Sequence[Check]]]]:
        from sim_mcp.app import host_checks as host

        async def programs() -> Sequence[Check]:
            return [*host.python(), *host.packages()]

        async def data_dir() -> Sequence[Check]:
            return [*host.data_dir(self._settings)]

        async def encryption_key() -> Sequence[Check]:
            return [*host.encryption_key(self._settings)]

        async def tool_specs() -> Sequence[Check]:
            found, self._specs = host.spec_files(self._settings)
            return found

        async def clock() -> Sequence[Check]:
            path = None if self._file is None else self._file.path
            return [*host.clock(self._settings, path, self._seams.clock.now())]

        return {
            "python": programs,
            "data_dir": data_dir,
            "encryption_key": encryption_key,
            "database": self._database,
            "clock": clock,
            "tool_specs": tool_specs,
        }

    async def _database(self) -> Sequence[Check]:
        name = "database"
        if self._is_shared:
            try:
                await self._verify()
            except SimMcpError as error:
                said, remedy = halves(error)
                return [Check.failure(name, said, remedy=remedy)]
            return [Check.ok(name, "PostgreSQL answers and is up to date.")]
        try:
            file = self._file = await inspect_file(self._settings.store_url)
        except InvalidInput as error:
            said, remedy = halves(error)
            return [Check.failure(name, said, remedy=remedy)]
        about = str(file.path)
        if not file.exists:
            said = "There is none yet; the first start makes it."
            remedy = "nothing, or `sim-mcp db upgrade` to make it now; if there was one, restore it"
            return [Check.warning(name, said, remedy=remedy, about=about)]
        if file.damage is not None:
            said = f"The file is damaged, or is no database: {file.damage}."
            remedy = "stop the server and restore the file from a backup"
            return [Check.failure(name, said, remedy=remedy, about=about)]
        try:
            await self._verify()
        except StoreUnavailable as error:
            said, remedy = halves(error)
            return [Check.failure(name, said, remedy=remedy, about=about)]
        found = [Check.ok(name, "Sound, readable, and up to date.", about=about)]
        if not file.is_wal:
            said = "It is not in WAL mode, so readers wait for writers."
            remedy = "switch it: `sim-mcp db upgrade`"
            found.append(Check.warning("database_mode", said, remedy=remedy, about=about))
        if not file.is_private:
            said = "Others may read it, with all inputs and outputs."
            found.append(Check.warning("database_mode", said, remedy=f"run `chmod 600 {about}`", about=about))
        return found

    async def _verify(self) -> None:
        """Return when the tables are those of this release.

        Raises:
            StoreUnavailable: they are not, or the database cannot be opened.
        """
        sealer = Sealer([secrets.token_bytes(32)])  # of the moment: nothing is sealed or unsealed here
        clock, new_id = self._seams.clock, self._seams.new_id
        async with open_store(
            self._settings.store_url, sealer=sealer, clock=clock, new_id=new_id, only_look=True
        ) as store:
            await store.ping()

    async def _opened(
        self,
        process: list[Check],
        tenants: dict[Owner, tuple[Check, ...]],
        own: Owner,
        is_everybody: bool,  # noqa: FBT001 - passed on
    ) -> Sequence[Check]:
        """Everything that needs the rooms. On failure the tenants are out of reach."""
        tenants[own] = (_out_of_reach("app"),)
        async with self._app() as app:
            process += await self._look("stored_keys", lambda: self._stored_keys(app))
            self._has_tokens = await app.tokens.is_any_usable(self._seams.clock.now())
            owners = [own]
            if is_everybody:
                del tenants[own]
                owners = await self._everybody(app)
            limiter = anyio.CapacityLimiter(_AT_ONCE)
            seen: dict[Owner, list[Check]] = {}

            async def look(owner: Owner) -> None:
                async with limiter:
                    seen[owner] = await self._look("tenant", lambda: self._tenant(app, owner))

            async with anyio.create_task_group() as group:
                for owner in owners:
                    group.start_soon(look, owner)
            tenants.update({owner: tuple(seen[owner]) for owner in owners})
            process += await self._look("default_sim", lambda: self._default_sim(app))
        return []

    @asynccontextmanager
    async def _app(self) -> AsyncGenerator[App]:
        """The app, unable to change anything; on a database of the moment when there is none yet."""
        async with AsyncExitStack() as stack:
            settings = self._settings
            if self._specs is None:  # a directory that is not there must not hide the rest
                settings = settings.model_copy(update={"tool_specs": None})
            is_fresh = not self._is_shared and (self._file is None or not self._file.exists)
            if is_fresh:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sim-mcp-doctor-")))
                changed = {"data_dir": folder, "database_url": None}
                settings = settings.model_copy(update=changed)
            needs = Needs(follows_up=False, uses_process_key=True, only_looks=not is_fresh, drain_s=0)
            yield await stack.enter_async_context(open_app(settings, needs=needs, seams=self._seams))

    async def _stored_keys(self, app: App) -> Sequence[Check]:
        name = "stored_keys"
        self._connections = await stored_connections(app.store)
        sealed = [each for each in self._connections if each.opens is not None]
        closed = sum(each.opens is False for each in sealed)
        older = sum(each.opens is True and not each.is_newest for each in sealed)
        if closed:
            return [
                Check.failure(
                    name,
                    f"{closed} of {len(sealed)} stored SIM keys do not open with the encryption keys.",
                    remedy="put back the encryption key that sealed them (the file encryption.key, or "
                    "SIM_MCP_ENCRYPTION_KEYS), or run `sim-mcp setup` again for those tenants; "
                    "`--all-tenants` names them",
                )
            ]
        if older:
            return [
                Check.warning(
                    name,
                    f"{older} of {len(sealed)} stored SIM keys are sealed under an older encryption key.",
                    remedy="run `sim-mcp keys rotate` before you take the older one out",
                )
            ]
        return [Check.ok(name, f"{len(sealed)} stored SIM keys, and each opens.")]

    async def _everybody(self, app: App) -> list[Owner]:
        owners = {Owner(each.tenant_id, each.organization_id) for each in self._connections}
        served = {owner.tenant_id for owner in owners}
        listed = {*await allow_list_owners(app.store), *(self._specs.tools if self._specs else ())}
        owners |= {Owner(tenant_id) for tenant_id in listed - served}
        return sorted(owners, key=str)

    async def _tenant(self, app: App, owner: Owner) -> Sequence[Check]:
        tenant_id, organization_id = owner
        whom = replace(app.own_principal(), tenant_id=tenant_id, organization_id=organization_id)
        return (await app.checkup.of(whom, most_workflows=None)).checks

    async def _default_sim(self, app: App) -> Sequence[Check]:
        base_url = self._settings.sim_base_url
        found = await app.checkup.default_sim(base_url)
        elsewhere = self._connections and all(each.base_url != base_url for each in self._connections)
        if found.level is Level.FAILURE and elsewhere:
            return [replace(found, level=Level.WARNING, message=f"{found.message} No tenant uses it.")]
        return [found]


def _blocks(check: Check) -> bool:
    return check.level is Level.FAILURE and check.name in {"data_dir", "encryption_key", "database"}


def _out_of_reach(because_of: str) -> Check:
    return Check.skipped(
        "tenant",
        "Its connection and tools were not looked at, because the database or its key cannot be used.",
        remedy=f"mend what the check `{because_of}` names, then look again",
    )
