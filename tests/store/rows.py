"""What the store's tests are made of: two tenants, an execution of theirs, and a way to open a file."""

from __future__ import annotations

import itertools
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.execution import Execution, ExecutionId, Status, Trigger
from sim_mcp.model.principal import TenantId
from sim_mcp.model.tool import Mode, WorkflowId
from sim_mcp.store import Sealer, Store, open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim_mcp.model.json import Json

ACME = TenantId("acme")
GLOBEX = TenantId("globex")
TENANTS = (ACME, GLOBEX)
START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = b"first encryption key, 32 bytes.."
OTHER_KEY = b"second encryption key, 32 bytes."
SECRET = "sk-sim-0123456789abcdefghijklmnop"


def after(seconds: float) -> datetime:
    """A moment that many seconds after the start of every test."""
    return START + timedelta(seconds=seconds)


def opened(
    place: Path | str,
    *,
    keys: Sequence[bytes] = (KEY,),
    clock: ManualClock | None = None,
    migrate: bool = True,
    only_look: bool = False,
    prefix: str = "id",
) -> AbstractAsyncContextManager[Store]:
    """The store in the file or at the URL `place`; its ids are `prefix`-1, `prefix`-2 and so on."""
    numbers = itertools.count(1)
    return open_store(
        f"sqlite:///{place}" if isinstance(place, Path) else place,
        sealer=Sealer(keys),
        clock=clock or ManualClock(),
        new_id=lambda: f"{prefix}-{next(numbers)}",
        migrate=migrate,
        only_look=only_look,
    )


def content(path: Path) -> bytes:
    """Everything in the database file and in the files that SQLite keeps beside it."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


def execution(
    execution_id: str = "x1",
    *,
    tenant_id: TenantId = ACME,
    organization_id: str | None = None,
    status: Status = Status.PROCESSING,
    created_at: datetime = START,
    workflow_id: str | None = "wf-1",
    run_id: str | None = None,
    job_id: str | None = None,
    key: str | None = None,
    triggered_by: Trigger = Trigger.MCP,
    value: Json = None,
) -> Execution:
    """A row as the gateway would open it."""
    row = Execution(
        id=ExecutionId(execution_id),
        tenant_id=tenant_id,
        organization_id=organization_id,
        integration_id=None,
        tool_name="summarize",
        workflow_id=None if workflow_id is None else WorkflowId(workflow_id),
        run_id=run_id,
        job_id=job_id,
        status=status,
        mode=Mode.SYNC,
        timeout_s=60.0,
        input=value,
        output=None,
        error=None,
        pauses=None,
        duration_ms=None,
        attempts=0,
        triggered_by=triggered_by,
        subject="ada",
        idempotency_key=key,
        created_at=created_at,
        started_at=None,
        finished_at=None,
        settings_revision=1,
        trace_id=None,
    )
    return replace(row, finished_at=created_at) if status.is_final else row


async def opened_rows(store: Store, *rows: Execution, follow_up_at: datetime = START) -> None:
    """Open `rows` in the store."""
    for row in rows:
        await store.executions.open(row, follow_up_at=follow_up_at)
