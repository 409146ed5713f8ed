"""Two tenants in one database: whatever they name alike, neither ever sees or moves the other's."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_mcp.model.execution import Execution, ExecutionId, Status, Trigger, may_precede
from sim_mcp.model.principal import Principal, TenantId
from sim_mcp.model.tool import WorkflowId
from sim_mcp.store import ExecutionFilter, Outcome, Store
from tests.store.rows import ACME, GLOBEX, START, TENANTS, after, execution, opened

pytestmark = pytest.mark.anyio

SLOW = settings(max_examples=20, deadline=None)
names = st.sampled_from(["a", "b", "c", "acme", "globex", "%", "_", "'"])
tenants = st.sampled_from(TENANTS)
organizations = st.sampled_from([None, "a", "b", ""])
rows = st.builds(
    execution,
    names,
    tenant_id=tenants,
    organization_id=organizations,
    run_id=names,
    job_id=names,
    created_at=st.integers(0, 3).map(after),
    status=st.sampled_from([Status.QUEUED, Status.PROCESSING, Status.PAUSED]),
    workflow_id=names,
)


def _may_see(row: Execution, tenant_id: TenantId, organization_id: str | None) -> bool:
    return row.tenant_id == tenant_id and (
        organization_id is None or row.organization_id in (None, organization_id)
    )


@pytest.mark.requirement("R11", "R13", "R35")
@SLOW
@given(
    written=st.lists(rows, max_size=12, unique_by=lambda row: (row.tenant_id, row.id)),
    tenant_id=tenants,
    organization_id=organizations,
    matching=st.builds(
        ExecutionFilter,
        status=st.sampled_from([None, Status.QUEUED]),
        workflow_id=st.none() | names.map(WorkflowId),
        triggered_by=st.sampled_from([None, Trigger.MCP, Trigger.API]),
        since=st.none() | st.integers(0, 3).map(after),
        until=st.none() | st.integers(0, 3).map(after),
    ),
    limit=st.integers(1, 4),
)
async def test_pages_totals_and_ids_hold_only_what_the_reader_may_see(
    written: list[Execution],
    tenant_id: TenantId,
    organization_id: str | None,
    matching: ExecutionFilter,
    limit: int,
) -> None:
    """For random rows of two tenants, every reading equals the same question asked of a list in memory."""
    with tempfile.TemporaryDirectory() as directory:
        async with opened(Path(directory) / "x.db") as store:
            for row in written:
                await store.executions.open(row, follow_up_at=START)
            visible = [row for row in written if _may_see(row, tenant_id, organization_id)]
            expected = sorted(
                (
                    row
                    for row in visible
                    if matching.status in (None, row.status)
                    and matching.workflow_id in (None, row.workflow_id)
                    and matching.triggered_by in (None, row.triggered_by)
                    and (matching.since is None or row.created_at >= matching.since)
                    and (matching.until is None or row.created_at < matching.until)
                ),
                key=lambda row: (row.created_at, row.id),
                reverse=True,
            )
            assert (
                await _all_pages(store, tenant_id, organization_id, matching, limit, len(expected))
                == expected
            )
            for name in {row.id for row in written}:
                row = await store.executions.get(tenant_id, organization_id, name)
                assert ([] if row is None else [row]) == [row for row in visible if row.id == name]
                found = await store.executions.find(tenant_id, organization_id, name)
                assert found is None or found in visible


async def _all_pages(
    store: Store,
    tenant_id: TenantId,
    organization_id: str | None,
    matching: ExecutionFilter,
    limit: int,
    total: int,
) -> list[Execution]:
    seen: list[Execution] = []
    cursor: str | None = None
    while True:
        page = await store.executions.page(tenant_id, organization_id, matching, limit=limit, cursor=cursor)
        assert page.total == total
        seen += page.executions
        cursor = page.next_cursor
        if cursor is None:
            return seen


@pytest.mark.requirement("R35")
async def test_a_foreign_cursor_pages_through_ones_own_rows_only(store: Store) -> None:
    """A cursor is a place in time, not a right."""
    for tenant_id in TENANTS:
        for second in range(3):
            row = execution(f"x{second}", tenant_id=tenant_id, created_at=after(second))
            await store.executions.open(row, follow_up_at=START)
    stolen = (await store.executions.page(GLOBEX, None, limit=1)).next_cursor
    page = await store.executions.page(ACME, None, cursor=stolen)
    assert [(row.tenant_id, row.id) for row in page.executions] == [(ACME, "x1"), (ACME, "x0")]


@pytest.mark.requirement("R11", "R35")
async def test_no_change_reaches_another_tenants_row_of_the_same_id(store: Store) -> None:
    """Every changing method, called for one tenant, leaves the other's twin as it was."""
    twins = [execution("x1", tenant_id=tenant_id, key="k") for tenant_id in TENANTS]
    for row in twins:
        await store.executions.open(row, follow_up_at=after(5))
    x1 = ExecutionId("x1")
    executions = store.executions
    await executions.begin_attempt(ACME, x1, run_id="r", attempt=1, started_at=START, follow_up_at=after(6))
    await executions.update(ACME, x1, outcome=Outcome(job_id="j"))
    await executions.claim(ACME, x1, seen=after(6), at=after(6), until=after(7))
    await executions.keep([(ACME, x1)], until=after(8))
    await executions.schedule(ACME, x1, at=after(9))
    await executions.request_cancel(ACME, x1, START)
    await executions.transition(ACME, x1, Status.COMPLETED, at=START, outcome=Outcome(output="secret"))
    assert await executions.get(GLOBEX, None, x1) == twins[1]
    assert [at for _, at in await executions.due(after(99), limit=9, per_tenant=9)] == [after(5)]


@pytest.mark.requirement("R11", "R35")
async def test_settings_tools_and_tokens_of_two_tenants_never_meet(store: Store) -> None:
    """The same names, organisations and ids on both sides: each reads and removes its own."""
    for tenant_id in TENANTS:
        await store.integrations.save(
            tenant_id,
            "org",
            api_key=f"key of {tenant_id}",
            base_url=f"https://{tenant_id}.example",
            is_enabled=True,
            workspace_id=None,
            changed_by="ada",
        )
        await store.tools.put(tenant_id, "tool", {"of": tenant_id}, changed_by="ada")
        await store.tokens.create(Principal(tenant_id=tenant_id), name="t", expires_at=None, created_by="ada")
    globex = await store.integrations.current(GLOBEX, "org")
    assert globex is not None
    (token,) = await store.tokens.list(GLOBEX)
    assert await store.integrations.get(ACME, globex.id) is None
    assert not await store.tokens.revoke(ACME, token.id)
    assert await store.integrations.remove(ACME, "org", changed_by="ada")
    assert await store.tools.remove(ACME, "tool", changed_by="ada")
    assert await store.integrations.current(ACME, "org") is None
    assert await store.integrations.current(GLOBEX, "org") == globex
    assert await store.integrations.api_key(globex) == "key of globex"
    assert [entry.spec for entry in await store.tools.entries(GLOBEX)] == [{"of": "globex"}]
    assert await store.tools.version(GLOBEX) == 1
    assert len(await store.integrations.history(GLOBEX, "org")) == 1
    assert (await store.tokens.list(GLOBEX))[0].revoked_at is None


steps = st.one_of(
    st.tuples(st.just("open"), st.sampled_from([status for status in Status if not status.is_final])),
    st.tuples(st.just("move"), st.sampled_from(list(Status))),
    st.tuples(st.just("update"), st.just(Status.QUEUED)),
    st.tuples(st.just("begin"), st.just(Status.PROCESSING)),
    st.tuples(st.just("cancel"), st.just(Status.QUEUED)),
)


@pytest.mark.requirement("R27")
@SLOW
@given(walk=st.lists(st.tuples(tenants, steps), max_size=30))
async def test_any_walk_through_the_statuses_is_the_models(
    walk: list[tuple[TenantId, tuple[str, Status]]],
) -> None:
    """Random steps by two tenants on twin rows: the store allows exactly what the model's table allows."""
    x1 = ExecutionId("x1")
    model: dict[TenantId, Execution] = {}
    with tempfile.TemporaryDirectory() as directory:
        async with opened(Path(directory) / "x.db") as store:
            for number, (tenant_id, (verb, status)) in enumerate(walk, start=1):
                row = model.get(tenant_id)
                is_open = row is not None and not row.status.is_final
                if verb == "open":
                    if row is None:
                        model[tenant_id] = execution("x1", tenant_id=tenant_id, status=status)
                        await store.executions.open(model[tenant_id], follow_up_at=START)
                elif verb == "move":
                    moved = await store.executions.transition(tenant_id, x1, status, at=after(number))
                    may = row is not None and row.status in may_precede(status)
                    assert (moved is not None) == may
                    if row is not None and moved is not None:
                        finished_at = after(number) if status.is_final else None
                        model[tenant_id] = replace(row, status=status, finished_at=finished_at)
                elif verb == "update":
                    done = await store.executions.update(tenant_id, x1, outcome=Outcome(job_id=f"j{number}"))
                    assert done == is_open
                    if row is not None and done:
                        model[tenant_id] = replace(row, job_id=f"j{number}")
                elif verb == "cancel":
                    assert await store.executions.request_cancel(tenant_id, x1, START) == is_open
                    if row is not None and is_open:
                        model[tenant_id] = replace(row, cancel_requested_at=START)
                else:
                    begun = await _begin(store, tenant_id, x1, number)
                    assert begun == (row is not None and _may_begin(row))
                    if row is not None and begun:
                        model[tenant_id] = replace(
                            row,
                            status=Status.PROCESSING,
                            run_id="r",
                            job_id=None,
                            attempts=number,
                            started_at=START,
                        )
                for each in TENANTS:
                    assert await store.executions.get(each, None, x1) == model.get(each)


def _may_begin(row: Execution) -> bool:
    return row.cancel_requested_at is None and row.status in (Status.QUEUED, Status.PROCESSING)


async def _begin(store: Store, tenant_id: TenantId, execution_id: ExecutionId, attempt: int) -> bool:
    return await store.executions.begin_attempt(
        tenant_id, execution_id, run_id="r", attempt=attempt, started_at=START, follow_up_at=START
    )
