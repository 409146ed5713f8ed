"""Looking a store over without touching it: the file's health, the stored keys, whose things it holds."""

from __future__ import annotations

import os
import stat
import threading
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread

from sim_mcp.model.errors import NotConfigured
from sim_mcp.model.principal import TenantId
from sim_mcp.store import columns
from sim_mcp.store.integration_rows import binding_of
from sim_mcp.store.integrations import HEADS
from sim_mcp.store.store import sqlite_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sim_mcp.store.store import Store

_STEPS_BETWEEN_LOOKS = 100_000
_OWNERS = "SELECT DISTINCT tenant_id FROM allow_list WHERE spec IS NOT NULL ORDER BY tenant_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFindings:
    """What can be said of a database file from outside. `damage` is the driver's own sentence."""

    path: Path
    exists: bool
    is_wal: bool = False
    is_private: bool = True
    damage: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredConnection:
    """One connection in force: whose, where to, and whether its key opens. Never the key.

    `opens` is `None` when no key is stored.
    """

    tenant_id: TenantId
    organization_id: str | None
    base_url: str
    opens: bool | None
    is_newest: bool = True
    """Whether the key is sealed under the newest encryption key."""


async def inspect_file(url: str) -> FileFindings:
    """The health of the database file behind `url`. Reads all of it; a cancellation stops that.

    Raises:
        InvalidInput: for a URL that names no database of this release.
    """
    path, is_over, found = sqlite_path(url), threading.Event(), list[FileFindings]()

    async def stop_when_cancelled() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            is_over.set()

    async with anyio.create_task_group() as group:
        group.start_soon(stop_when_cancelled)
        # Waited for even then: a thread left behind would outlive the event loop that it reports to.
        found.append(await anyio.to_thread.run_sync(_inspect, path, is_over))
        await anyio.lowlevel.checkpoint_if_cancelled()
        group.cancel_scope.cancel()
    return found[0]


async def stored_connections(store: Store) -> Sequence[StoredConnection]:
    """Every tenant's and organisation's connection in force; for the operator alone.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    sealer, found = store.integrations.sealer, list[StoredConnection]()
    for row in await store.database.fetch_all(HEADS):
        binding, sealed_key = binding_of(row), columns.maybe_text(row, "sealed_key")
        opens: bool | None = None
        if sealed_key is not None:
            try:
                sealer.unseal(sealed_key, binding)
                opens = True
            except NotConfigured:
                opens = False
        found.append(
            StoredConnection(
                tenant_id=binding.tenant_id,
                organization_id=binding.organization_id,
                base_url=columns.text(row, "base_url"),
                opens=opens,
                is_newest=sealed_key is None or sealer.is_newest(sealed_key),
            )
        )
    return found


async def allow_list_owners(store: Store) -> Sequence[TenantId]:
    """Every tenant with a stored allow-list; for the operator alone.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    return [TenantId(columns.text(row, "tenant_id")) for row in await store.database.fetch_all(_OWNERS)]


def _inspect(path: Path, is_over: threading.Event) -> FileFindings:
    import sqlite3

    if not path.exists():
        return FileFindings(path=path, exists=False)
    is_private = os.name != "posix" or not stat.S_IMODE(path.stat().st_mode) & 0o077
    try:
        # mode=rw, never rwc: looking must not make the file.
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as connection:
            connection.set_progress_handler(is_over.is_set, _STEPS_BETWEEN_LOOKS)
            connection.execute("PRAGMA query_only = ON")
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return FileFindings(path=path, exists=True, is_private=is_private, damage=str(error))
    return FileFindings(
        path=path,
        exists=True,
        is_wal=mode == "wal",
        is_private=is_private,
        damage=None if verdict == "ok" else str(verdict).splitlines()[0],
    )
