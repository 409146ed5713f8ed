"""Asking the user before something happens that cannot be undone, in both eras of the protocol.

Used by workflow tools with `confirm: true` and by the admin tools that destroy something.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp_types import CallToolRequestParams, ClientCapabilities

    from sim_mcp.app import Ticket, Tickets
    from sim_mcp.model.json import JsonObject
    from sim_mcp.model.principal import Principal

QUESTION = "confirm"
CONFIRM = "confirm"
ASKED_FOR_S = 3600.0
"""How long a question before a call may be answered."""
FIRST_WITH_URLS = "2025-11-25"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person is asked: all of it in `text`, and the box to tick for a yes."""

    text: str
    box: str
    box_help: str

    def form(self) -> ElicitRequestFormParams:
        """As clients show it."""
        return ElicitRequestFormParams(
            message=self.text,
            requested_schema={
                "type": "object",
                "properties": {
                    QUESTION: {"type": "boolean", "title": self.box, "description": self.box_help}
                },
                "required": [QUESTION],
            },
        )


class Answer(Enum):
    """What came of asking."""

    YES = auto()
    NO = auto()
    CANNOT_ASK = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of a question. `ticket_id` names the asking, where the answer came with another request."""

    answer: Answer
    ticket_id: str | None = None


class Asking:
    """Asks the users of one server's clients.

    On 2026-07-28 the question itself is a result, and the client makes the same request again with
    the answer. What was asked comes back as a ticket, bound to the caller, the tool, its arguments and
    the words of the question, so that any replica can take the answer, also after a restart.
    """

    def __init__(self, tickets: Tickets) -> None:
        self._tickets = tickets

    async def confirmed(
        self,
        ctx: ServerRequestContext[Any, Any],
        params: CallToolRequestParams,
        question: Question,
        *,
        principal: Principal,
    ) -> Reply | InputRequiredResult:
        """The user's answer to `question`, asked about this very call.

        Of an earlier revision the client is asked while the call waits; cancelling the call ends the
        waiting.

        Raises:
            MCPError: (invalid params) the answer belongs to another call, or came too late.
        """
        if not can_show_forms(ctx.session.client_capabilities):
            return Reply(answer=Answer.CANNOT_ASK)
        form = question.form()
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            if params.request_state is None and not params.input_responses:
                state = self.state(principal, params, CONFIRM, {"words": question.text}, lasts_s=ASKED_FOR_S)
                asked = {QUESTION: ElicitRequest(params=form)}
                return InputRequiredResult(input_requests=dict(asked), request_state=state)
            ticket = self.opened(principal, params, CONFIRM)
            if ticket is None or ticket.content.get("words") != question.text:
                raise stale()
            given = (params.input_responses or {}).get(QUESTION)
            answer = _answer(given) if isinstance(given, ElicitResult) else Answer.NO
            return Reply(answer=answer, ticket_id=ticket.id)
        try:
            given = await ctx.session.elicit_form(
                form.message, form.requested_schema, related_request_id=ctx.request_id
            )
        except MCPError:  # no way back to this client, or it refused to ask: nobody said yes
            return Reply(answer=Answer.CANNOT_ASK)
        return Reply(answer=_answer(given))

    async def confirmed_once(
        self,
        ctx: ServerRequestContext[Any, Any],
        params: CallToolRequestParams,
        question: Question,
        *,
        principal: Principal,
    ) -> Answer | InputRequiredResult:
        """As `confirmed`, and a yes that was used is none any more, on whichever replica.

        Raises:
            MCPError: (invalid params) also when the answer was used before.
        """
        reply = await self.confirmed(ctx, params, question, principal=principal)
        if not isinstance(reply, Reply):
            return reply
        ticket = self.opened(principal, params, CONFIRM) if reply.ticket_id else None
        if ticket is not None and not await self._tickets.spend(principal, ticket):
            raise stale()
        return reply.answer

    def state(
        self,
        principal: Principal,
        params: CallToolRequestParams,
        purpose: str,
        content: JsonObject,
        *,
        lasts_s: float,
    ) -> str:
        """The `requestState` under which the client brings back what was asked about the call `params`."""
        about = _fingerprint(params)
        return self._tickets.seal(principal, purpose, {**content, "about": about}, lasts_s=lasts_s)

    def opened(self, principal: Principal, params: CallToolRequestParams, purpose: str) -> Ticket | None:
        """What `state` sealed for `purpose` about the very call `params`; `None` for anything else."""
        ticket = self._tickets.open(principal, purpose, params.request_state)
        return ticket if ticket and ticket.content.get("about") == _fingerprint(params) else None


def stale() -> MCPError:
    """An answer that belongs to nothing that waits for it. To run the call all the same would be a guess."""
    return MCPError(
        INVALID_PARAMS,
        "Invalid or expired requestState: nothing was run. Look with sim_list_executions what became of the "
        "call, or make it again without requestState and inputResponses.",
    )


def can_show_forms(capabilities: ClientCapabilities | None) -> bool:
    """Whether the client can put a form to its user; `elicitation: {}` means that it can."""
    asking = capabilities.elicitation if capabilities else None
    return asking is not None and (asking.form is not None or asking.url is None)


def can_open_urls(capabilities: ClientCapabilities | None, protocol_version: str) -> bool:
    """Whether the client can send its user to a page."""
    asking = capabilities.elicitation if capabilities else None
    return asking is not None and asking.url is not None and protocol_version >= FIRST_WITH_URLS


def _answer(given: ElicitResult) -> Answer:
    is_yes = given.action == "accept" and (given.content or {}).get(QUESTION) is True
    return Answer.YES if is_yes else Answer.NO


def _fingerprint(params: CallToolRequestParams) -> str:
    asked = json.dumps([params.name, params.arguments or {}], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()
