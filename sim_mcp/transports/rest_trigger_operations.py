"""What each REST route about events, schedules and jobs is for, asks for and answers."""

from __future__ import annotations

from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.principal import Permission
from sim_mcp.transports import trigger_answers as answers
from sim_mcp.transports import trigger_schemas as schemas
from sim_mcp.transports.rest_operations import Operation, Shown
from sim_mcp.transports.schemas import Nothing

_UNKNOWN = frozenset({ErrorCode.NOT_FOUND})
_TOO_LARGE = frozenset({ErrorCode.PAYLOAD_TOO_LARGE})

SUPPORTED = Operation(
    id="listSupportedEvents",
    tag="events",
    permission=Permission.VIEW,
    summary="List the known events",
    description="Others of the form `noun.verb` can be mapped and posted as well.",
    answers={200: Shown(description="The known ones.", shape=answers.SupportedEvents)},
)
MAPPINGS = Operation(
    id="listEventMappings",
    tag="events",
    permission=Permission.VIEW,
    summary="List which event starts which workflow",
    description="Without mappings no event starts anything.",
    answers={200: Shown(description="All of them.", shape=answers.MappingList)},
)
MAP = Operation(
    id="setEventMapping",
    tag="events",
    permission=Permission.EDIT,
    summary="Let an event start a workflow",
    description="Only a workflow of the allow-list. An event may start several; the same event and "
    "workflow again replace the mapping.",
    body=schemas.MappingRequest,
    answers={200: Shown(description="As it stands now.", shape=answers.MappingAnswer)},
    errors=_UNKNOWN | _TOO_LARGE,
)
UNMAP = Operation(
    id="removeEventMapping",
    tag="events",
    permission=Permission.EDIT,
    summary="Let an event start a workflow no more",
    description="All mappings of the event, or the one to `workflowId`. What it has started goes on.",
    query=schemas.UnmapQuery,
    answers={200: Shown(description="What was taken off.", shape=answers.RemovedMappings)},
    errors=_UNKNOWN,
)
POST = Operation(
    id="postEvent",
    tag="events",
    permission=Permission.EDIT,
    summary="Tell that something happened",
    description="Stored before it is answered, run later. An event that starts nothing is no error: "
    "`reason` tells why. Hosts without tokens sign instead: `?sender=` names the sender "
    "(`sim-mcp events sender create`) and `X-Sim-Mcp-Signature: t=<unix seconds>,v1=<hex>` carries the "
    "HMAC-SHA256 of `<t>.<body>` under its secret, at most 5 minutes old.",
    query=schemas.SignedQuery,
    body=schemas.EventRequest,
    answers={202: Shown(description="Stored, or nothing to do.", shape=answers.AcceptedEvent)},
    errors=_TOO_LARGE,
)
SCHEDULES = Operation(
    id="listSchedules",
    tag="schedules",
    permission=Permission.VIEW,
    summary="List the schedules",
    description="Each with its next five runs.",
    answers={200: Shown(description="All of them.", shape=answers.ScheduleList)},
)
SET_SCHEDULE = Operation(
    id="setSchedule",
    tag="schedules",
    permission=Permission.ADD,
    summary="Let a workflow start at given times",
    description="A cron expression in a time zone. A time that daylight saving skips ticks once right "
    "after the gap, one that comes twice ticks once. The same name again replaces the schedule.",
    body=schemas.ScheduleRequest,
    answers={200: Shown(description="As it stands now.", shape=answers.ScheduleAnswer)},
    errors=_UNKNOWN | _TOO_LARGE,
)
REMOVE_SCHEDULE = Operation(
    id="removeSchedule",
    tag="schedules",
    permission=Permission.DELETE,
    summary="Take a schedule off",
    description="What it has started goes on.",
    answers={204: Shown(description="Removed.")},
    errors=_UNKNOWN,
)
JOBS = Operation(
    id="listJobs",
    tag="jobs",
    permission=Permission.VIEW,
    summary="List what events and schedules started",
    description="Newest first. `?state=dead` are the dead letters, each with its cause.",
    query=schemas.JobsQuery,
    answers={200: Shown(description="One page.", shape=answers.TriggeredJobPage)},
)
REPLAY = Operation(
    id="replayJob",
    tag="jobs",
    permission=Permission.EDIT,
    summary="Run a dead letter anew",
    description="With the input that it had. Look at its cause first: what ran in part runs again.",
    body=Nothing,
    answers={200: Shown(description="As it stands now.", shape=answers.TriggeredJob)},
    errors=_UNKNOWN | {ErrorCode.CONFLICT},
)
DISCARD = Operation(
    id="discardJob",
    tag="jobs",
    permission=Permission.EDIT,
    summary="Put a dead letter away",
    description="Or a job that has not begun. It can still be replayed.",
    body=Nothing,
    answers={200: Shown(description="As it stands now.", shape=answers.TriggeredJob)},
    errors=_UNKNOWN | {ErrorCode.CONFLICT},
)
