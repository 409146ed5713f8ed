"""The durable engine as the worker uses it: what is handed twice is performed once, and forgotten later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from sim_mcp.model.events import Job, JobId, JobState
from sim_mcp.model.execution import Trigger
from sim_mcp.model.principal import TenantId
from sim_mcp.model.tool import WorkflowId
from sim_mcp.triggers.engine import Engine
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R42")]


def job(name: str) -> Job:
    """A job that waits to be performed."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Job(
        id=JobId(name),
        tenant_id=TenantId("acme"),
        organization_id=None,
        started_by=Trigger.EVENT,
        source_id="evt-1",
        name="timer.stopped",
        workflow_id=WorkflowId("w"),
        chain=(),
        priority=5,
        due_at=now,
        state=JobState.WAITING,
        generation=1,
        attempts=0,
        rounds=0,
        begun_at=None,
        execution_id=None,
        error=None,
        created_at=now,
        finished_at=None,
        decided_by=None,
    )


async def test_a_job_is_performed_once_until_the_engine_has_forgotten_it(tmp_path: Path) -> None:
    """Its file is its owner's alone; what is over goes from it when it is old."""
    performed: list[str] = []
    bells = {name: anyio.Event() for name in ("first", "second", "third")}

    async def perform(tenant_id: str, job_id: str, generation: int) -> None:
        performed.append(f"{tenant_id} {job_id} {generation}")
        bells[job_id].set()

    file = tmp_path / "jobs.db"
    engine = Engine(file, worker_id="w-1", per_tenant=1, at_once=10)
    await engine.open(perform)
    try:
        with anyio.fail_after(PATIENCE_S):
            for name in ("first", "first", "second"):
                await engine.hand(job(name), delay_s=0)
            await bells["second"].wait()
            assert performed == ["acme first 1", "acme second 1"]
            assert await engine.forget(datetime.now(UTC) - timedelta(days=1)) == 0
            while await engine.forget(datetime.now(UTC) + timedelta(days=1)) == 0:
                await anyio.lowlevel.checkpoint()
            await engine.hand(job("third"), delay_s=0)
            await bells["third"].wait()
    finally:
        await engine.close()
    assert file.stat().st_mode & 0o777 == 0o600
