"""Tickets: what clients carry between two requests, of use to nobody else and for nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_mcp.app import Tickets
from sim_mcp.model.clock import ManualClock
from sim_mcp.model.principal import Principal, TenantId
from tests.world import World, open_world, principal

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[World]:
    """Two tenants on one set of encryption keys."""
    async with open_world(tmp_path, clock=clock) as opened:
        yield opened


@pytest.mark.requirement("R35", "R60")
async def test_a_ticket_opens_for_its_own_carrier_and_purpose_alone(world: World) -> None:
    """Another tenant, person, organisation or purpose, and every altered text, open nothing."""
    tickets, ada = world.app.tickets, principal("acme")
    text = tickets.seal(ada, "confirm", {"asked": "hello"}, lasts_s=60)
    opened = tickets.open(ada, "confirm", text)
    assert opened is not None
    assert opened.content == {"asked": "hello"}
    others = [
        principal("globex"),
        principal("acme", "eve"),
        Principal(tenant_id=TenantId("acme"), organization_id="north", subject="ada"),
    ]
    assert [tickets.open(other, "confirm", text) for other in others] == [None] * 3
    assert tickets.open(ada, "pause", text) is None
    for altered in (None, "", "v1", text[:-1], text.upper(), f"{text}x", "x" * 100_000):
        assert tickets.open(ada, "confirm", altered) is None
    assert "hello" not in text
    assert "ada" not in text


async def test_a_ticket_ends_with_its_time(world: World, clock: ManualClock) -> None:
    """To the second."""
    tickets, ada = world.app.tickets, principal("acme")
    text = tickets.seal(ada, "confirm", {}, lasts_s=60)
    clock.advance(59)
    assert tickets.open(ada, "confirm", text) is not None
    clock.advance(1)
    assert tickets.open(ada, "confirm", text) is None


@pytest.mark.requirement("R35")
async def test_a_ticket_is_spent_once_on_all_replicas_together(
    tmp_path: Path, world: World, clock: ManualClock
) -> None:
    """Of ten who use it at two replicas at once one does; and no other tenant's is used up with it."""
    ada, gus = principal("acme"), principal("globex")
    async with open_world(tmp_path, clock=clock, sim=world.sim) as replica:
        text = world.app.tickets.seal(ada, "confirm", {}, lasts_s=60)
        spent: list[bool] = []

        async def spend(tickets: Tickets) -> None:
            ticket = tickets.open(ada, "confirm", text)
            assert ticket is not None
            spent.append(await tickets.spend(ada, ticket))

        async with anyio.create_task_group() as group:
            for at in range(10):
                group.start_soon(spend, (world if at % 2 else replica).app.tickets)
        assert sorted(spent) == [False] * 9 + [True]
        ticket = world.app.tickets.open(ada, "confirm", text)
        assert ticket is not None
        assert await world.app.tickets.spend(gus, ticket)


@given(text=st.text(max_size=200) | st.from_regex(r"v1\.[0-9a-f]{16}\.[A-Za-z0-9_-]{0,80}", fullmatch=True))
def test_no_text_of_a_clients_own_making_opens(text: str, sealed_world: Tickets) -> None:
    """Whatever a hostile client sends, it is no ticket and no crash."""
    assert sealed_world.open(principal("acme"), "confirm", text) is None


@pytest.fixture(scope="module")
def sealed_world() -> Tickets:
    """Tickets under one key, without a database: opening needs none."""
    from typing import cast

    from sim_mcp.store import Sealer, SpentTickets

    return Tickets(
        sealer=Sealer([b"k" * 32]),
        spent=cast("SpentTickets", None),
        clock=ManualClock(),
        new_id=lambda: "id",
    )
