"""Our own limits: fair, bounded, and refusing without taking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Throttled
from sim_mcp.model.principal import TenantId
from sim_mcp.resilience import Admission, Limits, Throttle

ACME, GLOBEX = TenantId("acme"), TenantId("globex")


def limits(
    rate: int = 6000, places: int = 1000, tool_rate: int | None = None, tool_places: int | None = None
) -> Limits:
    return Limits(
        tenant_per_minute=rate,
        tenant_concurrency=places,
        tool_per_minute=tool_rate,
        tool_concurrency=tool_places,
    )


def admitted(throttle: Throttle, tenant_id: TenantId, tool: str, *, limits: Limits, calls: int) -> int:
    """How many of `calls` calls, each over at once, get in."""
    count = 0
    for _ in range(calls):
        try:
            throttle.admit(tenant_id, tool, limits=limits).release()
        except Throttled:
            continue
        count += 1
    return count


@pytest.mark.parametrize(
    ("rate", "burst"), [(1, 1), (3, 3), (5, 5), (12, 5), (30, 5), (60, 10), (120, 20), (6000, 1000)]
)
def test_a_burst_is_ten_seconds_worth_at_least_five_at_most_a_minutes(
    clock: ManualClock, rate: int, burst: int
) -> None:
    """So much gets in at once; then one more each time a token has flowed in."""
    throttle = Throttle(clock)
    assert admitted(throttle, ACME, "t", limits=limits(rate), calls=burst + 10) == burst
    clock.advance(60 / rate)
    assert admitted(throttle, ACME, "t", limits=limits(rate), calls=10) == 1


@pytest.mark.requirement("R59")
def test_in_the_long_run_the_rate_is_kept(clock: ManualClock) -> None:
    """A caller that never stops asking gets the rate, and its burst once."""
    throttle = Throttle(clock)
    count = 0
    for _ in range(600):
        count += admitted(throttle, ACME, "t", limits=limits(60), calls=3)
        clock.advance(1)
    assert 600 <= count <= 610


@pytest.mark.requirement("R59")
def test_a_flood_of_one_tenant_leaves_the_other_its_share(clock: ManualClock) -> None:
    """Acme uses up everything of Acme's; Globex does not notice."""
    throttle = Throttle(clock)
    assert admitted(throttle, ACME, "t", limits=limits(60), calls=1000) == 10
    assert admitted(throttle, GLOBEX, "t", limits=limits(60), calls=10) == 10


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (
            limits(rate=1),
            snapshot("Your tenant has used up its limit of 1 calls a minute; try again in 60 s."),
        ),
        (
            limits(places=1),
            snapshot("Your tenant already runs 1 calls at once, the limit; try again in 2 s."),
        ),
        (
            limits(tool_rate=2),
            snapshot("The tool 'export' has used up its limit of 2 calls a minute; try again in 30 s."),
        ),
        (
            limits(tool_places=1),
            snapshot("The tool 'export' already runs 1 calls at once, the limit; try again in 2 s."),
        ),
    ],
)
def test_the_refusal_names_the_limit_and_the_wait(clock: ManualClock, at: Limits, expected: str) -> None:
    """Whole sentences, with the seconds also as a number."""
    throttle = Throttle(clock)
    taken = [throttle.admit(ACME, "export", limits=at)]
    if at.tool_per_minute:
        taken.append(throttle.admit(ACME, "export", limits=at))
    with pytest.raises(Throttled) as refusal:
        throttle.admit(ACME, "export", limits=at)
    assert refusal.value.message == expected
    assert refusal.value.retry_after_s
    clock.advance(refusal.value.retry_after_s)
    for each in taken:
        each.release()
    throttle.admit(ACME, "export", limits=at)


def test_of_several_reasons_the_longest_wait_is_told(clock: ManualClock) -> None:
    """Coming back after it must not meet the next refusal at once."""
    throttle = Throttle(clock)
    strict = limits(places=1, tool_rate=1)
    throttle.admit(ACME, "t", limits=strict)
    with pytest.raises(Throttled) as refusal:
        throttle.admit(ACME, "t", limits=strict)
    assert refusal.value.retry_after_s == 60


def test_a_refusal_takes_nothing(clock: ManualClock) -> None:
    """A hundred refusals by the tool's limit leave the tenant's tokens and places untouched."""
    throttle = Throttle(clock)
    throttle.admit(ACME, "busy", limits=limits(rate=12, tool_places=1))
    assert admitted(throttle, ACME, "busy", limits=limits(rate=12, tool_places=1), calls=100) == 0
    assert throttle.proximity(ACME).in_use == 1
    assert admitted(throttle, ACME, "idle", limits=limits(rate=12), calls=100) == 4


def test_releasing_twice_gives_one_place_back(clock: ManualClock) -> None:
    """A context manager that is also released by hand does not invent places."""
    throttle = Throttle(clock)
    with throttle.admit(ACME, "t", limits=limits(places=2)) as first:
        throttle.admit(ACME, "t", limits=limits(places=2))
        first.release()
        first.release()
        throttle.admit(ACME, "t", limits=limits(places=2))
    assert throttle.proximity(ACME).in_use == 2


def test_an_error_inside_the_block_gives_the_place_back(clock: ManualClock) -> None:
    """Whatever ends the call, its place is free again."""
    throttle = Throttle(clock)
    with pytest.raises(ZeroDivisionError), throttle.admit(ACME, "t", limits=limits()):
        raise ZeroDivisionError
    assert throttle.proximity(ACME).in_use == 0


def test_proximity_tells_how_near_the_tenant_is(clock: ManualClock) -> None:
    """From nothing known to a used-up burst, and back as time passes."""
    throttle = Throttle(clock)
    assert (throttle.proximity(ACME).rate_per_minute, throttle.proximity(ACME).used_share) == (None, 0)
    for _ in range(5):
        throttle.admit(ACME, "t", limits=limits(60, 16))
    near = throttle.proximity(ACME)
    assert (near.rate_per_minute, near.used_share, near.concurrency, near.in_use) == (60, 0.5, 16, 5)
    clock.advance(60)
    assert throttle.proximity(ACME).used_share == 0
    assert throttle.proximity(GLOBEX).in_use == 0


def test_a_changed_limit_holds_from_the_next_call(clock: ManualClock) -> None:
    """Lowering it does not hand out tokens; lifting the tool's own forgets its debt."""
    throttle = Throttle(clock)
    assert admitted(throttle, ACME, "t", limits=limits(120, tool_rate=60), calls=5) == 5
    assert admitted(throttle, ACME, "t", limits=limits(12, tool_rate=60), calls=5) == 0
    assert admitted(throttle, ACME, "t", limits=limits(120), calls=100) == 15


@pytest.mark.parametrize(
    "name", ["tenant_per_minute", "tenant_concurrency", "tool_per_minute", "tool_concurrency"]
)
def test_a_limit_below_one_is_a_mistake(name: str) -> None:
    """It would refuse for ever."""
    fields = {"tenant_per_minute": 1, "tenant_concurrency": 1, name: 0}
    with pytest.raises(ValueError, match=name):
        Limits(**fields)


def test_forgetting_frees_nobody_from_a_limit(clock: ManualClock) -> None:
    """A flood of fresh names pushes out full buckets only, never used-up ones or ones in use."""
    throttle = Throttle(clock, max_keys=6)
    held = throttle.admit(ACME, "held", limits=limits(600, 1))
    assert admitted(throttle, GLOBEX, "t", limits=limits(1), calls=5) == 1
    for number in range(50):
        admitted(throttle, TenantId(f"tenant{number}"), "t", limits=limits(6000), calls=1)
        assert len(throttle) <= 6
    assert admitted(throttle, GLOBEX, "t", limits=limits(1), calls=5) == 0
    assert admitted(throttle, ACME, "other", limits=limits(600, 1), calls=1) == 0
    held.release()


def test_when_every_bucket_is_needed_newcomers_wait(clock: ManualClock) -> None:
    """Memory is bounded even then."""
    throttle = Throttle(clock, max_keys=2)
    held = throttle.admit(ACME, "t", limits=limits())
    with pytest.raises(Throttled, match="as many callers as it can"):
        throttle.admit(GLOBEX, "t", limits=limits())
    held.release()
    clock.advance(1)
    throttle.admit(GLOBEX, "t", limits=limits()).release()
    assert len(throttle) == 2
    with pytest.raises(ValueError, match="at least 2"):
        Throttle(clock, max_keys=1)


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([ACME, GLOBEX]), st.sampled_from(["a", "b"]), st.floats(0, 20), st.booleans()
        ),
        max_size=60,
    )
)
def test_no_limit_is_ever_exceeded(steps: list[tuple[TenantId, str, float, bool]]) -> None:
    """Whatever the order of calls, ends and pauses, for each tenant and each of its tools."""
    clock = ManualClock()
    throttle = Throttle(clock)
    at = limits(rate=30, places=3, tool_rate=12, tool_places=2)
    running: dict[tuple[TenantId, str], list[Admission]] = {}
    begun: dict[TenantId, int] = {ACME: 0, GLOBEX: 0}
    waits_s: list[float] = []
    for tenant_id, tool, pause_s, ends in steps:
        clock.advance(pause_s)
        own = running.setdefault((tenant_id, tool), [])
        if ends and own:
            own.pop().release()
        try:
            own.append(throttle.admit(tenant_id, tool, limits=at))
            begun[tenant_id] += 1
        except Throttled as refusal:
            waits_s.append(refusal.retry_after_s or 0)
        for owner in (ACME, GLOBEX):
            in_use = sum(len(each) for (tenant, _), each in running.items() if tenant == owner)
            assert in_use == throttle.proximity(owner).in_use <= 3
            assert begun[owner] <= 5 + (clock.monotonic() - 1000) * 30 / 60 + 1e-6
        assert len(own) <= 2
    assert all(wait_s > 0 for wait_s in waits_s)
