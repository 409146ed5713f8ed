"""What `tools/list` shows a principal: first the admin tools, then its workflow tools, each by name."""

from __future__ import annotations

import base64
import binascii
import re
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, ListToolsResult, Tool, ToolAnnotations

from sim_mcp.model.principal import Permission, Principal
from sim_mcp.transports.admin_tools import AdminTool, AdminTools, admin_tools_for
from sim_mcp.transports.output_schemas import plain_workflow_schema, workflow_schema
from sim_mcp.transports.outputs import DEFAULT_MAX_OUTPUT_BYTES
from sim_mcp.transports.sentences import usage_sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sim_mcp.app import App, View
    from sim_mcp.model.json import JsonObject
    from sim_mcp.model.tool import WorkflowTool

PAGE_SIZE = 100
MOST_REMEMBERED = 256
RESULT_SIZE = "anthropic/maxResultSizeChars"
"""Claude Code cuts results at 25,000 tokens, unless the tool says here that it may have more characters."""
MOST_RESULT_SIZE = 500_000
_CURSOR = re.compile(r"[01]:[a-z0-9_]{1,64}")

_Key: TypeAlias = "tuple[str, str | None, frozenset[Permission]]"


class ToolList:
    """Lists tools, and remembers input schemas for the SDK's check of parameter headers."""

    def __init__(self, app: App, offered: AdminTools) -> None:
        self._app = app
        self._offered: AdminTools = offered
        self._schemas: OrderedDict[_Key, Mapping[str, JsonObject]] = OrderedDict()

    async def page(self, principal: Principal, cursor: str | None) -> ListToolsResult:
        """At most 100 tools after `cursor`: the same for the same principal, whichever connection asks.

        Raises:
            MCPError: (invalid params) `cursor` is none of ours.
        """
        after = "" if cursor is None else _opened(cursor)
        admin = [(f"0:{name}", tool.listed()) for name, tool in self.admin_tools(principal).items()]
        known = await self.workflow_tools(principal)
        rest = [(f"1:{tool.name}", tool) for tool in known]
        left = [each for each in (*admin, *rest) if each[0] > after]
        page = left[:PAGE_SIZE]
        return ListToolsResult(
            tools=[tool if isinstance(tool, Tool) else listed(tool) for _, tool in page],
            next_cursor=_sealed(page[-1][0]) if len(left) > PAGE_SIZE else None,
        )

    def admin_tools(self, principal: Principal) -> Mapping[str, AdminTool]:
        """The admin tools that `principal` may use here."""
        return admin_tools_for(principal, self._offered)

    async def workflow_tools(self, principal: Principal, view: View | None = None) -> Sequence[WorkflowTool]:
        """The workflow tools that `principal` may call (in `view`); their schemas are remembered."""
        seen = view or await self._app.gateway.view(principal)
        tools = await self._described(principal, seen.tools)
        key = _key(principal)
        self._schemas[key] = {tool.name: tool.input_schema for tool in tools}
        self._schemas.move_to_end(key)
        if len(self._schemas) > MOST_REMEMBERED:
            self._schemas.popitem(last=False)
        return tools

    async def _described(self, principal: Principal, tools: Sequence[WorkflowTool]) -> Sequence[WorkflowTool]:
        """`tools`, those that want it with what was learned of them behind their descriptions."""
        if not any(tool.describe_usage for tool in tools):
            return tools
        known = await self._app.pace.lately_by_tool(principal.tenant_id)
        return tuple(
            replace(tool, description=f"{tool.description}\n\n{usage_sentence(known[tool.name])}")
            if tool.describe_usage and tool.name in known
            else tool
            for tool in tools
        )

    def input_schema(self, principal: Principal, name: str) -> JsonObject | None:
        """The input schema of a tool of `principal`, if it is an admin tool or was seen lately."""
        if (tool := self.admin_tools(principal).get(name)) is not None:
            return tool.input_schema
        return self._schemas.get(_key(principal), {}).get(name)


def listed(tool: WorkflowTool) -> Tool:
    """A workflow tool as `tools/list` shows it."""
    more = tool.max_output_bytes > DEFAULT_MAX_OUTPUT_BYTES
    return Tool(
        _meta={RESULT_SIZE: min(tool.max_output_bytes + 2_000, MOST_RESULT_SIZE)} if more else None,
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=dict(tool.input_schema),
        output_schema=dict(
            plain_workflow_schema() if tool.output_schema is None else workflow_schema(tool.output_schema)
        ),
        annotations=ToolAnnotations(
            title=tool.title,
            read_only_hint=tool.hints.read_only,
            destructive_hint=tool.hints.destructive,
            idempotent_hint=tool.hints.idempotent,
            open_world_hint=tool.hints.open_world,
        ),
    )


def _key(principal: Principal) -> _Key:
    return (principal.tenant_id, principal.organization_id, principal.permissions)


def _sealed(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _opened(cursor: str) -> str:
    try:
        place = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeError):
        place = ""
    if not _CURSOR.fullmatch(place) or _sealed(place) != cursor:
        raise MCPError(INVALID_PARAMS, "The cursor is not valid. Start again without one.")
    return place
