"""Examples for the shapes about events, schedules and jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.model.events import EVENT_PATTERN
from sim_mcp.transports import trigger_answers as answers
from sim_mcp.transports import trigger_schemas as schemas

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim_mcp.model.json import Json

_WORKFLOW = "3b1f7c92-8d4e-4a6b-9c0d-5e2f8a714b36"
_EXECUTION = "0b9c8d4e-6f1a-4c5b-8e2d-3a7f9b1c5d6e"
_AT, _NEXT = "2026-01-31T12:00:00.000Z", "2026-02-02T08:30:00.000Z"
_FILTER: Json = [{"pointer": "/duration", "atLeast": 3600, "atMost": None}]
_TEMPLATE: Json = {"timer": {"$from": "/id"}, "event": {"$event": "id"}}

_JOB: Mapping[str, Json] = {
    "jobId": "9d2e4f60-7b1c-4a3d-8e5f-6c7b8a9d0e1f",
    "state": "done",
    "startedBy": "event",
    "sourceId": "evt-1042",
    "name": "timer.stopped",
    "organizationId": None,
    "workflowId": _WORKFLOW,
    "executionId": _EXECUTION,
    "priority": 5,
    "attempts": 0,
    "generation": 1,
    "chain": [],
    "error": None,
    "dueAt": _AT,
    "createdAt": _AT,
    "finishedAt": _AT,
    "decidedBy": None,
}
_MAPPING: Mapping[str, Json] = {
    "id": "1c2d3e4f-5a6b-4c7d-8e9f-0a1b2c3d4e5f",
    "organizationId": None,
    "event": "timer.stopped",
    "workflowId": _WORKFLOW,
    "filter": _FILTER,
    "input": _TEMPLATE,
    "delayS": 0,
    "priority": 5,
}
_SCHEDULE: Mapping[str, Json] = {
    "id": "2d3e4f5a-6b7c-4d8e-9f0a-1b2c3d4e5f6a",
    "organizationId": None,
    "name": "weekly report",
    "workflowId": _WORKFLOW,
    "cron": "30 9 * * 1",
    "timeZone": "Europe/Berlin",
    "input": {"period": "week"},
    "missed": "once",
    "enabled": True,
    "lastRunAt": None,
    "nextRuns": [_NEXT],
}

TRIGGER_EXAMPLES: Mapping[type, Json] = {
    schemas.MappingRequest: {
        "event": "timer.stopped",
        "workflowId": _WORKFLOW,
        "filter": [{"pointer": "/duration", "atLeast": 3600}],
        "input": _TEMPLATE,
    },
    schemas.EventRequest: {
        "id": "evt-1042",
        "event": "timer.stopped",
        "data": {"id": "timer-7", "duration": 5400},
        "occurredAt": "2026-01-31T12:00:00Z",
    },
    schemas.ScheduleRequest: {
        "name": "weekly report",
        "workflowId": _WORKFLOW,
        "cron": "30 9 * * 1",
        "timeZone": "Europe/Berlin",
        "input": {"period": "week"},
        "missed": "once",
    },
    answers.SupportedEvents: {
        "data": [{"event": "timer.stopped", "description": "Somebody stopped a timer."}],
        "pattern": f"^{EVENT_PATTERN}$",
    },
    answers.MappingAnswer: _MAPPING,
    answers.MappingList: {"data": [_MAPPING]},
    answers.RemovedMappings: {"event": "timer.stopped", "removed": 1},
    answers.AcceptedEvent: {
        "eventId": "evt-1042",
        "duplicate": False,
        "jobs": [{**_JOB, "state": "waiting", "executionId": None, "finishedAt": None}],
        "reason": None,
    },
    answers.TriggeredJob: _JOB,
    answers.TriggeredJobPage: {"data": [_JOB], "nextCursor": None},
    answers.ScheduleAnswer: _SCHEDULE,
    answers.ScheduleList: {"data": [_SCHEDULE]},
}
