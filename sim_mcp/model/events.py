"""What starts by itself: events, their mappings, schedules, and the jobs that come of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NewType

if TYPE_CHECKING:
    from datetime import datetime

    from sim_mcp.model.execution import ExecutionError, ExecutionId, Trigger
    from sim_mcp.model.json import Json, JsonObject
    from sim_mcp.model.principal import TenantId
    from sim_mcp.model.tool import WorkflowId

JobId = NewType("JobId", str)

SUPPORTED_EVENTS: dict[str, str] = {
    "timer.started": "Somebody started a timer.",
    "timer.stopped": "Somebody stopped a timer.",
    "timer.status_updated": "A timer's status was read or changed; sent often, so map it with care.",
    "task.created": "A task was made.",
    "task.updated": "A task was changed.",
    "task.completed": "A task was done.",
    "task.deleted": "A task was removed.",
    "screenshot.created": "A screenshot was taken.",
    "screenshot.updated": "A screenshot was changed.",
    "screenshot.deleted": "A screenshot was removed.",
    "integration.created": "An integration was connected.",
    "integration.updated": "An integration was changed.",
    "integration.deleted": "An integration was removed.",
    "account.registered": "An account was made.",
    "account.verified": "An account's address was verified.",
    "employee.onboarded": "A person joined the organisation.",
}
"""The platform's events (host-platform 1.6), and what each tells. Others are custom."""

EVENT_PATTERN = r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+"
LONGEST_EVENT = 100
LONGEST_EVENT_ID = 255
DEEPEST_CHAIN = 5
"""How many events may stand one behind the other, each caused by a run that the one before started."""
FIRST_PRIORITY, USUAL_PRIORITY, LAST_PRIORITY = 1, 5, 9
LONGEST_DELAY_S = 30 * 86_400.0


def is_event_name(name: str) -> bool:
    """Whether `name` can name an event: `noun.verb` in lower case."""
    return len(name) <= LONGEST_EVENT and re.fullmatch(EVENT_PATTERN, name) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened elsewhere.

    Attributes:
        id: The sender's own id: a second delivery has the same.
        caused_by: The execution (our id or SIM's run id) whose run sent it, if one did.
        chain: The ids of the events before it, oldest first, as a sender may know them.
    """

    id: str
    name: str
    data: JsonObject
    occurred_at: str | None = None
    caused_by: str | None = None
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One test of an event's data: what is at `pointer` equals a value or lies in a range.

    Without `equals` and bounds it only has to be there. Ranges compare numbers with numbers and
    texts with texts; anything else is outside.
    """

    pointer: str
    equals: Json = None
    has_equals: bool = False
    at_least: float | str | None = None
    at_most: float | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventMapping:
    """That an event starts a workflow.

    Attributes:
        conditions: All must hold; none holds always.
        input: A template for the workflow's input; `None` is the event's data as it is.
        delay_s: How long after the event it starts.
        priority: 1 goes first, 9 last.
    """

    id: str
    tenant_id: TenantId
    organization_id: str | None
    event: str
    workflow_id: WorkflowId
    conditions: tuple[Condition, ...] = ()
    input: JsonObject | None = None
    delay_s: float = 0.0
    priority: int = USUAL_PRIORITY


class JobState(StrEnum):
    """Where a job stands. `DEAD` is a dead letter: it can be replayed or discarded."""

    WAITING = "waiting"
    HANDED = "handed"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    DISCARDED = "discarded"

    @property
    def is_final(self) -> bool:
        """Whether it changes no more unless a person decides so."""
        return self in {JobState.DONE, JobState.DEAD, JobState.DISCARDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run that an event or a schedule wants.

    Attributes:
        source_id: The event's or the schedule's id.
        name: The event's or the schedule's name.
        chain: The ids of the events that led to it, oldest first.
        due_at: Not to be begun before.
        generation: 1, and one more for each replay.
        attempts: How often this generation was tried in vain.
        rounds: How often it came back from the engine to wait again.
        begun_at: When this generation was first given to the corridor.
        error: Why it is dead, or why it was last tried in vain.
        decided_by: Who replayed or discarded it last.
    """

    id: JobId
    tenant_id: TenantId
    organization_id: str | None
    started_by: Trigger
    source_id: str
    name: str
    workflow_id: WorkflowId
    chain: tuple[str, ...]
    priority: int
    due_at: datetime
    state: JobState
    generation: int
    attempts: int
    rounds: int
    begun_at: datetime | None
    execution_id: ExecutionId | None
    error: ExecutionError | None
    created_at: datetime
    finished_at: datetime | None
    decided_by: str | None


Missed = Literal["skip", "once"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """That a workflow starts at given times.

    Attributes:
        cron: Five fields, read in `time_zone` (an IANA name).
        input: The workflow's input at every tick.
        missed: What happens when ticks passed while nothing ran: none of them is made up for, or one.
        next_at: The next tick; `None` while switched off.
        last_at: The newest tick that started a run.
    """

    id: str
    tenant_id: TenantId
    organization_id: str | None
    name: str
    workflow_id: WorkflowId
    cron: str
    time_zone: str
    input: JsonObject
    missed: Missed = "skip"
    is_enabled: bool = True
    next_at: datetime | None = None
    last_at: datetime | None = None
