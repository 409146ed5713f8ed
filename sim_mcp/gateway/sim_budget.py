"""How often SIM may be asked about runs: one budget for all tenants, all processes and all who ask.

SIM counts 300 requests a minute and address. Follow-ups get `LIMIT` in each window of `WINDOW_S`: at
most 210 in any minute, since a minute touches 7 windows. The rest is left to the calls themselves.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sim_mcp.model.clock import Clock

if TYPE_CHECKING:
    from sim_mcp.store import Store

WINDOW_S = 10
LIMIT = 30
ASKED_LIMIT = 15
"""What clients that look at their executions can use up: the follower always keeps the other half."""
A_LOOK = 2
"""Requests set aside for one look: the run, and its form or the cancel. What was not used goes back."""


class SimBudget:
    """One per process; the windows are the database's."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._window = 0
        self._left = 0  # taken and not used in this window; below 0: used and not taken yet

    async def looks(self, wanted: int, *, limit: int = LIMIT) -> int:
        """How many of `wanted` looks may be made now. Each is to be followed by `used`.

        Raises:
            StoreUnavailable: the budget cannot be read, so SIM must not be asked.
        """
        window = int(self._clock.now().timestamp()) // WINDOW_S
        if window != self._window:
            self._window, self._left = window, min(self._left, 0)
        requests = wanted * A_LOOK
        have, self._left = self._left, 0
        if have < requests:
            begins_at = datetime.fromtimestamp(window * WINDOW_S, UTC)
            missing = min(requests - have, limit)
            try:
                have += await self._store.sim_budget.take(missing, window_at=begins_at, limit=limit)
            except BaseException:
                self._left += have
                raise
        granted = min(wanted, max(0, have // A_LOOK))
        self._left += have - granted * A_LOOK
        return granted

    def used(self, requests: int) -> None:
        """A granted look is over and needed so many requests: more are owed, fewer are left for others."""
        self._left += A_LOOK - requests
