"""What REST requests about events, schedules and jobs may carry."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from sim_mcp.model.events import (
    DEEPEST_CHAIN,
    EVENT_PATTERN,
    FIRST_PRIORITY,
    LAST_PRIORITY,
    LONGEST_DELAY_S,
    LONGEST_EVENT,
    LONGEST_EVENT_ID,
    USUAL_PRIORITY,
    Condition,
    Event,
    EventMapping,
    JobState,
    Schedule,
)
from sim_mcp.model.principal import TenantId
from sim_mcp.model.tool import WorkflowId
from sim_mcp.transports.schemas import Asked, Cursor, Name, Whole, whole_number

EventName = Annotated[
    str, Field(strict=True, max_length=LONGEST_EVENT, json_schema_extra={"pattern": f"^{EVENT_PATTERN}$"})
]
Text = Annotated[Name, Field(strict=True)]
Bound = Annotated[float, Field(strict=True)] | Annotated[str, Field(strict=True, max_length=1000)]


class ConditionRequest(Asked):
    """One test of the event's data. Neither value nor range: it only has to be there."""

    pointer: str = Field(strict=True, max_length=1000, description="A JSON pointer into the event's data.")
    equals: Any = Field(default=None, description="The value that has to be there.")
    at_least: Bound | None = Field(default=None, description="The lowest number or text that is meant.")
    at_most: Bound | None = Field(default=None, description="The highest number or text that is meant.")

    def condition(self) -> Condition:
        """As our own noun."""
        return Condition(
            pointer=self.pointer,
            equals=self.equals,
            has_equals="equals" in self.model_fields_set,
            at_least=self.at_least,
            at_most=self.at_most,
        )


class MappingRequest(Asked):
    """POST /events/mappings: that an event starts a workflow. Both again replace it."""

    event: EventName = Field(description="`noun.verb`; GET /events/supported lists the known ones.")
    workflow_id: Text = Field(description="A workflow of the allow-list.")
    filter: list[ConditionRequest] = Field(
        default_factory=list[ConditionRequest],
        max_length=20,
        description="All have to hold; none always does.",
    )
    input: dict[str, Any] | None = Field(
        default=None,
        description='The workflow\'s input. `{"$from": "/pointer"}` stands for what is there in the event\'s '
        'data (with `"default"` for where nothing is), `{"$event": "id"}` for the event\'s `id`, `event`, '
        "`occurred_at` or `chain`. Without a template the data is the input.",
    )
    delay_s: float = Field(
        default=0.0, strict=True, ge=0, le=LONGEST_DELAY_S, description="Seconds to wait before it starts."
    )
    priority: Annotated[int, BeforeValidator(whole_number)] = Field(
        default=USUAL_PRIORITY,
        strict=True,
        ge=FIRST_PRIORITY,
        le=LAST_PRIORITY,
        description="Among the tenant's own jobs: 1 goes first.",
    )

    def mapping(self) -> EventMapping:
        """As our own noun; whose it is, the principal says."""
        return EventMapping(
            id="",
            tenant_id=TenantId(""),
            organization_id=None,
            event=self.event,
            workflow_id=WorkflowId(self.workflow_id),
            conditions=tuple(each.condition() for each in self.filter),
            input=self.input,
            delay_s=self.delay_s,
            priority=self.priority,
        )


class UnmapQuery(Asked):
    """DELETE /events/mappings/{event}."""

    workflow_id: Name | None = Field(default=None, description="Only the mapping to this workflow.")


class EventRequest(Asked):
    """POST /events: something that happened."""

    id: str = Field(
        strict=True,
        min_length=1,
        max_length=LONGEST_EVENT_ID,
        description="The sender's own id. A second delivery with the same id starts nothing.",
    )
    event: EventName = Field(description="`noun.verb`.")
    data: dict[str, Any] = Field(default_factory=dict, description="What the workflows are to know.")
    occurred_at: Annotated[str, Field(strict=True, max_length=64)] | None = Field(
        default=None, description="When it happened, as the sender writes times."
    )
    caused_by: Text | None = Field(
        default=None,
        description="The execution (this server's id or SIM's) whose run sends this event: guards against "
        "loops.",
    )
    chain: list[Annotated[str, Field(strict=True, max_length=LONGEST_EVENT_ID)]] = Field(
        default_factory=list[str],
        max_length=10 * DEEPEST_CHAIN,
        description="The ids of the events that led to this one, where `causedBy` is not known.",
    )

    def noun(self) -> Event:
        """As our own noun."""
        return Event(
            id=self.id,
            name=self.event,
            data=self.data,
            occurred_at=self.occurred_at,
            caused_by=self.caused_by,
            chain=tuple(self.chain),
        )


class SignedQuery(Asked):
    """POST /events by signature."""

    sender: Name | None = Field(default=None, description="Who signed; absent where a token is sent.")


class ScheduleRequest(Asked):
    """POST /schedules: that a workflow starts at given times. The same name again replaces it."""

    name: Text = Field(description="What the tenant calls it.")
    workflow_id: Text = Field(description="A workflow of the allow-list.")
    cron: str = Field(
        strict=True, max_length=200, description="Five fields: minute, hour, day, month, weekday."
    )
    time_zone: str = Field(
        default="UTC", strict=True, max_length=64, description="An IANA name such as Europe/Berlin."
    )
    input: dict[str, Any] = Field(default_factory=dict, description="The workflow's input at every tick.")
    missed: Literal["skip", "once"] = Field(
        default="skip", description="What to do about ticks that passed while no worker ran."
    )
    enabled: bool = Field(default=True, strict=True, description="Whether it ticks.")

    def schedule(self) -> Schedule:
        """As our own noun; whose it is, the principal says."""
        return Schedule(
            id="",
            tenant_id=TenantId(""),
            organization_id=None,
            name=self.name,
            workflow_id=WorkflowId(self.workflow_id),
            cron=self.cron,
            time_zone=self.time_zone,
            input=self.input,
            missed=self.missed,
            is_enabled=self.enabled,
        )


class JobsQuery(Asked):
    """GET /jobs."""

    state: JobState | None = Field(default=None, description="Only jobs that stand there.")
    limit: Whole = Field(default=20, ge=1, le=100, description="How many at most.")
    cursor: Cursor | None = None
