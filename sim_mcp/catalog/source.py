"""Where catalogs come from: spec files held in memory, and the allow-list's entries given by the caller."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, final

import anyio
import anyio.to_thread

from sim_mcp.catalog.catalog import Catalog
from sim_mcp.catalog.checking import TooMuchWork
from sim_mcp.catalog.reading import SpecSet, read_specs
from sim_mcp.catalog.work import AT_ONCE_STEPS
from sim_mcp.model.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from sim_mcp.catalog.problem import SpecProblem
    from sim_mcp.catalog.spec import ToolSpec
    from sim_mcp.model.json import JsonObject
    from sim_mcp.model.lock import ToolLock
    from sim_mcp.model.principal import TenantId
    from sim_mcp.model.tool import WorkflowTool

WATCH_DEBOUNCE_MS = 400
"""Editors write a file in several steps; a change is read when it has been quiet for a moment."""


@final
class ToolSource:
    """Builds catalogs and keeps the newest of each tenant, at most `max_tenants` of them.

    One event loop only. A catalog is built once for (tenant, allow-list version, the tenant's
    files), whoever asks at the same time.
    """

    def __init__(
        self, files: SpecSet | None = None, *, max_tenants: int = 1_000, workbench: Workbench | None = None
    ) -> None:
        self._files = files or SpecSet()
        self._max_tenants = max_tenants
        self._generations: dict[TenantId, int] = {}
        self._catalogs: OrderedDict[TenantId, tuple[tuple[int, int], Catalog]] = OrderedDict()
        self._locks: dict[TenantId, anyio.Lock] = {}
        self._workbench = workbench or Workbench()

    async def catalog(
        self, tenant_id: TenantId, version: int, entries: Callable[[], Awaitable[Sequence[object]]]
    ) -> Catalog:
        """The tools of `tenant_id`.

        Args:
            tenant_id: Whose tools.
            version: The allow-list's present version; a catalog of another version is not returned.
            entries: Reads the allow-list's entries (JSON objects); awaited only when a catalog has
                to be built. What it raises is passed on, and the next caller tries again.
        """
        if (known := self._known(tenant_id, version)) is not None:
            return known
        lock = self._locks.setdefault(tenant_id, anyio.Lock())
        try:
            async with lock:
                if (known := self._known(tenant_id, version)) is not None:
                    return known
                return await self._build(tenant_id, version, entries)
        finally:
            if not lock.locked() and self._locks.get(tenant_id) is lock:
                del self._locks[tenant_id]

    async def check(self, catalog: Catalog, tool: WorkflowTool, arguments: JsonObject) -> JsonObject:
        """`Catalog.check`, without holding up the others: what takes longer is done again in a thread.

        `arguments` must not change until the answer is there.

        Raises:
            InvalidInput, PayloadTooLarge: as `Catalog.check` does.
        """
        try:
            return catalog.check(tool, arguments, steps=AT_ONCE_STEPS)
        except TooMuchWork:
            return await self._workbench.run(catalog.tenant_id, lambda: catalog.check(tool, arguments))

    async def problem_with(self, catalog: Catalog, spec: ToolSpec) -> str | None:
        """`Catalog.problem_with`, without holding up the others."""
        return await self._workbench.run(catalog.tenant_id, lambda: catalog.problem_with(spec))

    def reload(self, directory: Path) -> frozenset[TenantId]:
        """Read `directory` and serve what it says now; the tenants whose tools or problems changed.

        Blocks on the disk. Specs that are broken now are missing until they are mended; all others
        stay.
        """
        return self.replace(read_specs(directory))

    def replace(self, files: SpecSet) -> frozenset[TenantId]:
        """Serve `files` from now on; the tenants whose tools or problems changed."""
        before, self._files = self._files, files
        owners = {
            *before.tools,
            *files.tools,
            *(each.tenant_id for each in (*before.problems, *files.problems) if each.tenant_id is not None),
        }
        changed = frozenset(
            tenant_id
            for tenant_id in owners
            if before.of(tenant_id) != files.of(tenant_id)
            or before.problems_of(tenant_id) != files.problems_of(tenant_id)
            or _locks_of(before, tenant_id) != _locks_of(files, tenant_id)
        )
        for tenant_id in changed:
            self._generations[tenant_id] = self._generations.get(tenant_id, 0) + 1
        return changed

    async def watch(
        self, directory: Path, on_change: Callable[[frozenset[TenantId]], Awaitable[None]]
    ) -> None:
        """Reload whenever something in `directory` changes, and tell `on_change` whose tools changed.

        Runs until it is cancelled. What changed before watching began is noticed at once, and what
        changed while it began half a second later. `directory` must exist.
        """
        from watchfiles import awatch  # pyright: ignore[reportUnknownVariableType]  # names trio, which is not here

        changes = awatch(
            directory,
            watch_filter=None,
            debounce=WATCH_DEBOUNCE_MS,
            step=50,
            rust_timeout=500,
            yield_on_timeout=True,
        )
        await self._reload_and_tell(directory, on_change)
        is_first = True
        async for changed in changes:  # begins to watch only now: the first look tells what was missed
            if changed or is_first:
                await self._reload_and_tell(directory, on_change)
            is_first = False

    def known(self) -> tuple[Catalog, ...]:
        """The catalogs in memory, of whichever tenants were served lately."""
        return tuple(catalog for _, catalog in self._catalogs.values())

    def problems(self, tenant_id: TenantId | None = None) -> tuple[SpecProblem, ...]:
        """What is wrong with one tenant's spec files; of all files for the operator (`None`)."""
        return self._files.problems if tenant_id is None else self._files.problems_of(tenant_id)

    async def _reload_and_tell(
        self, directory: Path, on_change: Callable[[frozenset[TenantId]], Awaitable[None]]
    ) -> None:
        changed = self.replace(await anyio.to_thread.run_sync(read_specs, directory))
        if changed:
            await on_change(changed)

    def _known(self, tenant_id: TenantId, version: int) -> Catalog | None:
        found = self._catalogs.get(tenant_id)
        if found is None or found[0] != (version, self._generations.get(tenant_id, 0)):
            return None
        self._catalogs.move_to_end(tenant_id)
        return found[1]

    async def _build(
        self, tenant_id: TenantId, version: int, entries: Callable[[], Awaitable[Sequence[object]]]
    ) -> Catalog:
        stored = await entries()
        key = (version, self._generations.get(tenant_id, 0))
        files = self._files
        if stored:  # strangers' schemas; files were judged when they were read
            catalog = await self._workbench.run(
                tenant_id, lambda: Catalog.build(tenant_id, files=files, stored=stored)
            )
        else:
            catalog = Catalog.build(tenant_id, files=files)
        self._catalogs[tenant_id] = (key, catalog)
        self._catalogs.move_to_end(tenant_id)
        while len(self._catalogs) > self._max_tenants:
            self._catalogs.popitem(last=False)
        return catalog


def _locks_of(files: SpecSet, tenant_id: TenantId) -> dict[str, ToolLock]:
    return {name: lock for (owner, name), lock in files.locks.items() if owner == tenant_id}
