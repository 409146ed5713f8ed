"""The archive of executions that are purged: gzip NDJSON, a folder for each tenant, a file for each batch.

A batch is deleted only once its file is whole and on the disk. A crash in between leaves rows that are
archived again: the archive may repeat an execution, and never lacks one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from typing import TYPE_CHECKING

import anyio.to_thread

from sim_mcp.model.json import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from sim_mcp.model.execution import Execution
    from sim_mcp.model.json import Json

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Archive:
    """Writes batches below a directory, which only its owner may read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def write(self, executions: Sequence[Execution], *, at: datetime) -> tuple[Path, ...]:
        """Write `executions`, durable on return; the files, one for each tenant.

        Raises:
            OSError: the directory cannot be written. Then nothing may be deleted.
        """
        return await anyio.to_thread.run_sync(self._write, list(executions), at)

    def _write(self, executions: list[Execution], at: datetime) -> tuple[Path, ...]:
        by_tenant: dict[str, list[Execution]] = {}
        for each in executions:
            by_tenant.setdefault(each.tenant_id, []).append(each)
        return tuple(self._write_file(tenant, several, at) for tenant, several in by_tenant.items())

    def _write_file(self, tenant: str, several: list[Execution], at: datetime) -> Path:
        folder = self._directory / folder_of(tenant)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        first = hashlib.sha256("".join(each.id for each in several).encode()).hexdigest()[:12]
        target = folder / f"executions-{at:%Y%m%dT%H%M%S}-{first}.ndjson.gz"
        unfinished = target.with_suffix(".part")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
                for each in several:
                    packed.write(json.dumps(record_of(each), ensure_ascii=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
        return target


def folder_of(tenant: str) -> str:
    """The folder's name of a tenant: its id where that is a plain name, else a hash of it."""
    if _PLAIN.fullmatch(tenant):
        return tenant
    return "tenant-" + hashlib.sha256(tenant.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def record_of(row: Execution) -> dict[str, Json]:
    """An execution with the fields of contract section 10."""
    error = row.error
    return {
        "id": row.id,
        "tenantId": row.tenant_id,
        "organizationId": row.organization_id,
        "integrationId": row.integration_id,
        "toolName": row.tool_name,
        "workflowId": row.workflow_id,
        "executionId": row.run_id,
        "jobId": row.job_id,
        "status": row.status.value,
        "input": _plain(row.input),
        "output": _plain(row.output),
        "error": None
        if error is None
        else {"code": error.code.value, "message": error.message, "retryable": error.retryable},
        "durationMs": row.duration_ms,
        "attempts": row.attempts,
        "triggeredBy": row.triggered_by.value,
        "subject": row.subject,
        "idempotencyKey": row.idempotency_key,
        "createdAt": row.created_at.isoformat(),
        "startedAt": row.started_at.isoformat() if row.started_at else None,
        "finishedAt": row.finished_at.isoformat() if row.finished_at else None,
        "settingsRevision": row.settings_revision,
        "traceId": row.trace_id,
    }


def _plain(value: Json) -> Json:
    if is_object(value):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if is_array(value) else value
