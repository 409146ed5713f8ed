"""The drift gate: a tool whose workflow changed under it is held until somebody approves the change.

A model that calls a renamed input gets no error from SIM, which ignores what it does not know: the run is
simply another one than was meant. So the deployed inputs are compared with the approved ones, at most once
a minute for each tool, before a call is let through (frontier 7).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import anyio

from sim_mcp.catalog import Catalog, changes_between, digest_of_text
from sim_mcp.gateway.sim_budget import ASKED_LIMIT, SimBudget
from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import Conflict, SimMcpError, StoreUnavailable
from sim_mcp.model.integration import Integration
from sim_mcp.model.lock import Change, ChangeClass, ToolLock
from sim_mcp.model.principal import TenantId
from sim_mcp.model.run import WorkflowInputs
from sim_mcp.model.tool import WorkflowTool
from sim_mcp.resilience import Breakers
from sim_mcp.sim import SimClients, metered
from sim_mcp.store import Store

if TYPE_CHECKING:
    from sim_mcp.sim import SimClient

log = logging.getLogger(__name__)

CHECK_EVERY_S = 60.0
CHECK_WITHIN_S = 5.0
"""How long a call waits for SIM to tell the deployed inputs; then it goes on as before."""
MOST_TENANTS = 1000
MOST_TOOLS = 10_000
FIRST_USE = "first use"


class ToolHeld(Conflict):
    """The workflow is not what was approved as this tool."""


class Gate:
    """Lets calls of unchanged tools through. One per process; what it finds is everybody's."""

    def __init__(
        self, *, store: Store, clients: SimClients, breakers: Breakers, budget: SimBudget, clock: Clock
    ) -> None:
        self._store = store
        self._clients = clients
        self._breakers = breakers
        self._budget = budget
        self._clock = clock
        self._locks: OrderedDict[TenantId, tuple[Catalog, dict[str, ToolLock]]] = OrderedDict()
        self._looks: dict[tuple[TenantId, str], anyio.Lock] = {}
        self._in_vain: OrderedDict[tuple[TenantId, str], datetime] = OrderedDict()
        """When SIM was last asked about tools without a lock, and did not tell."""

    async def check(self, catalog: Catalog, tool: WorkflowTool, integration: Integration) -> None:
        """Return when `tool` may be called, having asked SIM if nobody did for a minute.

        A SIM that does not answer, or that tells too little, holds nothing.

        Raises:
            ToolHeld: an input that the tool offers is gone, or has another type.
        """
        lock = (await self._known(catalog)).get(tool.name)
        if self._is_due(catalog, tool, lock):
            lock = await self._looked(catalog, tool, integration)
        if lock is not None and lock.held:
            lock = await self._again(catalog, tool)  # somebody may have released it a moment ago, anywhere
        if lock is not None and lock.held:
            raise ToolHeld(
                f"The tool {tool.name!r} is held: {' '.join(lock.held)} Nothing was run. An administrator "
                f"reviews the change and releases it: `sim-mcp tools approve {tool.name}`, or "
                "sim_allow_workflow."
            )

    async def _again(self, catalog: Catalog, tool: WorkflowTool) -> ToolLock | None:
        """The lock as the database has it now, with the time of this process's own last look."""
        known = await self._known(catalog)
        fresh = await self._store.tool_locks.one(tool.tenant_id, tool.name)
        before = known.pop(tool.name, None)
        if fresh is not None:
            looked_at = fresh.checked_at if before is None else max(before.checked_at, fresh.checked_at)
            known[tool.name] = fresh = replace(fresh, checked_at=looked_at)
        return fresh

    async def held(self, catalog: Catalog) -> Mapping[str, tuple[str, ...]]:
        """The tools that are held, each with its reasons."""
        locks = await self._store.tool_locks.of(catalog.tenant_id)
        names = {tool.name for tool in catalog.tools}
        return {name: lock.held for name, lock in locks.items() if lock.held and name in names}

    async def _known(self, catalog: Catalog) -> dict[str, ToolLock]:
        """The tenant's locks as this process knows them; read anew with each new catalog."""
        found = self._locks.get(catalog.tenant_id)
        if found is None or found[0] is not catalog:
            found = (catalog, dict(await self._store.tool_locks.of(catalog.tenant_id)))
            self._locks[catalog.tenant_id] = found
            self._locks.move_to_end(catalog.tenant_id)
            while len(self._locks) > MOST_TENANTS:
                self._locks.popitem(last=False)
        return found[1]

    def _is_due(self, catalog: Catalog, tool: WorkflowTool, lock: ToolLock | None) -> bool:
        if lock is None:
            looked_at = self._in_vain.get((tool.tenant_id, tool.name))
        elif _is_other(lock, catalog.locks.get(tool.name), tool):
            return True
        else:
            looked_at = lock.checked_at
        now = self._clock.now()
        return looked_at is None or not 0 <= (now - looked_at).total_seconds() < CHECK_EVERY_S

    async def _looked(
        self, catalog: Catalog, tool: WorkflowTool, integration: Integration
    ) -> ToolLock | None:
        """The lock after a look at SIM: one at a time for each tool, the others wait for it."""
        key = (tool.tenant_id, tool.name)
        turn = self._looks.setdefault(key, anyio.Lock())
        try:
            async with turn:
                known = await self._known(catalog)
                if not self._is_due(catalog, tool, known.get(tool.name)):
                    return known.get(tool.name)
                approved = catalog.locks.get(tool.name)
                lock = await self._store.tool_locks.one(tool.tenant_id, tool.name)
                deployed = await self._deployed(tool, integration)
                now = self._clock.now()
                if lock is None or _is_other(lock, approved, tool):
                    lock = await self._first(tool, approved, deployed, now)
                if lock is None:
                    self._remember_vain(key, now)
                else:
                    lock = await self._compared(replace(lock, checked_at=now), tool, deployed)
                    known[tool.name] = lock
                return lock
        finally:
            if not turn.locked() and self._looks.get(key) is turn:
                del self._looks[key]

    def _remember_vain(self, key: tuple[TenantId, str], now: datetime) -> None:
        self._in_vain[key] = now
        self._in_vain.move_to_end(key)
        if len(self._in_vain) > MOST_TOOLS:
            self._in_vain.popitem(last=False)

    async def _first(
        self, tool: WorkflowTool, approved: ToolLock | None, deployed: WorkflowInputs | None, now: datetime
    ) -> ToolLock | None:
        """The lock of a tool that has none in force: the lock file's, else what is deployed now."""
        if approved is not None:
            await self._store.tool_locks.approve(approved)
            return approved
        if deployed is None:
            return None
        found = await self._store.tool_locks.adopt(lock_of(tool, deployed, by=FIRST_USE, at=now))
        if found.workflow_id == tool.workflow_id:
            return found
        await self._store.tool_locks.approve(fresh := lock_of(tool, deployed, by=FIRST_USE, at=now))
        return fresh

    async def _compared(
        self, lock: ToolLock, tool: WorkflowTool, deployed: WorkflowInputs | None
    ) -> ToolLock:
        if deployed is None:
            return lock
        changes = changes_of(lock, tool, deployed)
        reasons = tuple(each.sentence for each in changes if each.kind is ChangeClass.BREAKING)
        if reasons and not lock.held:
            log.warning("tool %s of tenant %s is held: %s", tool.name, tool.tenant_id, " ".join(reasons))
            await self._store.tool_locks.hold(lock, reasons, at=lock.checked_at)
        elif lock.held and not reasons:
            log.info("tool %s of tenant %s is as it was approved again", tool.name, tool.tenant_id)
            await self._store.tool_locks.release(lock, at=lock.checked_at)
        return replace(lock, held=reasons)

    async def _deployed(self, tool: WorkflowTool, integration: Integration) -> WorkflowInputs | None:
        """The inputs that calls meet now; `None` when SIM does not tell, or is not to be asked."""
        breaker = self._breakers.of(integration.tenant_id, integration.base_url)
        if breaker.state.name != "closed" or not await self._budget.looks(1, limit=ASKED_LIMIT):
            return None
        with metered() as meter:
            try:
                with anyio.move_on_after(CHECK_WITHIN_S):
                    return await deployed_inputs(await self._clients.get(integration), tool)
            except StoreUnavailable:
                raise
            except SimMcpError as error:
                log.debug("the inputs of %s cannot be compared: %s", tool.name, error.message)
            finally:
                self._budget.used(meter.sent)
        return None


async def deployed_inputs(client: SimClient, tool: WorkflowTool) -> WorkflowInputs | None:
    """The inputs of the version that runs; `None` when it is not deployed, or only the draft's are known.

    Raises:
        SimError: SIM refuses or cannot be reached.
    """
    inputs = await client.inputs(tool.workflow_id)
    if inputs.is_deployed_version:
        return inputs
    deployment = await client.deployment(tool.workflow_id)
    # The draft's inputs are those that run as long as nobody has edited it since.
    return inputs if deployment.is_deployed and not deployment.needs_redeployment else None


def lock_of(tool: WorkflowTool, inputs: WorkflowInputs, *, by: str, at: datetime) -> ToolLock:
    """The approval of `tool` with the workflow as it is deployed now."""
    return ToolLock(
        tenant_id=tool.tenant_id,
        name=tool.name,
        workflow_id=tool.workflow_id,
        version=inputs.version,
        inputs={field.name: field.type for field in inputs.fields},
        pinned=digest_of_text(tool),
        approved_at=at,
        approved_by=by,
        checked_at=at,
    )


def changes_of(lock: ToolLock, tool: WorkflowTool, deployed: WorkflowInputs) -> tuple[Change, ...]:
    """What changed at SIM since the tool was approved."""
    now = {field.name: field.type for field in deployed.fields}
    bound = [each.name for each in tool.bindings]
    return changes_between(lock.inputs, now, offered=tool.input_schema, bound=bound)


def _is_other(lock: ToolLock, approved: ToolLock | None, tool: WorkflowTool) -> bool:
    """Whether `lock` is that of another workflow, or older than what the lock file says."""
    return lock.workflow_id != tool.workflow_id or (
        approved is not None and approved.approved_at != lock.approved_at
    )
