"""`sim-mcp jobs`: what events and schedules started, and the dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli.groups import group
from sim_mcp.cli.options import AsJson, Config, Organization, Tenant
from sim_mcp.cli.printing import moment, note, print_json, print_table
from sim_mcp.cli.session import with_app
from sim_mcp.cli.trigger_records import snake
from sim_mcp.model.events import Job, JobState
from sim_mcp.model.principal import Principal

if TYPE_CHECKING:
    from sim_mcp.app import App, JobPage


_JOB_COLUMNS = ("JOB", "STATE", "STARTED BY", "WORKFLOW", "EXECUTION", "CREATED", "CAUSE")

JobId = Annotated[str, typer.Argument(metavar="JOB_ID", help="From `sim-mcp jobs list`.")]


def job_verbs() -> typer.Typer:
    """The verbs under `sim-mcp jobs`."""
    return group(
        "Jobs: what events and schedules started, and the dead letters.",
        {"list": list_jobs, "replay": replay, "discard": discard},
    )


def list_jobs(
    *,
    state: Annotated[
        JobState | None, typer.Option("--state", help="Only these; dead are dead letters.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many, newest first.")] = 20,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on after an earlier page.")] = None,
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """List what events and schedules started, with the cause of dead letters."""

    async def ask(app: App, principal: Principal) -> JobPage:
        return await app.jobs.page(principal, state=state, limit=limit, cursor=cursor)

    page = with_app(ask, config=config, tenant=tenant, organization=organization)
    if as_json:
        print_json(snake("jobs_json", page))
        return
    print_table(_JOB_COLUMNS, [_job_row(each) for each in page.jobs])
    if page.next_cursor:
        note(f"More: --cursor {page.next_cursor}")


def replay(
    job: JobId,
    *,
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Run a dead letter anew, with the input that it had. A worker does it."""

    async def again(app: App, principal: Principal) -> Job:
        return await app.jobs.replay(principal, job)

    _tell(with_app(again, config=config, tenant=tenant, organization=organization), as_json=as_json)


def discard(
    job: JobId,
    *,
    tenant: Tenant = None,
    organization: Organization = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Put a dead letter away. It can still be replayed."""

    async def away(app: App, principal: Principal) -> Job:
        return await app.jobs.discard(principal, job)

    _tell(with_app(away, config=config, tenant=tenant, organization=organization), as_json=as_json)


def _tell(job: Job, *, as_json: bool) -> None:
    if as_json:
        print_json(snake("job_json", job))
    else:
        note(f"Job {job.id} is {job.state.value}.")


def _job_row(job: Job) -> tuple[object, ...]:
    cause = job.error.message if job.error else ""
    return (
        job.id,
        job.state.value,
        f"{job.started_by.value} {job.name}",
        job.workflow_id,
        job.execution_id or "",
        moment(job.created_at),
        cause,
    )
