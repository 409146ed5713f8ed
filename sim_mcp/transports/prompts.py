"""MCP prompts: looking into an execution that went wrong, and making a workflow a tool.

What came from SIM or from a caller stands between marks, as data: it may be written by anybody.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    GetPromptResult,
    ListPromptsResult,
    Prompt,
    PromptArgument,
    PromptMessage,
    TextContent,
)

from sim_mcp.model.errors import Forbidden, NotFound, SimMcpError
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.model.tool import WorkflowId
from sim_mcp.transports import admin_views as views
from sim_mcp.transports.cutting import cut, size_bytes
from sim_mcp.transports.outputs import shown_output
from sim_mcp.transports.sentences import state_sentence
from sim_mcp.transports.text_files import text_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim_mcp.app import App
    from sim_mcp.model.json import Json

TROUBLESHOOT = "troubleshoot_execution"
ONBOARD = "onboard_workflow"
LONGEST_FACTS_BYTES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    prompt: Prompt
    permissions: frozenset[Permission]

    def is_for(self, principal: Principal) -> bool:
        return all(principal.may(each) for each in self.permissions)


_KNOWN = {
    ONBOARD: _Known(
        prompt=Prompt(
            name=ONBOARD,
            title="Offer a workflow as a tool",
            description="Walks an administrator from a workflow of the SIM account to a well described tool.",
            arguments=[
                PromptArgument(name="workflow_id", description="The workflow's id in SIM.", required=True)
            ],
        ),
        permissions=frozenset({Permission.VIEW, Permission.ADD}),
    ),
    TROUBLESHOOT: _Known(
        prompt=Prompt(
            name=TROUBLESHOOT,
            title="Find out what became of an execution",
            description="Puts the facts of one execution together, and what is safe to do next.",
            arguments=[
                PromptArgument(
                    name="execution_id", description="Ours, or SIM's run or job id.", required=True
                )
            ],
        ),
        permissions=frozenset({Permission.VIEW}),
    ),
}


class Prompts:
    """Lists and fills in prompts for a principal."""

    def __init__(self, app: App) -> None:
        self._app = app

    def listed(self, principal: Principal) -> ListPromptsResult:
        """The prompts that `principal` can use."""
        return ListPromptsResult(prompts=[each.prompt for each in _KNOWN.values() if each.is_for(principal)])

    async def get(self, principal: Principal, name: str, arguments: Mapping[str, str]) -> GetPromptResult:
        """The prompt `name` with the facts filled in.

        Raises:
            MCPError: (invalid params) an unknown prompt, a missing argument, or an id that is nothing
                to this principal.
        """
        known = _KNOWN.get(name)
        if known is None or not known.is_for(principal):
            raise MCPError(INVALID_PARAMS, "Unknown prompt. prompts/list shows the ones that you may use.")
        (wanted,) = known.prompt.arguments or []
        asked = arguments.get(wanted.name, "").strip()
        if not asked or len(asked) > 255:
            raise MCPError(INVALID_PARAMS, f"The prompt {name!r} needs the argument {wanted.name!r}.")
        try:
            text = await (self._troubleshoot if name == TROUBLESHOOT else self._onboard)(principal, asked)
        except (NotFound, Forbidden) as error:
            raise MCPError(INVALID_PARAMS, error.message, {wanted.name: asked}) from error
        except SimMcpError as error:
            raise MCPError(INVALID_PARAMS, error.message, {"code": error.code.value}) from error
        message = PromptMessage(role="user", content=TextContent(type="text", text=text))
        return GetPromptResult(description=known.prompt.description, messages=[message])

    async def _troubleshoot(self, principal: Principal, asked: str) -> str:
        row = await self._app.runs.get(principal, asked)
        facts = _facts({**views.execution_view(row), "output": shown_output(row).value})
        return text_file("troubleshoot_execution.txt").format(
            asked=row.id, sentence=json.dumps(state_sentence(row), ensure_ascii=False), facts=facts
        )

    async def _onboard(self, principal: Principal, asked: str) -> str:
        workflow_id = WorkflowId(asked)
        found = await self._app.workflows.validate(principal, workflow_id)
        proposed: Json = None
        if found.deployment.is_deployed:
            proposed = (await self._app.workflows.imported(principal, workflow_id)).to_json()
        facts = _facts({**views.validation_view(found), "proposed_spec": proposed})
        return text_file("onboard_workflow.txt").format(asked=workflow_id, facts=facts)


def _facts(known: Json) -> str:
    """`known` as JSON, one line for each field, its lines unable to look like the dashes around it."""
    text = json.dumps(known, ensure_ascii=False, indent=1)
    whole_bytes = size_bytes(text)
    if whole_bytes > LONGEST_FACTS_BYTES:
        shown = cut(known, whole_bytes=whole_bytes, limit_bytes=LONGEST_FACTS_BYTES // 2)
        text = json.dumps(shown, ensure_ascii=False, indent=1)
    return text
