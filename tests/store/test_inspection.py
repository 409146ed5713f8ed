"""Looking at a store: what is found, and that nothing can be changed on the way."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import StoreUnavailable
from sim_mcp.store import Sealer, allow_list_owners, inspect_file, open_store, stored_connections
from tests.store.rows import ACME, GLOBEX, KEY, START

pytestmark = pytest.mark.anyio


def names(folder: Path) -> list[str]:
    """What lies in `folder`."""
    return [path.name for path in folder.iterdir()]


async def connected(path: Path, *, key: bytes = KEY) -> str:
    """The URL of a database in which both tenants are connected, acme also for one organisation."""
    url = f"sqlite:///{path}"
    async with open_store(
        url, sealer=Sealer([key]), clock=ManualClock(START), new_id=lambda: secrets.token_hex(4)
    ) as store:
        for tenant, organization in ((ACME, None), (ACME, "o1"), (GLOBEX, None)):
            await store.integrations.save(
                tenant,
                organization,
                api_key="a-key",
                base_url="https://sim.example.com",
                is_enabled=True,
                workspace_id=None,
                changed_by="ada",
            )
        await store.integrations.remove(ACME, "o1", changed_by="ada")
        await store.tools.put(GLOBEX, "echo", spec={"name": "echo"}, changed_by="ada")
    return url


@pytest.mark.requirement("F19")
async def test_who_only_looks_cannot_write(tmp_path: Path) -> None:
    """SQLite itself refuses, whatever is asked for; and a missing database stays missing."""
    url, clock = await connected(tmp_path / "x.db"), ManualClock(START)
    before = (tmp_path / "x.db").read_bytes()
    async with open_store(
        url, sealer=Sealer([KEY]), clock=clock, new_id=lambda: "i", only_look=True
    ) as store:
        assert await store.integrations.current(ACME, None) is not None
        with pytest.raises(StoreUnavailable):
            await store.tools.put(ACME, "echo", spec={}, changed_by="eve")
        with pytest.raises(StoreUnavailable):
            await store.integrations.remove(ACME, None, changed_by="eve")
    assert (tmp_path / "x.db").read_bytes() == before
    missing = f"sqlite:///{tmp_path / 'no.db'}"
    with pytest.raises(StoreUnavailable):
        async with open_store(missing, sealer=Sealer([KEY]), clock=clock, new_id=lambda: "i", only_look=True):
            pass
    assert names(tmp_path) == ["x.db"]


@pytest.mark.requirement("F19", "R30")
async def test_each_stored_key_is_tried_and_none_is_shown(tmp_path: Path) -> None:
    """Removed connections are left out; a foreign key opens nothing, an older one is told."""
    url, clock = await connected(tmp_path / "x.db"), ManualClock(START)
    newer = secrets.token_bytes(32)
    seen: list[list[tuple[str, bool | None, bool]]] = []
    for keys in ([KEY], [newer], [newer, KEY]):
        async with open_store(
            url, sealer=Sealer(keys), clock=clock, new_id=lambda: "i", only_look=True
        ) as store:
            found = await stored_connections(store)
            assert list(await allow_list_owners(store)) == [GLOBEX]
        assert "a-key" not in repr(found)
        seen.append([(each.tenant_id, each.opens, each.is_newest) for each in found])
    assert seen == [
        [("acme", True, True), ("globex", True, True)],
        [("acme", False, False), ("globex", False, False)],
        [("acme", True, False), ("globex", True, False)],
    ]


@pytest.mark.requirement("F19")
async def test_a_file_is_judged_from_outside(tmp_path: Path) -> None:
    """Missing, sound, open to others, and damaged in the middle; the last is named, not raised."""
    url = await connected(tmp_path / "x.db")
    path = tmp_path / "x.db"
    sound = await inspect_file(url)
    assert (sound.exists, sound.is_wal, sound.is_private, sound.damage) == (True, True, True, None)
    path.chmod(0o644)
    assert not (await inspect_file(url)).is_private
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(content)
    assert (await inspect_file(url)).damage is not None
    assert not (await inspect_file(f"sqlite:///{tmp_path / 'no.db'}")).exists
    assert names(tmp_path) == ["x.db"]


async def test_a_long_look_can_be_given_up(tmp_path: Path) -> None:
    """A database of any size is left as soon as the caller has no more time, and no thread stays behind."""
    path = tmp_path / "large.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n"
            " WHERE i < 300000) SELECT i, hex(i) AS h FROM n"
        )
        connection.execute("CREATE INDEX i ON t (h, i)")
    for late_s in (0.0, 0.001):
        with anyio.move_on_after(late_s) as scope:
            await inspect_file(f"sqlite:///{path}")
        assert scope.cancelled_caught
    assert (await inspect_file(f"sqlite:///{path}")).damage is None
