"""Approvals: what changed at SIM since a tool was approved, and saying that it shall count from now on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.catalog import Catalog, ToolSpec, drift_of_tool
from sim_mcp.gateway.call import Gateway
from sim_mcp.gateway.drift_gate import changes_of, deployed_inputs, lock_of
from sim_mcp.gateway.tenancy import Tenancy
from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import Conflict, NotFound, SimError
from sim_mcp.model.facts import Observer, SettingsChanged
from sim_mcp.model.lock import Change, ChangeClass, ToolLock
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.model.run import WorkflowInputs
from sim_mcp.model.tool import WorkflowTool
from sim_mcp.sim import SimClients, input_schema_of
from sim_mcp.store import Store

if TYPE_CHECKING:
    from sim_mcp.sim import SimClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One tool as it was approved and as its workflow is deployed.

    `lock` is `None` for a tool that nobody used or approved yet. `problem` is why SIM could not be asked.
    """

    tool: WorkflowTool
    is_from_file: bool
    lock: ToolLock | None
    changes: tuple[Change, ...] = ()
    problem: str | None = None


class Approvals:
    """Reviews tools and approves them."""

    def __init__(
        self,
        *,
        store: Store,
        gateway: Gateway,
        tenancy: Tenancy,
        clients: SimClients,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._tenancy = tenancy
        self._clients = clients
        self._clock = clock
        self._observer = observer

    async def review(self, principal: Principal) -> tuple[Review, ...]:
        """Every tool of the tenant compared with SIM, by name. Changes nothing.

        Raises:
            Forbidden: without VIEW.
            NotConfigured, Disabled: SIM cannot be asked.
        """
        principal.require(Permission.VIEW)
        catalog = await self._gateway.catalog(principal.tenant_id)
        client = await self._client(principal)
        locks = await self._store.tool_locks.of(principal.tenant_id)
        return tuple([await self._one(catalog, client, tool, locks.get(tool.name)) for tool in catalog.tools])

    async def approve(
        self, principal: Principal, name: str, *, tool: WorkflowTool | None = None, keeps_schema: bool = False
    ) -> ToolLock:
        """Let the workflow as it is deployed now count as the tool `name`; its lock.

        A tool of the stored allow-list gets the deployed inputs as its schema, unless `keeps_schema`. `tool`
        stands for one of a spec file that is held back because of its words.

        Raises:
            Forbidden: without ADD.
            NotFound: no such tool.
            Conflict: the workflow is not deployed, or the spec file still offers what it does not have.
        """
        principal.require(Permission.ADD)
        catalog = await self._gateway.catalog(principal.tenant_id)
        found = tool or next((each for each in catalog.tools if each.name == name), None)
        if found is None:
            raise NotFound(f"There is no tool {name!r} on the allow-list.")
        inputs = await deployed_inputs(await self._client(principal), found)
        if inputs is None:
            raise Conflict(
                f"The deployed inputs of {name!r} are not known: deploy the workflow in SIM, then approve it."
            )
        is_from_file = tool is not None or catalog.is_from_file(name)
        drift = () if keeps_schema else drift_of_tool(found, input_schema_of(inputs))
        if drift and is_from_file:
            offers = [each for each in drift if "new input" not in each]
            if offers:
                raise Conflict(
                    f"{' '.join(offers)} Correct `input_schema` in its spec file, then approve it;"
                    " --keep-schema approves it as it is."
                )
        elif drift:
            found = await self._pin(principal, name, inputs)
        lock = lock_of(found, inputs, by=principal.subject, at=self._clock.now())
        await self._store.tool_locks.approve(lock)
        self._observer(SettingsChanged(tenant_id=principal.tenant_id, kind="tools"))
        return lock

    async def _one(
        self, catalog: Catalog, client: SimClient, tool: WorkflowTool, lock: ToolLock | None
    ) -> Review:
        is_from_file = catalog.is_from_file(tool.name)
        approved = catalog.locks.get(tool.name) or lock
        try:
            inputs = await deployed_inputs(client, tool)
        except SimError as error:
            return Review(tool=tool, is_from_file=is_from_file, lock=lock, problem=error.message)
        if inputs is None:
            unknown = Change(
                kind=ChangeClass.UNKNOWN,
                sentence="SIM does not tell the deployed inputs: the draft moved on, or nothing is deployed.",
            )
            return Review(tool=tool, is_from_file=is_from_file, lock=lock, changes=(unknown,))
        changes = changes_of(approved, tool, inputs) if approved is not None else ()
        return Review(tool=tool, is_from_file=is_from_file, lock=lock, changes=changes)

    async def _pin(self, principal: Principal, name: str, inputs: WorkflowInputs) -> WorkflowTool:
        """The stored tool with the deployed inputs as its schema."""
        entries = await self._store.tools.entries(principal.tenant_id)
        spec = next((ToolSpec.from_json(entry.spec) for entry in entries if entry.name == name), None)
        if spec is None:
            raise NotFound(f"There is no tool {name!r} on the allow-list.")
        pinned = spec.with_inputs(input_schema_of(inputs))
        await self._store.tools.put(
            principal.tenant_id, name, spec=pinned.to_json(), changed_by=principal.subject
        )
        return pinned.to_tool(principal.tenant_id)

    async def _client(self, principal: Principal) -> SimClient:
        return await self._clients.get(await self._tenancy.usable(principal))
