"""Jobs: what events and schedules want to run, from the outbox to the dead letters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sim_mcp.model.events import Job, JobState
from sim_mcp.model.execution import Execution, ExecutionError, ExecutionId
from sim_mcp.store import columns
from sim_mcp.store.database import Trouble
from sim_mcp.store.execution_rows import error_text, from_row
from sim_mcp.store.history import Narrowing, read_cursor, write_cursor
from sim_mcp.store.job_rows import NewJob, input_of, insert_jobs, job_of, resealed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sim_mcp.model.json import JsonObject
    from sim_mcp.model.principal import Principal, TenantId
    from sim_mcp.store.database import Database, Statements
    from sim_mcp.store.sealing import Sealer

# The tenants take turns: everybody's first waiting job comes before anybody's second.
_WAITING = """
SELECT j.* FROM (
  SELECT tenant_id, id, ROW_NUMBER() OVER (PARTITION BY tenant_id ORDER BY due_at, id) AS place
  FROM jobs WHERE state = 'waiting'
) AS ranked
JOIN jobs AS j ON j.tenant_id = ranked.tenant_id AND j.id = ranked.id
ORDER BY ranked.place, j.due_at, j.id
LIMIT ?
"""
_OVERLOOKED = """
UPDATE jobs SET state = 'waiting'
WHERE finished_at IS NULL AND due_at < ? AND handed_at < ?
  AND (state = 'handed' OR (state = 'running' AND execution_id IS NULL))
"""
_ENDED = """
SELECT j.* FROM jobs AS j JOIN executions AS e ON e.tenant_id = j.tenant_id AND e.id = j.execution_id
WHERE j.state = 'running' AND e.status IN ('completed', 'failed', 'cancelled', 'paused') LIMIT ?
"""
_CLOCKS_DIFFER = timedelta(hours=1)
_WANTED = "state IN ('waiting', 'handed', 'running')"
# Only an execution that still holds its key: one whose run surely never began has given it back.
_BEGUN = """
SELECT * FROM executions
WHERE tenant_id = ? AND created_at >= ? AND triggered_by = ? AND idempotency_key = ? AND key_claim IS NOT NULL
ORDER BY created_at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """One page of jobs, newest first, and where the next one begins."""

    jobs: tuple[Job, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs of all tenants. Every change is guarded by the state and the generation it needs to find."""

    database: Database
    sealer: Sealer

    async def add(self, transaction: Statements, several: Sequence[NewJob]) -> int:
        """Write the jobs that are not there yet inside `transaction`; how many that were."""
        return await insert_jobs(transaction, self.sealer, several)

    async def get(self, tenant_id: TenantId, organization_id: str | None, job_id: str) -> Job | None:
        """The job, if a member of `organization_id` may see it (`None`: everybody of the tenant)."""
        narrowed = Narrowing.visible(tenant_id, organization_id).where("id = ?", job_id)
        row = await self.database.fetch_one(narrowed.select("jobs"), narrowed.values)
        return None if row is None else job_of(row)

    async def input(self, job: Job) -> JsonObject:
        """What the job's workflow gets.

        Raises:
            NotConfigured: it cannot be opened any more.
        """
        row = await self.database.fetch_one(
            "SELECT * FROM jobs WHERE tenant_id = ? AND id = ?", [job.tenant_id, job.id]
        )
        if row is None:
            raise Trouble.CORRUPT.error("a job is gone")
        return input_of(row, job, self.sealer)

    async def page(
        self,
        tenant_id: TenantId,
        organization_id: str | None,
        *,
        state: JobState | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> JobPage:
        """Up to `limit` jobs, newest first.

        Raises:
            InvalidInput: a cursor that is not ours.
        """
        narrowed = Narrowing.visible(tenant_id, organization_id)
        if state is not None:
            narrowed.where("state = ?", state.value)
        if cursor is not None:
            narrowed.where("(created_at, id) < (?, ?)", *read_cursor(cursor))
        sql = narrowed.select("jobs", "ORDER BY created_at DESC, id DESC LIMIT ?")
        rows = await self.database.fetch_all(sql, [*narrowed.values, limit + 1])
        jobs = tuple(job_of(row) for row in rows[:limit])
        more = len(rows) > limit
        return JobPage(
            jobs=jobs, next_cursor=write_cursor(jobs[-1].created_at, jobs[-1].id) if more else None
        )

    async def of_source(self, tenant_id: TenantId, source_id: str) -> tuple[Job, ...]:
        """The jobs that an event or schedule made, oldest first."""
        rows = await self.database.fetch_all(
            "SELECT * FROM jobs WHERE tenant_id = ? AND source_id = ? ORDER BY created_at, id LIMIT 100",
            [tenant_id, source_id],
        )
        return tuple(job_of(row) for row in rows)

    async def of_execution(self, tenant_id: TenantId, execution_id: ExecutionId) -> Job | None:
        """The job whose run the execution is."""
        row = await self.database.fetch_one(
            "SELECT * FROM jobs WHERE tenant_id = ? AND execution_id = ?", [tenant_id, execution_id]
        )
        return None if row is None else job_of(row)

    async def counts(self, tenant_id: TenantId) -> dict[JobState, int]:
        """How many jobs of the tenant stand where."""
        rows = await self.database.fetch_all(
            "SELECT state, COUNT(*) AS total FROM jobs WHERE tenant_id = ? GROUP BY state", [tenant_id]
        )
        return {JobState(columns.text(row, "state")): columns.whole(row, "total") for row in rows}

    async def waiting(self, *, limit: int) -> tuple[Job, ...]:
        """Jobs that the engine was not given yet, the tenants taking turns. Operator's view."""
        return tuple(job_of(row) for row in await self.database.fetch_all(_WAITING, [limit]))

    async def handed(self, job: Job, *, at: datetime) -> bool:
        """Note that the engine has the job."""
        return await self._change(
            job, "state = 'handed', handed_at = ?", [columns.micros(at)], "state = 'waiting'"
        )

    async def begin(self, job: Job, *, at: datetime) -> bool:
        """Note, before the corridor is asked, that the job is about to run. `False`: it is wanted no more."""
        changes = "state = 'running', begun_at = COALESCE(begun_at, ?)"
        return await self._change(job, changes, [columns.micros(at)], _WANTED)

    async def begun(self, job: Job, key: str) -> Execution | None:
        """The execution that this generation of the job has begun, should there be one."""
        if job.begun_at is None:
            return None
        row = await self.database.fetch_one(
            _BEGUN, [job.tenant_id, columns.micros(job.begun_at - _CLOCKS_DIFFER), job.started_by.value, key]
        )
        return None if row is None else from_row(row)

    async def attach(self, job: Job, execution_id: ExecutionId) -> bool:
        """Note which execution the job's run is."""
        return await self._change(job, "state = 'running', execution_id = ?", [execution_id], _WANTED)

    async def ended(self, *, limit: int) -> tuple[Job, ...]:
        """Running jobs whose execution is settled. Operator's view."""
        return tuple(job_of(row) for row in await self.database.fetch_all(_ENDED, [limit]))

    async def retry(self, job: Job, error: ExecutionError, *, due_at: datetime, counts: bool) -> bool:
        """Let the job wait until `due_at` for its next try; the last one only counts when `counts`."""
        changes = (
            "state = 'waiting', rounds = rounds + 1, attempts = attempts + ?, error = ?, due_at = ?,"
            " execution_id = NULL"  # begun_at stays: whatever was begun under the key is found again
        )
        values = [int(counts), error_text(error), columns.micros(due_at)]
        return await self._change(job, changes, values, f"rounds = {job.rounds:d} AND {_WANTED}")

    async def finish(
        self, job: Job, state: JobState, *, at: datetime, error: ExecutionError | None = None
    ) -> bool:
        """Close the job as done or dead, with the cause."""
        changes = "state = ?, finished_at = ?, error = ?"
        values = [state.value, columns.micros(at), error_text(error)]
        return await self._change(job, changes, values, _WANTED)

    async def replay(self, principal: Principal, job: Job, *, at: datetime) -> bool:
        """Let a dead or discarded job begin anew, as a new generation."""
        changes = (
            "state = 'waiting', generation = generation + 1, attempts = 0, rounds = 0, due_at = ?,"
            " handed_at = NULL,"
            " begun_at = NULL, execution_id = NULL, error = NULL, finished_at = NULL, decided_by = ?"
        )
        values = [columns.micros(at), columns.clean(principal.subject)]
        return await self._change(job, changes, values, "state IN ('dead', 'discarded')")

    async def discard(self, principal: Principal, job: Job, *, at: datetime) -> bool:
        """Put away a dead job, or one that was not begun yet."""
        changes = "state = 'discarded', finished_at = ?, decided_by = ?"
        values = [columns.micros(at), columns.clean(principal.subject)]
        return await self._change(job, changes, values, "state IN ('dead', 'waiting', 'handed')")

    async def reseal_all(self) -> int:
        """Seal the inputs of all jobs under the newest encryption key; how many were not yet."""
        count, after = 0, ""
        sql = "SELECT * FROM jobs WHERE id > ? ORDER BY id LIMIT 500"
        while rows := await self.database.fetch_all(sql, [after]):
            for row in rows:
                after = columns.text(row, "id")
                if (fresh := resealed(row, self.sealer)) is not None:
                    count += await self.database.execute(
                        "UPDATE jobs SET sealed_input = ? WHERE tenant_id = ? AND id = ?",
                        [fresh, row["tenant_id"], after],
                    )
        return count

    async def again(self, *, due_before: datetime, handed_before: datetime) -> int:
        """Have jobs handed to the engine once more that it should long have run. It knows which it has."""
        return await self.database.execute(
            _OVERLOOKED, [columns.micros(due_before), columns.micros(handed_before)]
        )

    async def _change(self, job: Job, changes: str, values: Sequence[str | int | None], wanted: str) -> bool:
        sql = f"UPDATE jobs SET {changes} WHERE tenant_id = ? AND id = ? AND generation = ? AND {wanted}"  # noqa: S608 - our own words
        touched = await self.database.execute(sql, [*values, job.tenant_id, job.id, job.generation])
        return touched == 1
