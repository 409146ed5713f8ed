"""The circuit breaker: one per tenant and SIM instance, without a single await (contract 11).

    closed ──5 failures in a row, or half of 20 calls in 60 s──> open
    open ──60 s passed and somebody asks──> half-open, with that call as the only probe
    half-open ──probe succeeded──> closed      ──probe failed──> open for twice as long (at most 300 s)
                                               ──probe said nothing (cancelled)──> open, next probe at once

Nothing is awaited between looking at the state and changing it, so tasks cannot race; the lack of
threads is the caller's part.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Literal, TypeAlias, final

from sim_mcp.model.errors import (
    CircuitOpen,
    SimAnswerLost,
    SimError,
    SimTimeout,
    SimUnavailable,
)
from sim_mcp.model.facts import BreakerChanged

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from sim_mcp.model.clock import Clock
    from sim_mcp.model.facts import Observer
    from sim_mcp.model.principal import TenantId

FAILURES_IN_A_ROW = 5
WINDOW_S = 60
WINDOW_CALLS = 20
WINDOW_SHARE = 0.5
OPEN_S = 60.0
OPEN_MAX_S = 300.0
PROBE_PATIENCE_S = 1.0
"""What those are told who ask while the probe is under way: it usually ends within a second."""

StateName: TypeAlias = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """A breaker at one moment.

    `half_open` means that a probe is under way. `retry_after_s` is `None` when closed; 0 when the
    next call will be the probe.
    """

    name: StateName
    since: datetime
    retry_after_s: float | None
    failures_in_a_row: int


class _Verdict(Enum):
    ANSWERED = auto()
    FAILED = auto()
    NEUTRAL = auto()


def verdict_on(error: BaseException | None) -> _Verdict:
    """What one attempt says about SIM's infrastructure.

    A failed workflow, a 4xx, a 429 or a 500 is an answer. Cancellation, our own refusals and
    foreign exceptions say nothing.
    """
    if error is None:
        return _Verdict.ANSWERED
    if not isinstance(error, SimError):
        return _Verdict.NEUTRAL
    if isinstance(error, SimTimeout):
        # With a status it is SIM's own word that the *run* took too long (sim-api 1.8). Without one
        # the tool's own time ran out, which tells a slow workflow from a dead SIM no better.
        return _Verdict.NEUTRAL if error.sim_status is None else _Verdict.ANSWERED
    return _Verdict.FAILED if isinstance(error, (SimUnavailable, SimAnswerLost)) else _Verdict.ANSWERED


@final
class _Window:
    """Calls and failures of the last `WINDOW_S` seconds, counted per second: at most 61 cells."""

    __slots__ = ("_cells", "calls", "failures")

    def __init__(self) -> None:
        self._cells: list[list[int]] = []  # few, and most tenants have one: a deque is ten times as large
        self.calls = 0
        self.failures = 0

    def add(self, now_s: float, *, failed: bool) -> None:
        """Count one call that ended at `now_s`, and forget what is older than the window."""
        second = math.floor(now_s)
        while self._cells and self._cells[0][0] <= second - WINDOW_S:
            _, calls, failures = self._cells.pop(0)
            self.calls -= calls
            self.failures -= failures
        if not self._cells or self._cells[-1][0] != second:
            self._cells.append([second, 0, 0])
        cell = self._cells[-1]
        cell[1] += 1
        cell[2] += failed
        self.calls += 1
        self.failures += failed

    @property
    def is_bad(self) -> bool:
        """Whether enough calls were made, and too many of them failed."""
        return self.calls >= WINDOW_CALLS and self.failures >= WINDOW_SHARE * self.calls


@final
class Breaker:
    """The breaker of one tenant towards one SIM instance. Get one from `Breakers.of`."""

    __slots__ = (
        "_clock",
        "_failures",
        "_name",
        "_observer",
        "_open_s",
        "_opened_at_s",
        "_period",
        "_since",
        "_window",
        "tenant_id",
    )

    def __init__(self, tenant_id: TenantId, clock: Clock, *, observer: Observer | None = None) -> None:
        self.tenant_id = tenant_id
        self._clock = clock
        self._observer = observer
        self._name: StateName = "closed"
        self._since = clock.now()
        self._failures = 0
        self._window = _Window()
        self._open_s = OPEN_S
        self._opened_at_s = 0.0
        self._period = 0
        """Counts state changes, so that an attempt that ends in another period is not counted there."""

    @property
    def state(self) -> BreakerState:
        """The state now. Looking changes nothing."""
        return BreakerState(
            name=self._name,
            since=self._since,
            retry_after_s=self._wait_s(),
            failures_in_a_row=self._failures,
        )

    @property
    def is_spotless(self) -> bool:
        """Whether forgetting this breaker would forget nothing bad."""
        return self._name == "closed" and self._failures == 0

    def guard(self) -> AbstractContextManager[None]:
        """Guard one attempt: `with breaker.guard(): answer = await …`.

        Entering asks for leave; leaving counts the attempt by the exception that passes, which is
        never swallowed. A cancelled attempt counts as nothing and gives the probe back.

        Raises:
            CircuitOpen: on entering, while SIM is not to be asked; `retry_after_s` says how long.
        """
        return _Guard(self)

    def enter(self) -> int:
        """Let one attempt in and return the period it belongs to; prefer `guard`.

        Raises:
            CircuitOpen: see `guard`.
        """
        wait_s = self._wait_s()
        if wait_s is None:
            return self._period
        since = f"since {self._since:%Y-%m-%d %H:%M:%S} UTC"
        if self._name == "half_open":
            raise CircuitOpen(
                f"SIM kept failing, and one probe is under way {since}; try again in {wait_s:.0f} s.",
                retry_after_s=wait_s,
            )
        if wait_s > 0:
            raise CircuitOpen(
                f"SIM kept failing, and {since} calls are not sent to it; "
                f"next probe in {math.ceil(wait_s)} s, try again then.",
                retry_after_s=wait_s,
            )
        self._change("half_open")
        return self._period

    def leave(self, period: int, error: BaseException | None) -> None:
        """Count the attempt that `enter` let in; prefer `guard`."""
        if period != self._period:
            return
        verdict = verdict_on(error)
        if self._name == "half_open":
            self._judge_probe(verdict)
        elif verdict is not _Verdict.NEUTRAL:
            failed = verdict is _Verdict.FAILED
            self._failures = self._failures + 1 if failed else 0
            self._window.add(self._clock.monotonic(), failed=failed)
            if self._failures >= FAILURES_IN_A_ROW or self._window.is_bad:
                self._open(OPEN_S)

    def _judge_probe(self, verdict: _Verdict) -> None:
        if verdict is _Verdict.ANSWERED:
            self._failures = 0
            self._window = _Window()
            self._change("closed")
        elif verdict is _Verdict.FAILED:
            self._failures += 1
            self._open(min(OPEN_MAX_S, self._open_s * 2))
        else:
            self._change("open")

    def _open(self, open_s: float) -> None:
        self._open_s = open_s
        self._opened_at_s = self._clock.monotonic()
        self._change("open")

    def _change(self, name: StateName) -> None:
        before, self._name = self._name, name
        self._period += 1
        self._since = self._clock.now()
        if self._observer is not None:
            self._observer(
                BreakerChanged(
                    tenant_id=self.tenant_id, before=before, after=name, retry_after_s=self._wait_s()
                )
            )

    def _wait_s(self) -> float | None:
        match self._name:
            case "closed":
                return None
            case "half_open":
                return PROBE_PATIENCE_S
            case "open":
                return max(0.0, self._opened_at_s + self._open_s - self._clock.monotonic())


@final
class _Guard(AbstractContextManager[None]):
    """One attempt's passage through a breaker."""

    __slots__ = ("_breaker", "_period")

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._period = -1

    def __enter__(self) -> None:
        self._period = self._breaker.enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._breaker.leave(self._period, error)


@final
class Breakers:
    """Every tenant's breakers, in a bounded map.

    When `max_keys` is reached, the longest unused breaker without a failure goes first, then any
    closed one, and an open one only when nothing else is left.
    """

    def __init__(self, clock: Clock, *, observer: Observer | None = None, max_keys: int = 10_000) -> None:
        self._clock = clock
        self._observer = observer
        self._max_keys = max_keys
        self._breakers: OrderedDict[tuple[TenantId, str], Breaker] = OrderedDict()

    def __len__(self) -> int:
        return len(self._breakers)

    def of(self, tenant_id: TenantId, base_url: str) -> Breaker:
        """The breaker of `tenant_id` towards the SIM at `base_url` (a trailing slash is ignored)."""
        key = (tenant_id, base_url.rstrip("/"))
        breaker = self._breakers.get(key)
        if breaker is None:
            if len(self._breakers) >= self._max_keys:
                del self._breakers[self._least_missed()]
            breaker = self._breakers[key] = Breaker(tenant_id, self._clock, observer=self._observer)
        else:
            self._breakers.move_to_end(key)
        return breaker

    def snapshot(self, tenant_id: TenantId) -> dict[str, BreakerState]:
        """The state of each of this tenant's breakers, by base URL; one never used is not there."""
        return {url: breaker.state for (owner, url), breaker in self._breakers.items() if owner == tenant_id}

    def _least_missed(self) -> tuple[TenantId, str]:
        closed = None
        for key, breaker in self._breakers.items():
            if breaker.is_spotless:
                return key
            if closed is None and breaker.state.name == "closed":
                closed = key
        return closed or next(iter(self._breakers))
