"""Events, schedules and jobs as JSON: camelCase for REST, `snake_case` of it for tools and the CLI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sim_mcp.model.events import EVENT_PATTERN, SUPPORTED_EVENTS
from sim_mcp.model.execution import Trigger
from sim_mcp.model.json import is_array, is_object
from sim_mcp.transports.rest_views import error_json, moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim_mcp.app import Accepted, JobPage, ScheduleView
    from sim_mcp.model.events import Condition, EventMapping, Job
    from sim_mcp.model.json import Json
    from sim_mcp.transports import trigger_answers as answers

_SNAKE = {
    "workflowId": "workflow_id",
    "organizationId": "organization_id",
    "delayS": "delay_s",
    "atLeast": "at_least",
    "atMost": "at_most",
    "jobId": "job_id",
    "startedBy": "started_by",
    "sourceId": "source_id",
    "executionId": "execution_id",
    "dueAt": "due_at",
    "createdAt": "created_at",
    "finishedAt": "finished_at",
    "decidedBy": "decided_by",
    "nextCursor": "next_cursor",
    "timeZone": "time_zone",
    "lastRunAt": "last_run_at",
    "nextRuns": "next_runs",
    "eventId": "event_id",
    "retryAfterS": "retry_after_s",
    "blockName": "block_name",
}
_OPAQUE = {"input", "equals"}
"""What people wrote themselves: its names stay."""


def supported_json() -> answers.SupportedEvents:
    """The known events."""
    return {
        "data": [{"event": name, "description": text} for name, text in SUPPORTED_EVENTS.items()],
        "pattern": f"^{EVENT_PATTERN}$",
    }


def mapping_json(found: EventMapping) -> answers.MappingAnswer:
    """One mapping."""
    return {
        "id": found.id,
        "organizationId": found.organization_id,
        "event": found.event,
        "workflowId": found.workflow_id,
        "filter": [_condition_json(each) for each in found.conditions],
        "input": None if found.input is None else dict(found.input),
        "delayS": found.delay_s,
        "priority": found.priority,
    }


def mappings_json(found: Sequence[EventMapping]) -> answers.MappingList:
    """Several mappings."""
    return {"data": [mapping_json(each) for each in found]}


def job_json(found: Job) -> answers.TriggeredJob:
    """One job, without its input."""
    started_by: Literal["event", "schedule"] = "event" if found.started_by is Trigger.EVENT else "schedule"
    return {
        "jobId": found.id,
        "state": found.state,
        "startedBy": started_by,
        "sourceId": found.source_id,
        "name": found.name,
        "organizationId": found.organization_id,
        "workflowId": found.workflow_id,
        "executionId": found.execution_id,
        "priority": found.priority,
        "attempts": found.attempts,
        "generation": found.generation,
        "chain": list(found.chain),
        "error": error_json(found.error),
        "dueAt": moment(found.due_at),
        "createdAt": moment(found.created_at),
        "finishedAt": None if found.finished_at is None else moment(found.finished_at),
        "decidedBy": found.decided_by,
    }


def jobs_json(found: JobPage) -> answers.TriggeredJobPage:
    """One page of jobs."""
    return {"data": [job_json(each) for each in found.jobs], "nextCursor": found.next_cursor}


def accepted_json(found: Accepted) -> answers.AcceptedEvent:
    """What became of an event."""
    return {
        "eventId": found.event_id,
        "duplicate": found.is_duplicate,
        "jobs": [job_json(each) for each in found.jobs],
        "reason": None if found.reason is None else found.reason.value,
    }


def schedule_json(found: ScheduleView) -> answers.ScheduleAnswer:
    """One schedule with its next runs."""
    schedule = found.schedule
    return {
        "id": schedule.id,
        "organizationId": schedule.organization_id,
        "name": schedule.name,
        "workflowId": schedule.workflow_id,
        "cron": schedule.cron,
        "timeZone": schedule.time_zone,
        "input": dict(schedule.input),
        "missed": schedule.missed,
        "enabled": schedule.is_enabled,
        "lastRunAt": None if schedule.last_at is None else moment(schedule.last_at),
        "nextRuns": [moment(each) for each in found.next_runs],
    }


def schedules_json(found: Sequence[ScheduleView]) -> answers.ScheduleList:
    """Several schedules."""
    return {"data": [schedule_json(each) for each in found]}


def snake_case(value: Json) -> Json:
    """One of the shapes above with the names that tools and the command line give."""
    if is_array(value):
        return [snake_case(each) for each in value]
    if not is_object(value):
        return value
    return {
        _SNAKE.get(name, name): each if name in _OPAQUE else snake_case(each) for name, each in value.items()
    }


def _condition_json(condition: Condition) -> answers.ConditionAnswer:
    shown: answers.ConditionAnswer = {
        "pointer": condition.pointer,
        "atLeast": condition.at_least,
        "atMost": condition.at_most,
    }
    if condition.has_equals:
        shown["equals"] = condition.equals
    return shown
