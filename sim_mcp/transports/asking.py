"""Asking the user before a tool with `confirm: true` runs, in both eras of the protocol."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from sim_mcp.transports.cutting import compact

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp_types import CallToolRequestParams

    from sim_mcp.model.principal import Principal
    from sim_mcp.model.tool import WorkflowTool

QUESTION = "confirm"
MOST_OPEN = 1024
MOST_OPEN_OF_A_TENANT = 64
LONGEST_SHOWN = 600


class Answer(Enum):
    """What came of asking."""

    YES = auto()
    NO = auto()
    CANNOT_ASK = auto()


class OpenQuestions:
    """Questions that wait for their answer, each good for one run of exactly what was asked.

    A question is bound to tenant, caller, tool and arguments, is answered at most once, and lives
    in this process alone: an answer that reaches another process is simply asked for again.
    """

    def __init__(self, new_id: Callable[[], str] = lambda: secrets.token_urlsafe(24)) -> None:
        self._new_id = new_id
        self._open: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def ask(self, principal: Principal, params: CallToolRequestParams) -> str:
        """Remember what is asked; the id under which the answer will come."""
        tenant = str(principal.tenant_id)
        of_tenant = [question for question, (owner, _) in self._open.items() if owner == tenant]
        if len(of_tenant) >= MOST_OPEN_OF_A_TENANT:
            del self._open[of_tenant[0]]
        while len(self._open) >= MOST_OPEN:
            self._open.popitem(last=False)
        question = self._new_id()
        self._open[question] = (tenant, _fingerprint(principal, params))
        return question

    def settle(self, question: str | None, principal: Principal, params: CallToolRequestParams) -> bool:
        """Whether `question` was asked about exactly this and is answered for the first time now."""
        known = self._open.get(question or "")
        if question is None or known is None or known[1] != _fingerprint(principal, params):
            return False
        del self._open[question]
        return True


async def confirmed(
    ctx: ServerRequestContext[Any, Any],
    params: CallToolRequestParams,
    tool: WorkflowTool,
    *,
    principal: Principal,
    questions: OpenQuestions,
) -> Answer | InputRequiredResult:
    """The user's answer to whether `tool` may run with these arguments.

    On 2026-07-28 the question itself is a result: the client calls again with the answer. Before,
    the client is asked while the call waits; cancelling the call ends the waiting.
    """
    if not _can_show_forms(ctx):
        return Answer.CANNOT_ASK
    form = _form(tool, params)
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        given = (params.input_responses or {}).get(QUESTION)
        if isinstance(given, ElicitResult) and questions.settle(params.request_state, principal, params):
            return _answer(given)
        question = questions.ask(principal, params)
        return InputRequiredResult(
            input_requests={QUESTION: ElicitRequest(params=form)}, request_state=question
        )
    try:
        given = await ctx.session.elicit_form(
            form.message, form.requested_schema, related_request_id=ctx.request_id
        )
    except MCPError:  # no way back to this client, or it refused to ask: nobody said yes
        return Answer.CANNOT_ASK
    return _answer(given)


def _answer(given: ElicitResult) -> Answer:
    is_yes = given.action == "accept" and (given.content or {}).get(QUESTION) is True
    return Answer.YES if is_yes else Answer.NO


def _can_show_forms(ctx: ServerRequestContext[Any, Any]) -> bool:
    capabilities = ctx.session.client_capabilities
    asking = capabilities.elicitation if capabilities else None
    return asking is not None and (asking.form is not None or asking.url is None)


def _form(tool: WorkflowTool, params: CallToolRequestParams) -> ElicitRequestFormParams:
    arguments = compact(params.arguments or {})
    if len(arguments) > LONGEST_SHOWN:
        arguments = f"{arguments[:LONGEST_SHOWN]}…"
    return ElicitRequestFormParams(
        message=f"Run {tool.title!r} ({tool.name}) with {arguments}?",
        requested_schema={
            "type": "object",
            "properties": {
                QUESTION: {"type": "boolean", "title": "Run it", "description": "Yes runs it once, now."}
            },
            "required": [QUESTION],
        },
    )


def _fingerprint(principal: Principal, params: CallToolRequestParams) -> str:
    asked = [
        principal.tenant_id,
        principal.organization_id,
        principal.subject,
        params.name,
        params.arguments or {},
    ]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
