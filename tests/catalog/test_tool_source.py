"""Catalogs are built once, rebuilt when something changed, and reloaded while being served."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from sim_mcp.catalog import Catalog, SpecSet, ToolSource
from sim_mcp.catalog.yaml_text import dump_yaml
from sim_mcp.model.errors import StoreUnavailable
from sim_mcp.model.principal import TenantId
from tests.catalog.samples import ACME, GLOBEX, entry, spec
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.anyio


class Entries:
    """An allow-list that counts how often it is read, and can be slow or broken."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.reads = 0
        self.gate: anyio.Event | None = None
        self.is_broken = False

    async def __call__(self) -> Sequence[object]:
        """The entries, once the gate is open."""
        self.reads += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.is_broken:
            raise StoreUnavailable("The database does not answer.")
        return [entry(name) for name in self.names]


def names(catalog: Catalog) -> list[str]:
    return [tool.name for tool in catalog.tools]


def save(directory: Path, tenant: str, *tools: str) -> None:
    """Write a tenant's spec file in one step, as careful editors do."""
    draft = directory / f".{tenant}.tmp"
    draft.write_text(dump_yaml({"tenant": tenant, "tools": [entry(name) for name in tools]}), "utf-8")
    draft.replace(directory / f"{tenant}.yaml")


async def test_a_catalog_is_built_once_for_each_version() -> None:
    """And holds the files' tools as well as the store's."""
    source = ToolSource(SpecSet(tools={ACME: (spec("from_file"),)}))
    entries = Entries("stored")
    first = await source.catalog(ACME, 1, entries)
    assert names(first) == ["from_file", "stored"]
    assert await source.catalog(ACME, 1, entries) is first
    entries.names = ["other"]
    assert names(await source.catalog(ACME, 2, entries)) == ["from_file", "other"]
    assert entries.reads == 2


async def test_many_who_ask_at_once_share_one_build() -> None:
    """A hundred tasks, one reading of the store."""
    source, entries = ToolSource(), Entries("stored")
    entries.gate = anyio.Event()
    found: list[Catalog] = []

    async def ask() -> None:
        found.append(await source.catalog(ACME, 1, entries))

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        entries.gate.set()
    assert entries.reads == 1
    assert len(set(map(id, found))) == 1
    assert source._locks == {}


async def test_the_one_who_builds_may_be_cancelled() -> None:
    """Those who wait with it build for themselves, and nobody hangs."""
    source, entries = ToolSource(), Entries("stored")
    entries.gate = anyio.Event()
    scope = anyio.CancelScope()
    found: list[Catalog] = []

    async def ask_and_leave() -> None:
        with scope:
            await source.catalog(ACME, 1, entries)

    async def ask() -> None:
        found.append(await source.catalog(ACME, 1, entries))

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(ask_and_leave)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            entries.gate.set()
    assert names(found[0]) == ["stored"]
    assert source._locks == {}


async def test_a_store_that_fails_is_asked_again() -> None:
    """The failure is passed on and not remembered."""
    source, entries = ToolSource(), Entries("stored")
    entries.is_broken = True
    with pytest.raises(StoreUnavailable):
        await source.catalog(ACME, 1, entries)
    entries.is_broken = False
    assert names(await source.catalog(ACME, 1, entries)) == ["stored"]


async def test_a_change_of_files_during_a_build_is_not_missed() -> None:
    """The catalog that was being built already has the new tools."""
    source, entries = ToolSource(), Entries()
    entries.gate = anyio.Event()
    found: list[Catalog] = []

    async def ask() -> None:
        found.append(await source.catalog(ACME, 1, entries))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        source.replace(SpecSet(tools={ACME: (spec("fresh"),)}))
        entries.gate.set()
    assert names(found[0]) == ["fresh"]
    assert await source.catalog(ACME, 1, entries) is found[0]


async def test_only_so_many_tenants_are_kept() -> None:
    """The longest unused is built anew when it comes back."""
    source, entries = ToolSource(max_tenants=2), Entries("stored")
    first = await source.catalog(ACME, 1, entries)
    await source.catalog(GLOBEX, 1, entries)
    assert await source.catalog(ACME, 1, entries) is first
    await source.catalog(TenantId("initech"), 1, entries)
    assert await source.catalog(ACME, 1, entries) is first
    await source.catalog(GLOBEX, 1, entries)
    assert entries.reads == 4


async def test_a_reload_names_the_tenants_that_changed_and_leaves_the_others(tmp_path: Path) -> None:
    """Acme's list is built anew, Globex's is the same object as before."""
    save(tmp_path, "acme", "one")
    save(tmp_path, "globex", "one")
    source, entries = ToolSource(), Entries()
    assert source.reload(tmp_path) == {ACME, GLOBEX}
    assert source.reload(tmp_path) == frozenset()
    acme, globex = await source.catalog(ACME, 1, entries), await source.catalog(GLOBEX, 1, entries)
    save(tmp_path, "acme", "one", "two")
    assert source.reload(tmp_path) == {ACME}
    assert names(await source.catalog(ACME, 1, entries)) == ["one", "two"]
    assert names(acme) == ["one"]
    assert await source.catalog(GLOBEX, 1, entries) is globex
    (tmp_path / "globex.yaml").unlink()
    assert source.reload(tmp_path) == {GLOBEX}
    assert names(await source.catalog(GLOBEX, 1, entries)) == []


async def test_a_broken_save_keeps_serving_the_rest_and_tells_its_owner_only(tmp_path: Path) -> None:
    """The other tenant sees neither a change nor the problem."""
    save(tmp_path, "acme", "one", "two")
    save(tmp_path, "globex", "one")
    source, entries = ToolSource(), Entries()
    source.reload(tmp_path)
    tools = [entry("one"), {"name": "two"}]
    (tmp_path / "acme.yaml").write_text(dump_yaml({"tenant": "acme", "tools": tools}), "utf-8")
    assert source.reload(tmp_path) == {ACME}
    assert names(await source.catalog(ACME, 1, entries)) == ["one"]
    assert {problem.tool_name for problem in source.problems(ACME)} == {"two"}
    assert source.problems(GLOBEX) == ()
    (tmp_path / "acme.yaml").write_text("tenant: [", "utf-8")
    assert source.reload(tmp_path) == {ACME}
    assert (source.problems(ACME), source.problems(GLOBEX)) == ((), ())
    assert [problem.source for problem in source.problems()] == ["acme.yaml"]
    assert names(await source.catalog(GLOBEX, 1, entries)) == ["one"]


async def test_a_saved_file_reaches_the_watchers(tmp_path: Path) -> None:
    """From the editor's save to the new tool, without a restart."""
    save(tmp_path, "acme", "one")
    source, entries = ToolSource(), Entries()
    send, receive = anyio.create_memory_object_stream[frozenset[TenantId]](10)
    async with send, receive, anyio.create_task_group() as group:
        group.start_soon(source.watch, tmp_path, send.send)
        with anyio.fail_after(PATIENCE_S):
            assert await receive.receive() == {ACME}
            assert names(await source.catalog(ACME, 1, entries)) == ["one"]
            save(tmp_path, "globex", "two")
            assert await receive.receive() == {GLOBEX}
        assert names(await source.catalog(GLOBEX, 1, entries)) == ["two"]
        group.cancel_scope.cancel()


async def test_a_file_saved_while_watching_begins_is_not_missed(tmp_path: Path) -> None:
    """After the first reading, before the first look: the time in which the first change is told."""
    save(tmp_path, "acme", "one")
    source = ToolSource()
    send, receive = anyio.create_memory_object_stream[frozenset[TenantId]](10)

    async def tell(changed: frozenset[TenantId]) -> None:
        if ACME in changed:
            save(tmp_path, "globex", "two")
        await send.send(changed)

    async with send, receive, anyio.create_task_group() as group:
        group.start_soon(source.watch, tmp_path, tell)
        with anyio.fail_after(PATIENCE_S):
            assert [await receive.receive(), await receive.receive()] == [{ACME}, {GLOBEX}]
        group.cancel_scope.cancel()
