"""What to do about an error that a check-up met: one sentence for each kind."""

from __future__ import annotations

from collections.abc import Sequence

from sim_mcp.model.errors import (
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
    (StoreUnavailable, "see the check `database` of `sim-mcp doctor`"),
)
_LOOK = "look again in a moment; if it stays, see the server's log"


def remedy_for(error: SimMcpError | None) -> str:
    """What to do about `error`. The first kind that fits counts: the finer ones stand first."""
    return next((words for kind, words in _REMEDIES if isinstance(error, kind)), _LOOK)


def complaint(error: SimMcpError) -> str:
    """What happened, in one sentence that ends with a full stop."""
    return f"{error.message.rstrip('.')}."
