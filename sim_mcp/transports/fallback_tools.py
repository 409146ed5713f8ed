"""Two tools for clients that keep an old tool list: finding workflow tools, and calling one by name.

A client that reads the list once never sees a workflow that was allowed later. These two stand in every
list from the beginning; the call takes the way of every other call of that tool (frontier 18).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.model.errors import UnknownTool
from sim_mcp.model.json import JsonObject, is_object
from sim_mcp.model.principal import Permission
from sim_mcp.transports.admin_arguments import check_arguments
from sim_mcp.transports.admin_schemas import answer, arguments, listed, text, whole
from sim_mcp.transports.admin_tool import AdminTool
from sim_mcp.transports.cutting import compact
from sim_mcp.transports.output_schemas import INTEGER, TEXT, execution_schema
from sim_mcp.transports.results import text_result

if TYPE_CHECKING:
    from mcp_types import CallToolRequestParams, CallToolResult

    from sim_mcp.model.tool import WorkflowTool
    from sim_mcp.transports.admin_actions import Request

CALL_TOOL = "sim_call_tool"


async def find_tools(request: Request) -> CallToolResult:
    """`sim_find_tools`: the workflow tools whose words hold all of the query's."""
    wanted = (request.maybe_text("query") or "").casefold().split()
    limit = int(request.number("limit", 20))
    tools = [
        tool
        for tool in await request.app.gateway.tools(request.principal)
        if all(word in _words(tool) for word in wanted)
    ]
    structured: JsonObject = {
        "tools": [
            {
                "name": tool.name,
                "title": tool.title,
                "description": tool.description,
                "input_schema": tool.input_schema,
            }
            for tool in tools[:limit]
        ],
        "total": len(tools),
    }
    return text_result(structured, compact(structured))


async def _never(request: Request) -> CallToolResult:
    """`sim_call_tool` is turned into the call of the tool before it comes here (`called_tool`)."""
    raise UnknownTool(f"Unknown tool: {request.tool_name!r}")


def called_tool(params: CallToolRequestParams) -> CallToolRequestParams:
    """The request as if the client had called the workflow tool itself: the server's own are none.

    Raises:
        InvalidInput: the arguments are not those of `sim_call_tool`.
    """
    given: JsonObject = params.arguments or {}
    check_arguments(CALL_TOOL, _CALL, given)
    inner = given.get("arguments")
    called = {"name": str(given["name"]), "arguments": dict(inner) if is_object(inner) else {}}
    return params.model_copy(update=called)


def _words(tool: WorkflowTool) -> str:
    return f"{tool.name} {tool.title} {tool.description}".casefold()


_CALL = arguments(
    {
        "name": text("The workflow tool's name, from sim_find_tools or sim_allow_workflow."),
        "arguments": {"type": "object", "description": "Its arguments, by its input schema."},
    },
    "name",
)

FALLBACK_TOOLS = (
    AdminTool(
        name="sim_find_tools",
        title="Find workflow tools",
        description=(
            "Lists the workflow tools that may be called now, with their input schemas; also those that this "
            "client's tool list does not show yet."
        ),
        permission=Permission.EDIT,
        act=find_tools,
        input_schema=arguments(
            {
                "query": text("Words that name, title or description must hold; all tools when absent."),
                "limit": whole("How many to return.", 1, 50, 20),
            }
        ),
        output_schema=answer(
            {
                "tools": listed(
                    {
                        "type": "object",
                        "properties": {
                            "name": TEXT,
                            "title": TEXT,
                            "description": TEXT,
                            "input_schema": {"type": "object"},
                        },
                    }
                ),
                "total": INTEGER,
            }
        ),
    ),
    AdminTool(
        name=CALL_TOOL,
        title="Call a workflow tool",
        description=(
            "Calls a workflow tool by name, exactly as if it were called itself. Only for tools missing "
            "from this client's list; look its input schema up with sim_find_tools before."
        ),
        permission=Permission.EDIT,
        act=_never,
        input_schema=_CALL,
        output_schema=execution_schema(),
        read_only=False,
        destructive=True,
        idempotent=False,
        open_world=True,
    ),
)
