"""What the room asks is answered from indexes: SQLite's own plans of the very statements that are sent."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pytest

from sim_mcp.model.execution import ExecutionId, Status, Trigger
from sim_mcp.model.tool import WorkflowId
from sim_mcp.store import Claims, ExecutionFilter, Executions, Retention
from sim_mcp.store.audit_chain import AuditChain
from sim_mcp.store.changes import Changes
from sim_mcp.store.database import Database, Row, Then, Transaction, Value
from tests.store.rows import ACME, START, after, execution, opened

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R28")]

X1 = ExecutionId("x1")


class Eavesdropper:
    """A database that remembers what was said to it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.said: set[str] = set()
        self.asked: list[tuple[str, Sequence[Value]]] = []
        """Questions with several answers, and their values."""

    @property
    def kind(self) -> str:
        return self._database.kind

    async def fetch_all(self, sql: str, parameters: Sequence[Value] = ()) -> Sequence[Row]:
        self.said.add(sql)
        self.asked.append((sql, parameters))
        return await self._database.fetch_all(sql, parameters)

    async def fetch_one(self, sql: str, parameters: Sequence[Value] = ()) -> Row | None:
        self.said.add(sql)
        return await self._database.fetch_one(sql, parameters)

    async def execute(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        self.said.add(sql)
        return await self._database.execute(sql, parameters)

    async def change(
        self, sql: str, parameters: Sequence[Value] = (), *, then: Then | None = None, turn: str | None = None
    ) -> Row | None:
        self.said.add(sql)
        return await self._database.change(sql, parameters, then=then, turn=turn)

    @asynccontextmanager
    async def transaction(self, *, turn: str | None = None) -> AsyncGenerator[Transaction]:
        async with self._database.transaction(turn=turn) as transaction:
            yield EavesdropperInside(transaction, self.said)

    async def rung(self) -> None:
        await self._database.rung()

    def member(self, column: str, name: str) -> str:
        return self._database.member(column, name)

    async def has_table(self, name: str) -> bool:
        return await self._database.has_table(name)

    async def shrink(self) -> None:
        """Nothing to listen to."""

    async def close(self) -> None:
        await self._database.close()


@dataclass(frozen=True, slots=True)
class EavesdropperInside:
    """The same inside a transaction."""

    transaction: Transaction
    said: set[str]

    async def fetch_all(self, sql: str, parameters: Sequence[Value] = ()) -> Sequence[Row]:
        self.said.add(sql)
        return await self.transaction.fetch_all(sql, parameters)

    async def fetch_one(self, sql: str, parameters: Sequence[Value] = ()) -> Row | None:
        self.said.add(sql)
        return await self.transaction.fetch_one(sql, parameters)

    async def execute(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        self.said.add(sql)
        return await self.transaction.execute(sql, parameters)

    async def ring(self) -> None:
        await self.transaction.ring()


def plans_of(path: Path, statements: set[str]) -> dict[str, str]:
    """How SQLite would answer each of `statements`, as it tells."""
    with closing(sqlite3.connect(path)) as connection:
        return {
            sql: "\n".join(
                row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", [0] * sql.count("?"))
            )
            for sql in statements
        }


async def test_no_question_reads_a_whole_table(path: Path) -> None:
    """Every reading and changing method, with and without an organisation."""
    async with opened(path) as store:
        database = Eavesdropper(store.database)
        chain = AuditChain(database, store.audit_keys)
        executions = Executions(database, chain)
        claims = Claims(database, store.claims.sealer, store.claims.clock)
        for name in ("x1", "x2"):  # the second has to look for an outdated hold
            row = execution(name)
            await executions.open(row, follow_up_at=START, claim=claims.claim(row, "k", "asked"))
        await executions.begin_attempt(ACME, X1, run_id="r", attempt=1, started_at=START, follow_up_at=START)
        await executions.update(ACME, X1, follow_up_at=START)
        for organization_id in (None, "org"):
            await executions.get(ACME, organization_id, X1)
            await executions.find(ACME, organization_id, "unknown")
        await claims.holder(ACME, "k")
        await executions.count_since(ACME, START)
        await executions.count_unfinished(ACME)
        await executions.claim(ACME, X1, seen=START, at=START, until=after(1))
        await executions.keep([(ACME, X1), (ACME, ExecutionId("x2"))], until=after(2))
        await executions.schedule(ACME, X1, at=after(3))
        await executions.request_cancel(ACME, X1, START)
        await executions.due(START, limit=1, per_tenant=1)
        await executions.transition(ACME, X1, Status.COMPLETED, at=START)
        retention = Retention(database, chain)
        await retention.forget(await retention.old_executions(after(9)))
        for kind in ("jobs", "events"):
            await retention.purge(kind, START)
        await Changes(database).changes_since(1)
        await replace(store.integrations, database=database).in_force(ACME, "org")
    plans = plans_of(path, database.said)
    assert len(plans) > 15
    tables = (
        "executions execution_totals integration_revisions allow_list_versions e r changes counters jobs "
        "events audit_links audit_anchors"
    )
    scanned = re.compile(rf"SCAN ({tables.replace(' ', '|')})\b")
    assert {sql: plan for sql, plan in plans.items() if scanned.search(plan)} == {}


@pytest.mark.parametrize(
    ("organization_id", "matching"),
    list(
        product(
            [None, "org"],
            [
                ExecutionFilter(),
                ExecutionFilter(workflow_id=WorkflowId("w")),
                ExecutionFilter(status=Status.FAILED),
                ExecutionFilter(workflow_id=WorkflowId("w"), status=Status.FAILED),
                ExecutionFilter(since=START, until=after(1)),
                ExecutionFilter(triggered_by=Trigger.EVENT),
            ],
        )
    ),
)
async def test_each_filter_counts_without_the_history_and_pages_without_sorting(
    path: Path, organization_id: str | None, matching: ExecutionFilter
) -> None:
    """Totals are kept, or counted inside an index; a page is read in order, from the start and a cursor."""
    async with opened(path) as store:
        row = execution("x1", workflow_id="w", status=Status.FAILED, triggered_by=Trigger.EVENT)
        await store.executions.record_refusal(row, window_key=None)
        database = Eavesdropper(store.database)
        for cursor in (None, "WzEsIngiXQ"):
            await Executions(database, store.executions.chain).page(
                ACME, organization_id, matching, limit=1, cursor=cursor
            )
    plans = plans_of(path, database.said)
    totals = [plan for sql, plan in plans.items() if "AS total" in sql]
    pages = [plan for sql, plan in plans.items() if "AS total" not in sql]
    assert (len(totals), len(pages)) == (1, 2)
    if matching.has_span:
        assert "USING COVERING INDEX" in totals[0]
    else:
        assert "SEARCH execution_totals USING" in totals[0]
        assert "executions" not in totals[0] or "INDEX executions_open (tenant_id=?)" in totals[0]
    assert all("SEARCH executions USING INDEX executions_" in plan for plan in pages)
    assert not any("TEMP B-TREE" in plan for plan in pages)
