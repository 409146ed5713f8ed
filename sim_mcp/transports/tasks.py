"""MCP's tasks extension (SEP-2663, `io.modelcontextprotocol/tasks`) on top of executions.

The server decides: a tool of `mode: async` called by a client that declares the extension is
answered with a task. A task's state is its execution's, read anew each time, so that any replica
answers and a restart forgets nothing. A failed *workflow* is a completed task whose result is an
error; a paused run is a task that requires input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import decode_header_value
from mcp_types import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    ElicitRequest,
    ElicitResult,
    RequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field, ValidationError

from sim_mcp.model.errors import Conflict, InvalidInput, NotFound, OutcomeUnknown, SimMcpError
from sim_mcp.model.execution import Status
from sim_mcp.model.pauses import goes_on_at, may_answer
from sim_mcp.transports.admin_views import moment
from sim_mcp.transports.asking import can_show_forms
from sim_mcp.transports.pause_forms import forms_of
from sim_mcp.transports.results import execution_result
from sim_mcp.transports.sentences import state_sentence, usage_sentence

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp.server.context import ServerRequestContext

    from sim_mcp.app import App
    from sim_mcp.model.execution import Execution
    from sim_mcp.model.principal import Principal
    from sim_mcp.model.task import Task
    from sim_mcp.transports.tool_list import ToolList

TASKS = "io.modelcontextprotocol/tasks"
SOONEST_POLL_S, LATEST_POLL_S = 2.0, 15.0
ASKS_AGAIN_WITHIN_S = 10.0
"""How long a run may take to show its other questions again after one was answered."""
TOO_SOON = "the run is still busy with the answer before it. Give it again when tasks/get asks for it."
_Answer = dict[str, Any]


class TaskParams(RequestParams):
    """The parameters of `tasks/get` and `tasks/cancel`."""

    task_id: str = Field(alias="taskId", max_length=128)


class TaskUpdateParams(TaskParams):
    """The parameters of `tasks/update`: answers by the keys of `inputRequests`."""

    input_responses: dict[str, Any] = Field(alias="inputResponses", max_length=64)


class TaskCalls:
    """Makes tasks, and serves the methods of the extension."""

    def __init__(self, app: App, tools: ToolList, *, caller: Callable[[], Principal]) -> None:
        self._app = app
        self._tools = tools
        self._caller = caller

    async def begin(
        self, ctx: ServerRequestContext[Any, Any], principal: Principal, row: Execution
    ) -> _Answer:
        """The result of a tool call that goes on as a task."""
        task = await self._app.tasks.begin(principal, row)
        return {"resultType": "task", **await self._told(ctx, principal, task, row)}

    async def get(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> _Answer:
        """`tasks/get`: where the execution stands, with its result, or with what it asks.

        Raises:
            MCPError: the client may not ask so, or there is no such task for it.
        """
        principal, task, row = await self._found(ctx, params)
        told = await self._told(ctx, principal, task, row)
        if told["status"] == "completed":
            tools = await self._tools.workflow_tools(principal)
            tool = next((tool for tool in tools if tool.name == row.tool_name), None)
            result = execution_result(row, tool)
            told["result"] = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        elif told["status"] == "input_required":
            told["inputRequests"] = {
                form.key: ElicitRequest(params=form.params(ctx.protocol_version)).model_dump(
                    by_alias=True, mode="json", exclude_none=True
                )
                for form in forms_of(row)
            }
        return {"resultType": "complete", **told}

    async def update(self, ctx: ServerRequestContext[Any, Any], params: TaskUpdateParams) -> _Answer:
        """`tasks/update`: take answers. Keys that wait for nothing (any more) are passed over.

        While SIM takes the first of several answers it shows no question. So as long as another is open
        the run is waited for, and no answer is acknowledged that nobody got.

        Raises:
            MCPError: as `get`; and for an answer that does not fit its form, or came to no question in
                time: those stay open.
        """
        principal, task, row = await self._found(ctx, params)
        asked = {form.key for form in forms_of(row)}
        for key, given in params.input_responses.items():
            forms = forms_of(row)
            form = next((form for form in forms if form.key == key), None)
            if form is None:
                if key in asked and not row.status.is_settled:
                    raise MCPError(INVALID_PARAMS, f"inputResponses[{key!r}] was not taken yet: {TOO_SOON}")
                continue
            try:
                answer = ElicitResult.model_validate(given)
                if answer.action != "accept":
                    continue  # not answered is no answer: the question stays
                await self._app.runs.resume(
                    principal,
                    row.id,
                    form.answer(answer.content),
                    context_id=form.context_id,
                    wait_s=ASKS_AGAIN_WITHIN_S if len(forms) > 1 else 0,
                )
            except (Conflict, OutcomeUnknown):
                pass  # somebody was faster, or SIM's reply was lost: `tasks/get` tells what became of it
            except ValidationError as error:
                message = f"inputResponses[{key!r}] is no elicitation result."
                raise MCPError(INVALID_PARAMS, message) from error
            except SimMcpError as error:
                raise MCPError(INVALID_PARAMS, error.message, _told_error(error)) from error
            row = (await self._app.tasks.find(principal, task.id))[1]
        return {"resultType": "complete"}

    async def cancel(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> _Answer:
        """`tasks/cancel`: SIM is asked to stop the run. What came of it, `tasks/get` tells.

        Raises:
            MCPError: as `get`.
        """
        principal, _, row = await self._found(ctx, params)
        try:
            await self._app.runs.cancel(principal, row.id)
        except Conflict:
            pass  # SIM could not: the run goes on, and so does the task
        except SimMcpError as error:
            raise MCPError(INVALID_PARAMS, error.message, _told_error(error)) from error
        return {"resultType": "complete"}

    async def _found(
        self, ctx: ServerRequestContext[Any, Any], params: TaskParams
    ) -> tuple[Principal, Task, Execution]:
        if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            raise MCPError(METHOD_NOT_FOUND, "Method not found", ctx.method)
        if not declares_tasks(ctx):
            raise MCPError(
                MISSING_REQUIRED_CLIENT_CAPABILITY,
                "Missing required client capability",
                {"requiredCapabilities": {"extensions": {TASKS: {}}}},
            )
        if ctx.request is not None:  # HTTP: what gateways route by must be what is asked for (SEP-2243)
            named = decode_header_value(ctx.request.headers.get("mcp-name"))
            if named != params.task_id:
                raise MCPError(HEADER_MISMATCH, "The header Mcp-Name does not match params.taskId.")
        principal = self._caller()
        try:
            task, row = await self._app.tasks.find(principal, params.task_id)
        except NotFound as error:
            raise MCPError(INVALID_PARAMS, error.message) from error
        except SimMcpError as error:
            raise MCPError(INVALID_PARAMS, error.message, _told_error(error)) from error
        return principal, task, row

    async def _told(
        self, ctx: ServerRequestContext[Any, Any], principal: Principal, task: Task, row: Execution
    ) -> _Answer:
        """The task without result and questions: what every answer about it holds."""
        now = self._app.outside.clock.now()
        changed_at = [task.created_at, *(answer.answered_at for answer in row.answers)]
        if row.finished_at is not None:
            changed_at.append(row.finished_at)
        age_s = (now - row.created_at).total_seconds()
        told: _Answer = {
            "taskId": task.id,
            "status": _status(ctx, principal, row),
            "createdAt": moment(task.created_at),
            "lastUpdatedAt": moment(max(changed_at)),
            "ttlMs": int((task.expires_at - task.created_at).total_seconds() * 1000),
            "pollIntervalMs": int(min(max(age_s / 2, SOONEST_POLL_S), LATEST_POLL_S) * 1000),
        }
        if told["status"] not in {"completed", "cancelled"}:
            told["statusMessage"] = await self._message(row, age_s)
        return told

    async def _message(self, row: Execution, age_s: float) -> str:
        """One sentence about an unfinished execution: progress of a task is told here and nowhere else."""
        if row.status is Status.PAUSED:
            return state_sentence(row)
        usual = await self._app.pace.of(row.tenant_id, row.tool_name)
        told = f"The run is {row.status.value}, {max(0.0, age_s):.0f} s after the call. Execution {row.id}."
        return f"{told} {usage_sentence(usual)}" if usual else told


def declares_tasks(ctx: ServerRequestContext[Any, Any]) -> bool:
    """Whether this very request comes from a client that can hold tasks."""
    capabilities = ctx.session.client_capabilities
    return (
        ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
        and capabilities is not None
        and TASKS in (capabilities.extensions or {})
    )


def _status(ctx: ServerRequestContext[Any, Any], principal: Principal, row: Execution) -> str:
    match row.status:
        case Status.COMPLETED | Status.FAILED:
            return "completed"
        case Status.CANCELLED:
            return "cancelled"
        case Status.PAUSED if goes_on_at(row) is None:
            can_ask = can_show_forms(ctx.session.client_capabilities) and may_answer(row, principal)
            return "input_required" if can_ask and forms_of(row) else "working"
        case _:
            return "working"


def _told_error(error: SimMcpError) -> dict[str, Any]:
    told: dict[str, Any] = {"code": error.code.value}
    if isinstance(error, InvalidInput):
        told["faults"] = [{"path": fault.path, "message": fault.message} for fault in error.faults]
    return told
