"""What a paused execution waits for, read from its row: the pause points as `pauses` keeps them (JSON)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sim_mcp.model.execution import Status
from sim_mcp.model.json import JsonObject, is_array, is_object
from sim_mcp.model.principal import Permission

if TYPE_CHECKING:
    from sim_mcp.model.execution import Execution
    from sim_mcp.model.principal import Principal


def points_of(row: Execution) -> tuple[JsonObject, ...]:
    """Every pause point that `row` tells; none unless it is paused."""
    if row.status is not Status.PAUSED or not is_array(row.pauses):
        return ()
    return tuple(point for point in row.pauses if is_object(point))


def questions_of(row: Execution) -> tuple[JsonObject, ...]:
    """The points of `row` that a person can answer now, in SIM's order."""
    return tuple(
        point
        for point in points_of(row)
        if point.get("kind") != "time" and point.get("status") in {"paused", None}
    )


def may_answer(row: Execution, principal: Principal) -> bool:
    """Whether `principal` would be let answer `row`: what is shown depends on it; the gateway decides."""
    wanted = row.approver_permission
    return principal.may(Permission.EDIT) and (wanted is None or principal.may(wanted))


def goes_on_at(row: Execution) -> datetime | None:
    """When `row`, paused for time alone, goes on by itself; `None` when a person has to act."""
    points = points_of(row)
    if not points or any(point.get("kind") != "time" for point in points):
        return None
    moments = [_moment(point.get("resume_at")) for point in points]
    return min((moment for moment in moments if moment is not None), default=None)


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
