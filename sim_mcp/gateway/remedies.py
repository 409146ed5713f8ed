"""What to do about an error that a check-up met: one sentence for each kind."""

from __future__ import annotations

from collections.abc import Sequence

from sim_mcp.model.errors import (
    Forbidden,
    InvalidInput,
    NotASimApi,
    NotConfigured,
    SimMcpError,
    SimRateLimited,
    SimRefused,
    SimRejectedKey,
    SimUnavailable,
    SimUsageExceeded,
    StoreUnavailable,
)

_REMEDIES: Sequence[tuple[type[SimMcpError], str]] = (
    (NotASimApi, "correct the base URL, which must lead to SIM itself: `sim-mcp setup --base-url URL`"),
    (SimUnavailable, "check the base URL, the network and that SIM is running; then look again"),
    (SimRejectedKey, "create a new API key in SIM, then run `sim-mcp setup` with it"),
    (SimRefused, "give the key access in SIM, or run `sim-mcp setup` with another key"),
    (SimRateLimited, "wait a minute, then look again"),
    (SimUsageExceeded, "raise the limit or change the plan in SIM, or wait for the next period"),
    (NotConfigured, "put back the encryption key that sealed it, or run `sim-mcp setup` again"),
    (InvalidInput, "let the operator list its host in SIM_MCP_SIM_ALLOWED_HOSTS, or set up another URL"),
    (Forbidden, "let SIM_MCP_PERMISSIONS, or the token, name the permission"),
    (StoreUnavailable, "see the check `database` of `sim-mcp doctor`"),
)
_LOOK = "look again in a moment; if it stays, see the server's log"


def remedy_for(error: SimMcpError | None) -> str:
    """What to do about `error`. The first kind that fits counts: the finer ones stand first."""
    return next((words for kind, words in _REMEDIES if isinstance(error, kind)), _LOOK)


def complaint(error: SimMcpError) -> str:
    """What happened, as a whole sentence."""
    return _ended(error.message)


def halves(error: SimMcpError) -> tuple[str, str]:
    """What happened and what to do, of an error whose message is `what: what to do`.

    The store and the settings say all their errors so.
    """
    said, _, remedy = error.message.rstrip(".").partition(": ")
    return _ended(said), remedy or remedy_for(error)


def _ended(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."
