"""The command line with all its verbs but `serve`, which must start fast and reads its own options."""

from __future__ import annotations

from typing import Annotated

import typer

from sim_mcp import __version__
from sim_mcp.cli.audit import audit_verbs
from sim_mcp.cli.call import call
from sim_mcp.cli.client_config import client_config
from sim_mcp.cli.dashboard import dashboard
from sim_mcp.cli.database import database_verbs, key_verbs
from sim_mcp.cli.demo import demo
from sim_mcp.cli.doctor import doctor
from sim_mcp.cli.events import event_verbs
from sim_mcp.cli.groups import help_when_alone
from sim_mcp.cli.history import history, show
from sim_mcp.cli.init import init
from sim_mcp.cli.jobs import job_verbs
from sim_mcp.cli.printing import say
from sim_mcp.cli.sandbox import sandbox
from sim_mcp.cli.schedules import schedule_verbs
from sim_mcp.cli.secrets import secret_verbs
from sim_mcp.cli.serve import serve
from sim_mcp.cli.setup import setup
from sim_mcp.cli.stats import stats
from sim_mcp.cli.tokens import token_verbs
from sim_mcp.cli.tools import tool_verbs
from sim_mcp.cli.worker import worker


def build() -> typer.Typer:
    """The command line with all its verbs."""
    # Markup and pretty tracebacks would import rich before the verb is even known.
    program = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    program.callback(invoke_without_command=True)(_program)
    program.command()(demo)
    passed_on = {"ignore_unknown_options": True, "allow_extra_args": True}
    program.command("serve", add_help_option=False, context_settings=passed_on)(_serve)
    for verb in (init, worker, setup, call, history, show, stats, dashboard, doctor, sandbox):
        program.command()(verb)
    program.command("config")(client_config)
    program.add_typer(tool_verbs(), name="tools")
    program.add_typer(secret_verbs(), name="secrets")
    program.add_typer(event_verbs(), name="events")
    program.add_typer(schedule_verbs(), name="schedules")
    program.add_typer(job_verbs(), name="jobs")
    program.add_typer(token_verbs(), name="token")
    program.add_typer(database_verbs(), name="db")
    program.add_typer(audit_verbs(), name="audit")
    program.add_typer(key_verbs(), name="keys")
    return program


def _program(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Turns SIM workflows into tools for AI assistants, safely.

    New here? `sim-mcp demo` shows everything, without an account.
    """
    if version:
        say(f"sim-mcp {__version__}")
        raise typer.Exit
    help_when_alone(context)


def _serve(context: typer.Context) -> None:
    """Run the MCP server."""
    serve(context.args)
