"""One tenant's tools at one moment: what is listed, what may be called, what input is right.

Listing and calling ask the same question, `visible_to`, so that what is hidden cannot be called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, final

from sim_mcp.catalog.admission import flaws_in
from sim_mcp.catalog.checking import check_arguments
from sim_mcp.catalog.problem import STORE, SpecProblem
from sim_mcp.catalog.reading import SpecSet, judge
from sim_mcp.catalog.work import MAX_STEPS
from sim_mcp.model.errors import NotFound, UnknownTool
from sim_mcp.model.principal import Permission

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sim_mcp.catalog.spec import ToolSpec
    from sim_mcp.model.integration import Integration
    from sim_mcp.model.json import JsonObject
    from sim_mcp.model.lock import ToolLock
    from sim_mcp.model.principal import Principal, TenantId
    from sim_mcp.model.tool import WorkflowId, WorkflowTool


@final
class Catalog:
    """Immutable; make one with `build`."""

    __slots__ = ("_file_names", "_tools", "locks", "problems", "tenant_id", "tools")

    def __init__(
        self,
        tenant_id: TenantId,
        tools: Sequence[WorkflowTool],
        problems: Sequence[SpecProblem] = (),
        *,
        file_names: frozenset[str] = frozenset(),
        locks: Mapping[str, ToolLock] | None = None,
    ) -> None:
        self.tenant_id = tenant_id
        self.tools = tuple(sorted(tools, key=lambda tool: tool.name))
        """Every enabled tool, by name, whoever may see it: for administrators' eyes."""
        self.problems = tuple(problems)
        self._tools = {tool.name: tool for tool in self.tools}
        self._file_names = file_names
        self.locks = dict(locks or {})
        """What the lock file approved, by tool."""

    @classmethod
    def build(
        cls, tenant_id: TenantId, *, files: SpecSet | None = None, stored: Sequence[object] = ()
    ) -> Self:
        """The tools of `tenant_id`: those of its spec files and, where no file has the name, of the store.

        Args:
            tenant_id: Whose tools; other tenants' specs in `files` are ignored.
            files: Spec files, read and judged already.
            stored: The allow-list's entries; each is judged here, and a bad one becomes a problem.
        """
        files = files or SpecSet()
        problems = list(files.problems_of(tenant_id))
        specs = {spec.name: spec for spec in files.of(tenant_id)}
        file_names = frozenset(specs) | _held_back(problems)
        for entry in stored:
            spec, flaws = judge(entry, source=STORE, tenant_id=tenant_id)
            problems.extend(flaws)
            if spec is None:
                continue
            if spec.name in file_names:
                problems.append(_shadowed(tenant_id, spec))
            else:
                specs[spec.name] = spec
        tools = [spec.to_tool(tenant_id) for spec in specs.values() if spec.enabled]
        locks = {name: lock for (owner, name), lock in files.locks.items() if owner == tenant_id}
        return cls(tenant_id, tools, problems, file_names=file_names, locks=locks)

    def visible_to(self, principal: Principal, integration: Integration | None) -> tuple[WorkflowTool, ...]:
        """The tools that `principal` sees, which are those it may call; sorted by name.

        None at all unless the principal is this catalog's tenant, may run (`Permission.EDIT`), and
        `integration` is its own, enabled, and has a key.
        """
        return self.tools if self._is_open(principal, integration) else ()

    def resolve(self, name: str, principal: Principal, integration: Integration | None) -> WorkflowTool:
        """The visible tool called `name`.

        Raises:
            UnknownTool: unknown, hidden or another tenant's, with the same words for all three.
        """
        tool = self._tools.get(name) if self._is_open(principal, integration) else None
        if tool is None:
            raise UnknownTool(f"Unknown tool: {name!r}")
        return tool

    def resolve_workflow(
        self, workflow_id: WorkflowId, principal: Principal, integration: Integration | None
    ) -> WorkflowTool:
        """The visible tool that runs `workflow_id`; the first by name when there are several.

        Raises:
            NotFound: no visible tool runs it; the same words whatever the reason.
        """
        for tool in self.visible_to(principal, integration):
            if tool.workflow_id == workflow_id:
                return tool
        raise NotFound("No such workflow is on your allow-list. An administrator of your tenant can add it.")

    def check(self, tool: WorkflowTool, arguments: JsonObject, *, steps: int = MAX_STEPS) -> JsonObject:
        """`arguments`, unchanged, when they keep every rule of the tool's input schema.

        Nothing is filled in: SIM has its own defaults. Works on the processor for half a second at
        most; `Workbench` keeps that off the event loop.

        Raises:
            InvalidInput: each fault with its path, at most ten; never with a value that was sent.
            PayloadTooLarge: deeper than 64 levels, or larger than 10 MB.
            TooMuchWork: a `PayloadTooLarge`: not to be checked within `steps`.
        """
        return check_arguments(tool, arguments, steps=steps)

    @property
    def held_count(self) -> int:
        """How many specs are held back: `problems` tells why."""
        return len({(each.source, each.tool_name) for each in self.problems if not each.is_warning})

    def is_from_file(self, name: str) -> bool:
        """Whether spec files claim `name`, soundly or not: only they can change it."""
        return name in self._file_names

    def problem_with(self, spec: ToolSpec) -> str | None:
        """Why `spec` could not be listed as a tool here, in one sentence; `None` when it could."""
        if self.is_from_file(spec.name):
            return f"The name {spec.name!r} is taken by a spec file."
        flaws = [str(flaw) for flaw in flaws_in(spec) if not flaw.is_warning]
        return f"{'; '.join(flaws)}." if flaws else None

    def _is_open(self, principal: Principal, integration: Integration | None) -> bool:
        return (
            integration is not None
            and principal.tenant_id == self.tenant_id == integration.tenant_id
            and integration.organization_id in {None, principal.organization_id}
            and integration.is_enabled
            and integration.has_api_key
            and principal.may(Permission.EDIT)
        )


def _held_back(problems: list[SpecProblem]) -> frozenset[str]:
    """Names that files claim with specs that cannot be listed: the store must not fill them in."""
    return frozenset(
        problem.tool_name for problem in problems if problem.tool_name is not None and not problem.is_warning
    )


def _shadowed(tenant_id: TenantId, spec: ToolSpec) -> SpecProblem:
    return SpecProblem(
        source=STORE,
        tenant_id=tenant_id,
        tool_name=spec.name,
        field="name",
        message="A spec file has a tool of this name, which is the one listed; rename or remove one of them.",
    )
