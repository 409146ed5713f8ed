"""Totals that the database keeps: whatever happens to rows, they say what counting would."""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.execution import Execution, ExecutionId, Status, Trigger
from sim_mcp.model.principal import TenantId
from sim_mcp.model.tool import WorkflowId
from sim_mcp.store import ExecutionFilter, Store
from sim_mcp.store.migrations import load_migrations, upgrade
from tests.store.rows import ACME, START, TENANTS, after, execution, opened

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R28", "R35")]

ORGANIZATIONS = (None, "a", "")
WORKFLOWS = (None, "w", "=w", "")
TRIGGERS = (Trigger.MCP, Trigger.EVENT)
Step = tuple[str, TenantId, str | None, str | None, Trigger]
steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["open", "refuse", "flood", *(Status.COMPLETED, Status.FAILED, Status.PAUSED), "forget"]
        ),
        st.sampled_from(TENANTS),
        st.sampled_from(ORGANIZATIONS),
        st.sampled_from(WORKFLOWS),
        st.sampled_from(TRIGGERS),
    ),
    max_size=20,
)


async def everything(store: Store, tenant_id: TenantId) -> list[Execution]:
    """All rows of a tenant, counted by nobody."""
    rows = await store.database.fetch_all("SELECT id FROM executions WHERE tenant_id = ?", [tenant_id])
    found = [await store.executions.get(tenant_id, None, str(row["id"])) for row in rows]
    return [row for row in found if row is not None]


async def assert_totals_are_true(store: Store) -> None:
    """For every reader and every filter without a moment."""
    for tenant_id in TENANTS:
        rows = await everything(store, tenant_id)
        for reader, workflow, status, trigger in product(
            ORGANIZATIONS, WORKFLOWS, (None, *Status), (None, *TRIGGERS)
        ):
            matching = ExecutionFilter(
                workflow_id=None if workflow is None else WorkflowId(workflow),
                status=status,
                triggered_by=trigger,
            )
            expected = [
                row
                for row in rows
                if reader is None or row.organization_id in {None, reader}
                if workflow is None or row.workflow_id == workflow
                if status is None or row.status is status
                if trigger is None or row.triggered_by is trigger
            ]
            page = await store.executions.page(tenant_id, reader, matching, limit=100)
            assert (page.total, len(page.executions)) == (len(expected), len(expected))


async def play(store: Store, script: list[Step]) -> None:
    """Open, refuse, move and forget rows."""
    for number, (what, tenant_id, organization, workflow, trigger) in enumerate(script):
        row = execution(
            f"x{number}",
            tenant_id=tenant_id,
            organization_id=organization,
            workflow_id=workflow,
            triggered_by=trigger,
            status=Status.FAILED if what in {"refuse", "flood"} else Status.PROCESSING,
            created_at=after(number),
        )
        match what:
            case "open":
                await store.executions.open(row, follow_up_at=START)
            case "refuse" | "flood":
                key = "window" if what == "flood" else None
                await store.executions.record_refusal(row, window_key=key)
            case "forget":
                await store.retention.forget(await store.retention.old_executions(after(999), limit=2))
            case _:
                for earlier in range(number):
                    await store.executions.transition(
                        tenant_id, ExecutionId(f"x{earlier}"), Status(what), at=after(number)
                    )


@settings(max_examples=20, deadline=None)
@given(script=steps)
async def test_totals_are_what_counting_would_find(script: list[Step]) -> None:
    """Whatever rows of two tenants went through, also those that were refused, flooded or forgotten."""
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder) / "sim-mcp.db") as store:
            await play(store, script)
            await assert_totals_are_true(store)


async def test_totals_are_true_on_each_database(store: Store) -> None:
    """One long script, on each database that this release serves."""
    script: list[Step] = [
        (what, tenant, organization, workflow, trigger)
        for tenant, organization, workflow in product(TENANTS, ORGANIZATIONS, WORKFLOWS)
        for what, trigger in (("open", Trigger.MCP), ("refuse", Trigger.EVENT), ("flood", Trigger.MCP))
    ]
    half = len(script) // 2
    for part in (script[:half], [("completed", *script[0][1:])], script[half:], [("forget", *script[0][1:])]):
        await play(store, part)
        await assert_totals_are_true(store)


async def test_rows_from_before_the_totals_are_counted_once(place: Path | str, clock: ManualClock) -> None:
    """The migration counts what is there; what is open then counts when it is closed."""
    async with opened(place, clock=clock) as store:
        database = store.database
        for row in [execution(f"x{n}", organization_id="a", created_at=after(n)) for n in range(3)]:
            await store.executions.open(row, follow_up_at=START)
        await store.executions.transition(ACME, ExecutionId("x1"), Status.COMPLETED, at=after(9))
        on = "" if database.kind == "sqlite" else " ON executions"
        for trigger in ("born_closed", "closed", "forgotten"):
            await database.execute(f"DROP TRIGGER executions_{trigger}{on}")
        if database.kind == "postgresql":
            for function in ("count_closed_execution", "count_forgotten_execution"):
                await database.execute(f"DROP FUNCTION {function}")
        await database.execute("DROP INDEX executions_open")
        await database.execute("DROP TABLE execution_totals")
        await database.execute("DELETE FROM schema_migrations WHERE version = 7")
        assert await upgrade(database, clock=clock) == (load_migrations()[-1].version,)
        await assert_totals_are_true(store)
        await store.executions.transition(ACME, ExecutionId("x2"), Status.FAILED, at=after(9))
        await assert_totals_are_true(store)
