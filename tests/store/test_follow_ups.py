"""Who looks after an unfinished row: due times, leases, and one winner among many claimers."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from sim_mcp.model.execution import ExecutionId, Status
from sim_mcp.model.principal import TenantId
from sim_mcp.store import Store
from tests.patience import PATIENCE_S
from tests.store.rows import ACME, GLOBEX, START, after, execution, opened, opened_rows

pytestmark = pytest.mark.anyio

X1 = ExecutionId("x1")


async def test_tenants_take_turns_when_rows_are_due(store: Store) -> None:
    """A tenant with many due rows does not hide another's; each tenant's longest overdue comes first."""
    for second in range(5):
        await opened_rows(store, execution(f"a{second}"), follow_up_at=after(second))
    await opened_rows(store, execution("g", tenant_id=GLOBEX), follow_up_at=after(4))
    due = await store.executions.due(after(4), limit=10, per_tenant=3)
    assert [(row.id, at) for row, at in due] == [
        ("a0", after(0)),
        ("g", after(4)),
        ("a1", after(1)),
        ("a2", after(2)),
    ]
    assert [row.id for row, _ in await store.executions.due(after(4), limit=2, per_tenant=3)] == ["a0", "g"]
    assert await store.executions.due(after(-1), limit=10, per_tenant=3) == ()


async def test_a_final_row_is_never_due(store: Store) -> None:
    """Nor can it be scheduled, claimed or kept."""
    await opened_rows(store, execution("x1"))
    await store.executions.transition(ACME, X1, Status.COMPLETED, at=START, follow_up_at=START)
    assert await store.executions.due(after(999), limit=10, per_tenant=10) == ()
    assert not await store.executions.schedule(ACME, X1, at=START)
    assert not await store.executions.claim(ACME, X1, seen=START, at=START, until=after(1))
    assert await store.executions.keep([(ACME, X1)], until=after(1)) == 0


async def test_a_row_is_scheduled_anew(store: Store) -> None:
    """The due time moves, also back."""
    await opened_rows(store, execution("x1"), follow_up_at=after(50))
    assert await store.executions.schedule(ACME, X1, at=after(2))
    assert not await store.executions.schedule(GLOBEX, X1, at=after(3))
    assert [at for _, at in await store.executions.due(after(2), limit=1, per_tenant=1)] == [after(2)]


async def test_a_claim_must_keep_others_out(store: Store) -> None:
    """A claim that ends where it began would be won by everybody."""
    await opened_rows(store, execution("x1"))
    with pytest.raises(ValueError, match="beyond"):
        await store.executions.claim(ACME, X1, seen=START, at=START, until=START)


async def test_of_many_claimers_in_two_processes_exactly_one_wins(place: Path | str) -> None:
    """Two stores on one file, eight claimers, all of whom saw the same due time."""
    wins: list[str] = []

    async def claim(store: Store, name: str) -> None:
        if await store.executions.claim(ACME, X1, seen=START, at=START, until=after(30)):
            wins.append(name)

    async with opened(place) as first, opened(place) as second:
        await opened_rows(first, execution("x1"), follow_up_at=START)
        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as tasks:
                for number in range(4):
                    tasks.start_soon(claim, first, f"first-{number}")
                    tasks.start_soon(claim, second, f"second-{number}")
        assert len(wins) == 1
        assert await second.executions.due(after(29), limit=1, per_tenant=1) == ()


async def test_leases_of_many_live_calls_are_renewed_at_once(store: Store) -> None:
    """More than one statement can hold; unknown and final rows do not count."""
    ids: list[tuple[TenantId, ExecutionId]] = []
    for number in range(250):
        tenant_id = GLOBEX if number % 2 else ACME
        row = execution(f"x{number}", tenant_id=tenant_id)
        await opened_rows(store, row)
        ids.append((tenant_id, row.id))
    await store.executions.transition(*ids[0], Status.FAILED, at=START)
    unknown = (TenantId("initech"), X1)
    assert await store.executions.keep([*ids, unknown], until=after(60)) == 249
    assert await store.executions.due(after(59), limit=1, per_tenant=1) == ()
    assert len(await store.executions.due(after(60), limit=1000, per_tenant=1000)) == 249
    assert await store.executions.keep([], until=after(60)) == 0
