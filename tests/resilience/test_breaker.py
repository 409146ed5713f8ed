"""The breaker's state machine, by table, by story, and by machine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import anyio
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from inline_snapshot import snapshot

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import (
    CircuitOpen,
    NotASimApi,
    SimAnswerLost,
    SimConflict,
    SimInternalError,
    SimMcpError,
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
    StoreUnavailable,
    Throttled,
)
from sim_mcp.model.facts import BreakerChanged, Fact
from sim_mcp.model.principal import TenantId
from sim_mcp.resilience import Breaker, Breakers

ACME, GLOBEX = TenantId("acme"), TenantId("globex")
URL = "https://sim.example"


def attempt(breaker: Breaker, error: BaseException | None = None) -> None:
    """One guarded attempt that ends with `error`."""
    if error is None:
        with breaker.guard():
            return
    with pytest.raises(type(error)) as raised, breaker.guard():
        raise error
    assert raised.value is error


def down() -> SimUnavailable:
    return SimUnavailable("SIM cannot be reached.")


def opened(clock: ManualClock) -> Breaker:
    """A breaker that five failures in a row have just opened."""
    breaker = Breakers(clock).of(ACME, URL)
    for _ in range(5):
        attempt(breaker, down())
    return breaker


@pytest.mark.requirement("R38")
@pytest.mark.parametrize(
    "make",
    [
        down,
        lambda: NotASimApi("A login page answered."),
        lambda: SimAnswerLost("The connection was reset."),
    ],
)
def test_five_infrastructure_failures_in_a_row_open_it(
    clock: ManualClock, make: Callable[[], SimMcpError]
) -> None:
    """Four are endured; the fifth opens."""
    breaker = Breakers(clock).of(ACME, URL)
    for _ in range(4):
        attempt(breaker, make())
    assert breaker.state.name == "closed"
    attempt(breaker, make())
    assert breaker.state.name == "open"
    with pytest.raises(CircuitOpen):
        attempt(breaker)


@pytest.mark.requirement("R38")
@pytest.mark.parametrize(
    "error",
    [
        SimTimeout("SIM stopped the run.", sim_status=408),
        SimTimeout("The tool's own time ran out."),
        SimInternalError("SIM failed inside."),
        SimRateLimited("Slow down."),
        SimUsageExceeded("Quota."),
        SimRejectedKey("Key."),
        SimRefused("No."),
        SimNotFound("Unknown."),
        SimNotDeployed("Draft."),
        SimRejectedInput("Bad."),
        SimPayloadTooLarge("Big."),
        SimConflict("State."),
        Throttled("Ours."),
        StoreUnavailable("Ours."),
        ValueError("a bug"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_answers_and_our_own_refusals_never_open_it(clock: ManualClock, error: BaseException) -> None:
    """A hundred answers that are no infrastructure failure leave it closed."""
    breaker = Breakers(clock).of(ACME, URL)
    for _ in range(100):
        attempt(breaker, error)
    assert breaker.state.name == "closed"
    assert breaker.state.failures_in_a_row == 0


def test_an_answer_ends_the_row_and_a_neutral_end_does_not(clock: ManualClock) -> None:
    """Success resets the count; a bug of ours says nothing about SIM."""
    breaker = Breakers(clock).of(ACME, URL)
    for _ in range(4):
        attempt(breaker, down())
    attempt(breaker, ValueError())
    assert breaker.state.failures_in_a_row == 4
    attempt(breaker)
    assert breaker.state.failures_in_a_row == 0


@pytest.mark.parametrize(("calls", "expected"), [(18, "closed"), (20, "open")])
def test_half_of_twenty_calls_in_a_minute_open_it(clock: ManualClock, calls: int, expected: str) -> None:
    """Alternating success and failure never makes a row, but the twentieth call opens it."""
    breaker = Breakers(clock).of(ACME, URL)
    for _ in range(calls // 2):
        attempt(breaker)
        attempt(breaker, down())
    assert breaker.state.name == expected


def test_failures_older_than_a_minute_are_forgotten(clock: ManualClock) -> None:
    """Ten failures spread over more than the window do not make half of twenty."""
    breaker = Breakers(clock).of(ACME, URL)
    for _ in range(30):
        attempt(breaker)
        attempt(breaker, down())
        clock.advance(8)
    assert breaker.state.name == "closed"


@pytest.mark.requirement("R38")
def test_it_opens_for_a_minute_doubling_to_five_and_closes_by_one_probe(clock: ManualClock) -> None:
    """60 s, then twice as long after each failed probe, at most 300 s; a success starts over."""
    breaker = opened(clock)
    waits_s: list[float | None] = []
    for _ in range(5):
        wait_s = breaker.state.retry_after_s
        assert wait_s is not None
        waits_s.append(wait_s)
        clock.advance(wait_s)
        attempt(breaker, down())
    assert waits_s == [60, 120, 240, 300, 300]
    clock.advance(300)
    attempt(breaker)
    assert breaker.state.name == "closed"
    for _ in range(5):
        attempt(breaker, down())
    assert breaker.state.retry_after_s == 60


def test_half_open_lets_exactly_one_probe_through(clock: ManualClock) -> None:
    """While the probe is under way, everybody else is refused with a short wait."""
    breaker = opened(clock)
    clock.advance(60)
    with breaker.guard():
        assert breaker.state.name == "half_open"
        for _ in range(3):
            with pytest.raises(CircuitOpen) as refusal:
                attempt(breaker)
            assert refusal.value.retry_after_s == 1.0
    attempt(breaker)


@pytest.mark.anyio
async def test_a_cancelled_probe_gives_its_place_to_the_next_call(clock: ManualClock) -> None:
    """Cancellation says nothing about SIM: not closed, not open for longer, and probed at once."""
    breaker = opened(clock)
    clock.advance(60)
    with anyio.CancelScope() as scope, breaker.guard():
        scope.cancel()
        await anyio.sleep_forever()
    assert breaker.state.name == "open"
    assert breaker.state.retry_after_s == 0
    attempt(breaker)
    assert breaker.state.name == "closed"


def test_an_attempt_that_began_before_it_opened_changes_nothing_after(clock: ManualClock) -> None:
    """A late success does not close it, and a late failure does not disturb the probe."""
    breaker = Breakers(clock).of(ACME, URL)
    early, late = breaker.guard(), breaker.guard()
    with early:
        late.__enter__()
        for _ in range(5):
            attempt(breaker, down())
    assert breaker.state.name == "open"
    clock.advance(60)
    with breaker.guard():
        late.__exit__(SimUnavailable, down(), None)
        assert breaker.state.name == "half_open"
    assert breaker.state.name == "closed"


def test_the_refusal_says_since_when_and_until_when(clock: ManualClock) -> None:
    """Whole sentences, because a model or a person reads them."""
    breaker = opened(clock)
    clock.advance(18.5)
    with pytest.raises(CircuitOpen) as waiting:
        attempt(breaker)
    assert waiting.value.retry_after_s == 41.5
    assert waiting.value.message == snapshot(
        "SIM kept failing, and since 2026-01-01 00:00:00 UTC calls are not sent to it; "
        "next probe in 42 s, try again then."
    )
    clock.advance(41.5)
    with breaker.guard(), pytest.raises(CircuitOpen) as probing:
        attempt(breaker)
    assert probing.value.message == snapshot(
        "SIM kept failing, and one probe is under way since 2026-01-01 00:01:00 UTC; try again in 1 s."
    )


def test_observers_hear_every_change_once(clock: ManualClock) -> None:
    """Closed, open, half-open, closed: three facts, none for looking."""
    facts: list[Fact] = []
    breaker = Breakers(clock, observer=facts.append).of(ACME, URL)
    for _ in range(5):
        attempt(breaker, down())
    clock.advance(60)
    assert breaker.state.name == "open"
    attempt(breaker)
    assert facts == [
        BreakerChanged(tenant_id=ACME, before="closed", after="open", retry_after_s=60.0),
        BreakerChanged(tenant_id=ACME, before="open", after="half_open", retry_after_s=1.0),
        BreakerChanged(tenant_id=ACME, before="half_open", after="closed", retry_after_s=None),
    ]


def test_since_is_when_the_state_began(clock: ManualClock) -> None:
    """An aware moment, for status pages."""
    breaker = Breakers(clock).of(ACME, URL)
    clock.advance(30)
    assert breaker.state.since == datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(5):
        attempt(breaker, down())
    clock.advance(30)
    assert breaker.state.since == datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)


def test_a_breaker_belongs_to_one_tenant_and_one_sim(clock: ManualClock) -> None:
    """The same URL of another tenant, and another URL of the same tenant, have their own."""
    breakers = Breakers(clock)
    for _ in range(5):
        attempt(breakers.of(ACME, URL), down())
    attempt(breakers.of(GLOBEX, URL))
    attempt(breakers.of(ACME, "https://other.example"))
    assert breakers.of(ACME, f"{URL}/") is breakers.of(ACME, URL)
    assert {url: state.name for url, state in breakers.snapshot(ACME).items()} == {
        URL: "open",
        "https://other.example": "closed",
    }
    assert {url: state.name for url, state in breakers.snapshot(GLOBEX).items()} == {URL: "closed"}


def test_the_map_is_bounded_and_open_breakers_go_last(clock: ManualClock) -> None:
    """A thousand fresh tenants push out the spotless, then the closed, and only then the open."""
    breakers = Breakers(clock, max_keys=3)
    for _ in range(5):
        attempt(breakers.of(ACME, URL), down())
    attempt(breakers.of(GLOBEX, URL), down())
    for number in range(1000):
        breakers.of(TenantId(f"tenant{number}"), URL)
    assert len(breakers) == 3
    assert breakers.of(ACME, URL).state.name == "open"
    assert breakers.of(GLOBEX, URL).state.failures_in_a_row == 1
    tiny = Breakers(clock, max_keys=1)
    for _ in range(5):
        attempt(tiny.of(ACME, URL), down())
    attempt(tiny.of(GLOBEX, URL), down())
    assert tiny.snapshot(ACME) == {}
    attempt(tiny.of(ACME, URL))
    assert len(tiny) == 1


class BreakerMachine(RuleBasedStateMachine):
    """Two tenants' attempts overlap in every order, while time passes."""

    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.breakers = Breakers(self.clock)
        self.probes: dict[TenantId, int] = {ACME: 0, GLOBEX: 0}

    @rule(target=attempts, tenant=st.sampled_from([ACME, GLOBEX]))
    def begin(self, tenant: TenantId) -> list[object]:
        """Ask for leave; what is refused must be refused by a state that says so."""
        breaker, other = self.both(tenant)
        before, untouched = breaker.state, other.state
        period, refusal = None, None
        try:
            period = breaker.enter()
        except CircuitOpen as error:
            refusal = error
        if refusal is not None:
            assert before.name != "closed"
            assert refusal.retry_after_s == before.retry_after_s
            assert refusal.retry_after_s
        assert other.state == untouched
        is_probe = period is not None and before.name == "open"
        if is_probe:
            assert before.retry_after_s == 0
        self.probes[tenant] += is_probe
        return [tenant, period, is_probe]

    @rule(begun=attempts, error=st.sampled_from([None, down(), SimRateLimited("429"), ValueError()]))
    def end(self, begun: list[object], error: BaseException | None) -> None:
        """Let an attempt end; the other tenant's breaker does not notice."""
        tenant, period, is_probe = begun
        assert isinstance(tenant, str)
        if not isinstance(period, int):
            return
        breaker, other = self.both(TenantId(tenant))
        untouched = other.state
        breaker.leave(period, error)
        assert other.state == untouched
        self.probes[TenantId(tenant)] -= bool(is_probe)
        begun[1] = None

    @rule(seconds=st.sampled_from([0.5, 10, 60, 300]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @invariant()
    def half_open_means_exactly_one_probe(self) -> None:
        """Never two probes, and never half-open without one."""
        for tenant in (ACME, GLOBEX):
            assert self.probes[tenant] == (self.both(tenant)[0].state.name == "half_open")

    @invariant()
    def the_wait_is_bounded(self) -> None:
        """Nobody is told to wait longer than five minutes."""
        for tenant in (ACME, GLOBEX):
            assert 0 <= (self.both(tenant)[0].state.retry_after_s or 0) <= 300

    def both(self, tenant: TenantId) -> tuple[Breaker, Breaker]:
        """The tenant's own breaker and the other tenant's."""
        own, other = self.breakers.of(ACME, URL), self.breakers.of(GLOBEX, URL)
        return (own, other) if tenant == ACME else (other, own)


BreakerMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestBreakerMachine = BreakerMachine.TestCase
