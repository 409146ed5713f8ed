"""Counting executions, on each database: by tool, by error, over time; each tenant its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.execution import ExecutionError, ExecutionId, Status
from sim_mcp.store import FailureCount, Outcome, SlotCount, Store, ToolCount
from tests.store.rows import ACME, GLOBEX, START, after, execution

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R43", "R11")]

FAILED = ExecutionError(code=ErrorCode.EXECUTION_ERROR, message="Division by zero")


async def ended(
    store: Store,
    execution_id: str,
    status: Status = Status.COMPLETED,
    *,
    tool: str = "report",
    tenant: str = ACME,
    at_s: float = 0.0,
    took_ms: int | None = 100,
    cost: float | None = None,
    organization_id: str | None = None,
) -> None:
    """An execution that SIM was asked for and that ended."""
    row = execution(
        execution_id,
        tenant_id=type(ACME)(tenant),
        organization_id=organization_id,
        created_at=after(at_s),
    )
    row = replace(row, tool_name=tool, attempts=1)
    await store.executions.open(row, follow_up_at=after(at_s + 60))
    outcome = Outcome(
        duration_ms=took_ms, cost=cost, error=FAILED if status is Status.FAILED else None, is_known=True
    )
    moved = await store.executions.transition(
        row.tenant_id, ExecutionId(execution_id), status, at=after(at_s + 1), outcome=outcome
    )
    assert moved


async def test_executions_are_counted_by_tool_and_end_for_their_tenant_alone(store: Store) -> None:
    """Only what ended, since the moment asked for."""
    await ended(store, "old", at_s=-100)
    await ended(store, "a", took_ms=100, cost=0.5)
    await ended(store, "b", took_ms=300)
    await ended(store, "c", Status.FAILED, took_ms=None)
    await ended(store, "d", Status.CANCELLED, tool="other", took_ms=7)
    await ended(store, "e", tenant=GLOBEX)
    await store.executions.open(execution("going-on"), follow_up_at=after(60))
    assert await store.statistics.by_tool(ACME, None, since=START) == (
        ToolCount(tool_name="other", status=Status.CANCELLED, executions=1, timed=1, duration_ms=7, cost=0.0),
        ToolCount(
            tool_name="report", status=Status.COMPLETED, executions=2, timed=2, duration_ms=400, cost=0.5
        ),
        ToolCount(tool_name="report", status=Status.FAILED, executions=1, timed=0, duration_ms=0, cost=0.0),
    )
    [globex] = await store.statistics.by_tool(GLOBEX, None, since=START)
    assert globex.executions == 1


async def test_an_organisation_counts_its_own_and_those_of_none(store: Store) -> None:
    """As it sees them in the history."""
    for number, organization_id in enumerate((None, "o1", "o2")):
        await ended(store, f"x{number}", organization_id=organization_id)
    for asked, expected in ((None, 3), ("o1", 2), ("o3", 1)):
        [count] = await store.statistics.by_tool(ACME, asked, since=START)
        assert count.executions == expected


async def test_failures_are_counted_by_code_and_a_flood_in_full(store: Store) -> None:
    """What was refused before SIM was asked is told apart."""
    await ended(store, "a", Status.FAILED)
    refused = replace(
        execution("r", status=Status.FAILED),
        error=ExecutionError(code=ErrorCode.RATE_LIMIT_EXCEEDED, message="Slow down"),
        attempts=0,
        finished_at=START,
    )
    for number in range(3):
        row = replace(refused, id=ExecutionId(f"r{number}"))
        await store.executions.record_refusal(row, window_key="minute-1")
    assert await store.statistics.failures(ACME, None, since=START) == (
        FailureCount(code="EXECUTION_ERROR", calls=1, refused=0),
        FailureCount(code="RATE_LIMIT_EXCEEDED", calls=3, refused=3),
    )
    assert await store.statistics.failures(GLOBEX, None, since=START) == ()
    assert await store.statistics.by_tool(ACME, None, since=after(1)) == ()


async def test_executions_are_counted_in_slots_of_time(store: Store) -> None:
    """Each slot begins a whole number of slots after the moment asked for; empty ones are left out."""
    for number, at_s in enumerate((0.0, 59.9, 60.0, 185.0)):
        await ended(store, f"x{number}", at_s=at_s)
    slots = await store.statistics.over_time(ACME, None, since=START, slot=timedelta(minutes=1))
    assert slots == tuple(
        SlotCount(began_at=after(at_s), status=Status.COMPLETED, executions=count)
        for at_s, count in ((0, 2), (60, 1), (180, 1))
    )


async def test_the_newest_durations_and_the_cost_are_those_of_the_tenant(store: Store) -> None:
    """At most as many as asked for; what SIM did not price costs nothing known."""
    for number in range(4):
        await ended(store, f"x{number}", at_s=number, took_ms=number, cost=0.25 if number else None)
    await ended(store, "foreign", tenant=GLOBEX, took_ms=99, cost=9.0)
    await ended(store, "failed", Status.FAILED, took_ms=77)
    found = await store.statistics.durations_ms(ACME, None, since=START, limit=3)
    assert found == (("report", 3), ("report", 2), ("report", 1))
    assert await store.statistics.cost(ACME, since=START) == 0.75
    assert await store.statistics.cost(ACME, since=after(2), tool_name="report") == 0.5
    assert await store.statistics.cost(ACME, since=START, tool_name="other") == 0.0
