"""One `tools/call` of a workflow tool: confirm, call, ask, report, and stop when the client says so."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
from mcp_types import InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from sim_mcp.model.errors import Fault, InvalidInput, SimMcpError
from sim_mcp.model.execution import Call, Execution, ExecutionId, Status, Trigger
from sim_mcp.model.tool import Mode
from sim_mcp.transports.admin_views import budget_view
from sim_mcp.transports.asking import Answer, Asking, Question, stale
from sim_mcp.transports.cutting import compact
from sim_mcp.transports.paused_calls import Leg, PausedCalls
from sim_mcp.transports.plan_results import plan_result
from sim_mcp.transports.progress import ProgressReporter
from sim_mcp.transports.results import declined_result, execution_result, unasked_result, with_notes
from sim_mcp.transports.sentences import attached_sentence, usage_sentence
from sim_mcp.transports.tasks import TaskCalls, declares_tasks

TaskResult: TypeAlias = dict[str, Any]

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcp.server.context import ServerRequestContext
    from mcp_types import CallToolRequestParams, CallToolResult

    from sim_mcp.app import App, View
    from sim_mcp.model.json import JsonObject
    from sim_mcp.model.principal import Principal
    from sim_mcp.model.tool import WorkflowTool
    from sim_mcp.transports.tool_list import ToolList

log = logging.getLogger(__name__)

CANCEL_WITHIN_S = 5.0
LONGEST_SHOWN = 600
PREFIX = "sim-mcp/"
"""The keys of `_meta` that are ours may be written with it, or bare."""


class WorkflowCalls:
    """Performs calls of workflow tools for one server."""

    def __init__(
        self,
        app: App,
        tools: ToolList,
        *,
        asking: Asking,
        tasks: TaskCalls,
        is_closing: Callable[[], bool],
    ) -> None:
        self._app = app
        self._tasks = tasks
        self._tools = tools
        self._is_closing = is_closing
        self._asking = asking
        self._paused = PausedCalls(app, asking)

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams, principal: Principal
    ) -> CallToolResult | InputRequiredResult | TaskResult:
        """Call a workflow tool by name, or take up a call whose run asked something.

        A client that cancels has its run cancelled at SIM; when only the connection ends, or the
        server stops, the run goes on. `_meta` may carry `idempotency_key` (text), `dry_run` (true)
        and `plan_ticket` (the text that a dry run gave).

        Raises:
            SimMcpError: what the gateway refuses.
            MCPError: (invalid params) the answer to a question that was not asked about this call.
        """
        call = Call(
            principal=principal,
            trigger=Trigger.MCP,
            tool_name=params.name,
            arguments=params.arguments or {},
            idempotency_key=_text(ctx, "idempotency_key"),
            plan_ticket=_text(ctx, "plan_ticket"),
            traceparent=_text(ctx, "traceparent"),
        )
        view = await self._app.gateway.view(principal)
        visible = await self._tools.workflow_tools(principal, view)
        tool = next((each for each in visible if each.name == params.name), None)
        if _flag(ctx, "dry_run"):
            return plan_result(await self._app.planner.plan(call))
        leg = self._leg(ctx, params, principal)
        ticket = self._paused.ticket(params, principal)
        if ticket is not None:
            return await self._result(leg, tool, lambda: self._paused.taken_up(leg, ticket))
        if tool is not None and tool.confirm and (await self._checked(call)) is None:
            told = await self._confirmed(ctx, params, tool, call)
            if not isinstance(told, Call):
                return told
            call, view = told, None  # a person took his time: what was seen before may be otherwise now
        elif params.request_state is not None or params.input_responses:
            raise stale()
        if tool is not None and tool.mode is Mode.ASYNC and declares_tasks(ctx):
            return await self._result(leg, tool, lambda: self._begun(leg, call, view))
        return await self._result(leg, tool, lambda: self._called(leg, call, view))

    def _leg(
        self, ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams, principal: Principal
    ) -> Leg:
        wants_progress = "progress_token" in (ctx.meta or {})
        return Leg(
            ctx=ctx,
            params=params,
            principal=principal,
            patience_s=None if wants_progress else self._app.settings.call_patience_s,
            watch=ProgressReporter(ctx.session),
            notes=[],
        )

    async def _checked(self, call: Call) -> Execution | None:
        """The execution that `call` would attach to; refuses what need not be asked about."""
        return (await self._app.gateway.checked(call, records_refusal=True)).earlier

    async def _confirmed(
        self,
        ctx: ServerRequestContext[Any, Any],
        params: CallToolRequestParams,
        tool: WorkflowTool,
        call: Call,
    ) -> Call | CallToolResult | InputRequiredResult:
        """`call` when its user said yes, else what to answer instead of running.

        A yes that comes twice (its answer was lost) is good for the same execution, not for two.
        """
        question = _question(tool, call.arguments)
        reply = await self._asking.confirmed(ctx, params, question, principal=call.principal)
        if isinstance(reply, InputRequiredResult):
            return reply
        match reply.answer:
            case Answer.YES:
                if reply.ticket_id is None or call.idempotency_key is not None:
                    return call
                return replace(call, idempotency_key=f"confirmed:{reply.ticket_id}")
            case Answer.NO:
                return declined_result(await self._app.gateway.decline(call))
            case Answer.CANNOT_ASK:
                return unasked_result(await self._app.gateway.decline(call), tool)

    async def _called(self, leg: Leg, call: Call, view: View | None) -> Execution | InputRequiredResult:
        answered = await self._app.gateway.answer(call, patience_s=leg.patience_s, watch=leg.watch, view=view)
        row = answered.execution
        if answered.is_replay:
            leg.attached = attached_sentence(row, now=self._app.outside.clock.now())
        return await self._paused.going_on(leg, row)

    async def _begun(self, leg: Leg, call: Call, view: View | None) -> Execution | TaskResult:
        """A task for the execution, unless that is over already."""
        answered = await self._app.gateway.answer(call, patience_s=0, watch=leg.watch, view=view)
        if answered.execution.status.is_final:
            return answered.execution
        return await self._tasks.begin(leg.ctx, leg.principal, answered.execution)

    async def _result(
        self,
        leg: Leg,
        tool: WorkflowTool | None,
        perform: Callable[[], Awaitable[Execution | InputRequiredResult | TaskResult]],
    ) -> CallToolResult | InputRequiredResult | TaskResult:
        try:
            row = await perform()
        except anyio.get_cancelled_exc_class():
            if leg.watch.execution_id is not None and self._is_wanted_cancel(leg.ctx):
                await self._cancel(leg.principal, leg.watch.execution_id)
            raise
        if not isinstance(row, Execution):
            return row
        notes = [*([leg.attached] if leg.attached else []), *leg.notes]
        if row.status in {Status.QUEUED, Status.PROCESSING} and row.workflow_id is not None:
            usual = await self._app.pace.of(row.tenant_id, row.tool_name)
            notes += [usage_sentence(usual)] if usual else []
        return await self._with_budget(with_notes(execution_result(row, tool), notes), row, tool)

    async def _with_budget(
        self, result: CallToolResult, row: Execution, tool: WorkflowTool | None
    ) -> CallToolResult:
        """`result`, with what is left of the tenant's and the tool's budget in its `_meta`."""
        left = await self._app.allowance.remaining(row.tenant_id, tool)
        if left is None:
            return result
        return result.model_copy(
            update={"meta": {**(result.meta or {}), f"{PREFIX}budget": budget_view(left)}}
        )

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


def _meta(ctx: ServerRequestContext[Any, Any], name: str) -> object:
    given = ctx.meta or {}
    return given.get(f"{PREFIX}{name}", given.get(name))


def _text(ctx: ServerRequestContext[Any, Any], name: str) -> str | None:
    value = _meta(ctx, name)
    if value is None or isinstance(value, str):
        return value
    if name == "traceparent":  # only for correlation: nonsense is none
        return None
    raise InvalidInput(f"`{name}` in `_meta` must be text.", faults=(Fault(f"_meta.{name}", "must be text"),))


def _flag(ctx: ServerRequestContext[Any, Any], name: str) -> bool:
    value = _meta(ctx, name)
    if value is None or isinstance(value, bool):
        return bool(value)
    message = "must be true or false"
    raise InvalidInput(f"`{name}` in `_meta` {message}.", faults=(Fault(f"_meta.{name}", message),))
