"""One `tools/call` of a workflow tool: confirm, call, report, and stop the run when the client says so."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import anyio
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from sim_mcp.model.errors import SimMcpError
from sim_mcp.model.execution import Call, ExecutionId, Trigger
from sim_mcp.transports.asking import Answer, OpenQuestions, Question, confirmed
from sim_mcp.transports.cutting import compact
from sim_mcp.transports.progress import ProgressReporter
from sim_mcp.transports.results import declined_result, execution_result, unasked_result

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp.server.context import ServerRequestContext
    from mcp_types import CallToolRequestParams, CallToolResult, InputRequiredResult

    from sim_mcp.app import App
    from sim_mcp.model.json import JsonObject
    from sim_mcp.model.principal import Principal
    from sim_mcp.model.tool import WorkflowTool
    from sim_mcp.transports.tool_list import ToolList

log = logging.getLogger(__name__)

CANCEL_WITHIN_S = 5.0
LONGEST_SHOWN = 600


class WorkflowCalls:
    """Performs calls of workflow tools for one server."""

    def __init__(
        self, app: App, tools: ToolList, *, questions: OpenQuestions, is_closing: Callable[[], bool]
    ) -> None:
        self._app = app
        self._tools = tools
        self._is_closing = is_closing
        self._questions = questions

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams, principal: Principal
    ) -> CallToolResult | InputRequiredResult:
        """Call a workflow tool by name.

        A client that cancels has its run cancelled at SIM; when only the connection ends, or the
        server stops, the run goes on.

        Raises:
            SimMcpError: what the gateway refuses.
        """
        call = Call(
            principal=principal,
            trigger=Trigger.MCP,
            tool_name=params.name,
            arguments=params.arguments or {},
            traceparent=_traceparent(ctx),
        )
        visible = await self._tools.workflow_tools(principal)
        tool = next((each for each in visible if each.name == params.name), None)
        if tool is not None and tool.confirm:
            refused = await self._unconfirmed(ctx, params, tool, call)
            if refused is not None:
                return refused
        return await self._call(ctx, call, tool)

    async def _unconfirmed(
        self,
        ctx: ServerRequestContext[Any, Any],
        params: CallToolRequestParams,
        tool: WorkflowTool,
        call: Call,
    ) -> CallToolResult | InputRequiredResult | None:
        """What to answer instead of running; `None` when the user said yes."""
        question = _question(tool, call.arguments)
        answer = await confirmed(ctx, params, question, principal=call.principal, questions=self._questions)
        match answer:
            case Answer.YES:
                return None
            case Answer.NO:
                return declined_result(await self._app.gateway.decline(call))
            case Answer.CANNOT_ASK:
                return unasked_result(await self._app.gateway.decline(call), tool)
            case _:
                return answer

    async def _call(
        self, ctx: ServerRequestContext[Any, Any], call: Call, tool: WorkflowTool | None
    ) -> CallToolResult:
        wants_progress = "progress_token" in (ctx.meta or {})
        report = ProgressReporter(ctx.session)
        try:
            row = await self._app.gateway.call(
                call,
                patience_s=None if wants_progress else self._app.settings.call_patience_s,
                watch=report,
            )
        except anyio.get_cancelled_exc_class():
            if report.execution_id is not None and self._is_wanted_cancel(ctx):
                await self._cancel(call.principal, report.execution_id)
            raise
        return execution_result(row, tool)

    async def _cancel(self, principal: Principal, execution_id: ExecutionId) -> None:
        with anyio.move_on_after(CANCEL_WITHIN_S, shield=True):
            try:
                await self._app.runs.cancel(principal, execution_id)
            except SimMcpError as error:  # the client is gone; the row is followed to its real end
                log.info("execution %s could not be cancelled: %s", execution_id, error.message)

    def _is_wanted_cancel(self, ctx: ServerRequestContext[Any, Any]) -> bool:
        """Whether the client asked for the cancel, as opposed to a lost connection or our own end.

        The SDK tells it for `notifications/cancelled`. On 2026-07-28 over HTTP, closing the response
        stream is the cancel, and looks like any other end of the handler: there everything counts
        that is not our own closing.
        """
        if ctx.session._request_outbound.cancel_requested.is_set():  # noqa: SLF001 - the SDK has no public way
            return True
        return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS and not self._is_closing()


def _question(tool: WorkflowTool, arguments: JsonObject) -> Question:
    shown = compact(arguments)
    if len(shown) > LONGEST_SHOWN:
        shown = f"{shown[:LONGEST_SHOWN]}…"
    return Question(
        text=f"Run {tool.title!r} ({tool.name}) with {shown}?",
        box="Run it",
        box_help="Yes runs it once, now.",
    )


def _traceparent(ctx: ServerRequestContext[Any, Any]) -> str | None:
    value = (ctx.meta or {}).get("traceparent")
    return value if isinstance(value, str) else None
