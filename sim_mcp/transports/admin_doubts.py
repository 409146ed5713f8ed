"""What the user must confirm before an admin tool destroys something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.errors import Conflict
from sim_mcp.transports.asking import Answer, Question

if TYPE_CHECKING:
    from mcp_types import InputRequiredResult

    from sim_mcp.transports.admin_actions import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A question that comes before an act, and the other way to do it where nobody can be asked."""

    question: Question
    otherwise: str


async def on_removing(request: Request) -> Doubt:
    """Before `sim_remove_integration`.

    Raises:
        SimMcpError: it could not be removed anyway.
    """
    current = await request.app.administration.removable(request.principal)
    tenant = request.principal.tenant_id
    return Doubt(
        question=Question(
            text=f"Disconnect tenant {tenant!r} from SIM at {current.base_url} and destroy its stored API "
            "key? Its tools stop working at once; connecting again needs the key.",
            box="Disconnect and destroy the key",
            box_help="Yes does it now. It cannot be undone.",
        ),
        otherwise="An administrator can run `sim-mcp setup --remove`, or send DELETE "
        "/api/integration/sim/settings.",
    )


async def on_disallowing(request: Request) -> Doubt:
    """Before `sim_disallow_workflow`.

    Raises:
        SimMcpError: there is nothing to take off.
    """
    name = request.text("name")
    await request.app.workflows.check_disallowable(request.principal, name)
    return Doubt(
        question=Question(
            text=f"Take the tool {name!r} off the allow-list of tenant {request.principal.tenant_id!r}? "
            "Nobody there can call it any more.",
            box="Take it off",
            box_help="Yes does it now.",
        ),
        otherwise=f"An administrator can run `sim-mcp tools remove {name}`.",
    )


async def unconfirmed(request: Request, doubt: Doubt) -> InputRequiredResult | None:
    """`None` when the user said yes; a question that the client has to bring back with its answer.

    Raises:
        Conflict: the user did not say yes, or could not be asked; nothing was done.
    """
    answer = await request.talk.confirmed(doubt.question)
    match answer:
        case Answer.YES:
            return None
        case Answer.NO:
            raise Conflict("The user did not confirm: nothing was changed. Do not call again unasked.")
        case Answer.CANNOT_ASK:
            raise Conflict(
                f"{request.tool_name!r} must be confirmed by the user, and this client cannot show a "
                f"question. Nothing was changed. {doubt.otherwise}"
            )
        case _:
            return answer
