"""The admin tools about events, schedules and jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from pydantic import BaseModel, ValidationError

from sim_mcp.model.errors import Fault, InvalidInput
from sim_mcp.model.events import (
    FIRST_PRIORITY,
    LAST_PRIORITY,
    LONGEST_DELAY_S,
    USUAL_PRIORITY,
    JobState,
)
from sim_mcp.model.json import Json, JsonObject
from sim_mcp.model.principal import Permission
from sim_mcp.transports import trigger_schemas as asked
from sim_mcp.transports import trigger_views as views
from sim_mcp.transports.admin_actions import Request
from sim_mcp.transports.admin_schemas import WORKFLOW_ID, answer, arguments, listed, text, whole
from sim_mcp.transports.admin_tool import AdminTool
from sim_mcp.transports.cutting import compact
from sim_mcp.transports.output_schemas import BOOLEAN, ERROR, INTEGER, NUMBER, TEXT, maybe
from sim_mcp.transports.results import text_result

if TYPE_CHECKING:
    from mcp_types import CallToolResult

M = TypeVar("M", bound=BaseModel)

_OBJECT: JsonObject = {"type": "object"}
_EVENT = text("The event: noun.verb in lower case, such as timer.stopped.", longest=100)
_STATES: JsonObject = {"type": "string", "enum": [state.value for state in JobState]}
_CONDITION: JsonObject = {
    "type": "object",
    "properties": {
        "pointer": {"type": "string", "description": "A JSON pointer into the event's data."},
        "equals": {"description": "The value that has to be there."},
        "at_least": {"description": "The lowest number or text that is meant."},
        "at_most": {"description": "The highest number or text that is meant."},
    },
    "required": ["pointer"],
    "additionalProperties": False,
}
_MAPPING: dict[str, JsonObject] = {
    "id": TEXT,
    "organization_id": maybe(TEXT),
    "event": TEXT,
    "workflow_id": TEXT,
    "filter": listed(_OBJECT),
    "input": maybe(_OBJECT),
    "delay_s": NUMBER,
    "priority": INTEGER,
}
_SCHEDULE: dict[str, JsonObject] = {
    "id": TEXT,
    "organization_id": maybe(TEXT),
    "name": TEXT,
    "workflow_id": TEXT,
    "cron": TEXT,
    "time_zone": TEXT,
    "input": _OBJECT,
    "missed": {"type": "string", "enum": ["skip", "once"]},
    "enabled": BOOLEAN,
    "last_run_at": maybe(TEXT),
    "next_runs": {**listed(TEXT), "description": "The next five; none while it is switched off."},
}
_JOB: dict[str, JsonObject] = {
    "job_id": TEXT,
    "state": {**_STATES, "description": "dead is a dead letter: replay it, once its cause is gone."},
    "started_by": {"type": "string", "enum": ["event", "schedule"]},
    "source_id": TEXT,
    "name": {**TEXT, "description": "The event's or the schedule's name."},
    "organization_id": maybe(TEXT),
    "workflow_id": TEXT,
    "execution_id": {**maybe(TEXT), "description": "Look with sim_get_execution."},
    "priority": INTEGER,
    "attempts": INTEGER,
    "generation": INTEGER,
    "chain": listed(TEXT),
    "error": maybe(ERROR),
    "due_at": TEXT,
    "created_at": TEXT,
    "finished_at": maybe(TEXT),
    "decided_by": maybe(TEXT),
}


def _page(fields: dict[str, JsonObject]) -> JsonObject:
    rows: dict[str, Json] = dict(fields)
    return listed({"type": "object", "properties": rows})


async def list_mappings(request: Request) -> CallToolResult:
    """`sim_list_event_mappings`."""
    found = await request.app.mappings.list(request.principal, Permission.VIEW)
    return _shown(views.mappings_json(found))


async def set_mapping(request: Request) -> CallToolResult:
    """`sim_set_event_mapping`."""
    mapping = _read(asked.MappingRequest, request.arguments).mapping()
    return _shown(
        views.mapping_json(await request.app.mappings.set(request.principal, mapping, Permission.ADD))
    )


async def remove_mapping(request: Request) -> CallToolResult:
    """`sim_remove_event_mapping`."""
    event = request.text("event")
    removed = await request.app.mappings.remove(
        request.principal, event, Permission.DELETE, workflow_id=request.maybe_text("workflow_id")
    )
    return _shown({"event": event, "removed": removed})


async def list_schedules(request: Request) -> CallToolResult:
    """`sim_list_schedules`."""
    return _shown(views.schedules_json(await request.app.schedules.list(request.principal)))


async def set_schedule(request: Request) -> CallToolResult:
    """`sim_set_schedule`."""
    schedule = _read(asked.ScheduleRequest, request.arguments).schedule()
    return _shown(views.schedule_json(await request.app.schedules.set(request.principal, schedule)))


async def remove_schedule(request: Request) -> CallToolResult:
    """`sim_remove_schedule`."""
    name = request.text("name")
    await request.app.schedules.remove(request.principal, name)
    return _shown({"name": name, "is_removed": True})


async def list_jobs(request: Request) -> CallToolResult:
    """`sim_list_jobs`."""
    state = request.maybe_text("state")
    page = await request.app.jobs.page(
        request.principal,
        state=None if state is None else JobState(state),
        limit=int(request.number("limit", 20)),
        cursor=request.maybe_text("cursor"),
    )
    return _shown(views.jobs_json(page))


async def replay_job(request: Request) -> CallToolResult:
    """`sim_replay_job`."""
    return _shown(views.job_json(await request.app.jobs.replay(request.principal, request.text("job_id"))))


def _read(model: type[M], given: JsonObject) -> M:
    """`given`, whose names are ours, as the request that REST would read."""
    aliased = {_camel(model, name): value for name, value in given.items()}
    try:
        return model.model_validate(aliased)
    except ValidationError as error:
        faults = tuple(
            Fault("$." + ".".join(map(str, each["loc"])), each["msg"])
            for each in error.errors(include_url=False, include_input=False, include_context=False)
        )
        raise InvalidInput("The arguments are not valid.", faults=faults) from None


def _camel(model: type[BaseModel], name: str) -> str:
    field = model.model_fields.get(name)
    return name if field is None or field.alias is None else field.alias


def _shown(found: object) -> CallToolResult:
    structured = cast("JsonObject", views.snake_case(cast("Json", found)))
    return text_result(structured, compact(structured))


TRIGGER_TOOLS = (
    AdminTool(
        name="sim_list_event_mappings",
        title="List event mappings",
        description="Lists which event of the host platform starts which workflow. Without mappings no "
        "event starts anything.",
        permission=Permission.VIEW,
        act=list_mappings,
        output_schema=answer({"data": _page(_MAPPING)}),
    ),
    AdminTool(
        name="sim_set_event_mapping",
        title="Map event",
        description="Lets an event start a workflow by itself, each time it happens; this costs money "
        "without anybody asking, so ask the user before. `filter` narrows it to some events; `input` "
        'is a template: {"$from": "/pointer"} stands for a field of the event. The same event and '
        "workflow again replace the mapping.",
        permission=Permission.ADD,
        act=set_mapping,
        input_schema=arguments(
            {
                "event": _EVENT,
                "workflow_id": WORKFLOW_ID,
                "filter": {**listed(_CONDITION), "maxItems": 20, "description": "All have to hold."},
                "input": {**_OBJECT, "description": "The input's template; the event's data when absent."},
                "delay_s": {**NUMBER, "minimum": 0, "maximum": LONGEST_DELAY_S, "description": "Seconds."},
                "priority": whole("1 goes first.", FIRST_PRIORITY, LAST_PRIORITY, USUAL_PRIORITY),
            },
            "event",
            "workflow_id",
        ),
        output_schema=answer(_MAPPING),
        read_only=False,
        destructive=True,
    ),
    AdminTool(
        name="sim_remove_event_mapping",
        title="Unmap event",
        description="Lets an event start a workflow no more: the one to workflow_id, or all of the event. "
        "What it has started goes on.",
        permission=Permission.DELETE,
        act=remove_mapping,
        input_schema=arguments({"event": _EVENT, "workflow_id": WORKFLOW_ID}, "event"),
        output_schema=answer({"event": TEXT, "removed": INTEGER}),
        read_only=False,
        destructive=True,
    ),
    AdminTool(
        name="sim_list_schedules",
        title="List schedules",
        description="Lists the workflows that start by themselves at given times, each with its next runs.",
        permission=Permission.VIEW,
        act=list_schedules,
        output_schema=answer({"data": _page(_SCHEDULE)}),
    ),
    AdminTool(
        name="sim_set_schedule",
        title="Set schedule",
        description="Lets a workflow start at given times: a cron expression of five fields in a time "
        "zone. It costs money at every tick, so ask the user before and show the next runs after. The "
        "same name again replaces the schedule; enabled=false switches it off.",
        permission=Permission.ADD,
        act=set_schedule,
        input_schema=arguments(
            {
                "name": text("What to call it.", longest=100),
                "workflow_id": WORKFLOW_ID,
                "cron": text("Minute, hour, day, month, weekday, as 30 9 * * 1-5."),
                "time_zone": text("An IANA name such as Europe/Berlin; UTC when absent.", longest=64),
                "input": {**_OBJECT, "description": "The workflow's input at every tick."},
                "missed": {
                    "type": "string",
                    "enum": ["skip", "once"],
                    "description": "What to do about ticks missed while the server was down: none is made "
                    "up for (when absent), or one.",
                },
                "enabled": {**BOOLEAN, "description": "Whether it ticks; true when absent."},
            },
            "name",
            "workflow_id",
            "cron",
        ),
        output_schema=answer(_SCHEDULE),
        read_only=False,
        destructive=True,
    ),
    AdminTool(
        name="sim_remove_schedule",
        title="Remove schedule",
        description="Takes a schedule off. What it has started goes on.",
        permission=Permission.DELETE,
        act=remove_schedule,
        input_schema=arguments({"name": text("Its name.", longest=100)}, "name"),
        output_schema=answer({"name": TEXT, "is_removed": BOOLEAN}),
        read_only=False,
        destructive=True,
    ),
    AdminTool(
        name="sim_list_jobs",
        title="List jobs",
        description="Lists what events and schedules started, newest first, with state and cause. state=dead "
        "are the dead letters. Continue with next_cursor.",
        permission=Permission.VIEW,
        act=list_jobs,
        input_schema=arguments(
            {
                "state": {**_STATES, "description": "Only jobs that stand there."},
                "limit": whole("How many to return.", 1, 100, 20),
                "cursor": text("next_cursor of the page before.", longest=500),
            }
        ),
        output_schema=answer({"data": _page(_JOB), "next_cursor": maybe(TEXT)}),
    ),
    AdminTool(
        name="sim_replay_job",
        title="Replay job",
        description="Runs a dead or discarded job anew, with the input that it had. What ran in part runs "
        "again, so look at its cause, and ask the user before.",
        permission=Permission.EDIT,
        act=replay_job,
        input_schema=arguments({"job_id": text("From sim_list_jobs.")}, "job_id"),
        output_schema=answer(_JOB),
        read_only=False,
        destructive=True,
        idempotent=False,
        open_world=True,
    ),
)
