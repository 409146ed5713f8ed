"""A long history, made by the database itself: for what must not depend on how much there is."""

from __future__ import annotations

from sim_mcp.store import Store
from sim_mcp.store.history import write_cursor
from sim_mcp.store.migrations import load_migrations
from tests.store.rows import START, after

_FILL = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
INSERT INTO executions (
  tenant_id, id, tool_name, workflow_id, run_id, status, mode, timeout_s, duration_ms, attempts, triggered_by,
  subject, created_at, started_at, finished_at, refusals, was_known
)
SELECT
  CASE n % 4 WHEN 0 THEN 'globex' ELSE 'acme' END, 'x' || n, 'tool', 'w' || (n % 5), 'r' || n,
  CASE n % 10 WHEN 2 THEN 'failed' WHEN 7 THEN 'failed' ELSE 'completed' END, 'sync', 60, 5, 1, 'mcp', 'ada',
  CAST(? AS BIGINT) + n, CAST(? AS BIGINT) + n, CAST(? AS BIGINT) + n, 0, 1
FROM numbers
"""


async def crowd(store: Store, executions: int) -> None:
    """Give `store` so many executions, a microsecond apart: three in four are acme's, others globex's."""
    start = int(START.timestamp()) * 1_000_000
    database, fill = store.database, [executions, start, start, start]
    if database.kind == "postgresql":
        # Its triggers would write the few totals so often in one transaction that each write gets slower.
        await database.execute("ALTER TABLE executions DISABLE TRIGGER USER")
        await database.execute(_FILL, fill)
        await database.execute("ALTER TABLE executions ENABLE TRIGGER USER")
        [totals] = [each for each in load_migrations() if each.name == "totals"]
        await database.execute(totals.statements[-1].sql)
    else:
        await database.execute(_FILL, fill)
    await database.execute("ANALYZE")


def cursor_after(skipped: int, executions: int) -> str:
    """Where a page begins that has the newest `skipped` of all these executions before it."""
    number = executions - skipped
    return write_cursor(after(number / 1_000_000), f"x{number}")
