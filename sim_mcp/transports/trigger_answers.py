"""The shapes of what REST answers about events, schedules and jobs."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from sim_mcp.model.events import JobState
from sim_mcp.transports.rest_answers import Count, ExecutionFailure, Moment

_SHOWN = ConfigDict(extra="forbid", use_attribute_docstrings=True)


@with_config(_SHOWN)
class SupportedEvent(TypedDict):
    """An event that the platform is known to send."""

    event: str
    description: str


@with_config(_SHOWN)
class SupportedEvents(TypedDict):
    """The known events; others may be mapped as well."""

    data: list[SupportedEvent]
    pattern: str
    """What any other name has to look like, as a regular expression."""


@with_config(_SHOWN)
class ConditionAnswer(TypedDict):
    """One test of the event's data."""

    pointer: str
    equals: NotRequired[Any]
    atLeast: float | str | None
    atMost: float | str | None


@with_config(_SHOWN)
class MappingAnswer(TypedDict):
    """That an event starts a workflow."""

    id: str
    organizationId: str | None
    """Whose events it means; null: the whole tenant's."""
    event: str
    workflowId: str
    filter: list[ConditionAnswer]
    input: dict[str, Any] | None
    delayS: float
    priority: Count


@with_config(_SHOWN)
class MappingList(TypedDict):
    """The mappings, by event."""

    data: list[MappingAnswer]


@with_config(_SHOWN)
class RemovedMappings(TypedDict):
    """What was taken off."""

    event: str
    removed: Count


@with_config(_SHOWN)
class TriggeredJob(TypedDict):
    """One run that an event or a schedule wants."""

    jobId: str
    state: JobState
    """`dead` is a dead letter: replay or discard it. Done is also what was paused or cancelled."""
    startedBy: Literal["event", "schedule"]
    sourceId: str
    """The event's id, or the schedule's."""
    name: str
    """The event's name, or the schedule's."""
    organizationId: str | None
    workflowId: str
    executionId: str | None
    """This server's id of its execution, once it has one."""
    priority: Count
    attempts: Count
    """Tries in vain; nothing ran in any of them."""
    generation: Count
    """1, and one more for each replay."""
    chain: list[str]
    """The events that led to it, oldest first."""
    error: ExecutionFailure | None
    """Why it is dead, or why it was last tried in vain."""
    dueAt: Moment
    createdAt: Moment
    finishedAt: Moment | None
    decidedBy: str | None
    """Who replayed or discarded it last."""


@with_config(_SHOWN)
class TriggeredJobPage(TypedDict):
    """One page of jobs, newest first."""

    data: list[TriggeredJob]
    nextCursor: str | None
    """What to send as `cursor` for the next page; null on the last one."""


@with_config(_SHOWN)
class AcceptedEvent(TypedDict):
    """What became of an event."""

    eventId: str
    duplicate: bool
    """It came before: `jobs` are those of the first time."""
    jobs: list[TriggeredJob]
    reason: Literal["not_configured", "disabled", "not_mapped", "filtered", "loop"] | None
    """Why nothing starts; null when something does."""


@with_config(_SHOWN)
class ScheduleAnswer(TypedDict):
    """That a workflow starts at given times."""

    id: str
    organizationId: str | None
    name: str
    workflowId: str
    cron: str
    timeZone: str
    input: dict[str, Any]
    missed: Literal["skip", "once"]
    enabled: bool
    lastRunAt: Moment | None
    nextRuns: list[Moment]
    """The next five; none while it is switched off."""


@with_config(_SHOWN)
class ScheduleList(TypedDict):
    """The schedules, by name."""

    data: list[ScheduleAnswer]
