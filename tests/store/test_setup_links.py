"""Setup links in the database: unguessable, bounded, short-lived, and used exactly once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import Conflict, Throttled
from sim_mcp.model.integration import Integration
from sim_mcp.model.principal import Principal, TenantId
from sim_mcp.model.setup_link import MOST_TRIES, LinkState, SetupLink
from sim_mcp.store import Store
from sim_mcp.store.database import Statements
from sim_mcp.store.setup_links import MOST_OPEN_OF_A_TENANT
from tests.store.rows import ACME, GLOBEX, SECRET, START, after, content, opened

pytestmark = pytest.mark.anyio

URL = "https://sim.example.com"


def who(tenant_id: TenantId = ACME, subject: str = "ada") -> Principal:
    """Somebody of `tenant_id`."""
    return Principal(tenant_id=tenant_id, organization_id="org", subject=subject)


async def made(store: Store, tenant_id: TenantId = ACME) -> tuple[SetupLink, str]:
    """A link and its secret."""
    return await store.setup_links.create(who(tenant_id), base_url=URL, is_enabled=False)


async def used(store: Store, link: SetupLink, key: str = SECRET) -> Integration:
    """Store a key and use `link` up, in one transaction as the gateway does."""

    async def claim(transaction: Statements, saved: Integration) -> None:
        if not await store.setup_links.claim(transaction, link, revision=saved.revision, found=None):
            raise Conflict("used")

    return await store.integrations.save(
        link.tenant_id,
        link.organization_id,
        api_key=key,
        base_url=link.base_url,
        is_enabled=link.is_enabled,
        workspace_id=None,
        changed_by=link.subject,
        along=claim,
    )


async def test_a_link_is_found_by_its_secret_alone(store: Store) -> None:
    """What was asked for comes back; a secret that is not quite it finds nothing."""
    link, secret = await made(store)
    assert await store.setup_links.find(secret) == link
    assert (link.tenant_id, link.organization_id, link.subject) == (ACME, "org", "ada")
    assert (link.base_url, link.is_enabled, link.expires_at) == (URL, False, after(600))
    for wrong in ("", secret[:-1], secret + "A", secret[:-1] + "=", "%" * 43, secret.swapcase(), "\0" * 43):
        assert await store.setup_links.find(wrong) is None


@pytest.mark.requirement("R11", "R35")
async def test_an_id_means_something_to_its_tenant_alone(store: Store) -> None:
    """The other tenant's id is as unknown as an invented one."""
    link, _ = await made(store)
    await made(store, GLOBEX)
    assert await store.setup_links.get(ACME, link.id) == link
    assert await store.setup_links.get(GLOBEX, link.id) is None
    assert await store.setup_links.get(ACME, "invented") is None


@pytest.mark.requirement("R60")
async def test_only_the_hash_of_a_link_is_stored(path: Path) -> None:
    """Whoever reads the file cannot open the page."""
    async with opened(path) as store:
        _, secret = await made(store)
        assert secret.encode() not in content(path)


async def test_a_link_ends_with_its_time_and_not_before(store: Store, clock: ManualClock) -> None:
    """Ten minutes to the microsecond."""
    link, _ = await made(store)
    assert link.state_at(after(599.999999)) is LinkState.OPEN
    assert link.state_at(after(600)) is LinkState.EXPIRED
    clock.advance(599.9)
    assert await store.setup_links.take_try(link)
    clock.advance(0.1)
    assert not await store.setup_links.take_try(link)


async def test_tries_are_counted_and_bounded(store: Store) -> None:
    """After the last one the link is spent, whoever still holds it."""
    link, secret = await made(store)
    taken = [await store.setup_links.take_try(link) for _ in range(MOST_TRIES + 1)]
    assert taken == [True] * MOST_TRIES + [False]
    spent = await store.setup_links.find(secret)
    assert spent is not None
    assert (spent.state_at(START), spent.tries_left) == (LinkState.SPENT, 0)


@pytest.mark.requirement("R8", "R35")
async def test_of_two_replicas_one_uses_the_link_and_the_other_stores_nothing(path: Path) -> None:
    """Both tried a key and both come to store it: one revision, one key, one claim."""
    outcomes: list[str] = []
    async with opened(path, prefix="a") as one, opened(path, prefix="b") as two:
        link, secret = await made(one)

        async def race(store: Store, key: str) -> None:
            try:
                await used(store, link, key)
                outcomes.append(key)
            except Conflict:
                outcomes.append("refused")

        async with anyio.create_task_group() as group:
            group.start_soon(race, one, SECRET)
            group.start_soon(race, two, SECRET + "-two")
        assert outcomes.count("refused") == 1
        [winner] = [outcome for outcome in outcomes if outcome != "refused"]
        current = await two.integrations.current(ACME, "org")
        assert current is not None
        assert current.revision == 1
        assert await two.integrations.api_key(current) == winner
        link_now = await two.setup_links.find(secret)
        assert link_now is not None
        assert (link_now.state_at(START), link_now.revision) == (LinkState.USED, 1)
        assert not await two.setup_links.take_try(link)
        assert not await two.setup_links.close(link)


async def test_a_workspace_is_chosen_once_and_only_on_a_used_link(store: Store) -> None:
    """The second choice does not land."""
    link, _ = await made(store)

    async def choose(revision: int) -> bool:
        async with store.database.transaction() as transaction:
            return await store.setup_links.choose(transaction, link, revision=revision)

    assert not await choose(1)
    await used(store, link)
    assert [await choose(2), await choose(3)] == [True, False]
    row = await store.setup_links.get(ACME, link.id)
    assert row is not None
    assert (row.revision, row.chosen_at) == (2, START)


async def test_a_declined_link_is_closed(store: Store) -> None:
    """At once, and the second time there is nothing to close."""
    link, secret = await made(store)
    assert [await store.setup_links.close(link), await store.setup_links.close(link)] == [True, False]
    row = await store.setup_links.find(secret)
    assert row is not None
    assert row.state_at(START) is LinkState.EXPIRED


async def test_open_links_are_bounded_for_each_tenant(store: Store, clock: ManualClock) -> None:
    """The eleventh waits for the first to end; other tenants do not, and a used one counts no more."""
    links = [await made(store) for _ in range(MOST_OPEN_OF_A_TENANT)]
    clock.advance(60)
    with pytest.raises(Throttled) as refused:
        await made(store)
    assert refused.value.retry_after_s == 540
    await made(store, GLOBEX)
    await used(store, links[0][0])
    await made(store)
    clock.advance(540)
    await made(store)


async def test_ended_links_are_forgotten_after_a_day(store: Store, clock: ManualClock) -> None:
    """Until then they can say how they ended."""
    _, secret = await made(store)
    clock.advance(timedelta(days=1, minutes=9, seconds=59).total_seconds())
    await made(store, GLOBEX)
    assert await store.setup_links.find(secret) is not None
    clock.advance(1)
    await made(store, GLOBEX)
    assert await store.setup_links.find(secret) is None
    counted = await store.database.fetch_one("SELECT COUNT(*) AS total FROM setup_links")
    assert counted is not None
    assert counted["total"] == 2
