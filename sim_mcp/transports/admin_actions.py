"""What each admin tool does: one door of the app, and its answer as a tool result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sim_mcp.app import ExecutionFilter
from sim_mcp.model.errors import SimMcpError
from sim_mcp.model.execution import Status, Trigger
from sim_mcp.model.json import JsonObject, is_object
from sim_mcp.model.principal import Principal
from sim_mcp.model.tool import WorkflowId
from sim_mcp.transports import admin_views as views
from sim_mcp.transports.admin_arguments import moment_in
from sim_mcp.transports.admin_schemas import LONGEST_WAIT_S
from sim_mcp.transports.cutting import compact
from sim_mcp.transports.metrics_views import metrics_view
from sim_mcp.transports.outputs import DEFAULT_MAX_OUTPUT_BYTES
from sim_mcp.transports.paging import MOST_MEMBERS, Selection
from sim_mcp.transports.reading import execution_reading, page_reading
from sim_mcp.transports.results import (
    error_result,
    execution_json,
    execution_result,
    text_result,
    with_notes,
)
from sim_mcp.transports.sentences import state_sentence, usage_sentence

if TYPE_CHECKING:
    from mcp_types import CallToolResult

    from sim_mcp.app import App, Watch
    from sim_mcp.model.execution import Execution
    from sim_mcp.transports.talk import Talk


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of an admin tool; `arguments` are checked against its input schema."""

    app: App
    principal: Principal
    arguments: JsonObject
    tool_name: str
    watch: Watch
    talk: Talk

    def text(self, name: str) -> str:
        """A required text."""
        return str(self.arguments[name])

    def maybe_text(self, name: str) -> str | None:
        """A text that may be absent."""
        return None if name not in self.arguments else self.text(name)

    def number(self, name: str, default: float) -> float:
        """A number that may be absent."""
        return float(cast("float", self.arguments.get(name, default)))


async def get_settings(request: Request) -> CallToolResult:
    """`sim_get_settings`."""
    found = await request.app.administration.settings(request.principal)
    return _shown(views.settings_view(found, default_base_url=request.app.settings.sim_base_url))


async def get_status(request: Request) -> CallToolResult:
    """`sim_status`."""
    found = await request.app.checkup.of(request.principal)
    default_base_url = request.app.settings.sim_base_url
    return _shown(views.checkup_view(found.status, found.checks, default_base_url=default_base_url))


async def get_metrics(request: Request) -> CallToolResult:
    """`sim_metrics`."""
    since = moment_in(request.tool_name, request.arguments, "since")
    return _shown(metrics_view(await request.app.metrics.of(request.principal, since=since)))


async def list_executions(request: Request) -> CallToolResult:
    """`sim_list_executions`."""
    workflow_id = request.maybe_text("workflow_id")
    status = request.maybe_text("status")
    triggered_by = request.maybe_text("triggered_by")
    chosen = ExecutionFilter(
        workflow_id=None if workflow_id is None else WorkflowId(workflow_id),
        status=None if status is None else Status(status),
        triggered_by=None if triggered_by is None else Trigger(triggered_by),
        since=moment_in(request.tool_name, request.arguments, "since"),
        until=moment_in(request.tool_name, request.arguments, "until"),
    )
    page = await request.app.runs.page(
        request.principal,
        chosen,
        limit=int(request.number("limit", 20)),
        offset=int(request.number("offset", 0)),
        cursor=request.maybe_text("cursor"),
    )
    return _shown(views.page_view(page))


async def get_execution(request: Request) -> CallToolResult:
    """`sim_get_execution`. Whoever waits and waits on is told only what can have changed."""
    wait_s = request.number("wait_s", 0)
    row = await request.app.runs.get(
        request.principal, request.text("execution_id"), wait_s=wait_s, watch=request.watch
    )
    if wait_s > 0 and not row.status.is_settled:
        return await _going_on(request, row)
    if any(name in request.arguments for name in ("path", "offset", "limit")):
        path, offset = str(request.arguments.get("path", "")), int(request.number("offset", 0))
        limit = int(request.number("limit", MOST_MEMBERS))
        return page_reading(row, Selection(path=path, offset=offset, limit=limit))
    tools = await request.app.gateway.tools(request.principal)
    limits = {tool.name: tool.max_output_bytes for tool in tools}
    return execution_reading(row, limit_bytes=limits.get(row.tool_name, DEFAULT_MAX_OUTPUT_BYTES))


async def _going_on(request: Request, row: Execution) -> CallToolResult:
    usual = await request.app.pace.of(row.tenant_id, row.tool_name)
    told = [usage_sentence(usual)] if usual else []
    return text_result(execution_json(row, output=None), state_sentence(row), *told)


async def validate_workflow(request: Request) -> CallToolResult:
    """`sim_validate_workflow`."""
    workflow_id = WorkflowId(request.text("workflow_id"))
    found = await request.app.workflows.validate(request.principal, workflow_id)
    return _shown(views.validation_view(found))


async def discover_workflows(request: Request) -> CallToolResult:
    """`sim_discover_workflows`."""
    found = await request.app.workflows.discover(
        request.principal,
        search=request.maybe_text("search"),
        limit=int(request.number("limit", 20)),
        cursor=request.maybe_text("cursor"),
    )
    return _shown(views.discovery_view(found))


async def allow_workflow(request: Request) -> CallToolResult:
    """`sim_allow_workflow`."""
    tool = await request.app.workflows.allow(request.principal, request.arguments)
    return with_notes(_shown(views.tool_view(tool)), [_RELOAD])


_RELOAD = (
    "The client is told that its tools changed. If it does not show the new one, reload its tools or begin a "
    "new chat; until then sim_call_tool runs it by its name."
)


_STILL_GOING = (
    "The cancel was asked for, and the run has not stopped yet. SIM is asked again for a minute, and the "
    "run is followed to its real end: look with sim_get_execution."
)


async def remove_integration(request: Request) -> CallToolResult:
    """`sim_remove_integration`: the user was asked before."""
    await request.app.administration.remove(request.principal)
    return _shown({"is_removed": True})


async def disallow_workflow(request: Request) -> CallToolResult:
    """`sim_disallow_workflow`."""
    name = request.text("name")
    await request.app.workflows.disallow(request.principal, name)
    return _shown({"name": name, "is_allowed": False})


async def cancel_execution(request: Request) -> CallToolResult:
    """`sim_cancel_execution`: that a run is cancelled is what was asked for, so no error."""
    try:
        row = await request.app.runs.cancel(request.principal, request.text("execution_id"))
    except SimMcpError as error:
        if error.execution_id is None:
            raise
        # The cancel failed, not the run: its status stands beside the error.
        going_on = await request.app.runs.known(request.principal, error.execution_id)
        failed = error_result(error, is_workflow_call=False)
        shown: JsonObject = {**(failed.structured_content or {}), "status": going_on.status.value}
        return failed.model_copy(update={"structured_content": shown})
    result = execution_result(row)
    match row.status:
        case Status.CANCELLED:
            return result.model_copy(update={"is_error": False})
        case Status.COMPLETED | Status.FAILED:
            return with_notes(result, [f"The cancel came too late: the run is {row.status.value}."])
        case _:
            return with_notes(result, [_STILL_GOING])


async def resume_execution(request: Request) -> CallToolResult:
    """`sim_resume_execution`: waits for the run as a call does."""
    answer = request.arguments["input"]
    row = await request.app.runs.resume(
        request.principal,
        request.text("execution_id"),
        answer if is_object(answer) else {},
        context_id=request.maybe_text("context_id"),
        wait_s=min(request.app.settings.call_patience_s, LONGEST_WAIT_S),
        watch=request.watch,
    )
    tools = await request.app.gateway.tools(request.principal)
    return execution_result(row, next((tool for tool in tools if tool.name == row.tool_name), None))


def _shown(structured: JsonObject) -> CallToolResult:
    return text_result(structured, compact(structured))
