"""`sim-mcp schedules`: workflows that start at given times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli.arguments import arguments_from
from sim_mcp.cli.groups import group
from sim_mcp.cli.options import AsJson, Config, Organization, Tenant
from sim_mcp.cli.printing import moment, note, print_json, print_table, safe
from sim_mcp.cli.session import with_app
from sim_mcp.cli.trigger_records import snake
from sim_mcp.model.events import Schedule
from sim_mcp.model.json import JsonObject
from sim_mcp.model.principal import Principal, TenantId
from sim_mcp.model.tool import WorkflowId

if TYPE_CHECKING:
    from sim_mcp.app import App, ScheduleView

_NO_SCHEMA: JsonObject = {"type": "object"}

Workflow = Annotated[str, typer.Argument(metavar="WORKFLOW_ID", help="One of the allow-list.")]


def schedule_verbs() -> typer.Typer:
    """The verbs under `sim-mcp schedules`."""
    return group(
        "Schedules: workflows that start at given times.",
        {"list": list_schedules, "set": set_schedule, "remove": remove_schedule},
    )


def list_schedules(
    *,
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """List the schedules, each with its next runs."""

    async def ask(app: App, principal: Principal) -> tuple[ScheduleView, ...]:
        return await app.schedules.list(principal)

    found = with_app(ask, config=config, tenant=tenant, organization=organization)
    if as_json:
        print_json(snake("schedules_json", found))
        return
    columns = ("NAME", "WORKFLOW", "CRON", "TIME ZONE", "NEXT RUN", "LAST RUN")
    rows = [
        (
            each.schedule.name,
            each.schedule.workflow_id,
            each.schedule.cron,
            each.schedule.time_zone,
            moment(each.next_runs[0]) if each.next_runs else "off",
            moment(each.schedule.last_at) or "never",
        )
        for each in found
    ]
    print_table(columns, rows)


def set_schedule(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    workflow: Workflow,
    cron: Annotated[str, typer.Argument(metavar="CRON", help="Five fields, as '30 9 * * 1-5'.")],
    *,
    time_zone: Annotated[str, typer.Option("--time-zone", metavar="ZONE", help="An IANA name.")] = "UTC",
    given: Annotated[
        str, typer.Option("--input", metavar="JSON|@FILE", help="The workflow's input at every tick.")
    ] = "{}",
    once: Annotated[
        bool, typer.Option("--make-up", help="Run once for ticks that were missed; default: skip them.")
    ] = False,
    off: Annotated[bool, typer.Option("--off", help="Keep it, switched off.")] = False,
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Let a workflow start at given times. The same name again replaces the schedule."""
    wanted = Schedule(
        id="",
        tenant_id=TenantId(""),
        organization_id=None,
        name=name,
        workflow_id=WorkflowId(workflow),
        cron=cron,
        time_zone=time_zone,
        input=arguments_from([], given, _NO_SCHEMA),
        missed="once" if once else "skip",
        is_enabled=not off,
    )

    async def put(app: App, principal: Principal) -> ScheduleView:
        return await app.schedules.set(principal, wanted)

    made = with_app(put, config=config, tenant=tenant, organization=organization)
    if as_json:
        print_json(snake("schedule_json", made))
        return
    note(f"Schedule {safe(made.schedule.name)} is set.")
    for at in made.next_runs:
        note(f"next: {moment(at)}")


def remove_schedule(
    name: Annotated[str, typer.Argument(metavar="NAME", help="From `sim-mcp schedules list`.")],
    *,
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Take a schedule off. What it has started goes on."""

    async def take(app: App, principal: Principal) -> None:
        await app.schedules.remove(principal, name)

    with_app(take, config=config, tenant=tenant, organization=organization)
    if as_json:
        print_json({"name": name, "removed": True})
    else:
        note(f"Schedule {safe(name)} is removed.")
