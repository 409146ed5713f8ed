"""A paused run inside the call that started it: its form is put to the user, and the run goes on.

On 2026-07-28 the form is the result, and the answer comes with the same request made again, at
whichever replica. Of earlier revisions the client is asked while the call waits. A client that can do
neither is told what the run waits for, and answers with `sim_resume_execution`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from sim_mcp.model.errors import Conflict, InvalidInput, OutcomeUnknown, SimMcpError
from sim_mcp.model.pauses import may_answer
from sim_mcp.transports.asking import Asking, can_show_forms
from sim_mcp.transports.pause_forms import PauseForm, forms_of

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp_types import CallToolRequestParams

    from sim_mcp.app import App, Ticket
    from sim_mcp.model.execution import Execution
    from sim_mcp.model.principal import Principal
    from sim_mcp.transports.progress import ProgressReporter

PAUSE = "pause"
ASKED_FOR_S = 7 * 86_400.0
"""How long the form of a pause may be answered in its call; SIM's pauses themselves do not end."""
MOST_TRIES = 3
"""How often a user is shown the same form because the answer did not fit it."""
SOMEBODY_ELSE = "Somebody else answered first; this answer was not sent."
UNANSWERED = "The user did not answer: the run stays paused, and can be answered later."


@dataclass(slots=True, kw_only=True)
class Leg:
    """One request of a call: who makes it, how long it may take (`None`: until settled), who hears of it.

    `notes` collects what the user should be told beside the result, `attached` whose run it is.
    """

    ctx: ServerRequestContext[Any, Any]
    params: CallToolRequestParams
    principal: Principal
    patience_s: float | None
    watch: ProgressReporter
    notes: list[str]
    attached: str = ""


class PausedCalls:
    """Puts the forms of paused runs to users."""

    def __init__(self, app: App, asking: Asking) -> None:
        self._app = app
        self._asking = asking

    def ticket(self, params: CallToolRequestParams, principal: Principal) -> Ticket | None:
        """The ticket of a form that this request answers; `None` when it answers none."""
        return self._asking.opened(principal, params, PAUSE)

    async def going_on(self, leg: Leg, row: Execution) -> Execution | InputRequiredResult:
        """`row` after its user was asked for all that it waits for; or what the client has to ask."""
        tries = 0
        while forms := self._askable(leg, row):
            if leg.ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
                return self._question(leg, row, forms)
            form = forms[0]
            answer = await self._elicited(leg, row, form)
            if answer is None:
                row = await self._app.gateway.follow(row, patience_s=leg.patience_s, watch=leg.watch)
                continue  # somebody else answered, here or in SIM
            if not isinstance(answer, ElicitResult):
                return row
            try:
                row, goes_on = await self._answered(leg, row, form, answer)
            except InvalidInput as error:
                leg.notes[:], tries = [error.message], tries + 1
                if tries >= MOST_TRIES:
                    return row
                continue
            if not goes_on:
                return row
            tries = 0
        return row

    async def taken_up(self, leg: Leg, ticket: Ticket) -> Execution | InputRequiredResult:
        """The execution of `ticket` after the answers that this request brings; or the next question.

        Raises:
            SimMcpError: it is unknown to this principal, or must not be answered by it.
        """
        row = await self._app.runs.known(leg.principal, str(ticket.content.get("execution_id")))
        given = leg.params.input_responses or {}
        for key, answer in given.items():
            form = next((form for form in self._askable(leg, row) if form.key == key), None)
            if not isinstance(answer, ElicitResult):
                continue
            if form is None:
                leg.notes[:] = [SOMEBODY_ELSE]
                continue
            try:
                row, goes_on = await self._answered(leg, row, form, answer)
            except InvalidInput as error:
                leg.notes[:] = [error.message]
                continue
            if not goes_on:
                return row
        row = await self._app.gateway.follow(row, patience_s=leg.patience_s, watch=leg.watch)
        return await self.going_on(leg, row)

    def _askable(self, leg: Leg, row: Execution) -> tuple[PauseForm, ...]:
        """The forms that this client can show to this user."""
        can = can_show_forms(leg.ctx.session.client_capabilities) and may_answer(row, leg.principal)
        return forms_of(row) if can else ()

    def _question(self, leg: Leg, row: Execution, forms: tuple[PauseForm, ...]) -> InputRequiredResult:
        state = self._asking.state(
            leg.principal, leg.params, PAUSE, {"execution_id": row.id}, lasts_s=ASKED_FOR_S
        )
        note, version = " ".join(leg.notes), leg.ctx.protocol_version
        asked = {form.key: ElicitRequest(params=form.params(version, note=note)) for form in forms}
        return InputRequiredResult(input_requests=dict(asked), request_state=state)

    async def _elicited(self, leg: Leg, row: Execution, form: PauseForm) -> ElicitResult | MCPError | None:
        """The user's answer, or a client's refusal to ask; `None` when the run went on without it."""
        found: list[ElicitResult | MCPError] = []
        params = form.params(leg.ctx.protocol_version, note=" ".join(leg.notes))
        async with anyio.create_task_group() as group:

            async def watch_others() -> None:
                await self._app.gateway.waiting.until_answered(row, watch=leg.watch)
                group.cancel_scope.cancel()

            group.start_soon(watch_others)
            try:
                found.append(
                    await leg.ctx.session.elicit_form(
                        params.message, params.requested_schema, related_request_id=leg.ctx.request_id
                    )
                )
            except MCPError as error:
                found.append(error)
            group.cancel_scope.cancel()
        return found[0] if found else None

    async def _answered(
        self, leg: Leg, row: Execution, form: PauseForm, answer: ElicitResult
    ) -> tuple[Execution, bool]:
        """The row after `answer` was taken, and whether it makes sense to ask on.

        Raises:
            InvalidInput: it does not fit the form.
        """
        leg.notes.clear()
        if answer.action != "accept":
            leg.notes.append(UNANSWERED)
            return row, False
        goes_on = True
        try:
            row = await self._app.runs.resume(
                leg.principal,
                row.id,
                form.answer(answer.content),
                context_id=form.context_id,
                wait_s=leg.patience_s,
                watch=leg.watch,
            )
        except InvalidInput:
            raise
        except Conflict:
            leg.notes.append(SOMEBODY_ELSE)
        except SimMcpError as error:  # not sent, or its reply was lost: the row tells which
            leg.notes.append(error.message)
            goes_on = isinstance(error, OutcomeUnknown)
        row = await self._app.runs.known(leg.principal, row.id)
        return await self._app.gateway.follow(row, patience_s=leg.patience_s, watch=leg.watch), goes_on
