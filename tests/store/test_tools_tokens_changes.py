"""The allow-list, the server's own tokens, and the list of changes by which processes notice both."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.principal import ALL_PERMISSIONS, Permission, Principal
from sim_mcp.store import Change, ChangeKind, Store, StoredTool
from sim_mcp.store.tokens import Tokens
from tests.patience import PATIENCE_S
from tests.postgres import Server
from tests.store.rows import ACME, GLOBEX, START, after, content, opened

pytestmark = pytest.mark.anyio

ADA = Principal(
    tenant_id=ACME, organization_id="org", subject="ada", permissions=frozenset({Permission.VIEW})
)
TOOLS = Change(ACME, ChangeKind.TOOLS)
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE query LIKE 'LISTEN%' AND datname = current_database()"
)
LISTENERS = (
    "SELECT COUNT(*) AS n FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
)


async def test_entries_are_put_replaced_and_removed(store: Store, clock: ManualClock) -> None:
    """By name, each with who and when; the version grows with every change and with nothing else."""
    assert await store.tools.version(ACME) == 0
    await store.tools.put(ACME, "b", {"n": 1}, changed_by="ada")
    await store.tools.put(ACME, "a", {"ü": [None]}, changed_by="ada")
    clock.advance(5)
    await store.tools.put(ACME, "b", {"n": 2}, changed_by="bob")
    assert await store.tools.entries(ACME) == (
        StoredTool(name="a", spec={"ü": [None]}, changed_at=START, changed_by="ada"),
        StoredTool(name="b", spec={"n": 2}, changed_at=after(5), changed_by="bob"),
    )
    assert await store.tools.remove(ACME, "a", changed_by="bob")
    assert not await store.tools.remove(ACME, "a", changed_by="bob")
    assert [entry.name for entry in await store.tools.entries(ACME)] == ["b"]
    assert await store.tools.version(ACME) == 4
    assert await store.tools.entries(GLOBEX) == ()


async def test_a_removal_is_remembered_and_can_be_undone(store: Store) -> None:
    """Who took the tool off stays in the table; putting it again brings it back."""
    await store.tools.put(ACME, "a", {"n": 1}, changed_by="ada")
    await store.tools.remove(ACME, "a", changed_by="bob")
    row = await store.database.fetch_one("SELECT spec, changed_by FROM allow_list")
    assert row is not None
    assert (row["spec"], row["changed_by"]) == (None, "bob")
    await store.tools.put(ACME, "a", {"n": 1}, changed_by="ada")
    assert len(await store.tools.entries(ACME)) == 1


async def test_a_list_is_replaced_as_a_whole(store: Store, clock: ManualClock) -> None:
    """What stays the same keeps its date; replacing a list with itself is no change."""
    await store.tools.put(ACME, "same", {"n": 1}, changed_by="ada")
    await store.tools.put(ACME, "gone", {"n": 2}, changed_by="ada")
    clock.advance(5)
    wanted = {"same": {"n": 1}, "new": {"n": 3}}
    assert await store.tools.replace(ACME, wanted, changed_by="bob")
    assert not await store.tools.replace(ACME, wanted, changed_by="eve")
    told = [(entry.name, entry.changed_at, entry.changed_by) for entry in await store.tools.entries(ACME)]
    assert told == [("new", after(5), "bob"), ("same", START, "ada")]
    assert await store.tools.version(ACME) == 3


async def holder(store: Store, secret: str, now: datetime) -> Principal | None:
    """Whom the secret stands for."""
    token = await store.tokens.verify(secret, now)
    return None if token is None else token.principal


async def test_a_token_stands_for_its_principal(store: Store) -> None:
    """Its secret is shown once; what is listed has everything else."""
    token, secret = await store.tokens.create(ADA, name="laptop", expires_at=after(60), created_by="root")
    assert len(secret) == len("simmcp_") + 43
    assert await holder(store, secret, START) == ADA
    assert await store.tokens.list(ACME) == (replace(token, last_used_at=START),)
    assert await store.tokens.list(GLOBEX) == ()


async def test_only_the_hash_of_a_token_is_stored(path: Path) -> None:
    """The file does not hold the secret, not even its random part."""
    async with opened(path) as store:
        _, secret = await store.tokens.create(ADA, name="laptop", expires_at=None, created_by="root")
        assert await holder(store, secret, START) == ADA
    stored = content(path)
    assert secret.removeprefix("simmcp_").encode() not in stored
    assert hashlib.sha256(secret.encode()).hexdigest().encode() in stored


@pytest.mark.requirement("R10")
async def test_unknown_expired_and_revoked_tokens_stand_for_nobody(store: Store) -> None:
    """All three look the same to the caller; a revocation cannot be repeated."""
    token, secret = await store.tokens.create(ADA, name="a", expires_at=after(60), created_by="root")
    forever, other = await store.tokens.create(ADA, name="b", expires_at=None, created_by="root")
    assert await holder(store, secret, after(59.9)) == ADA
    assert await store.tokens.verify(secret, after(60)) is None
    assert await holder(store, other, after(1e9)) == ADA
    assert await store.tokens.revoke(ACME, forever.id)
    assert await store.tokens.verify(other, START) is None
    assert not await store.tokens.revoke(ACME, forever.id)
    assert not await store.tokens.revoke(GLOBEX, token.id)
    for wrong in (
        "",
        "simmcp_",
        secret[:-1],
        secret + "A",
        secret + "\n",
        "simmcp_" + "ä" * 43,
        secret.upper(),
    ):
        assert await store.tokens.verify(wrong, START) is None


async def test_a_door_can_ask_whether_any_token_is_usable(store: Store) -> None:
    """Neither revoked nor expired; and a well-formed secret that nobody made stands for nobody."""
    assert not await store.tokens.is_any_usable(START)
    token, _ = await store.tokens.create(ADA, name="a", expires_at=after(60), created_by="root")
    assert await store.tokens.is_any_usable(after(59))
    assert not await store.tokens.is_any_usable(after(60))
    await store.tokens.revoke(ACME, token.id)
    assert not await store.tokens.is_any_usable(START)
    await store.tokens.create(ADA, name="b", expires_at=None, created_by="root")
    assert await store.tokens.is_any_usable(after(1e9))
    assert await store.tokens.verify("simmcp_" + "a" * 43, START) is None


async def test_the_last_use_is_noted_once_a_minute(store: Store) -> None:
    """A busy token does not cost a write for each request."""
    _, secret = await store.tokens.create(
        Principal(tenant_id=ACME, permissions=ALL_PERMISSIONS), name="a", expires_at=None, created_by="root"
    )
    noted: list[float | None] = []
    for second in (0, 59, 60, 61):
        await store.tokens.verify(secret, after(second))
        (token,) = await store.tokens.list(ACME)
        noted.append((token.last_used_at - START) / timedelta(seconds=1) if token.last_used_at else None)
    assert noted == [0, 0, 60, 60]


async def test_a_token_works_while_the_database_cannot_be_written(path: Path, clock: ManualClock) -> None:
    """Its use goes unnoted; nobody is locked out."""
    async with opened(path, clock=clock) as store:
        _, secret = await store.tokens.create(ADA, name="a", expires_at=None, created_by="root")
        await store.database.execute("PRAGMA query_only = ON")
        assert await holder(store, secret, START) == ADA
        assert (await store.tokens.list(ACME))[0].last_used_at is None


async def test_the_secret_comes_from_the_given_source(store: Store, clock: ManualClock) -> None:
    """Randomness is handed in."""
    tokens = Tokens(store.database, clock, lambda: "t1", lambda: "s" * 43)
    token, secret = await tokens.create(ADA, name="a", expires_at=None, created_by="root")
    assert (token.id, secret) == ("t1", "simmcp_" + "s" * 43)


@pytest.mark.requirement("R41")
async def test_another_process_notices_every_change_of_settings(path: Path) -> None:
    """Each change once, in order, with the number to go on from; a failed change is none."""
    async with opened(path) as writer, opened(path) as reader:
        assert await reader.changes.changes_since(0) == (0, ())
        await writer.tools.put(ACME, "a", {}, changed_by="ada")
        await writer.tools.put(ACME, "b", {}, changed_by="ada")
        await writer.tokens.create(ADA, name="a", expires_at=None, created_by="root")
        await writer.integrations.save(
            GLOBEX,
            None,
            api_key="k",
            base_url="https://sim.example",
            is_enabled=True,
            workspace_id=None,
            changed_by="ada",
        )
        assert await reader.changes.changes_since(0) == (
            4,
            (TOOLS, Change(ACME, ChangeKind.TOKENS), Change(GLOBEX, ChangeKind.INTEGRATION)),
        )
        assert await reader.changes.changes_since(4) == (4, ())
        with pytest.raises(TypeError):
            await writer.tools.put(ACME, "c", {"bad": object()}, changed_by="ada")  # pyright: ignore[reportArgumentType]  # the fault under test
        assert await reader.changes.latest() == 4


@pytest.mark.requirement("R41")
async def test_postgres_wakes_other_processes_and_a_lost_connection_is_made_again(
    postgres: Server, clock: ManualClock
) -> None:
    """No time passes: whoever waits is called, also after the server cut the connection that listens."""
    url = postgres.database()
    async with opened(url) as writer, opened(url) as reader:
        await woken(reader, clock)  # begins to listen, and looks
        for number in range(2):
            async with anyio.create_task_group() as group:
                group.start_soon(woken, reader, clock)
                await writer.tools.put(ACME, "a", {"n": number}, changed_by="ada")
        await writer.database.fetch_all(CUT)
        with anyio.fail_after(PATIENCE_S):
            while await listeners(writer):
                await anyio.lowlevel.checkpoint()
        await woken(reader, clock)
        async with anyio.create_task_group() as group:
            group.start_soon(woken, reader, clock)
            await writer.tools.put(ACME, "a", {"n": "last"}, changed_by="ada")


async def woken(store: Store, clock: ManualClock) -> None:
    """Return when a change is announced to `store`."""
    with anyio.fail_after(PATIENCE_S):
        await store.changes.until_next_look(clock, within_s=1)


async def listeners(store: Store) -> int:
    """How many connections listen on the database."""
    row = await store.database.fetch_one(LISTENERS)
    assert row is not None
    return int(str(row["n"]))


async def test_an_embedded_database_is_looked_at_when_the_time_has_come(
    store: Store, clock: ManualClock
) -> None:
    """The net under it, and all that a file has."""
    await store.changes.latest()
    async with anyio.create_task_group() as group:
        group.start_soon(woken, store, clock)
        await clock.sleeper(within_s=1)
        clock.advance(1)


async def test_a_reader_that_was_away_too_long_is_told_everything_changed(store: Store) -> None:
    """The list is bounded; whoever lost its thread, or came from a newer copy, starts afresh."""
    async with store.database.transaction() as transaction:
        await transaction.execute("UPDATE counters SET value = 5000 WHERE name = 'changes'")
    await store.tools.put(ACME, "a", {}, changed_by="ada")
    everything = (Change(None, ChangeKind.EVERYTHING),)
    assert await store.changes.changes_since(5000) == (5001, (TOOLS,))
    assert await store.changes.changes_since(17) == (5001, everything)
    assert await store.changes.changes_since(9000) == (5001, everything)


async def test_old_changes_are_dropped(store: Store) -> None:
    """The newest thousand stay."""
    for number in range(1010):
        await store.tools.put(ACME, "a", {"n": number}, changed_by="ada")
    row = await store.database.fetch_one("SELECT COUNT(*) AS n, MIN(seq) AS oldest FROM changes")
    assert row is not None
    assert (row["n"], row["oldest"]) == (1000, 11)
    assert await store.changes.changes_since(10) == (1010, (TOOLS,))
    assert await store.changes.changes_since(9) == (1010, (Change(None, ChangeKind.EVERYTHING),))
