"""The audit chain: whatever is changed behind the program's back in what was closed, the chain names it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.execution import ExecutionError, ExecutionId, Status
from sim_mcp.store import Outcome, Store
from sim_mcp.store.audit_trail import Break
from tests.store.rows import ACME, GLOBEX, KEY, OTHER_KEY, START, TENANTS, after, execution, opened

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("F10")]

ROW = "UPDATE executions SET {} WHERE tenant_id = 'acme' AND id = 'x2'"


async def closed(store: Store, *names: str, first_s: float = 0) -> None:
    """An execution of each name for both tenants, opened and completed a second apart."""
    for number, name in enumerate(names):
        for tenant in TENANTS:
            await store.executions.open(execution(name, tenant_id=tenant), follow_up_at=START)
            await store.executions.transition(
                tenant,
                ExecutionId(name),
                Status.COMPLETED,
                at=after(first_s + number),
                outcome=Outcome(output={"of": tenant, "número": 1.5}, duration_ms=7),
            )


async def breaks(store: Store, tenant: str = ACME) -> list[tuple[Break, int | None, str | None]]:
    """What `verify` says of a tenant."""
    verdict = await store.audit_trail.verify(TENANTS[TENANTS.index(tenant)])
    assert verdict.broken_count == len(verdict.broken)
    return [(each.kind, each.seq, each.execution_id) for each in verdict.broken]


async def test_every_way_of_closing_a_row_links_it_and_nothing_else_does(store: Store) -> None:
    """Ends of all kinds, refusals, and a cost that is told later; each tenant counts for itself."""
    executions = store.executions
    await closed(store, "x1")
    await executions.open(execution("x2"), follow_up_at=START)
    await executions.update(ACME, ExecutionId("x2"), outcome=Outcome(output="half"), follow_up_at=after(5))
    await executions.transition(ACME, ExecutionId("x2"), Status.PAUSED, at=after(1), follow_up_at=after(9))
    assert (await store.audit_trail.verify(ACME)).links == 1
    await executions.transition(ACME, ExecutionId("x2"), Status.CANCELLED, at=after(2))
    assert not await executions.transition(ACME, ExecutionId("x2"), Status.FAILED, at=after(3))
    error = ExecutionError(code=ErrorCode.INVALID_INPUT, message="no", retryable=False, retry_after_s=None)
    refusal = replace(execution("x3", status=Status.FAILED), error=error)
    await executions.record_refusal(refusal, window_key=None)
    assert await executions.note_cost(ACME, ExecutionId("x1"), 0.5, at=after(4))
    assert not await executions.note_cost(ACME, ExecutionId("x1"), 0.5, at=after(5))
    links = [(each.link.seq, each.link.execution_id) async for each in store.audit_trail.read(ACME)]
    assert links == [(1, "x1"), (2, "x2"), (3, "x3"), (4, "x1")]
    assert [(each.link.seq, each.link.execution_id) async for each in store.audit_trail.read(GLOBEX)] == [
        (1, "x1")
    ]
    verdict = await store.audit_trail.verify(ACME)
    assert (verdict.rows, verdict.links, verdict.broken) == (3, 4, [])


async def test_a_flood_of_refusals_is_one_link_however_often_it_is_counted(store: Store) -> None:
    for number in range(5):
        row = replace(execution(f"r{number}", status=Status.FAILED), finished_at=after(number))
        await store.executions.record_refusal(row, window_key="flood")
    verdict = await store.audit_trail.verify(ACME)
    assert (verdict.rows, verdict.links, verdict.broken) == (1, 1, [])


@pytest.mark.parametrize(
    "change",
    [
        "status = 'failed'",
        'output = \'{"of":"globex"}\'',
        "input = '1'",
        "error = '{}'",
        "subject = 'eve'",
        "finished_at = finished_at + 1",
        "duration_ms = 8",
        "attempts = 1",
        "cost = 0.0",
        "workflow_id = 'wf-2'",
        "window_key = 'flood'",
    ],
)
async def test_an_altered_row_is_named(store: Store, change: str) -> None:
    """And only that one, of that tenant."""
    await closed(store, "x1", "x2", "x3")
    await store.database.execute(ROW.format(change))
    assert await breaks(store) == [(Break.ROW_ALTERED, 2, "x2")]
    assert await breaks(store, GLOBEX) == []


async def test_who_holds_an_idempotency_key_may_change_after_the_end(store: Store) -> None:
    await closed(store, "x1", "x2")
    await store.database.execute(ROW.format("key_claim = 'c', key_digest = 'd'"))
    assert await breaks(store) == []


@pytest.mark.parametrize(
    ("tampering", "named"),
    [
        (["DELETE FROM executions WHERE tenant_id = 'acme' AND id = 'x2'"], [(Break.ROW_MISSING, 2, "x2")]),
        (
            [
                "DELETE FROM executions WHERE tenant_id = 'acme' AND id = 'x2'",
                "DELETE FROM audit_links WHERE tenant_id = 'acme' AND execution_id = 'x2'",
            ],
            [(Break.LINK_MISSING, 3, "x3")],
        ),
        (
            [
                "DELETE FROM executions WHERE tenant_id = 'acme' AND id = 'x2'",
                "UPDATE audit_links SET forgotten = chain WHERE tenant_id = 'acme' AND seq = 2",
            ],
            [(Break.ROW_MISSING, 2, "x2")],
        ),
        (
            ["DELETE FROM audit_links WHERE tenant_id = 'acme' AND seq = 3"],
            [(Break.ROW_UNLINKED, None, "x3")],
        ),
        (
            ["UPDATE audit_links SET content = 'abc' WHERE tenant_id = 'acme' AND seq = 2"],
            [(Break.LINK_ALTERED, 2, "x2"), (Break.ROW_ALTERED, 2, "x2")],
        ),
        (
            ["UPDATE audit_links SET linked_at = linked_at + 1 WHERE tenant_id = 'acme' AND seq = 1"],
            [(Break.LINK_ALTERED, 1, "x1")],
        ),
        (
            ["DELETE FROM audit_links WHERE tenant_id = 'acme'"],
            [(Break.ROW_UNLINKED, None, name) for name in ("x1", "x2", "x3")],
        ),
        (
            ["UPDATE audit_links SET key_id = 'none' WHERE tenant_id = 'acme' AND seq = 2"],
            [(Break.KEY_MISSING, 2, "x2")],
        ),
        (
            [
                "UPDATE audit_links SET execution_id = 'x9' WHERE tenant_id = 'acme' AND seq = 2",
                "UPDATE executions SET id = 'x9' WHERE tenant_id = 'acme' AND id = 'x2'",
            ],
            [(Break.LINK_ALTERED, 2, "x9"), (Break.ROW_ALTERED, 2, "x9")],
        ),
    ],
)
async def test_what_was_deleted_slipped_in_or_forged_is_named(
    store: Store, tampering: Sequence[str], named: list[tuple[Break, int | None, str | None]]
) -> None:
    await closed(store, "x1", "x2", "x3")
    for statement in tampering:
        await store.database.execute(statement)
    assert await breaks(store) == named
    assert await breaks(store, GLOBEX) == []


async def test_a_chain_that_was_rewritten_without_the_key_does_not_fit(store: Store) -> None:
    """Another tenant's whole chain in the place of one's own proves nothing."""
    await closed(store, "x1", "x2")
    await store.database.execute(
        "UPDATE audit_links SET chain = (SELECT l.chain FROM audit_links AS l"
        " WHERE l.tenant_id = 'globex' AND l.seq = audit_links.seq) WHERE tenant_id = 'acme'"
    )
    assert await breaks(store) == [(Break.LINK_ALTERED, 1, "x1"), (Break.LINK_ALTERED, 2, "x2")]


async def test_what_the_retention_removed_is_no_break_and_the_chain_goes_on_behind_it(store: Store) -> None:
    """Also when rows go in another order than they were closed in."""
    await closed(store, "x1", "x2", "x3", "x4", first_s=1)
    old = await store.retention.old_executions(after(60))
    second = [each for each in old if each.id == "x2"]
    assert await store.retention.forget(second) == 2
    assert await breaks(store) == []
    assert [each.link.seq async for each in store.audit_trail.read(ACME)] == [1, 2, 3, 4]
    assert await store.retention.forget([each for each in old if each.id == "x1"]) == 2
    verdict = await store.audit_trail.verify(ACME)
    assert (verdict.first_seq, verdict.last_seq, verdict.rows, verdict.broken) == (3, 4, 2, [])
    await store.retention.forget(old)
    await closed(store, "x5", first_s=30)
    verdict = await store.audit_trail.verify(ACME)
    assert (verdict.first_seq, verdict.last_seq, verdict.since, verdict.broken) == (5, 5, after(1), [])


async def test_an_anchor_cannot_be_moved_to_hide_what_was_deleted(store: Store) -> None:
    await closed(store, "x1", "x2", "x3")
    await store.retention.forget(
        [each for each in await store.retention.old_executions(after(60)) if each.id == "x1"]
    )
    await store.database.execute("DELETE FROM executions WHERE tenant_id = 'acme' AND id = 'x2'")
    await store.database.execute(
        "UPDATE audit_anchors SET seq = 2, chain = (SELECT chain FROM audit_links"
        " WHERE tenant_id = 'acme' AND seq = 2) WHERE tenant_id = 'acme'"
    )
    await store.database.execute("DELETE FROM audit_links WHERE tenant_id = 'acme' AND seq = 2")
    assert await breaks(store) == [(Break.ANCHOR_ALTERED, 2, None)]


async def test_many_closings_at_once_make_one_chain_without_holes(
    place: Path | str, clock: ManualClock
) -> None:
    """From two processes' stores on one database."""
    async with opened(place, clock=clock) as one, opened(place, clock=clock, prefix="b") as other:
        names = [f"x{number}" for number in range(40)]
        for name in names:
            for tenant in TENANTS:
                await one.executions.open(execution(name, tenant_id=tenant), follow_up_at=START)
        await asyncio.gather(
            *(
                (one, other)[number % 2].executions.transition(
                    tenant, ExecutionId(name), Status.FAILED, at=after(number)
                )
                for number, name in enumerate(names)
                for tenant in TENANTS
            )
        )
        for tenant in TENANTS:
            verdict = await one.audit_trail.verify(tenant)
            assert (verdict.rows, verdict.links, verdict.last_seq, verdict.broken) == (40, 40, 40, [])


async def test_the_chain_survives_a_rotation_and_calls_are_closed_even_when_its_key_is_lost(
    place: Path | str, clock: ManualClock
) -> None:
    """A lost key is told as lost; what came after it is chained under a new one."""
    async with opened(place, clock=clock) as store:
        await closed(store, "x1")
    async with opened(place, clock=clock, keys=(OTHER_KEY, KEY)) as store:
        assert await store.audit_keys.reseal_all() == 1
    clock.advance(timedelta(hours=1).total_seconds())
    async with opened(place, clock=clock, keys=(OTHER_KEY,)) as store:
        assert await breaks(store) == []
        await closed(store, "x2", first_s=5)
        assert await breaks(store) == []
    clock.advance(timedelta(hours=1).total_seconds())
    async with opened(place, clock=clock) as store:
        await closed(store, "x3", first_s=9)
        assert await breaks(store) == [(Break.KEY_MISSING, 1, "x1"), (Break.KEY_MISSING, 2, "x2")]


async def test_rows_from_before_the_chain_are_no_break(store: Store) -> None:
    await store.database.execute("UPDATE schema_migrations SET applied_at = applied_at + 60000000")
    await closed(store, "x1")
    await store.database.execute("DELETE FROM audit_links")
    await closed(store, "x2", first_s=90)
    verdict = await store.audit_trail.verify(ACME)
    assert (verdict.rows, verdict.broken) == (1, [])


@given(
    content=st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    ),
    name=st.text(min_size=1, max_size=12).filter(lambda text: "\0" not in text and text.isprintable()),
)
async def test_whatever_a_row_holds_it_reads_back_as_it_was_linked(
    tmp_path_factory: pytest.TempPathFactory, content: object, name: str
) -> None:
    path = tmp_path_factory.mktemp("chain") / "data" / "sim-mcp.db"
    async with opened(path) as store:
        await store.executions.open(execution(name, value=content), follow_up_at=START)  # pyright: ignore[reportArgumentType]  # JSON by its strategy
        await store.executions.transition(
            ACME,
            ExecutionId(name),
            Status.COMPLETED,
            at=after(1),
            outcome=Outcome(output=content),  # pyright: ignore[reportArgumentType]
        )
        assert await breaks(store) == []
