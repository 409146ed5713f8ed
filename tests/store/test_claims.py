"""Idempotency keys in the store: one row holds a key, for a day, and says nothing about what was asked."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.execution import ExecutionId, Status
from sim_mcp.model.principal import TenantId
from sim_mcp.store import Claims, Store
from tests.store.rows import ACME, GLOBEX, KEY, OTHER_KEY, START, content, execution, opened

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R47")]

DAY_S = 86_400.0


async def claim(
    store: Store,
    execution_id: str,
    *,
    name: str = "ada's key",
    digest: str = "asked",
    tenant_id: TenantId = ACME,
) -> bool:
    """Open a row that claims `name`, created now."""
    row = execution(execution_id, tenant_id=tenant_id, created_at=store.claims.clock.now())
    made = store.claims.claim(row, name, digest)
    return await store.executions.open(row, follow_up_at=START, claim=made)


async def holder(store: Store, name: str = "ada's key", tenant_id: TenantId = ACME) -> tuple[str, str | None]:
    """The id of the row that holds `name`, and what was asked."""
    found = await store.claims.holder(tenant_id, name)
    return ("nobody", None) if found is None else (found.execution.id, found.digest)


async def test_one_row_holds_a_key_and_later_ones_are_not_written(store: Store) -> None:
    """Another tenant's key of the same name is another key."""
    assert await claim(store, "x1")
    assert not await claim(store, "x2", digest="something else")
    assert await claim(store, "x3", tenant_id=GLOBEX, digest="globex asked")
    assert await store.executions.get(ACME, None, "x2") is None
    assert await holder(store) == ("x1", "asked")
    assert await holder(store, tenant_id=GLOBEX) == ("x3", "globex asked")
    assert await holder(store, "bob's key") == ("nobody", None)


async def test_a_day_later_the_key_is_free_and_the_old_row_stays(store: Store, clock: ManualClock) -> None:
    """To the microsecond, and again a day after that."""
    for day in range(3):
        assert await claim(store, f"x{day}")
        await store.executions.transition(ACME, ExecutionId(f"x{day}"), Status.COMPLETED, at=START)
        clock.advance(DAY_S - 0.000_001)
        assert await holder(store) == (f"x{day}", "asked")
        assert not await claim(store, "late")
        clock.advance(0.000_001)
        assert await holder(store) == ("nobody", None)
    assert [await store.executions.get(ACME, None, f"x{day}") is not None for day in range(3)] == [True] * 3


async def test_of_many_in_two_processes_exactly_one_takes_over_an_outdated_key(place: Path | str) -> None:
    """Whoever is first frees it and has it; the others see that."""
    clock = ManualClock()
    won = list[str]()

    async def race(store: Store, name: str) -> None:
        if await claim(store, name):
            won.append(name)

    async with opened(place, clock=clock) as first, opened(place, clock=clock) as second:
        assert await claim(first, "x0")
        await first.executions.transition(ACME, ExecutionId("x0"), Status.COMPLETED, at=START)
        clock.advance(DAY_S)
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(race, first, f"a{number}")
                group.start_soon(race, second, f"b{number}")
        assert len(won) == 1
        assert (await holder(second))[0] == won[0]


async def test_a_callers_key_stays_in_use_until_its_call_is_over(store: Store, clock: ManualClock) -> None:
    """A clock set forward by days, or a pause that lasts them, must not let the same call run again."""
    assert await claim(store, "x1")
    clock.advance(3 * DAY_S)
    assert not await claim(store, "x2")
    assert await holder(store) == ("x1", "asked")
    await store.executions.transition(ACME, ExecutionId("x1"), Status.COMPLETED, at=START)
    assert await holder(store) == ("nobody", None)
    assert await claim(store, "x2")


async def test_a_run_that_never_began_frees_its_key(store: Store) -> None:
    """In the statement that closes the row; any other end keeps it."""
    await claim(store, "x1")
    x1 = ExecutionId("x1")
    assert await store.executions.transition(ACME, x1, Status.PAUSED, at=START)
    assert await holder(store) == ("x1", "asked")
    assert await store.executions.transition(ACME, x1, Status.FAILED, at=START, frees_key=True)
    assert await holder(store) == ("nobody", None)
    await claim(store, "x2")
    assert not await store.executions.transition(ACME, x1, Status.FAILED, at=START, frees_key=True)
    assert await store.executions.transition(ACME, ExecutionId("x2"), Status.FAILED, at=START)
    assert await holder(store) == ("x2", "asked")


@pytest.mark.requirement("R30")
async def test_what_was_asked_is_sealed_to_its_row(path: Path) -> None:
    """Not in the file, not the same twice, and worthless in another row."""
    async with opened(path) as store:
        await claim(store, "x1", digest="asked-for-0123456789")
        await claim(store, "x2", name="bob's key", digest="asked-for-0123456789")
        assert b"asked-for" not in content(path)
        kept = [str(row["key_digest"]) for row in await store.database.fetch_all("SELECT * FROM executions")]
        assert kept[0] != kept[1]
        await store.database.execute("UPDATE executions SET key_digest = ? WHERE id = ?", [kept[1], "x1"])
        assert await holder(store) == ("x1", None)


@pytest.mark.requirement("R30")
async def test_what_was_asked_survives_a_rotation_of_the_encryption_keys(path: Path) -> None:
    """After resealing the old key may go; without it the request can no longer be compared."""
    async with opened(path, keys=[KEY]) as store:
        await claim(store, "x1")
    async with opened(path, keys=[OTHER_KEY, KEY]) as store:
        assert await holder(store) == ("x1", "asked")
    async with opened(path, keys=[OTHER_KEY]) as store:
        assert await holder(store) == ("x1", None)
        assert await store.claims.reseal_all() == 0
    async with opened(path, keys=[OTHER_KEY, KEY]) as store:
        assert (await store.claims.reseal_all(), await store.claims.reseal_all()) == (1, 0)
    async with opened(path, keys=[OTHER_KEY]) as store:
        assert await holder(store) == ("x1", "asked")


async def test_resealing_leaves_out_what_is_outdated(path: Path, clock: ManualClock) -> None:
    """A big history does not make a rotation slow."""
    async with opened(path, keys=[KEY], clock=clock) as store:
        await claim(store, "x1")
        await store.executions.transition(ACME, ExecutionId("x1"), Status.COMPLETED, at=START)
        clock.advance(DAY_S)
    async with opened(path, keys=[OTHER_KEY, KEY], clock=clock) as store:
        assert isinstance(store.claims, Claims)
        assert await store.claims.reseal_all() == 0
