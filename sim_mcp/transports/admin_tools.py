"""The admin tools: setup, history and status in a conversation (contract section 7).

One table row for each: who may use it, what it takes and gives, how it is told to models, and the
door of the app behind it. `tool_specs/admin-tools.json` is the reviewed copy of what is listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from sim_mcp.model.principal import Permission, Principal
from sim_mcp.transports import admin_actions as do
from sim_mcp.transports import admin_schemas as schemas
from sim_mcp.transports.addresses import HISTORY_APP_URI
from sim_mcp.transports.admin_doubts import on_disallowing, on_removing
from sim_mcp.transports.admin_tool import AdminTool
from sim_mcp.transports.fallback_tools import FALLBACK_TOOLS
from sim_mcp.transports.metrics_views import METRICS, METRICS_ARGUMENTS
from sim_mcp.transports.output_schemas import BOOLEAN, TEXT, execution_schema
from sim_mcp.transports.reading_schemas import GET_EXECUTION, whole_execution
from sim_mcp.transports.setup_schemas import SET_UP, SETUP
from sim_mcp.transports.setup_tool import refuse_keys, set_up
from sim_mcp.transports.status_schemas import STATUS
from sim_mcp.transports.trigger_tools import TRIGGER_TOOLS

AdminTools: TypeAlias = Literal["full", "read", "off"]
"""All of them, only those that change nothing, or none."""


def admin_tools_for(principal: Principal, offered: AdminTools) -> Mapping[str, AdminTool]:
    """The admin tools that `principal` may use on a server that offers `offered`, by name and sorted."""
    if offered == "off":
        return {}
    return {
        name: tool
        for name, tool in ADMIN_TOOLS.items()
        if principal.may(tool.permission) and (offered == "full" or tool.permission is Permission.VIEW)
    }


_TOOLS = (
    AdminTool(
        name="sim_get_settings",
        title="SIM settings",
        description=(
            "Shows how this tenant is connected to SIM: switched on or not, whether a key is stored "
            "(never the key), the address, the revision."
        ),
        permission=Permission.VIEW,
        act=do.get_settings,
        output_schema=schemas.answer(schemas.SETTINGS),
    ),
    AdminTool(
        name="sim_status",
        title="SIM status",
        description=(
            "Tells whether SIM answers and accepts the key, the circuit breaker's state, how near the"
            " limits are, how many executions are unfinished, and which tools have problems, each with its"
            " remedy in `checks`. Use it when calls fail. Runs nothing."
        ),
        permission=Permission.VIEW,
        act=do.get_status,
        output_schema=STATUS,
        open_world=True,
    ),
    AdminTool(
        name="sim_metrics",
        title="SIM metrics",
        description=(
            "Measures this tenant's executions from its history: success rate, average duration, error rate "
            "by code, executions and usual durations per tool, nearness to limits, the breaker's state. "
            "Calls refused before SIM was asked are counted apart. Runs nothing."
        ),
        permission=Permission.VIEW,
        act=do.get_metrics,
        input_schema=METRICS_ARGUMENTS,
        output_schema=METRICS,
        open_world=True,
    ),
    AdminTool(
        name="sim_list_executions",
        title="List executions",
        description=(
            "Lists past and present executions of this tenant's workflows, newest first, with status,"
            " error and times, without input and output (sim_get_execution has them). Continue with "
            "next_cursor."
        ),
        permission=Permission.VIEW,
        act=do.list_executions,
        input_schema=schemas.LIST_EXECUTIONS,
        output_schema=schemas.execution_page(),
        page_uri=HISTORY_APP_URI,
    ),
    AdminTool(
        name="sim_get_execution",
        title="Get execution",
        description=(
            "Shows one execution: status, output, error, input, times; for a paused one the form it waits "
            "for. With wait_s it waits for an unfinished run to end: this is how to follow a run that "
            "answered `processing` or OUTCOME_UNKNOWN, instead of calling its tool again; while it goes on, "
            "only its state is told. A large output is cut; path, offset and limit page through all of it."
        ),
        permission=Permission.VIEW,
        act=do.get_execution,
        input_schema=GET_EXECUTION,
        output_schema=whole_execution(),
        open_world=True,
    ),
    AdminTool(
        name="sim_validate_workflow",
        title="Validate workflow",
        description=(
            "Tells whether a workflow of the SIM account is deployed, whether its draft moved on "
            "since, and whether its inputs still match the pinned schema of its tool. Runs nothing."
        ),
        permission=Permission.VIEW,
        act=do.validate_workflow,
        input_schema=schemas.arguments({"workflow_id": schemas.WORKFLOW_ID}, "workflow_id"),
        output_schema=schemas.VALIDATION,
        open_world=True,
    ),
    AdminTool(
        name="sim_discover_workflows",
        title="Discover workflows",
        description=(
            "Lists the workflows of the SIM account: deployed or not, their inputs, the tool of those"
            " that are allow-listed, and drift. Continue with next_cursor. sim_allow_workflow makes "
            "one a tool."
        ),
        permission=Permission.VIEW,
        act=do.discover_workflows,
        input_schema=schemas.DISCOVER_WORKFLOWS,
        output_schema=schemas.DISCOVERY,
        open_world=True,
    ),
    AdminTool(
        name="sim_allow_workflow",
        title="Allow workflow",
        description=(
            "Puts a workflow on this tenant's allow-list: it becomes a tool that people of the tenant"
            " may run. Only workflow_id is needed; name, title, description and input schema are "
            "taken from SIM where absent. The same name again replaces the entry. Ask the user "
            "before."
        ),
        permission=Permission.ADD,
        act=do.allow_workflow,
        input_schema=schemas.ALLOW_WORKFLOW,
        output_schema=schemas.TOOL,
        read_only=False,
        destructive=True,
        open_world=True,
    ),
    AdminTool(
        name="sim_disallow_workflow",
        title="Disallow workflow",
        description=(
            "Takes a tool off this tenant's allow-list; nobody can call it any more. Runs under way "
            "go on, the workflow itself stays in SIM. The user is asked to confirm; where the client "
            "cannot ask, nothing is done."
        ),
        permission=Permission.DELETE,
        act=do.disallow_workflow,
        doubt=on_disallowing,
        input_schema=schemas.arguments({"name": schemas.text("The tool's name.")}, "name"),
        output_schema=schemas.answer({"name": TEXT, "is_allowed": BOOLEAN}),
        read_only=False,
        destructive=True,
    ),
    AdminTool(
        name="sim_setup",
        title="Connect SIM",
        description=(
            "Connects this tenant to its SIM account, or replaces the key. Takes no API key, and never "
            "ask for one: the result is a one-time link (10 minutes) to a page where the user types it. "
            "Without base_url the key goes to the present address, else to the default one; another "
            "base_url always needs the key typed again. With a stored key, enabled alone switches the "
            "integration on or off at once, without a link."
        ),
        permission=Permission.ADD,
        act=set_up,
        screen=refuse_keys,
        input_schema=SET_UP,
        output_schema=SETUP,
        read_only=False,
        destructive=True,
        idempotent=False,
        open_world=True,
    ),
    AdminTool(
        name="sim_remove_integration",
        title="Disconnect SIM",
        description=(
            "Disconnects this tenant from SIM and destroys its stored API key; its tools stop working at "
            "once. The history stays. The user is asked to confirm; where the client cannot ask, nothing "
            "is done. To pause only, use sim_setup with enabled=false."
        ),
        permission=Permission.DELETE,
        act=do.remove_integration,
        doubt=on_removing,
        output_schema=schemas.answer({"is_removed": BOOLEAN}),
        read_only=False,
        destructive=True,
    ),
    AdminTool(
        name="sim_cancel_execution",
        title="Cancel execution",
        description=(
            "Asks SIM to stop an unfinished run. What it did until then stays done. A run that has "
            "ended is shown as it ended. Only when the user wants it."
        ),
        permission=Permission.EDIT,
        act=do.cancel_execution,
        input_schema=schemas.arguments({"execution_id": schemas.EXECUTION_ID}, "execution_id"),
        output_schema=execution_schema(),
        read_only=False,
        destructive=True,
        open_world=True,
    ),
    AdminTool(
        name="sim_resume_execution",
        title="Resume execution",
        description=(
            "Answers the form of a paused run with the user's own decision, and lets the run go on. "
            "Never decide for the user. Each pause is answered once."
        ),
        permission=Permission.EDIT,
        act=do.resume_execution,
        input_schema=schemas.RESUME_EXECUTION,
        output_schema=execution_schema(),
        read_only=False,
        destructive=True,
        idempotent=False,
        open_world=True,
    ),
)

ADMIN_TOOLS: Mapping[str, AdminTool] = MappingProxyType(
    {
        tool.name: tool
        for tool in sorted((*_TOOLS, *TRIGGER_TOOLS, *FALLBACK_TOOLS), key=lambda tool: tool.name)
    }
)
"""All admin tools by name."""
