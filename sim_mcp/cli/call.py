"""`sim-mcp call`: one call through the same corridor that every client takes."""

from __future__ import annotations

import difflib
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli.arguments import arguments_from
from sim_mcp.cli.asking import confirmed
from sim_mcp.cli.exits import FAILED, Unfinished
from sim_mcp.cli.options import Config, Organization, Tenant, Yes
from sim_mcp.cli.printing import complain, print_json, safe
from sim_mcp.cli.records import result_of
from sim_mcp.cli.session import with_app
from sim_mcp.model.errors import SimMcpError, UnknownTool
from sim_mcp.model.execution import Call, Execution, ExecutionId, Status, Trigger
from sim_mcp.model.principal import Principal
from sim_mcp.model.tool import Mode, WorkflowTool

if TYPE_CHECKING:
    from rich.status import Status as Spinner

    from sim_mcp.app import App, Plan, Progress, Watch

ACCEPTED_EVERY_S = 0.1
ACCEPTED_WITHIN = 300
"""How often, and how many times, an async call is looked at until SIM has taken it."""
CANCEL_WITHIN_S = 10.0


def call(
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="As `sim-mcp tools list` names it.")],
    *,
    arg: Annotated[
        list[str] | None, typer.Option("--arg", metavar="K=V", help="An argument; may be repeated.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--input", metavar="JSON|@FILE|-", help="All arguments as a JSON object.")
    ] = None,
    is_async: Annotated[
        bool, typer.Option("--async", help="Only start it; follow with `sim-mcp show`.")
    ] = False,
    is_dry: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent, and run nothing.")
    ] = False,
    timeout_s: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", help="Instead of the tool's own.")
    ] = None,
    tenant: Tenant = None,
    organization: Organization = None,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", hidden=True)] = False,
    config: Config = None,
) -> None:
    """Call a tool and print its result as JSON.

    Exit code 0 means completed (with --async: started); everything else is 1.
    """
    del as_json  # the result is JSON in any case
    from sim_mcp.app import Needs

    seen: list[ExecutionId] = []

    async def perform(app: App, principal: Principal) -> Execution | Plan:
        known = await _find(app, principal, tool)
        arguments = arguments_from(arg or [], source, known.input_schema if known else {})
        intent = Call(
            principal=principal,
            trigger=Trigger.MANUAL,
            tool_name=tool,
            arguments=arguments,
            timeout_s=timeout_s,
            mode=Mode.ASYNC if is_async else None,
        )
        try:
            if is_dry:
                return await app.planner.plan(intent)
            if known is not None and known.confirm:
                await _confirm(app, intent, is_yes=yes)
            return await (_start(app, intent) if is_async else _finish(app, intent, seen))
        except UnknownTool as error:
            raise await _with_hint(error, app, principal, tool) from error

    needs = Needs(uses_process_key=True)
    with _told_when_interrupted(seen):
        row = with_app(perform, config=config, tenant=tenant, organization=organization, needs=needs)
    if isinstance(row, Execution):
        _conclude(row, is_async=is_async)
    else:
        _show_plan(row)


@contextmanager
def _told_when_interrupted(seen: list[ExecutionId]) -> Generator[None]:
    """Say after Ctrl-C what became of the call, if one was under way."""
    try:
        yield
    except KeyboardInterrupt:
        if not seen:
            raise
        remedy = f"`sim-mcp show {seen[0]}` tells what became of it"
        raise Unfinished("Interrupted; SIM was asked to cancel the run.", remedy=remedy) from None


async def _find(app: App, principal: Principal, name: str) -> WorkflowTool | None:
    """The tool, to read its arguments by; the corridor itself decides whether it may be called."""
    tools = await app.gateway.tools(principal)
    return next((each for each in tools if each.name == name), None)


async def _confirm(app: App, intent: Call, *, is_yes: bool) -> None:
    """Return when a person agrees; a no is recorded, and ends the verb.

    Raises:
        Misuse: nobody can be asked.
        Unfinished: the person said no.
    """
    if not confirmed(f"Run {intent.tool_name}? Its owner wants every run confirmed.", is_yes=is_yes):
        declined = await app.gateway.decline(intent)
        raise Unfinished(f"Nothing was run (recorded as {declined}).")


async def _with_hint(error: UnknownTool, app: App, principal: Principal, name: str) -> UnknownTool:
    """`error`, with the names that may have been meant: here the caller may see them all."""
    names = [each.name for each in await app.gateway.tools(principal)]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else "`sim-mcp tools list` shows the tools."
    return UnknownTool(f"{error.message}; {hint}")


async def _start(app: App, intent: Call) -> Execution:
    """Start the call, and return once SIM has taken it (or it ended before)."""
    row = await app.gateway.call(intent, patience_s=0)
    for _ in range(ACCEPTED_WITHIN):
        if row.job_id is not None or row.status is not Status.PROCESSING:
            break
        row = await app.gateway.follow(row, patience_s=ACCEPTED_EVERY_S)
    return row


async def _finish(app: App, intent: Call, seen: list[ExecutionId]) -> Execution:
    """Call and wait. Ctrl-C cancels the run at SIM, as a client's cancel would."""
    import anyio

    async with _watched(intent.tool_name or "", seen) as watch:
        try:
            return await app.gateway.call(intent, watch=watch)
        except anyio.get_cancelled_exc_class():
            if seen:
                with anyio.move_on_after(CANCEL_WITHIN_S, shield=True), suppress(SimMcpError):
                    await app.runs.cancel(intent.principal, seen[0])
            raise


@asynccontextmanager
async def _watched(name: str, seen: list[ExecutionId]) -> AsyncGenerator[Watch]:
    """A watch that notes the execution's id, and shows progress when stderr is a terminal."""

    async def silent(progress: Progress) -> None:
        seen[:] = [progress.execution_id]

    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    with console.status(Text(f"{safe(name)}: starting")) as spinner:

        async def shown(progress: Progress) -> None:
            await silent(progress)
            if progress.text:
                lines = (safe(line) for line in progress.text.split("\n"))
                console.print(Text("\n".join(lines)), end="")
            _turn(spinner, safe(name), progress)

        yield shown


def _turn(spinner: Spinner, name: str, progress: Progress) -> None:
    from rich.text import Text

    words = f"{name}: {progress.status.value}, {progress.elapsed_s:.0f} s ({progress.execution_id})"
    spinner.update(Text(words))


def _conclude(row: Execution, *, is_async: bool) -> None:
    """Print the result; end the verb with 1 unless it is what was asked for.

    Raises:
        typer.Exit: it is not.
    """
    print_json(result_of(row))
    if not _is_success(row, is_async=is_async):
        message, remedy = _why_not(row)
        complain(message, remedy=remedy)
        raise typer.Exit(FAILED)


def _show_plan(plan: Plan) -> None:
    """Print the dry run; end the verb with 1 when something stands in the way.

    Raises:
        typer.Exit: it does.
    """
    from sim_mcp.transports.plan_results import plan_json, plan_problems

    print_json(plan_json(plan))
    problems = plan_problems(plan)
    if problems:
        complain("Dry run: the call might not succeed now.", remedy="; ".join(problems))
        raise typer.Exit(FAILED)


def _why_not(row: Execution) -> tuple[str, str]:
    """Why the call is no success, and what to do."""
    if row.status is Status.PAUSED:
        return "The run waits for a person.", f"answer it with sim_resume_execution; `sim-mcp show {row.id}`"
    message = row.error.message if row.error else f"The run is {row.status.value}."
    return message, f"`sim-mcp show {row.id}` tells more"


def _is_success(row: Execution, *, is_async: bool) -> bool:
    started = {Status.QUEUED, Status.PROCESSING} if is_async else set[Status]()
    return row.status in {Status.COMPLETED, *started}
