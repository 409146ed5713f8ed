"""The MCP door: our tools on the SDK's low-level server, for both eras of the protocol.

Handlers translate and decide nothing: who asks comes from `auth`, what may be called and what
comes of it from the gateway, and how it is told from `results`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Never, cast

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.caching import CacheHint
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    CompleteRequestParams,
    CompleteResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    PromptsCapability,
    ReadResourceRequestParams,
    ReadResourceResult,
    ResourcesCapability,
    ServerCapabilities,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
)
from typing_extensions import override

import sim_mcp
from sim_mcp.model.errors import SimMcpError, Unauthorized, UnknownTool
from sim_mcp.model.principal import Principal
from sim_mcp.transports.asking import Asking
from sim_mcp.transports.auth import current_principal
from sim_mcp.transports.calling import WorkflowCalls
from sim_mcp.transports.completion import complete
from sim_mcp.transports.fallback_tools import CALL_TOOL, called_tool
from sim_mcp.transports.notices import Notices, Sessions, is_legacy
from sim_mcp.transports.problems import is_protocol_error, json_rpc_code, json_rpc_data
from sim_mcp.transports.progress import ProgressReporter
from sim_mcp.transports.prompts import Prompts
from sim_mcp.transports.resources import Resources
from sim_mcp.transports.results import error_result
from sim_mcp.transports.revisions import for_revision
from sim_mcp.transports.talk import HostedPages, Pages, Talk
from sim_mcp.transports.tasks import TASKS, TaskCalls, TaskParams, TaskUpdateParams
from sim_mcp.transports.tool_list import ToolList

if TYPE_CHECKING:
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
    from mcp.server.models import InitializationOptions

    from sim_mcp.app import App
    from sim_mcp.transports.admin_tools import AdminTools

SERVER_NAME = "sim-mcp"
TITLE = "SIM workflows"
APPS = "io.modelcontextprotocol/ui"
"""The extension under which clients show pages in the chat (SEP-1865)."""
UNKNOWN_TOOL = "Unknown tool. tools/list shows the tools that you may use."

INSTRUCTIONS = """\
Each tool whose name does not begin with sim_ runs one workflow of the tenant's SIM account: a multi-step \
pipeline that may take minutes, cost money and change things outside. Use one only when the user's \
task needs that pipeline as its description says; for a single step that you can do yourself (a \
calculation, a rewording, a look-up in the conversation), do not.

Read `status` in the structured result. completed: `output` is the result. failed or cancelled: `error` \
says why and whether a repeat helps (`retryable`, `retry_after_s`); tell the user instead of guessing. \
queued or processing: the run goes on; do not call the tool again, follow it with \
sim_get_execution(execution_id, wait_s=45). paused: a person has to decide; ask the user and pass on the \
answer with sim_resume_execution, never answer for them.

OUTCOME_UNKNOWN means that the answer was lost and the run may have happened: never call the tool again, \
follow the execution id until it is settled.

The sim_ tools look after the integration: sim_setup when nothing is connected (never ask for an API \
key in the chat), sim_status when calls fail, sim_list_executions for the past, \
sim_discover_workflows and sim_allow_workflow to offer more workflows. You see only what this user may \
do.\
"""
"""At most 2 KB: some clients cut there."""


class SimServer(Server[Sessions]):
    """The SDK's server, which also announces list changes to earlier revisions, and knows that it ends."""

    def __init__(
        self, app: App, *, own: Principal | None, admin_tools: AdminTools, pages: Pages | None = None
    ) -> None:
        self._handlers = _Handlers(app, own=own, admin_tools=admin_tools, pages=pages)
        handlers = self._handlers
        super().__init__(
            SERVER_NAME,
            version=sim_mcp.__version__,
            title=TITLE,
            instructions=INSTRUCTIONS,
            lifespan=handlers.lifespan,
            cache_hints={
                "tools/list": CacheHint(ttl_ms=60_000, scope="private"),
                "server/discover": CacheHint(ttl_ms=3_600_000, scope="public"),
            },
            get_tool_input_schema=handlers.input_schema,
            on_list_tools=handlers.list_tools,
            on_call_tool=handlers.call_tool,
            on_subscriptions_listen=handlers.listen,
            on_list_resources=handlers.list_resources,
            on_list_resource_templates=handlers.list_resource_templates,
            on_read_resource=handlers.read_resource,
            on_list_prompts=handlers.list_prompts,
            on_get_prompt=handlers.get_prompt,
            on_completion=handlers.complete,
        )
        self.extensions[APPS] = {}
        self.extensions[TASKS] = {}
        self.add_request_handler("tasks/get", TaskParams, handlers.tasks.get)
        self.add_request_handler("tasks/update", TaskUpdateParams, handlers.tasks.update)
        self.add_request_handler("tasks/cancel", TaskParams, handlers.tasks.cancel)
        self.middleware.append(handlers.remember_session)

    @override
    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        """What earlier revisions are told at the handshake: the tool list may change."""
        options = notification_options or NotificationOptions(tools_changed=True)
        return super().create_initialization_options(options, experimental_capabilities, extensions)

    @override
    def get_capabilities(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
        *,
        protocol_version: str | None = None,
    ) -> ServerCapabilities:
        """What clients may count on: the tool list may change; nothing else is ever announced."""
        told = super().get_capabilities(
            notification_options, experimental_capabilities, extensions, protocol_version=protocol_version
        )
        return told.model_copy(
            update={
                "prompts": PromptsCapability(list_changed=False),
                "resources": ResourcesCapability(subscribe=False, list_changed=False),
            }
        )

    def begin_closing(self) -> None:
        """The server ends: handlers cancelled from now on leave their runs going, and streams end in order.

        Call it before the transport cancels what is under way.
        """
        self._handlers.begin_closing()


def build_server(
    app: App, *, own: Principal | None, admin_tools: AdminTools = "full", pages: Pages | None = None
) -> SimServer:
    """The MCP server of `app`.

    Args:
        app: The open application.
        own: Whose a session without tokens is (stdio); `None` demands a token with every request.
        admin_tools: Which of the `sim_` tools are offered, permissions apart: `full`, `read`, `off`.
        pages: Where browsers find the setup page; when absent, at this HTTP server itself.
    """
    return SimServer(app, own=own, admin_tools=admin_tools, pages=pages)


class _Handlers:
    def __init__(
        self, app: App, *, own: Principal | None, admin_tools: AdminTools, pages: Pages | None
    ) -> None:
        self._app = app
        self._pages = pages or HostedPages(app.settings.public_url)
        self._asking = Asking(app.tickets)
        self._own = own
        self._is_closing = False
        self._tools = ToolList(app, admin_tools)
        self.tasks = TaskCalls(app, self._tools, caller=self._caller)
        self._calls = WorkflowCalls(
            app, self._tools, asking=self._asking, tasks=self.tasks, is_closing=lambda: self._is_closing
        )
        self._notices = Notices(app)
        self._resources = Resources(app)
        self._prompts = Prompts(app)

    def begin_closing(self) -> None:
        self._is_closing = True
        self._notices.close()

    @asynccontextmanager
    async def lifespan(self, server: Server[Sessions]) -> AsyncGenerator[Sessions]:
        del server
        async with self._notices.serving() as sessions:
            yield sessions

    def input_schema(self, name: str) -> Mapping[str, Any] | None:
        try:
            principal = current_principal(self._own)
        except Unauthorized:
            return None
        return self._tools.input_schema(principal, name)

    async def list_tools(
        self, ctx: ServerRequestContext[Sessions], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        del ctx
        try:
            return await self._tools.page(current_principal(self._own), params.cursor if params else None)
        except SimMcpError as error:
            _raise_protocol_error(error)

    async def call_tool(
        self, ctx: ServerRequestContext[Sessions], params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        is_admin = False
        try:
            principal = current_principal(self._own)
            admin_tool = self._tools.admin_tools(principal).get(params.name)
            if admin_tool is not None and params.name == CALL_TOOL:
                params, admin_tool = called_tool(params), None
            if admin_tool is None:
                called = await self._calls(ctx, params, principal)
                # The SDK hands results of extensions through as they are, but has no type for them.
                known = cast("CallToolResult", called)
                return known if isinstance(called, dict) else for_revision(called, ctx.protocol_version)
            is_admin = True
            watch = ProgressReporter(ctx.session)
            talk = Talk(ctx=ctx, params=params, principal=principal, asking=self._asking, pages=self._pages)
            told = await admin_tool(self._app, principal, params.arguments or {}, watch=watch, talk=talk)
            return for_revision(told, ctx.protocol_version)
        except SimMcpError as error:
            if is_protocol_error(error):
                _raise_protocol_error(error)
            return error_result(error, is_workflow_call=not is_admin)

    async def list_resources(
        self, ctx: ServerRequestContext[Sessions], params: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        del ctx, params
        return self._resources.listed(self._caller())

    async def list_resource_templates(
        self, ctx: ServerRequestContext[Sessions], params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        del ctx, params
        return self._resources.templates(self._caller())

    async def read_resource(
        self, ctx: ServerRequestContext[Sessions], params: ReadResourceRequestParams
    ) -> ReadResourceResult:
        del ctx
        return await self._resources.read(self._caller(), str(params.uri))

    async def list_prompts(
        self, ctx: ServerRequestContext[Sessions], params: PaginatedRequestParams | None
    ) -> ListPromptsResult:
        del ctx, params
        return self._prompts.listed(self._caller())

    async def get_prompt(
        self, ctx: ServerRequestContext[Sessions], params: GetPromptRequestParams
    ) -> GetPromptResult:
        del ctx
        return await self._prompts.get(self._caller(), params.name, params.arguments or {})

    async def complete(
        self, ctx: ServerRequestContext[Sessions], params: CompleteRequestParams
    ) -> CompleteResult:
        del ctx
        try:
            return await complete(self._app, self._caller(), params)
        except SimMcpError as error:
            _raise_protocol_error(error)

    def _caller(self) -> Principal:
        try:
            return current_principal(self._own)
        except SimMcpError as error:
            _raise_protocol_error(error)

    async def listen(
        self, ctx: ServerRequestContext[Sessions], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        try:
            tenant_id = current_principal(self._own).tenant_id
        except SimMcpError as error:
            _raise_protocol_error(error)
        return await self._notices.listen(ctx, params, tenant_id=tenant_id, ends_in_s=self._token_ends_in_s())

    async def remember_session(
        self, ctx: ServerRequestContext[Sessions], call_next: CallNext
    ) -> HandlerResult:
        """Middleware: keep sessions of earlier revisions, to tell them of changes."""
        result = await call_next(ctx)
        if is_legacy(ctx):
            try:
                principal = current_principal(self._own)
            except Unauthorized:
                return result
            session_id = ctx.request.headers.get("mcp-session-id", "") if ctx.request is not None else ""
            if ctx.method == "notifications/initialized":
                ctx.lifespan_context.remember(principal, session_id, ctx.session)
            else:
                await ctx.lifespan_context.touch(principal, session_id)
        return result

    def _token_ends_in_s(self) -> float | None:
        token = get_access_token()
        if token is None or token.expires_at is None:
            return None
        return max(0.0, token.expires_at - self._app.outside.clock.now().timestamp())


def _raise_protocol_error(error: SimMcpError) -> Never:
    message = UNKNOWN_TOOL if isinstance(error, UnknownTool) else error.message
    raise MCPError(json_rpc_code(error), message, json_rpc_data(error)) from error
