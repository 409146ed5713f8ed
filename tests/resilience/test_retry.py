"""Which error may be answered by asking again, and after how long."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_mcp.model.errors import (
    NotASimApi,
    RunBegan,
    RunIdTaken,
    SimAnswerLost,
    SimConflict,
    SimError,
    SimInternalError,
    SimNotDeployed,
    SimNotFound,
    SimPayloadTooLarge,
    SimRateLimited,
    SimRefused,
    SimRejectedInput,
    SimRejectedKey,
    SimTimeout,
    SimUnavailable,
    SimUsageExceeded,
    SnapshotNotReady,
)
from sim_mcp.resilience import RetryPolicy, Verb

NEVER: frozenset[Verb] = frozenset()
READS = frozenset({Verb.READ, Verb.CANCEL})
ALWAYS = READS | {Verb.EXECUTE}

MAY_REPEAT: dict[type[SimError], frozenset[Verb]] = {
    SimUnavailable: ALWAYS,
    SimRateLimited: ALWAYS,
    SnapshotNotReady: ALWAYS | {Verb.RESUME},
    SimTimeout: READS,
    SimAnswerLost: READS,
    SimInternalError: NEVER,
    NotASimApi: NEVER,
    RunIdTaken: NEVER,
    SimConflict: NEVER,
    SimRejectedKey: NEVER,
    SimRefused: NEVER,
    SimNotFound: NEVER,
    SimNotDeployed: NEVER,
    SimRejectedInput: NEVER,
    SimPayloadTooLarge: NEVER,
    SimUsageExceeded: NEVER,
}
"""Every error of SIM's, and the verbs that may be repeated after it."""


def fixed(draw: float = 0.5) -> RetryPolicy:
    """A policy whose dice always show `draw`; 0.5 means no jitter."""
    return RetryPolicy(lambda: draw)


def descendants(kind: type[SimError]) -> set[type[SimError]]:
    return {kind}.union(*(descendants(each) for each in kind.__subclasses__()))


@pytest.mark.requirement("R36")
@pytest.mark.parametrize("verb", list(Verb))
@pytest.mark.parametrize("kind", list(MAY_REPEAT))
def test_what_may_be_repeated_is_a_table(kind: type[SimError], verb: Verb) -> None:
    """The whole table: each error of SIM's against each verb."""
    wait_s = fixed().wait_s(kind("…"), verb=verb, attempt=1, elapsed_s=0, within_s=60)
    assert (wait_s is not None) == (verb in MAY_REPEAT[kind])


def test_the_table_knows_every_error() -> None:
    """A new error of SIM's has to be decided upon here."""
    known = {kind for kind in descendants(SimError) if kind.__module__ == SimError.__module__}
    assert known - {SimError} == set(MAY_REPEAT)


@pytest.mark.requirement("R36")
@pytest.mark.parametrize(
    ("draw", "expected"), [(0.5, [1, 2, 4, None]), (0.0, [0.75, 1.5, 3, None]), (1.0, [1.25, 2.5, 5, None])]
)
def test_three_repetitions_after_1_2_and_4_seconds_with_a_quarter_of_jitter(
    draw: float, expected: list[float | None]
) -> None:
    """The fourth failure stands."""
    waits_s = [
        fixed(draw).wait_s(SimUnavailable("…"), verb=Verb.EXECUTE, attempt=attempt, elapsed_s=0, within_s=60)
        for attempt in (1, 2, 3, 4)
    ]
    assert waits_s == expected


@pytest.mark.requirement("R36")
@pytest.mark.parametrize(
    ("asked_s", "draw", "within_s", "expected"),
    [
        (10.0, 0.0, 60.0, 10.0),
        (10.0, 1.0, 60.0, 10.3125),
        (0.1, 0.5, 60.0, 1.0),
        (60.0, 0.5, 60.0, None),
        (300.0, 0.5, 60.0, None),
        (math.inf, 0.5, 60.0, None),
        (-5.0, 0.5, 60.0, 1.0),
        (math.nan, 0.5, 60.0, 1.0),
        (None, 0.5, 1.0, None),
        (None, 0.5, 1.1, 1.0),
    ],
)
def test_what_sim_asks_for_is_honoured_within_the_tools_time(
    asked_s: float | None, draw: float, within_s: float, expected: float | None
) -> None:
    """Never sooner than asked, never when no time would be left; nonsense counts as not asked."""
    error = SimRateLimited("…", retry_after_s=asked_s)
    wait_s = fixed(draw).wait_s(error, verb=Verb.EXECUTE, attempt=1, elapsed_s=0, within_s=within_s)
    assert wait_s == (None if expected is None else pytest.approx(expected, rel=0.05))
    assert wait_s is None or wait_s >= (expected or 0) * 0.95


def test_time_already_spent_counts() -> None:
    """Fifty-nine of sixty seconds are gone: a wait of one would end too late."""
    wait_s = fixed().wait_s(SimUnavailable("…"), verb=Verb.READ, attempt=1, elapsed_s=59, within_s=60)
    assert wait_s is None


def test_resume_is_asked_again_every_one_and_a_half_seconds_for_about_ten() -> None:
    """Only while the pause is still being written (sim-api 6.3)."""
    waits_s: list[float] = []
    elapsed_s = 0.0
    for attempt in range(1, 100):
        wait_s = fixed().wait_s(
            SnapshotNotReady("…"), verb=Verb.RESUME, attempt=attempt, elapsed_s=elapsed_s, within_s=60
        )
        if wait_s is None:
            break
        waits_s.append(wait_s)
        elapsed_s += wait_s
    assert waits_s == [1.5] * 6


@given(
    kind=st.sampled_from(list(MAY_REPEAT)),
    verb=st.sampled_from(list(Verb)),
    attempt=st.integers(1, 8),
    asked_s=st.none() | st.floats(0, 1000),
    draw=st.floats(0, 1, exclude_max=True),
    elapsed_s=st.floats(0, 400),
    within_s=st.floats(1, 300),
)
def test_no_wait_breaks_a_promise(
    *,
    kind: type[SimError],
    verb: Verb,
    attempt: int,
    asked_s: float | None,
    draw: float,
    elapsed_s: float,
    within_s: float,
) -> None:
    """Never a second run, never too soon, never too late, whatever the dice show."""
    error = kind("…", retry_after_s=asked_s)
    wait_s = RetryPolicy(lambda: draw).wait_s(
        error, verb=verb, attempt=attempt, elapsed_s=elapsed_s, within_s=within_s
    )
    if wait_s is None:
        return
    assert wait_s >= (asked_s or 0)
    assert elapsed_s + wait_s < within_s
    assert verb is not Verb.EXECUTE or error.began is RunBegan.NO
    assert verb is Verb.RESUME or attempt <= 3
