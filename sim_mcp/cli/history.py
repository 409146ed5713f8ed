"""`sim-mcp history` and `sim-mcp show`: the audit log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli.options import AsJson, Config, Organization, Tenant
from sim_mcp.cli.printing import note, print_json, print_table, safe, say
from sim_mcp.cli.records import HISTORY_COLUMNS, history_row, record_of
from sim_mcp.cli.session import with_app
from sim_mcp.model.execution import Execution, Status
from sim_mcp.model.json import Json
from sim_mcp.model.principal import Principal
from sim_mcp.model.tool import WorkflowId

if TYPE_CHECKING:
    from sim_mcp.app import App, Page


def history(
    *,
    tenant: Tenant = None,
    organization: Organization = None,
    status: Annotated[Status | None, typer.Option("--status", help="Only these.")] = None,
    workflow: Annotated[
        str | None, typer.Option("--workflow", metavar="ID", help="Only of this one.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many, newest first.")] = 20,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on after an earlier page.")] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Show who called which tool when, and what came of it."""

    async def ask(app: App, principal: Principal) -> Page:
        from sim_mcp.app import ExecutionFilter

        chosen = ExecutionFilter(workflow_id=WorkflowId(workflow) if workflow else None, status=status)
        return await app.runs.page(principal, chosen, limit=limit, cursor=cursor)

    page = with_app(ask, config=config, tenant=tenant, organization=organization)
    if as_json:
        found: list[Json] = [record_of(row) for row in page.executions]
        print_json({"data": found, "total": page.total, "next_cursor": page.next_cursor})
        return
    print_table(HISTORY_COLUMNS, [history_row(row) for row in page.executions])
    note(f"{len(page.executions)} of {page.total}.")
    if page.next_cursor:
        note(f"More: --cursor {page.next_cursor}")


def show(
    execution_id: Annotated[
        str, typer.Argument(metavar="EXECUTION_ID", help="Ours, or SIM's run or job id.")
    ],
    *,
    wait_s: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, max=3600, help="Wait for its end.")
    ] = 0.0,
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Show one execution; SIM is asked how an unfinished one is doing."""
    from sim_mcp.app import Needs

    async def ask(app: App, principal: Principal) -> Execution:
        return await app.runs.get(principal, execution_id, wait_s=wait_s)

    needs = Needs(follows_up=wait_s > 0, uses_process_key=True)
    row = with_app(ask, config=config, tenant=tenant, organization=organization, needs=needs)
    record = record_of(row)
    if as_json:
        print_json(record)
        return
    for name, value in record.items():
        if value is not None:
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            say(f"{name:<20} {safe(shown)}")
