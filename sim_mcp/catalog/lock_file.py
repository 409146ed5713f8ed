"""The lock file beside the specs: what was approved of each tool, for review in version control.

Where it exists, it counts: a spec whose words are not those approved is held back, and so is one that the
file does not name. Without it the first use of a tool is its approval (`tool_locks` in the database).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from sim_mcp.model.errors import InvalidInput
from sim_mcp.model.json import Json, is_object
from sim_mcp.model.lock import ToolLock
from sim_mcp.model.principal import TenantId
from sim_mcp.model.tool import WorkflowId

if TYPE_CHECKING:
    from pathlib import Path

    from sim_mcp.model.json import JsonObject

LOCK_FILE = "sim-mcp.lock.json"
FORMAT = 1
MAX_BYTES = 16 * 1024 * 1024

Locks: TypeAlias = Mapping[tuple[TenantId, str], ToolLock]


def read_lock(directory: Path) -> Locks | None:
    """The locks in `directory`; `None` when there is no lock file.

    Raises:
        InvalidInput: the file is there and cannot be understood.
    """
    path = directory / LOCK_FILE
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _faulty(f"cannot be read ({error.strerror})") from error
    try:
        document = json.loads(content) if len(content) <= MAX_BYTES else None
    except (ValueError, RecursionError):
        document = None
    tools = document.get("tools") if is_object(document) and document.get("format") == FORMAT else None
    if not is_object(tools):
        raise _faulty("is no lock of this release")
    found: dict[tuple[TenantId, str], ToolLock] = {}
    for tenant, entries in tools.items():
        if not is_object(entries):
            raise _faulty(f"has no sound entries for tenant {tenant!r}")
        for name, entry in entries.items():
            lock = _lock(TenantId(tenant), name, entry)
            found[lock.tenant_id, lock.name] = lock
    return found


def write_lock(directory: Path, locks: Iterable[ToolLock]) -> Path:
    """Write `locks`, sorted, in one step; the file's path."""
    path = directory / LOCK_FILE
    tools: dict[str, dict[str, Json]] = {}
    for lock in sorted(locks, key=lambda each: (each.tenant_id, each.name)):
        tools.setdefault(lock.tenant_id, {})[lock.name] = {
            "workflow_id": lock.workflow_id,
            "deployed_version": lock.version,
            "inputs": dict(sorted(lock.inputs.items())),
            "pinned_sha256": lock.pinned,
            "approved_at": lock.approved_at.astimezone(UTC).isoformat(),
            "approved_by": lock.approved_by,
        }
    text = json.dumps({"format": FORMAT, "tools": tools}, indent=2, ensure_ascii=False) + "\n"
    fresh = path.with_name(f".{LOCK_FILE}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8", newline="\n")
        fresh.replace(path)
    except OSError as error:
        raise InvalidInput(f"The file {str(path)!r} cannot be written ({error.strerror}).") from error
    return path


def _lock(tenant_id: TenantId, name: str, entry: Json) -> ToolLock:
    known: JsonObject = entry if is_object(entry) else {}
    inputs, version = known.get("inputs"), known.get("deployed_version")
    try:
        approved_at = datetime.fromisoformat(str(known.get("approved_at")))
    except ValueError:
        approved_at = None
    if not is_object(inputs) or approved_at is None or approved_at.tzinfo is None:
        raise _faulty(f"has no sound entry for {name!r}")
    return ToolLock(
        tenant_id=tenant_id,
        name=name,
        workflow_id=WorkflowId(str(known.get("workflow_id"))),
        version=version if isinstance(version, int) else None,
        inputs={each: str(kind) for each, kind in inputs.items()},
        pinned=str(known.get("pinned_sha256")),
        approved_at=approved_at,
        approved_by=str(known.get("approved_by")),
        checked_at=approved_at,
    )


def _faulty(why: str) -> InvalidInput:
    return InvalidInput(f"{LOCK_FILE} {why}: restore it, or make it anew with `sim-mcp tools approve --all`.")
