"""Whether an attempt may be made again, and after how long. The product's heart in one table.

| Verb | Again after |
|---|---|
| `EXECUTE` | only what proves that no run began *and* may pass by itself: SIM not reached, 429, 503 |
| `READ`, `CANCEL` | the same, and also timeouts and lost answers: asking twice changes nothing |
| `RESUME` | only `SnapshotNotReady`: the pause was still being written (sim-api 6.3) |

This module decides; it does not wait. The caller sleeps on its own clock.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, final

from sim_mcp.model.errors import (
    NotASimApi,
    RunBegan,
    SimAnswerLost,
    SimError,
    SimTimeout,
    SnapshotNotReady,
)

if TYPE_CHECKING:
    from collections.abc import Callable

RESUME_EVERY_S = 1.5
RESUME_FOR_S = 10.0


class Verb(StrEnum):
    """What was being asked of SIM: it decides what asking twice would mean."""

    EXECUTE = "execute"
    READ = "read"
    CANCEL = "cancel"
    RESUME = "resume"


@final
class RetryPolicy:
    """Waits of `waits_s`, each varied by up to `jitter` of itself in both directions.

    Args:
        random: Draws a number from 0 (included) to 1 (excluded).
        waits_s: The wait before each repetition; their number is the number of repetitions.
        jitter: The share by which a wait varies, 0 to 1.
    """

    def __init__(
        self,
        random: Callable[[], float],
        *,
        waits_s: tuple[float, ...] = (1.0, 2.0, 4.0),
        jitter: float = 0.25,
    ) -> None:
        self._random = random
        self._waits_s = waits_s
        self._jitter = jitter

    def wait_s(
        self, error: SimError, *, verb: Verb, attempt: int, elapsed_s: float, within_s: float
    ) -> float | None:
        """Seconds to wait before the next attempt, or `None`: let `error` stand.

        Args:
            error: What ended the attempt.
            verb: What was asked of SIM.
            attempt: Which attempt ended, counted from 1.
            elapsed_s: Seconds since the first attempt began.
            within_s: Seconds that all attempts and waits together may take.

        Never less than the error's `retry_after_s`, which jitter only lengthens; never so long that
        no time would be left for the attempt itself.
        """
        if not _may_repeat(error, verb=verb):
            return None
        wait_s = self._resume_wait_s(attempt) if verb is Verb.RESUME else self._varied_wait_s(attempt)
        if wait_s is None:
            return None
        asked_s = _asked_s(error)
        if asked_s > 0:
            spread_s = self._jitter * wait_s * self._random()
            wait_s = max(wait_s, asked_s + spread_s)
        return wait_s if elapsed_s + wait_s < within_s else None

    def _varied_wait_s(self, attempt: int) -> float | None:
        if not 1 <= attempt <= len(self._waits_s):
            return None
        return self._waits_s[attempt - 1] * (1 + self._jitter * (2 * self._random() - 1))

    @staticmethod
    def _resume_wait_s(attempt: int) -> float | None:
        return RESUME_EVERY_S if attempt * RESUME_EVERY_S <= RESUME_FOR_S else None


def _may_repeat(error: SimError, *, verb: Verb) -> bool:
    if isinstance(error, NotASimApi):
        return False
    match verb:
        case Verb.EXECUTE:
            return error.began is RunBegan.NO and error.retryable
        case Verb.READ | Verb.CANCEL:
            return error.retryable or isinstance(error, (SimAnswerLost, SimTimeout))
        case Verb.RESUME:
            return isinstance(error, SnapshotNotReady)


def _asked_s(error: SimError) -> float:
    """The wait that SIM asked for; nonsense counts as none."""
    asked_s = error.retry_after_s
    return 0.0 if asked_s is None or math.isnan(asked_s) else asked_s
