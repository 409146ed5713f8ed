"""The conversation around one tool call: what may be asked of the client and its user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sim_mcp.model.errors import Conflict
from sim_mcp.transports.asking import Answer, Asking, Question

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp_types import CallToolRequestParams, InputRequiredResult
    from starlette.requests import Request

    from sim_mcp.app import IssuedLink
    from sim_mcp.model.principal import Principal

SETUP_PATH = "/setup"
"""Where the setup page is, below the server's own URL: `/setup/<secret>`."""


class Pages(Protocol):
    """Where a person's browser reaches the setup page of this server."""

    async def url_of(self, issued: IssuedLink, principal: Principal, request: Request | None) -> str:
        """The URL that opens `issued`, for a session whose HTTP request (if any) is `request`.

        Raises:
            Conflict: no browser can reach a page of this server.
        """
        ...


class HostedPages:
    """The page is served by the HTTP server itself, under its public URL or the host that was asked for."""

    def __init__(self, public_url: str | None) -> None:
        self._public_url = public_url

    async def url_of(self, issued: IssuedLink, principal: Principal, request: Request | None) -> str:
        """The URL that opens `issued`.

        Raises:
            Conflict: this session did not come over HTTP, and no public URL is configured.
        """
        del principal
        if request is not None:
            from sim_mcp.transports.http_bearer import base_url

            return f"{base_url(request.scope, self._public_url)}{SETUP_PATH}/{issued.secret}"
        if self._public_url is not None:
            return f"{self._public_url.rstrip('/')}{SETUP_PATH}/{issued.secret}"
        raise Conflict("This session has no page to show. Run `sim-mcp setup` in a terminal instead.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """One `tools/call` as seen by a tool that has to ask before it acts."""

    ctx: ServerRequestContext[Any, Any]
    params: CallToolRequestParams
    principal: Principal
    asking: Asking
    pages: Pages

    async def confirmed(self, question: Question) -> Answer | InputRequiredResult:
        """The user's answer to `question` about this very call."""
        return await self.asking.confirmed_once(self.ctx, self.params, question, principal=self.principal)
