"""`sim-mcp demo`: the whole server in a few seconds, without an account."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli.demo_ledger import Ledger
from sim_mcp.cli.exits import FAILED
from sim_mcp.cli.options import AsJson
from sim_mcp.cli.printing import note, print_json, say
from sim_mcp.cli.session import run

if TYPE_CHECKING:
    from rich.console import Console

    from sim_mcp.cli.demo_stage import Stage

TOUR_LIMIT_S = 60.0
"""A tour that hangs is a broken promise too."""
KEPT_TOKEN_MINUTES = 60


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running, and print how to connect.")] = False,
    as_json: AsJson = False,
) -> None:
    """See everything work: a built-in SIM, the real server, two tenants, the official MCP client.

    Needs no account and touches nothing of yours. Every promise on the tour is checked; a broken one
    makes the exit code 1.
    """
    from sim_mcp.telemetry import set_up_logs

    set_up_logs(level="error", style="text")
    ledger = Ledger(None if as_json else _console())

    async def play() -> None:
        from sim_mcp.cli.demo_stage import stage

        async with stage() as played:
            await _tour(played, ledger)
            _give_verdict(ledger, as_json=as_json)
            if keep:
                for line in _connections(played):
                    say(line)
                await played.wait()

    with suppress(KeyboardInterrupt):  # how `--keep` ends
        run(play)
    if ledger.broken or not ledger.promises:
        raise typer.Exit(FAILED)


async def _tour(played: Stage, ledger: Ledger) -> None:
    import anyio

    from sim_mcp.cli.demo_tour import Tour

    with anyio.move_on_after(TOUR_LIMIT_S) as scope:
        await Tour(played, ledger).walk()
    if scope.cancelled_caught:
        ledger.promise(f"the tour ends within {TOUR_LIMIT_S:.0f} s", is_kept=False)


def _give_verdict(ledger: Ledger, *, as_json: bool) -> None:
    kept = len(ledger.promises) - len(ledger.broken)
    if as_json:
        print_json(ledger.to_json())
    else:
        say(f"\n{kept} of {len(ledger.promises)} promises kept.")
    for promise in ledger.broken:
        note(f"Broken promise, in {promise.step!r}: {promise.text}")


def _connections(played: Stage) -> tuple[str, ...]:
    """How to connect, with tokens that are good for an hour on this machine only."""
    url = played.url
    acme, globex = (played.sign(tenant, KEPT_TOKEN_MINUTES) for tenant in ("acme", "globex"))
    return (
        "",
        f"Left running at {url} until Ctrl-C. DEMO TOKENS, good for {KEPT_TOKEN_MINUTES} minutes:",
        "",
        f"acme:   {acme}",
        f"globex: {globex}",
        "",
        "curl:",
        f'  curl -H "Authorization: Bearer {acme}" {url}/api/integration/sim/executions',
        "Inspector (list the tools; without --cli and the method it opens in the browser):",
        (
            f"  npx @modelcontextprotocol/inspector --cli {url}/mcp --transport http --method tools/list"
            f' --header "Authorization: Bearer {acme}"'
        ),
        "Claude Code:",
        f'  claude mcp add --transport http sim-demo {url}/mcp --header "Authorization: Bearer {acme}"',
        'Then ask: "Request a refund of 240 euros and tell me what it waits for."',
        "(The breaker of globex closes a minute after the tour.)",
    )


def _console() -> Console:
    from rich.console import Console

    return Console(soft_wrap=True)
