"""Settings as revisions: what is in force, who changed what, and a key that only its own row opens."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from inline_snapshot import snapshot

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Conflict, InvalidInput, NotConfigured
from sim_mcp.model.integration import Integration
from sim_mcp.model.principal import TenantId
from sim_mcp.store import Store
from tests.patience import PATIENCE_S
from tests.store.rows import ACME, GLOBEX, KEY, OTHER_KEY, SECRET, START, content, opened

pytestmark = pytest.mark.anyio


async def save(
    store: Store,
    tenant_id: TenantId = ACME,
    organization_id: str | None = None,
    *,
    api_key: str | None = SECRET,
    base_url: str = "https://sim.example",
    is_enabled: bool = True,
    workspace_id: str | None = None,
) -> Integration:
    """Save settings as somebody."""
    return await store.integrations.save(
        tenant_id,
        organization_id,
        api_key=api_key,
        base_url=base_url,
        is_enabled=is_enabled,
        workspace_id=workspace_id,
        changed_by="ada",
    )


async def sealed_keys(store: Store) -> list[str]:
    """Every sealed key that the table still holds, of all revisions."""
    rows = await store.database.fetch_all(
        "SELECT sealed_key FROM integration_revisions"
        " WHERE sealed_key IS NOT NULL ORDER BY tenant_id, revision"
    )
    return [str(row["sealed_key"]) for row in rows]


@pytest.mark.requirement("R8", "R9")
async def test_saved_settings_are_in_force(store: Store) -> None:
    """All of them come back, and the key opens for exactly this revision."""
    saved = await save(store, workspace_id="ws")
    assert saved == Integration(
        id=saved.id,
        tenant_id=ACME,
        organization_id=None,
        revision=1,
        base_url="https://sim.example",
        is_enabled=True,
        has_api_key=True,
        workspace_id="ws",
        updated_at=START,
        updated_by="ada",
    )
    assert await store.integrations.current(ACME, None) == saved
    assert await store.integrations.get(ACME, saved.id) == saved
    assert await store.integrations.api_key(saved) == SECRET


@pytest.mark.requirement("R9")
async def test_an_organisation_without_settings_uses_the_tenants(store: Store) -> None:
    """Its own win when it has them, disabled or not; removed ones count as absent."""
    wide = await save(store)
    assert await store.integrations.current(ACME, "org") == wide
    own = await save(store, organization_id="org", is_enabled=False)
    assert own.id != wide.id
    assert await store.integrations.current(ACME, "org") == own
    assert await store.integrations.current(ACME, "other") == wide
    assert await store.integrations.current(GLOBEX, "org") is None
    assert {one.id for one in await store.integrations.all()} == {wide.id, own.id}
    assert await store.integrations.remove(ACME, "org", changed_by="ada")
    assert await store.integrations.current(ACME, "org") == wide
    assert await store.integrations.all() == (wide,)


async def test_an_organisation_named_like_the_whole_tenant_is_not_it(store: Store) -> None:
    """No name of an organisation can reach the tenant-wide settings' row."""
    for name in ("*", "", "o:", "None"):
        await save(store, organization_id=name)
    assert await store.integrations.current(ACME, None) is None
    assert {one.organization_id for one in await store.integrations.all()} == {"*", "", "o:", "None"}


async def test_the_history_tells_who_changed_what(store: Store, clock: ManualClock) -> None:
    """Each revision with its changed fields, newest first; a removal is a revision too, and the id stays."""
    first = await save(store)
    clock.advance(1)
    await save(store, api_key=None, workspace_id="ws")
    await store.integrations.set_enabled(ACME, None, is_enabled=False, changed_by="bob")
    assert await store.integrations.remove(ACME, None, changed_by="bob")
    assert not await store.integrations.remove(ACME, None, changed_by="bob")
    assert await store.integrations.current(ACME, None) is None
    again = await save(store, api_key=None)
    assert (again.id, again.revision, again.has_api_key) == (first.id, 5, False)
    history = await store.integrations.history(ACME, None)
    told = [
        (entry.revision, entry.changed_by, entry.changed_fields, entry.has_api_key, entry.is_removed)
        for entry in history
    ]
    assert told == snapshot(
        [
            (5, "ada", ("base_url", "is_enabled"), False, False),
            (4, "bob", ("api_key",), False, True),
            (3, "bob", ("is_enabled",), True, False),
            (2, "ada", ("workspace_id",), True, False),
            (1, "ada", ("api_key", "base_url", "is_enabled"), True, False),
        ]
    )
    assert await store.integrations.history(GLOBEX, None) == ()


@pytest.mark.requirement("R30")
async def test_a_kept_key_moves_on_and_the_older_copies_are_destroyed(store: Store) -> None:
    """Only the newest revision can be opened; asking for an older one says that the settings changed."""
    first = await save(store)
    second = await save(store, api_key=None, workspace_id="ws")
    third = await store.integrations.set_enabled(ACME, None, is_enabled=False, changed_by="ada")
    assert await store.integrations.api_key(third) == SECRET
    assert (third.workspace_id, third.is_enabled, third.has_api_key) == ("ws", False, True)
    assert len(await sealed_keys(store)) == 1
    for older in (first, second):
        with pytest.raises(Conflict, match="call again"):
            await store.integrations.api_key(older)


@pytest.mark.requirement("R30", "R60")
async def test_a_kept_key_never_moves_to_another_base_url(store: Store) -> None:
    """Neither by a save nor by a change behind our back: a key belongs where it was typed for."""
    saved = await save(store)
    with pytest.raises(InvalidInput, match="Give the key again"):
        await save(store, api_key=None, base_url="https://attacker.example")
    assert await store.integrations.current(ACME, None) == saved
    await store.database.execute("UPDATE integration_revisions SET base_url = 'https://attacker.example'")
    tampered = await store.integrations.current(ACME, None)
    assert tampered is not None
    with pytest.raises(NotConfigured, match="run setup again"):
        await store.integrations.api_key(tampered)


@pytest.mark.requirement("R30")
async def test_removing_and_replacing_destroy_the_key(path: Path) -> None:
    """Not even a piece of the sealed text is left in the file."""
    async with opened(path) as store:
        await save(store, api_key=SECRET * 20)
        await save(store, GLOBEX, api_key=SECRET * 20)
        destroyed = await sealed_keys(store)
        await save(store, api_key="another key")
        assert await store.integrations.remove(GLOBEX, None, changed_by="ada")
        (kept,) = await sealed_keys(store)
    left = content(path)
    assert kept.encode() in left
    pieces = {sealed[start : start + 40] for sealed in destroyed for start in range(40, len(sealed) - 40, 40)}
    assert len(pieces) > 20
    assert not any(piece.encode() in left for piece in pieces)


@pytest.mark.requirement("R30", "R32")
async def test_the_database_file_never_holds_the_key(path: Path) -> None:
    """Neither the file nor the log beside it, while open and after."""
    async with opened(path) as store:
        await save(store)
        (sealed,) = await sealed_keys(store)
        assert sealed.encode() in content(path)
        assert SECRET.encode() not in content(path)
    assert SECRET.encode() not in content(path)


@pytest.mark.requirement("R30", "R35")
@pytest.mark.parametrize("target", ["tenant", "organisation", "revision"])
async def test_a_moved_sealed_key_does_not_open(store: Store, target: str) -> None:
    """Copied into another tenant's, organisation's or revision's row it is worthless."""
    mine = await save(store)
    victim = await save(store, GLOBEX) if target == "tenant" else mine
    if target == "organisation":
        victim = await save(store, organization_id="org")
    stolen = (await sealed_keys(store))[0]
    if target == "revision":
        victim = await save(store, api_key="new key")
    await store.database.execute(
        "UPDATE integration_revisions SET sealed_key = ? WHERE tenant_id = ? AND id = ? AND revision = ?",
        [stolen, victim.tenant_id, victim.id, victim.revision],
    )
    with pytest.raises(NotConfigured, match="run setup again"):
        await store.integrations.api_key(victim)
    with pytest.raises(NotConfigured, match="run setup again"):
        await save(store, victim.tenant_id, victim.organization_id, api_key=None)
    assert await store.integrations.current(victim.tenant_id, victim.organization_id) == victim


async def test_without_settings_there_is_no_key_and_no_switch(store: Store) -> None:
    """The remedy is setup."""
    saved = await save(store, api_key=None)
    assert not saved.has_api_key
    with pytest.raises(NotConfigured, match="run setup"):
        await store.integrations.api_key(saved)
    with pytest.raises(NotConfigured, match="run setup"):
        await store.integrations.set_enabled(GLOBEX, None, is_enabled=True, changed_by="ada")
    assert await store.changes.latest() == 1


async def test_simultaneous_saves_get_consecutive_revisions(place: Path | str) -> None:
    """From two processes at once: none is lost, and exactly one key is left."""

    async def once(store: Store, number: int) -> None:
        await save(store, api_key=f"key {number}")

    async with opened(place, prefix="first") as first, opened(place, prefix="second") as second:
        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as tasks:
                for number in range(5):
                    tasks.start_soon(once, first, number)
                    tasks.start_soon(once, second, 10 + number)
        assert [entry.revision for entry in await first.integrations.history(ACME, None)] == [
            *range(10, 0, -1)
        ]
        assert len(await sealed_keys(first)) == 1
        assert len({one.id for one in await second.integrations.all()}) == 1


@pytest.mark.requirement("R30")
async def test_a_rotated_key_opens_old_rows_and_resealing_lets_the_old_key_go(path: Path) -> None:
    """Newest first: both keys open everything, then one pass makes the old one superfluous."""
    async with opened(path, keys=[KEY]) as store:
        acme, globex = await save(store), await save(store, GLOBEX)
        await save(store, organization_id="no-key", api_key=None)
    async with opened(path, keys=[OTHER_KEY, KEY]) as store:
        assert await store.integrations.api_key(acme) == SECRET
        assert await store.integrations.reseal_all() == 2
        assert await store.integrations.reseal_all() == 0
    async with opened(path, keys=[OTHER_KEY]) as store:
        assert await store.integrations.current(ACME, None) == acme
        assert [await store.integrations.api_key(one) for one in (acme, globex)] == [SECRET, SECRET]


@pytest.mark.requirement("R30")
async def test_resealing_goes_on_past_a_key_that_does_not_open(path: Path) -> None:
    """The others are sealed anew, and the end says how many were left."""
    async with opened(path, keys=[KEY]) as store:
        acme = await save(store)
    async with opened(path, keys=[b"a lost encryption key, 32 bytes."]) as store:
        lost = await save(store, GLOBEX)
    async with opened(path, keys=[OTHER_KEY, KEY]) as store:
        with pytest.raises(NotConfigured, match=r"^1 stored SIM API keys cannot be opened .*\(1 others"):
            await store.integrations.reseal_all()
        with pytest.raises(NotConfigured, match="run setup again"):
            await store.integrations.api_key(lost)
    async with opened(path, keys=[OTHER_KEY]) as store:
        assert await store.integrations.api_key(acme) == SECRET
