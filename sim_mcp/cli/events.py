"""`sim-mcp events`: which of them start which workflows."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli.arguments import arguments_from
from sim_mcp.cli.exits import Misuse
from sim_mcp.cli.groups import group
from sim_mcp.cli.options import AsJson, Config, Organization, Tenant
from sim_mcp.cli.printing import note, print_json, print_table, safe, say
from sim_mcp.cli.senders import create_sender, list_senders, revoke_sender
from sim_mcp.cli.session import with_app
from sim_mcp.cli.trigger_records import snake
from sim_mcp.model.events import SUPPORTED_EVENTS, Event, EventMapping
from sim_mcp.model.json import Json, JsonObject
from sim_mcp.model.principal import Permission, Principal, TenantId
from sim_mcp.model.tool import WorkflowId

if TYPE_CHECKING:
    from sim_mcp.app import App, Preview, Reason

_NO_SCHEMA: JsonObject = {"type": "object"}

EventName = Annotated[str, typer.Argument(metavar="EVENT", help="Its name, as timer.stopped.")]
Workflow = Annotated[str, typer.Argument(metavar="WORKFLOW_ID", help="One of the allow-list.")]


def event_verbs() -> typer.Typer:
    """The verbs under `sim-mcp events`."""
    made = group(
        "Events: which of them start which workflows.",
        {
            "list": list_mappings,
            "map": map_event,
            "unmap": unmap_event,
            "test": try_event,
            "supported": supported,
        },
    )
    made.add_typer(
        group(
            "Hosts that post events by signature.",
            {"create": create_sender, "list": list_senders, "revoke": revoke_sender},
        ),
        name="sender",
    )
    return made


def supported(*, as_json: AsJson = False) -> None:
    """List the events that the host platform is known to send."""
    if as_json:
        known: list[Json] = [{"event": name, "description": text} for name, text in SUPPORTED_EVENTS.items()]
        print_json(known)
        return
    print_table(("EVENT", "TELLS"), [*SUPPORTED_EVENTS.items()])
    note("Others of the form noun.verb can be mapped as well.")


def list_mappings(
    *,
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """List which event starts which workflow."""

    async def ask(app: App, principal: Principal) -> tuple[EventMapping, ...]:
        return await app.mappings.list(principal, Permission.VIEW)

    found = with_app(ask, config=config, tenant=tenant, organization=organization)
    if as_json:
        print_json(snake("mappings_json", found))
        return
    if not found:
        note("No event starts anything: `sim-mcp events map EVENT WORKFLOW_ID` lets one do so.")
        return
    columns = ("EVENT", "WORKFLOW", "FILTER", "DELAY", "PRIORITY", "ORGANIZATION")
    rows = [
        (
            each.event,
            each.workflow_id,
            f"{len(each.conditions)} conditions" if each.conditions else "",
            f"{each.delay_s:g} s" if each.delay_s else "",
            each.priority,
            each.organization_id or "",
        )
        for each in found
    ]
    print_table(columns, rows)


def map_event(
    event: EventName,
    workflow: Workflow,
    *,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="/POINTER=VALUE", help="Only events with this in their data (JSON)."),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "--input", metavar="JSON|@FILE", help='The workflow\'s input, with {"$from": "/pointer"}.'
        ),
    ] = None,
    delay_s: Annotated[float, typer.Option("--delay", metavar="SECONDS", min=0, help="Start later.")] = 0.0,
    priority: Annotated[int, typer.Option("--priority", min=1, max=9, help="1 goes first.")] = 5,
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Let an event start a workflow. Both again replace the mapping."""
    from sim_mcp.transports.trigger_schemas import ConditionRequest

    conditions: list[ConditionRequest] = []
    for each in where or []:
        pointer, equals, text = each.partition("=")
        if not equals:
            raise Misuse(f"--where {each!r} has no value.", remedy="write --where /status=done")
        value = arguments_from([f"value={text}"], None, _NO_SCHEMA)["value"]
        conditions.append(ConditionRequest.model_validate({"pointer": pointer, "equals": value}))
    mapping = EventMapping(
        id="",
        tenant_id=TenantId(""),
        organization_id=None,
        event=event,
        workflow_id=WorkflowId(workflow),
        conditions=tuple(each.condition() for each in conditions),
        input=None if template is None else arguments_from([], template, _NO_SCHEMA),
        delay_s=delay_s,
        priority=priority,
    )

    async def put(app: App, principal: Principal) -> EventMapping:
        return await app.mappings.set(principal, mapping, Permission.ADD)

    made = with_app(put, config=config, tenant=tenant, organization=organization)
    if as_json:
        print_json(snake("mapping_json", made))
    else:
        note(
            f"{made.event} starts {made.workflow_id} from now on. Try it: `sim-mcp events test {made.event}`."
        )


def unmap_event(
    event: EventName,
    workflow: Annotated[
        str | None, typer.Argument(metavar="[WORKFLOW_ID]", help="Only this one; default: all of the event.")
    ] = None,
    *,
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Let an event start a workflow no more."""

    async def take(app: App, principal: Principal) -> int:
        return await app.mappings.remove(principal, event, Permission.DELETE, workflow_id=workflow)

    removed = with_app(take, config=config, tenant=tenant, organization=organization)
    if as_json:
        print_json({"event": event, "removed": removed})
    else:
        note(f"Removed {removed} mappings of {event}.")


def try_event(
    event: EventName,
    *,
    data: Annotated[
        str, typer.Option("--data", metavar="JSON|@FILE", help="The event's data; `-` reads it from stdin.")
    ] = "{}",
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Show what an event would run, with which input. Nothing is stored or run."""
    posted = Event(id=f"test-{uuid.uuid4()}", name=event, data=arguments_from([], data, _NO_SCHEMA))

    async def ask(app: App, principal: Principal) -> tuple[Reason | None, tuple[Preview, ...]]:
        return await app.events.preview(principal, posted)

    reason, previews = with_app(ask, config=config, tenant=tenant, organization=organization)
    if as_json:
        shown: list[Json] = [
            {
                "workflow_id": each.mapping.workflow_id,
                "would_run": each.would_run and reason is None,
                "input": each.input,
                "error": each.error,
            }
            for each in previews
        ]
        print_json({"reason": reason.value if reason else None, "mappings": shown})
        return
    for each in previews:
        verdict = "would run" if each.would_run else each.error or "does not match its filter"
        say(f"{each.mapping.workflow_id}: {safe(verdict)}")
        if each.input is not None:
            print_json(each.input)
    if reason is not None:
        note(f"Nothing would run: {reason.value.replace('_', ' ')}.")
