"""The budget of one judgement. What is counted is work, so that every machine gives the same verdict."""

from __future__ import annotations

from typing import final

MAX_STEPS = 500_000
"""The work that one check may take: about half a second, in a thread of its own."""
AT_ONCE_STEPS = 5_000
"""The work that may be done on the event loop, where everybody waits for it: a few milliseconds."""
CHARACTERS_PER_STEP = 500
"""How much plain text is read in one step."""


class OutOfWork(Exception):
    """The judgement would take more steps than it may; there is no verdict."""


@final
class Work:
    """Steps that may still be taken. One step is about as long as applying one simple rule: a microsecond."""

    __slots__ = ("_left", "_limit")

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self._limit = steps
        self._left = steps

    @property
    def spent(self) -> int:
        """The steps taken so far."""
        return self._limit - self._left

    def spend(self, steps: int) -> None:
        """Account for `steps`, before they are taken.

        Raises:
            OutOfWork: there are not so many left.
        """
        self._left -= steps
        if self._left < 0:
            raise OutOfWork
