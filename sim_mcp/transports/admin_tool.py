"""One admin tool: who may use it, what it takes and gives, how it is told to models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from mcp_types import Tool, ToolAnnotations

from sim_mcp.model.json import JsonObject
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.transports import admin_schemas as schemas
from sim_mcp.transports.admin_actions import Request
from sim_mcp.transports.admin_arguments import check_arguments
from sim_mcp.transports.admin_doubts import Doubt, unconfirmed

if TYPE_CHECKING:
    from mcp_types import CallToolResult, InputRequiredResult

    from sim_mcp.app import App, Watch
    from sim_mcp.transports.talk import Talk

Action: TypeAlias = Callable[[Request], Awaitable["CallToolResult | InputRequiredResult"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminTool:
    """One admin tool. Who lacks `permission` does not see it.

    `screen` refuses arguments before their schema is looked at; `doubt` tells what the user has to
    confirm before `act`, and refuses what could not be done anyway.
    """

    name: str
    title: str
    description: str
    permission: Permission
    act: Action
    screen: Callable[[JsonObject], None] | None = None
    doubt: Callable[[Request], Awaitable[Doubt]] | None = None
    input_schema: JsonObject = field(default_factory=lambda: schemas.arguments({}))
    output_schema: JsonObject
    read_only: bool = True
    destructive: bool = False
    idempotent: bool = True
    open_world: bool = False
    page_uri: str | None = None
    """The page that shows its result, in clients that show pages (SEP-1865)."""

    def listed(self) -> Tool:
        """As `tools/list` shows it."""
        return Tool(
            _meta=None if self.page_uri is None else {"ui": {"resourceUri": self.page_uri}},
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=dict(self.input_schema),
            output_schema=dict(self.output_schema),
            annotations=ToolAnnotations(
                title=self.title,
                read_only_hint=self.read_only,
                destructive_hint=self.destructive,
                idempotent_hint=self.idempotent,
                open_world_hint=self.open_world,
            ),
        )

    async def __call__(
        self, app: App, principal: Principal, arguments: JsonObject, *, watch: Watch, talk: Talk
    ) -> CallToolResult | InputRequiredResult:
        """Do it for `principal`, who may; what destroys something asks the user before.

        Raises:
            InvalidInput: `arguments` break the input schema.
            SimMcpError: whatever the door behind it refuses.
        """
        if self.screen is not None:
            self.screen(arguments)
        check_arguments(self.name, self.input_schema, arguments)
        request = Request(
            app=app, principal=principal, arguments=arguments, tool_name=self.name, watch=watch, talk=talk
        )
        if self.doubt is not None:
            question = await unconfirmed(request, await self.doubt(request))
            if question is not None:
                return question
        return await self.act(request)
