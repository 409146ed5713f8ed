"""MCP completion: the ids that a person would otherwise copy by hand. Own tenant only, no request to SIM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_types import CompleteResult, Completion, PromptReference, ResourceTemplateReference

from sim_mcp.app import ExecutionFilter
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.transports.addresses import EXECUTION_TEMPLATE, FILE_TEMPLATE, PAGE_TEMPLATE, WORKFLOW_TEMPLATE
from sim_mcp.transports.prompts import ONBOARD, TROUBLESHOOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_types import CompleteRequestParams

    from sim_mcp.app import App

MOST_VALUES = 100
"""As many as the protocol lets an answer carry."""
_EXECUTIONS = frozenset(
    (place, "execution_id") for place in (TROUBLESHOOT, EXECUTION_TEMPLATE, PAGE_TEMPLATE, FILE_TEMPLATE)
)
_WORKFLOWS = frozenset({(ONBOARD, "workflow_id"), (WORKFLOW_TEMPLATE, "workflow_id")})


async def complete(app: App, principal: Principal, params: CompleteRequestParams) -> CompleteResult:
    """What the argument's value may become: newest executions first, workflows by the name of their tool.

    A caller without VIEW, and any argument that we do not know, gets nothing.
    """
    place = (_name_of(params.ref), params.argument.name)
    typed = params.argument.value.strip()
    if not principal.may(Permission.VIEW):
        return _values([])
    if place in _EXECUTIONS:
        page = await app.runs.page(principal, ExecutionFilter(), limit=MOST_VALUES)
        return _values([row.id for row in page.executions if row.id.startswith(typed)])
    if place in _WORKFLOWS:
        specs = await app.workflows.allow_list(principal)
        fitting = [
            spec.workflow_id
            for spec in sorted(specs, key=lambda spec: spec.name)
            if spec.workflow_id.startswith(typed) or spec.name.startswith(typed)
        ]
        return _values([*dict.fromkeys(fitting)])
    return _values([])


def _name_of(ref: PromptReference | ResourceTemplateReference) -> str:
    return ref.name if isinstance(ref, PromptReference) else ref.uri


def _values(values: Sequence[str]) -> CompleteResult:
    shown = [*values[:MOST_VALUES]]
    return CompleteResult(
        completion=Completion(values=shown, total=len(values), has_more=len(values) > len(shown))
    )
