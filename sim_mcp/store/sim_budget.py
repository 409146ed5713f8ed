"""The budget of requests to SIM that all replicas share: one row, one guarded statement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sim_mcp.store import columns

if TYPE_CHECKING:
    from datetime import datetime

    from sim_mcp.store.database import Database

FAR_S = 60.0
"""A window this far ahead is from before the clock went back; a nearer one is another replica's clock."""

# New, the window starts empty. Otherwise the request gets what is left of it, as far as `limit` goes.
_TAKE = """
UPDATE sim_budget SET
  granted = CASE WHEN window_at < ? OR window_at > ? OR spent + ? <= ? THEN ? ELSE ? - spent END,
  spent = CASE WHEN window_at < ? OR window_at > ? THEN ? WHEN spent + ? <= ? THEN spent + ? ELSE ? END,
  window_at = CASE WHEN window_at < ? OR window_at > ? THEN ? ELSE window_at END
WHERE id = 1 AND (window_at < ? OR window_at > ? OR spent < ?)
RETURNING granted
"""


@dataclass(frozen=True, slots=True)
class BudgetWindows:
    """How many requests were given out in the present window, whoever asked for them."""

    database: Database

    async def take(self, wanted: int, *, window_at: datetime, limit: int) -> int:
        """Take up to `wanted` requests of the window that began at `window_at`; how many were left to take.

        No more than `limit` are given out in one window, counting those taken under another limit.
        A clock that runs a little behind takes from the newest window instead of opening an old one.

        Raises:
            ValueError: when `wanted` is not between 1 and `limit`.
        """
        if not 1 <= wanted <= limit:
            raise ValueError("a window cannot give so much")
        new = [columns.micros(window_at), columns.micros(window_at + timedelta(seconds=FAR_S))]
        row = await self.database.change(
            _TAKE,
            [
                *(*new, wanted, limit, wanted, limit),
                *(*new, wanted, wanted, limit, wanted, limit),
                *(*new, new[0]),
                *(*new, limit),
            ],
        )
        return 0 if row is None else columns.whole(row, "granted")
