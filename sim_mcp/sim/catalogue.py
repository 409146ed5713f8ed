"""Reading SIM's workflows: list items, deployments, and the declared inputs (sim-api 5)."""

from __future__ import annotations

import json

from sim_mcp.model.json import Json, JsonObject, is_array, is_object
from sim_mcp.model.run import Deployment, InputField, Usage, WorkflowPage, WorkflowSummary, Workspace
from sim_mcp.model.tool import WorkflowId
from sim_mcp.sim.parsing import moment_of, number_at, object_at, objects_in, text_at, whole_at

START_BLOCKS = frozenset({"starter", "start", "start_trigger", "api_trigger", "input_trigger"})
"""The block types that declare inputs (sim-api 1.5)."""

MAX_PAGE = 100


def page_of(body: JsonObject, *, cursor: str | None, search: str | None = None) -> WorkflowPage:
    """One page of a workflow list.

    A next cursor equal to the one just used is taken for the end: v1 restarts at page one when it
    does not understand a cursor (sim-api 5.4). `search` filters by name, for dialects that cannot.
    """
    following = text_at(body, "nextCursor") or None
    wanted = (search or "").casefold()
    workflows = (summary_of(item) for item in objects_in(body.get("data")) if text_at(item, "id"))
    return WorkflowPage(
        workflows=tuple(item for item in workflows if wanted in item.name.casefold()),
        next_cursor=None if following == cursor else following,
    )


def workspaces_of(body: JsonObject) -> tuple[Workspace, ...]:
    """The workspaces that a key can see."""
    return tuple(
        Workspace(workspace_id=text_at(item, "id"), name=text_at(item, "name"))
        for item in objects_in(body.get("data"))
        if text_at(item, "id")
    )


def deployment_of(record: JsonObject, *, workflow_id: WorkflowId) -> Deployment:
    """A deployment, from either dialect's record."""
    return Deployment(
        workflow_id=workflow_id,
        is_deployed=record.get("isDeployed") is True,
        needs_redeployment=record.get("needsRedeployment") is True,
        deployed_at=moment_of(record.get("deployedAt")),
        version=whole_at(object_at(record, "activeDeployment"), "version"),
    )


def usage_of(body: JsonObject) -> Usage:
    """SIM's limits for a key (sim-api 5.2)."""
    limits, usage = object_at(body, "rateLimit"), object_at(body, "usage")
    return Usage(
        plan=text_at(usage, "plan") or None,
        sync_per_minute=whole_at(object_at(limits, "sync"), "requestsPerMinute"),
        sync_remaining=whole_at(object_at(limits, "sync"), "remaining"),
        async_per_minute=whole_at(object_at(limits, "async"), "requestsPerMinute"),
        async_remaining=whole_at(object_at(limits, "async"), "remaining"),
        period_cost=number_at(usage, "currentPeriodCost"),
        period_limit=number_at(usage, "limit"),
    )


def fields_of_draft(record: JsonObject) -> tuple[InputField, ...]:
    """The inputs in a workflow's detail. They are the draft's, and carry no defaults."""
    return _fields(record.get("inputs"))


def fields_of_state(state: JsonObject) -> tuple[InputField, ...]:
    """The inputs declared by the start block of a deployed graph; none when it has no start block."""
    for block in object_at(state, "blocks").values():
        if is_object(block) and text_at(block, "type") in START_BLOCKS:
            declared = object_at(block, "subBlocks", "inputFormat").get("value")
            return _fields(_decoded(declared))
    return ()


def _fields(declared: Json) -> tuple[InputField, ...]:
    return tuple(
        InputField(
            name=text_at(item, "name"),
            type=text_at(item, "type"),
            description=text_at(item, "description"),
            default=_default(text_at(item, "type"), item.get("value")),
        )
        for item in objects_in(declared)
        if text_at(item, "name")
    )


def _default(sim_type: str, value: Json) -> Json:
    """SIM keeps every default as the text of a form field; empty means none, unfit means none."""
    if value is None or value == "":
        return None
    decoded = value if sim_type == "string" else _decoded(value)
    match sim_type:
        case "string":
            return decoded if isinstance(decoded, str) else None
        case "boolean":
            return decoded if isinstance(decoded, bool) else None
        case "number":
            return decoded if isinstance(decoded, int | float) and not isinstance(decoded, bool) else None
        case "object":
            return decoded if is_object(decoded) else None
        case "array" | "file[]":
            return decoded if is_array(decoded) and decoded else None
        case _:
            return value


def _decoded(value: Json) -> Json:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def summary_of(item: JsonObject) -> WorkflowSummary:
    """One workflow, from a list or its own record (sim-api 5.4)."""
    return WorkflowSummary(
        workflow_id=WorkflowId(text_at(item, "id")),
        name=text_at(item, "name"),
        description=text_at(item, "description"),
        is_deployed=item.get("isDeployed") is True,
        workspace_id=text_at(item, "workspaceId") or None,
        deployed_at=moment_of(item.get("deployedAt")),
        run_count=whole_at(item, "runCount") or 0,
    )
