"""The program's one entrance, and the one place where errors become exit codes."""

from __future__ import annotations

from collections.abc import Sequence

from sim_mcp.cli.exits import code_of, report


def run_program(arguments: Sequence[str]) -> int:
    """Perform the verb in `arguments`; the exit code. Never raises."""
    try:
        outcome = _perform(list(arguments))
    except SystemExit as ended:  # argparse leaves so after `--help`
        return code_of(ended.code)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the edge: people get one line, not a stack
        return report(error)
    return code_of(outcome)


def _perform(arguments: list[str]) -> object:
    # An assistant waits for `serve` over stdio at every start; the other verbs' imports are not its business.
    if arguments[:1] == ["serve"]:
        from sim_mcp.cli.serve import serve

        return serve(arguments[1:])
    from sim_mcp.cli.program import build

    return build()(args=arguments, prog_name="sim-mcp", standalone_mode=False)
