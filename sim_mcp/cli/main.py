"""The program: every verb under its name, and the one place where errors become exit codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from sim_mcp import __version__
from sim_mcp.cli.call import call
from sim_mcp.cli.database import database_verbs, key_verbs
from sim_mcp.cli.demo import demo
from sim_mcp.cli.exits import code_of, report
from sim_mcp.cli.groups import help_when_alone
from sim_mcp.cli.history import history, show
from sim_mcp.cli.printing import say
from sim_mcp.cli.sandbox import sandbox
from sim_mcp.cli.serve import serve
from sim_mcp.cli.setup import setup
from sim_mcp.cli.tokens import token_verbs
from sim_mcp.cli.tools import tool_verbs


def run_program(arguments: Sequence[str]) -> int:
    """Perform the verb in `arguments`; the exit code. Never raises but for `SystemExit`."""
    try:
        outcome = build()(args=list(arguments), prog_name="sim-mcp", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the edge: people get one line, not a stack
        return report(error)
    return code_of(outcome)


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
    for verb in (demo, serve, setup, call, history, show, sandbox):
        program.command()(verb)
    program.add_typer(tool_verbs(), name="tools")
    program.add_typer(token_verbs(), name="token")
    program.add_typer(database_verbs(), name="db")
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
