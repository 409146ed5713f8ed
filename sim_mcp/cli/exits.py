"""How a verb ends: three exit codes, and every error as one line with a remedy."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from sim_mcp.cli.printing import complain
from sim_mcp.model.credentials import without_credentials
from sim_mcp.model.errors import SimMcpError

if TYPE_CHECKING:
    import typer

log = logging.getLogger(__name__)

DONE, FAILED, MISUSED = 0, 1, 2

_INTERRUPTED = 130
"""What typer makes of Ctrl-C; the contract knows three codes only."""


class Misuse(Exception):
    """The command line asks for something that cannot be meant; `remedy` says what to write instead."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class Unfinished(Exception):
    """The verb did not reach its end; `remedy` says what to do now."""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def code_of(outcome: object) -> int:
    """The exit code of a verb that returned `outcome` to typer."""
    if outcome == _INTERRUPTED:
        complain("Interrupted.")
        return FAILED
    return outcome if isinstance(outcome, int) else DONE


def report(error: BaseException) -> int:
    """Say on stderr what went wrong and what to do, never more than two lines; the exit code."""
    import typer

    cause = root_of(error)
    match cause:
        case Misuse():
            complain(cause.message, remedy=cause.remedy)
            return MISUSED
        case Unfinished():
            complain(cause.message, remedy=cause.remedy)
        case SimMcpError():
            if cause.detail:
                log.debug("detail of the error: %s", cause.detail)
            complain(cause.message)
        case typer.TyperException():
            complain(without_credentials(cause.format_message()), remedy=_usage_remedy(cause))
            return MISUSED
        case typer.Abort() | KeyboardInterrupt():
            complain("Interrupted.")
        case OSError():
            log.debug("unexpected error", exc_info=cause)
            complain(f"{cause.strerror or type(cause).__name__}: {cause.filename or 'the system refused'}.")
        case _:
            log.debug("unexpected error", exc_info=cause)
            complain(
                f"Unexpected {type(cause).__name__}.",
                remedy="run it with SIM_MCP_LOG_LEVEL=debug to see where",
            )
    return FAILED


def root_of(error: BaseException) -> BaseException:
    """The one error inside groups of task groups; of several, one of ours."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    inner = [root_of(each) for each in cast("BaseExceptionGroup[BaseException]", error).exceptions]
    return next((each for each in inner if isinstance(each, SimMcpError | Misuse | Unfinished)), inner[0])


def _usage_remedy(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "sim-mcp")
    return f"see `{command} --help`"
