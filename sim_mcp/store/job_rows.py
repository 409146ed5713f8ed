"""Jobs as rows, and the inputs sealed into them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.model.errors import NotConfigured
from sim_mcp.model.events import Job, JobId, JobState
from sim_mcp.model.execution import ExecutionId, Trigger
from sim_mcp.model.integration import IntegrationId
from sim_mcp.model.json import is_array, is_object
from sim_mcp.model.principal import TenantId
from sim_mcp.model.tool import WorkflowId
from sim_mcp.store import columns
from sim_mcp.store.database import Trouble
from sim_mcp.store.execution_rows import error_of_row, error_text
from sim_mcp.store.sealing import Binding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim_mcp.model.json import JsonObject
    from sim_mcp.store.database import Row, Statements, Value
    from sim_mcp.store.sealing import Sealer

_UNLESS_THERE = " ON CONFLICT (tenant_id, source_key) DO NOTHING"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be made, with the input of its workflow and what may start it only once."""

    job: Job
    input: JsonObject
    source_key: str


async def insert_jobs(transaction: Statements, sealer: Sealer, several: Sequence[NewJob]) -> int:
    """Write the jobs that are not there yet, by their `source_key`; how many that were."""
    written = 0
    for new in several:
        row = _to_row(new, sealer)
        marks = ", ".join("?" * len(row))
        sql = "".join(["INSERT INTO jobs (", ", ".join(row), ") VALUES (", marks, ")", _UNLESS_THERE])
        written += await transaction.execute(sql, [*row.values()])
    return written


def job_of(row: Row) -> Job:
    """The job in `row`.

    Raises:
        StoreUnavailable: when the row holds what we never write.
    """
    execution_id = columns.maybe_text(row, "execution_id")
    try:
        return Job(
            id=JobId(columns.text(row, "id")),
            tenant_id=TenantId(columns.text(row, "tenant_id")),
            organization_id=columns.maybe_text(row, "organization_id"),
            started_by=Trigger(columns.text(row, "started_by")),
            source_id=columns.text(row, "source_id"),
            name=columns.text(row, "name"),
            workflow_id=WorkflowId(columns.text(row, "workflow_id")),
            chain=chain_of(row),
            priority=columns.whole(row, "priority"),
            due_at=columns.moment(row, "due_at"),
            state=JobState(columns.text(row, "state")),
            generation=columns.whole(row, "generation"),
            attempts=columns.whole(row, "attempts"),
            rounds=columns.whole(row, "rounds"),
            begun_at=columns.maybe_moment(row, "begun_at"),
            execution_id=None if execution_id is None else ExecutionId(execution_id),
            error=error_of_row(row),
            created_at=columns.moment(row, "created_at"),
            finished_at=columns.maybe_moment(row, "finished_at"),
            decided_by=columns.maybe_text(row, "decided_by"),
        )
    except ValueError as error:
        raise Trouble.CORRUPT.error(f"a job row cannot be read: {error}") from error


def chain_of(row: Row) -> tuple[str, ...]:
    """The chain of event ids in a row."""
    stored = columns.json_value(row, "chain")
    return tuple(str(each) for each in stored) if is_array(stored) else ()


def input_of(row: Row, job: Job, sealer: Sealer) -> JsonObject:
    """The input sealed into `row`.

    Raises:
        NotConfigured: when the key that sealed it is not among ours.
    """
    opened = json.loads(sealer.unseal(columns.text(row, "sealed_input"), _binding(job)))
    return opened if is_object(opened) else {}


def resealed(row: Row, sealer: Sealer) -> str | None:
    """The input of `row` under the newest key; `None` when it is already, or cannot be opened any more."""
    sealed = columns.text(row, "sealed_input")
    if sealer.is_newest(sealed):
        return None
    binding = _binding(job_of(row))
    try:
        return sealer.seal(sealer.unseal(sealed, binding), binding)
    except NotConfigured:
        return None


def _to_row(new: NewJob, sealer: Sealer) -> dict[str, Value]:
    job = new.job
    return {
        "tenant_id": job.tenant_id,
        "id": job.id,
        "organization_id": job.organization_id,
        "started_by": job.started_by.value,
        "source_key": new.source_key,
        "source_id": job.source_id,
        "name": job.name,
        "workflow_id": job.workflow_id,
        "sealed_input": sealer.seal(columns.json_text(new.input), _binding(job)),
        "chain": columns.json_text(list(job.chain)),
        "priority": job.priority,
        "due_at": columns.micros(job.due_at),
        "state": job.state.value,
        "generation": job.generation,
        "attempts": job.attempts,
        "rounds": job.rounds,
        "error": error_text(job.error),
        "created_at": columns.micros(job.created_at),
        "finished_at": columns.maybe_micros(job.finished_at),
    }


def _binding(job: Job) -> Binding:
    return Binding(
        tenant_id=job.tenant_id,
        organization_id=job.organization_id,
        integration_id=IntegrationId(job.id),
        revision=0,
        purpose="job-input",
    )
