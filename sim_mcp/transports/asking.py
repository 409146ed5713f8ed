"""Asking the user before something happens that cannot be undone, in both eras of the protocol.

Used by workflow tools with `confirm: true` and by the admin tools that destroy something.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp_types import CallToolRequestParams, ClientCapabilities

    from sim_mcp.model.principal import Principal

QUESTION = "confirm"
MOST_OPEN = 1024
MOST_OPEN_OF_A_TENANT = 64
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


class OpenQuestions:
    """Questions that wait for their answer, each good for one doing of exactly what was asked.

    A question is bound to tenant, caller, tool, arguments and its own words, is answered at most
    once, and lives in this process alone: an answer that reaches another process is simply asked for
    again.
    """

    def __init__(self, new_id: Callable[[], str] = lambda: secrets.token_urlsafe(24)) -> None:
        self._new_id = new_id
        self._open: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def ask(self, principal: Principal, params: CallToolRequestParams, words: str) -> str:
        """Remember what is asked; the id under which the answer will come."""
        tenant = str(principal.tenant_id)
        of_tenant = [question for question, (owner, _) in self._open.items() if owner == tenant]
        if len(of_tenant) >= MOST_OPEN_OF_A_TENANT:
            del self._open[of_tenant[0]]
        while len(self._open) >= MOST_OPEN:
            self._open.popitem(last=False)
        question = self._new_id()
        self._open[question] = (tenant, _fingerprint(principal, params, words))
        return question

    def settle(
        self, question: str | None, principal: Principal, params: CallToolRequestParams, words: str
    ) -> bool:
        """Whether `question` was asked about exactly this and is answered for the first time now."""
        known = self._open.get(question or "")
        if question is None or known is None or known[1] != _fingerprint(principal, params, words):
            return False
        del self._open[question]
        return True


async def confirmed(
    ctx: ServerRequestContext[Any, Any],
    params: CallToolRequestParams,
    question: Question,
    *,
    principal: Principal,
    questions: OpenQuestions,
) -> Answer | InputRequiredResult:
    """The user's answer to `question`, asked about this very call.

    On 2026-07-28 the question itself is a result: the client calls again with the answer. Before,
    the client is asked while the call waits; cancelling the call ends the waiting.
    """
    if not can_show_forms(ctx.session.client_capabilities):
        return Answer.CANNOT_ASK
    form = question.form()
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        given = (params.input_responses or {}).get(QUESTION)
        state = params.request_state
        if isinstance(given, ElicitResult) and questions.settle(state, principal, params, question.text):
            return _answer(given)
        asked = questions.ask(principal, params, question.text)
        return InputRequiredResult(input_requests={QUESTION: ElicitRequest(params=form)}, request_state=asked)
    try:
        given = await ctx.session.elicit_form(
            form.message, form.requested_schema, related_request_id=ctx.request_id
        )
    except MCPError:  # no way back to this client, or it refused to ask: nobody said yes
        return Answer.CANNOT_ASK
    return _answer(given)


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


def _fingerprint(principal: Principal, params: CallToolRequestParams, words: str) -> str:
    asked = [
        principal.tenant_id,
        principal.organization_id,
        principal.subject,
        params.name,
        params.arguments or {},
        words,
    ]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
