"""A group of verbs, as `sim-mcp tools`: alone it shows its help."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import typer

from sim_mcp.cli.printing import say


def group(title: str, verbs: Mapping[str, Callable[..., None]]) -> typer.Typer:
    """A Typer application with `verbs`, by name, in that order."""
    made = typer.Typer(help=title, rich_markup_mode=None)
    made.callback(invoke_without_command=True, help=title)(help_when_alone)
    for name, verb in verbs.items():
        made.command(name=name)(verb)
    return made


def help_when_alone(context: typer.Context) -> None:
    """Print the help when no verb was named."""
    if context.invoked_subcommand is None:
        say(context.get_help())
        raise typer.Exit
