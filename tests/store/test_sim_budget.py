"""The budget of requests to SIM: one row, shared by every process on the database."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from sim_mcp.store import Store
from tests.patience import PATIENCE_S
from tests.store.rows import START, after, opened

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R58")]


async def test_a_window_gives_what_it_has_and_the_next_one_is_full_again(store: Store) -> None:
    """The last taker gets what is left; a smaller limit counts what the larger one gave."""
    budget = store.sim_budget
    assert [await budget.take(8, window_at=START, limit=20) for _ in range(4)] == [8, 8, 4, 0]
    assert await budget.take(3, window_at=after(10), limit=20) == 3
    assert await budget.take(8, window_at=after(10), limit=10) == 7
    assert await budget.take(8, window_at=after(10), limit=10) == 0
    assert await budget.take(8, window_at=after(10), limit=20) == 8


async def test_a_clock_a_little_behind_opens_no_old_window_and_one_set_back_does(store: Store) -> None:
    """Two replicas never agree to the millisecond; an hour is another matter."""
    budget = store.sim_budget
    assert await budget.take(20, window_at=after(3600), limit=20) == 20
    assert await budget.take(1, window_at=after(3590), limit=20) == 0
    assert await budget.take(20, window_at=START, limit=20) == 20
    assert await budget.take(1, window_at=START, limit=20) == 0


async def test_nobody_can_take_more_than_a_window_holds(store: Store) -> None:
    """A wrong number is a mistake in the program, and said so."""
    for wanted in (0, 21):
        with pytest.raises(ValueError, match="so much"):
            await store.sim_budget.take(wanted, window_at=START, limit=20)


async def test_two_processes_together_get_no_more_than_one_window(path: Path) -> None:
    """All at once, from two stores on one file."""
    taken: list[int] = []

    async def take(store: Store) -> None:
        taken.append(await store.sim_budget.take(3, window_at=START, limit=20))

    async with opened(path) as first, opened(path) as second:
        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as tasks:
                for store in (first, second) * 6:
                    tasks.start_soon(take, store)
    assert (sum(taken), len(taken)) == (20, 12)
