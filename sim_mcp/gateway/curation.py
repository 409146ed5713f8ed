"""Choosing workflows: what the account offers, and which of it is on the allow-list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from sim_mcp.catalog import ToolSpec, drift_of_tool, told_name, told_prose
from sim_mcp.gateway.call import Gateway
from sim_mcp.gateway.drift_gate import deployed_inputs, lock_of
from sim_mcp.gateway.tenancy import Tenancy
from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import Conflict, Fault, InvalidInput, NotFound, SimError, SimNotFound
from sim_mcp.model.facts import Observer, SettingsChanged
from sim_mcp.model.integration import Integration
from sim_mcp.model.json import JsonObject
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.model.run import Deployment, Probe, WorkflowInputs, WorkflowSummary
from sim_mcp.model.tool import WorkflowId, WorkflowTool
from sim_mcp.sim import SimClients, file_fields_of, input_schema_of
from sim_mcp.store import Store

if TYPE_CHECKING:
    from sim_mcp.sim import SimClient

T = TypeVar("T")


LONGEST_NAME, LONGEST_PROSE, MOST_INPUTS = 200, 1000, 200
"""How much of a workflow's own words a list of workflows repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveredWorkflow:
    """One workflow of the account, and how it stands to the allow-list."""

    summary: WorkflowSummary
    tool_name: str | None
    inputs: WorkflowInputs | None
    drift: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """One page of the account's workflows."""

    workflows: tuple[DiscoveredWorkflow, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Whether a workflow can run, and whether it still matches what is pinned."""

    deployment: Deployment
    drift: tuple[str, ...] = field(default_factory=tuple)


class Curation:
    """What a principal may learn of the account's workflows, and do to the allow-list."""

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

    async def discover(
        self, principal: Principal, *, search: str | None = None, limit: int = 20, cursor: str | None = None
    ) -> Discovery:
        """One page of the account's workflows, each with its inputs, its tool and their drift.

        Raises:
            Forbidden: without VIEW.
            SimError: SIM refuses or cannot be reached.
        """
        principal.require(Permission.VIEW)
        client, integration = await self._client(principal)
        workspace_id = integration.workspace_id
        if workspace_id is None:
            workspace_id = only_workspace(await client.probe())
        page = await client.workflows(workspace_id=workspace_id, search=search, limit=limit, cursor=cursor)
        tools = await self._tools_by_workflow(principal)
        found = [
            await _discovered(client, summary, tools.get(summary.workflow_id)) for summary in page.workflows
        ]
        return Discovery(workflows=tuple(found), next_cursor=page.next_cursor)

    async def validate(
        self, principal: Principal, workflow_id: WorkflowId, *, tool: WorkflowTool | None = None
    ) -> Validation:
        """Whether the workflow can run, and the drift of its tool (or of `tool`) if it is allow-listed.

        Raises:
            Forbidden: without VIEW.
            NotFound: SIM does not know it, or hides it from this tenant's key.
        """
        principal.require(Permission.VIEW)
        client, _ = await self._client(principal)
        try:
            deployment = await client.deployment(workflow_id)
        except SimNotFound as error:
            raise _unknown_workflow() from error
        if tool is None:
            tool = (await self._tools_by_workflow(principal)).get(workflow_id)
        drift = await drift_of(client, tool) if tool is not None and deployment.is_deployed else ()
        return Validation(deployment=deployment, drift=drift)

    async def allow(self, principal: Principal, fields: JsonObject) -> WorkflowTool:
        """Put a workflow on the allow-list; `fields` are a tool spec without what SIM can fill in.

        Raises:
            Forbidden: without ADD.
            InvalidInput: the spec breaks a rule; each fault with its field.
            NotFound: SIM does not know the workflow.
            Conflict: a tool of that name comes from a spec file.
        """
        principal.require(Permission.ADD)
        spec = await self._completed(principal, fields)
        tool = spec.to_tool(principal.tenant_id)
        catalog = await self._gateway.catalog(principal.tenant_id)
        if catalog.is_from_file(tool.name):
            raise Conflict(f"The tool {tool.name!r} comes from a spec file; change it there.")
        if problem := await self._gateway.problem_with(catalog, spec):
            raise InvalidInput(problem, faults=(Fault(path="$", message=problem),))
        await self._store.tools.put(
            principal.tenant_id, tool.name, spec=spec.to_json(), changed_by=principal.subject
        )
        await self._approve(principal, tool)
        self._changed(principal)
        return tool

    async def check_disallowable(self, principal: Principal, name: str) -> None:
        """Return when `disallow` would take a tool of that name off the list; changes nothing.

        Raises:
            Forbidden: without DELETE.
            NotFound: no such tool.
            Conflict: it comes from a spec file.
        """
        principal.require(Permission.DELETE)
        catalog = await self._gateway.catalog(principal.tenant_id)
        if catalog.is_from_file(name):
            raise Conflict(f"The tool {name!r} comes from a spec file; remove it there.")
        if name not in {entry.name for entry in await self._store.tools.entries(principal.tenant_id)}:
            raise NotFound(f"There is no tool {name!r} on the allow-list.")

    async def disallow(self, principal: Principal, name: str) -> None:
        """Take a tool off the allow-list.

        Raises:
            Forbidden: without DELETE.
            NotFound: no such tool.
            Conflict: it comes from a spec file.
        """
        await self.check_disallowable(principal, name)
        if not await self._store.tools.remove(principal.tenant_id, name, changed_by=principal.subject):
            raise NotFound(f"There is no tool {name!r} on the allow-list.")
        await self._store.tool_locks.forget(principal.tenant_id, [name])
        self._changed(principal)

    async def imported(self, principal: Principal, workflow_id: WorkflowId) -> ToolSpec:
        """A complete spec for a workflow, its schema taken from SIM; nothing is stored.

        Raises:
            Forbidden: without VIEW.
            NotFound: SIM does not know the workflow.
        """
        principal.require(Permission.VIEW)
        return await self._completed(principal, {"workflow_id": workflow_id})

    async def allow_list(self, principal: Principal) -> tuple[ToolSpec, ...]:
        """The specs kept in the store (not those of spec files), by name.

        Raises:
            Forbidden: without VIEW.
        """
        principal.require(Permission.VIEW)
        entries = await self._store.tools.entries(principal.tenant_id)
        return tuple(ToolSpec.from_json(entry.spec) for entry in entries)

    async def replace_allow_list(self, principal: Principal, specs: Sequence[ToolSpec]) -> None:
        """Make the stored allow-list equal `specs`, in one transaction.

        Raises:
            Forbidden: without ADD and DELETE: it may do both.
        """
        principal.require(Permission.ADD)
        principal.require(Permission.DELETE)
        tenant_id, wanted = principal.tenant_id, {spec.name: spec.to_json() for spec in specs}
        before = {entry.name: entry.spec for entry in await self._store.tools.entries(tenant_id)}
        await self._store.tools.replace(tenant_id, wanted, changed_by=principal.subject)
        # Whoever applies approves: what was held is compared anew, from the next call on.
        changed = [name for name in before.keys() | wanted.keys() if before.get(name) != wanted.get(name)]
        await self._store.tool_locks.forget(tenant_id, changed)
        self._changed(principal)

    async def _completed(self, principal: Principal, fields: JsonObject) -> ToolSpec:
        """`fields` with name, title, description and schema filled in from SIM where absent."""
        workflow_id = WorkflowId(str(fields.get("workflow_id") or ""))
        if not workflow_id:
            message = "is required: the id of a workflow of the SIM account"
            raise InvalidInput(f"workflow_id {message}.", faults=(Fault("$.workflow_id", message),))
        client, integration = await self._client(principal)
        try:
            inputs = await client.inputs(workflow_id)
            summary = await client.summary(workflow_id)
        except SimNotFound as error:
            raise _unknown_workflow() from error
        del integration
        return ToolSpec.completed(
            fields,
            name=summary.name,
            description=summary.description,
            input_schema=input_schema_of(inputs),
            file_fields=file_fields_of(inputs),
        )

    async def _approve(self, principal: Principal, tool: WorkflowTool) -> None:
        """Note with which inputs the workflow was chosen; without them the first use tells."""
        client, _ = await self._client(principal)
        inputs = await quiet(lambda: deployed_inputs(client, tool))
        if inputs is None:
            await self._store.tool_locks.forget(principal.tenant_id, [tool.name])
            return
        lock = lock_of(tool, inputs, by=principal.subject, at=self._clock.now())
        await self._store.tool_locks.approve(lock)

    async def _client(self, principal: Principal) -> tuple[SimClient, Integration]:
        integration = await self._tenancy.usable(principal)
        return await self._clients.get(integration), integration

    async def _tools_by_workflow(self, principal: Principal) -> dict[WorkflowId, WorkflowTool]:
        catalog = await self._gateway.catalog(principal.tenant_id)
        return {tool.workflow_id: tool for tool in catalog.tools}

    def _changed(self, principal: Principal) -> None:
        self._observer(SettingsChanged(tenant_id=principal.tenant_id, kind="tools"))


async def _discovered(
    client: SimClient, summary: WorkflowSummary, tool: WorkflowTool | None
) -> DiscoveredWorkflow:
    inputs = await quiet(lambda: client.inputs(summary.workflow_id))
    drift = () if tool is None or inputs is None else drift_of_tool(tool, input_schema_of(inputs))
    return DiscoveredWorkflow(
        summary=replace(
            summary,
            name=told_name(summary.name, LONGEST_NAME),
            description=told_prose(summary.description, LONGEST_PROSE),
        ),
        tool_name=tool.name if tool else None,
        inputs=None if inputs is None else _told(inputs),
        drift=drift,
    )


def _told(inputs: WorkflowInputs) -> WorkflowInputs:
    """`inputs` as a model may read them before anybody has judged them: their author may be anybody."""
    fields = (
        replace(
            each,
            name=told_name(each.name, LONGEST_NAME),
            type=told_name(each.type, LONGEST_NAME),
            description=told_prose(each.description, LONGEST_PROSE),
        )
        for each in inputs.fields[:MOST_INPUTS]
    )
    return replace(inputs, fields=tuple(fields))


async def drift_of(client: SimClient, tool: WorkflowTool) -> tuple[str, ...]:
    """How the deployed inputs of `tool` differ from its pinned schema; nothing when SIM does not tell."""
    inputs = await quiet(lambda: client.inputs(tool.workflow_id))
    return () if inputs is None else drift_of_tool(tool, input_schema_of(inputs))


async def quiet(ask: Callable[[], Awaitable[T]]) -> T | None:
    """What `ask` finds out, or `None` when SIM refuses: for extras that must not spoil the answer."""
    try:
        return await ask()
    except SimError:
        return None


def only_workspace(probe: Probe) -> str | None:
    """The one workspace that the key sees; `None` when there are several, or SIM does not tell."""
    return probe.workspaces[0].workspace_id if len(probe.workspaces) == 1 else None


def _unknown_workflow() -> NotFound:
    return NotFound("SIM knows no such workflow for this account. `sim_discover_workflows` lists them.")
