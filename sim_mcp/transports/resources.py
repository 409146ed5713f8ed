"""MCP resources: executions whole, workflows, the recent history, and the history as a page in the chat.

Everything is read through the same doors as the admin tools. What a caller may not see is not found,
in the same words as what does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Never

from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from sim_mcp.app import ExecutionFilter
from sim_mcp.model.errors import Forbidden, NotFound, SimMcpError
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.model.tool import WorkflowId
from sim_mcp.transports import admin_views as views
from sim_mcp.transports.addresses import (
    EXECUTION_TEMPLATE,
    FILE_TEMPLATE,
    HISTORY_APP_URI,
    HISTORY_URI,
    PAGE_TEMPLATE,
    WORKFLOW_TEMPLATE,
    fields_of,
)
from sim_mcp.transports.attachments import blob_of, file_at
from sim_mcp.transports.cutting import compact
from sim_mcp.transports.paging import page_json, page_of_row, selection_in
from sim_mcp.transports.text_files import text_file

if TYPE_CHECKING:
    from sim_mcp.app import App
    from sim_mcp.model.json import Json

JSON_TYPE = "application/json"
APP_TYPE = "text/html;profile=mcp-app"
"""What the MCP Apps extension calls a page that is shown in the chat (SEP-1865)."""
RECENT = 50
EXECUTIONS = EXECUTION_TEMPLATE.removesuffix("{execution_id}")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,255}")

_LISTED = (
    Resource(
        uri=HISTORY_URI,
        name="history",
        title="Recent executions",
        description=f"The newest {RECENT} executions of this tenant's workflows, without input and output.",
        mime_type=JSON_TYPE,
    ),
    Resource(
        uri=HISTORY_APP_URI,
        name="history_page",
        title="Execution history",
        description="The history with charts, for clients that show pages in the chat.",
        mime_type=APP_TYPE,
    ),
)
_TEMPLATES = (
    ResourceTemplate(
        uri_template=EXECUTION_TEMPLATE,
        name="execution",
        title="Execution",
        description="One execution whole: status, output of any size, error, input without secrets, times.",
        mime_type=JSON_TYPE,
    ),
    ResourceTemplate(
        uri_template=PAGE_TEMPLATE,
        name="execution_output",
        title="Output of an execution, in pages",
        description=(
            "A page of an execution's output. path: JSON pointer (RFC 6901) into the output, empty for all; "
            "offset and limit count items, fields or characters. A page has at most 60,000 characters "
            "and names the address of the next."
        ),
        mime_type=JSON_TYPE,
    ),
    ResourceTemplate(
        uri_template=FILE_TEMPLATE,
        name="execution_file",
        title="File of an execution",
        description="A file of an execution's output with its media type. file: JSON pointer to it.",
    ),
    ResourceTemplate(
        uri_template=WORKFLOW_TEMPLATE,
        name="workflow",
        title="Workflow",
        description="One workflow: deployed or not, the tool that it is, its deployed inputs, and drift.",
        mime_type=JSON_TYPE,
    ),
)


class Resources:
    """Lists and reads resources for a principal."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._readers: dict[str, Callable[[Principal, str], Awaitable[Json]]] = {
            "executions": self._execution,
            "workflows": self._workflow,
        }

    def listed(self, principal: Principal) -> ListResourcesResult:
        """The resources with an address of their own."""
        return ListResourcesResult(resources=[*_LISTED] if principal.may(Permission.VIEW) else [])

    def templates(self, principal: Principal) -> ListResourceTemplatesResult:
        """The families of resources."""
        shown = [*_TEMPLATES] if principal.may(Permission.VIEW) else []
        return ListResourceTemplatesResult(resource_templates=shown)

    async def read(self, principal: Principal, uri: str) -> ReadResourceResult:
        """What stands at `uri`.

        Raises:
            MCPError: (invalid params) nothing is there for this principal, or it cannot be read now;
                `data` carries the URI and our code.
        """
        if not principal.may(Permission.VIEW):
            _not_found(uri)
        try:
            if uri == HISTORY_APP_URI:
                return _page(uri)
            address, mark, query = uri.partition("?")
            if mark:
                return await self._part(principal, uri, address, query)
            content = await self._content(principal, uri)
        except (NotFound, Forbidden):
            _not_found(uri)
        except SimMcpError as error:
            raise MCPError(INVALID_PARAMS, error.message, {"uri": uri, "code": error.code.value}) from error
        text = TextResourceContents(uri=uri, mime_type=JSON_TYPE, text=compact(content))
        return ReadResourceResult(contents=[text])

    async def _content(self, principal: Principal, uri: str) -> Json:
        if uri == HISTORY_URI:
            page = await self._app.runs.page(principal, ExecutionFilter(), limit=RECENT)
            return views.page_view(page)
        family, _, asked = uri.removeprefix("sim://").partition("/")
        reader = self._readers.get(family) if uri.startswith("sim://") else None
        if reader is None or not _ID.fullmatch(asked):
            _not_found(uri)
        return await reader(principal, asked)

    async def _execution(self, principal: Principal, asked: str) -> Json:
        return views.execution_view(await self._app.runs.get(principal, asked))

    async def _part(self, principal: Principal, uri: str, address: str, query: str) -> ReadResourceResult:
        """A page or a file of an output. A query is judged before anything is looked up: it tells nothing."""
        asked = address.removeprefix(EXECUTIONS)
        if not address.startswith(EXECUTIONS) or not _ID.fullmatch(asked):
            _not_found(uri)
        fields = fields_of(query)
        if [*fields] == ["file"]:
            row = await self._app.runs.get(principal, asked)
            return ReadResourceResult(contents=[blob_of(file_at(row.output, fields["file"]), uri)])
        selection = selection_in(fields)
        row = await self._app.runs.get(principal, asked)
        text = compact(page_json(row, page_of_row(row, selection)))
        return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type=JSON_TYPE, text=text)])

    async def _workflow(self, principal: Principal, asked: str) -> Json:
        """What is pinned can be told without SIM; what SIM cannot tell now is named as its problem."""
        workflow_id = WorkflowId(asked)
        pinned = [
            each
            for each in await self._app.workflows.allow_list(principal)
            if each.workflow_id == workflow_id
        ]
        tools: list[Json] = [views.tool_view(each.to_tool(principal.tenant_id)) for each in pinned]
        try:
            found = views.validation_view(await self._app.workflows.validate(principal, workflow_id))
        except SimMcpError as error:
            if not pinned:
                raise
            return {"workflow_id": workflow_id, "tools": tools, "problem": error.message}
        inputs: Json = None
        if found["is_deployed"]:
            inputs = (
                (await self._app.workflows.imported(principal, workflow_id)).to_json().get("input_schema")
            )
        return {**found, "tools": tools, "deployed_input_schema": inputs, "problem": None}


def _page(uri: str) -> ReadResourceResult:
    meta: dict[str, Any] = {
        "ui": {"csp": {"connectDomains": [], "resourceDomains": []}, "prefersBorder": True}
    }
    page = TextResourceContents(uri=uri, mime_type=APP_TYPE, text=text_file("history_page.html"), _meta=meta)
    return ReadResourceResult(contents=[page])


def _not_found(uri: str) -> Never:
    raise MCPError(INVALID_PARAMS, "Resource not found.", {"uri": uri})
