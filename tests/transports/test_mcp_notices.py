"""Sessions of earlier revisions: who is told, and that their number stays bounded."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import anyio
import pytest

from sim_mcp.model.principal import Permission, TenantId
from sim_mcp.transports.notices import MOST_SESSIONS_OF_A_TENANT, Sessions
from tests.world import principal

if TYPE_CHECKING:
    from mcp.server.session import ServerSession

pytestmark = pytest.mark.anyio
ACME, GLOBEX = TenantId("acme"), TenantId("globex")


class Ear:
    """The client's side of one session."""

    def __init__(self, name: str, heard: list[str]) -> None:
        self._name = name
        self._heard = heard

    async def send_tool_list_changed(self) -> None:
        """Take note."""
        self._heard.append(self._name)


@pytest.fixture
def heard() -> list[str]:
    """Who was told, in order."""
    return []


@pytest.fixture
def sessions() -> Generator[Sessions]:
    """An empty place for sessions."""
    send, receive = anyio.create_memory_object_stream["TenantId | None"](1)
    with send, receive:
        yield Sessions(send)


@pytest.fixture
def joined(sessions: Sessions, heard: list[str]) -> Callable[[TenantId, str], None]:
    """Lets a session join."""

    def join(tenant_id: TenantId, name: str) -> None:
        sessions.remember(principal(tenant_id), name, cast("ServerSession", Ear(name, heard)))

    return join


@pytest.mark.requirement("R35")
async def test_only_the_tenants_own_sessions_are_told(
    sessions: Sessions, heard: list[str], joined: Callable[[TenantId, str], None]
) -> None:
    """Even when a change happens is nobody else's business; an unknown owner means everybody."""
    joined(ACME, "a1")
    joined(GLOBEX, "g1")
    joined(ACME, "a2")
    await sessions.tell(ACME)
    assert heard == ["a1", "a2"]
    await sessions.tell(None)
    assert heard == ["a1", "a2", "a1", "g1", "a2"]


async def test_one_tenants_sessions_push_out_only_its_own_idle_ones(
    sessions: Sessions, heard: list[str], joined: Callable[[TenantId, str], None]
) -> None:
    """The least recently used goes first."""
    joined(GLOBEX, "theirs")
    for number in range(MOST_SESSIONS_OF_A_TENANT):
        joined(ACME, f"a{number}")
    await sessions.touch(principal(ACME), "a0")
    joined(ACME, "new")
    await sessions.tell(None)
    assert len(heard) == MOST_SESSIONS_OF_A_TENANT + 1
    assert {"theirs", "a0", "new"} < set(heard)
    assert "a1" not in heard


@pytest.mark.requirement("R33")
async def test_a_session_whose_caller_may_something_else_now_is_told(
    sessions: Sessions, heard: list[str], joined: Callable[[TenantId, str], None]
) -> None:
    """Once for each change, and nobody else; unknown sessions are nobody."""
    joined(ACME, "a1")
    joined(ACME, "a2")
    reader = replace(principal(ACME), permissions=frozenset({Permission.VIEW}))
    for who in (principal(ACME), reader, reader):
        await sessions.touch(who, "a1")
    await sessions.touch(reader, "unknown")
    assert heard == ["a1"]
    await sessions.touch(principal(ACME), "a1")
    assert heard == ["a1", "a1"]


async def test_more_changes_than_can_wait_are_merged(
    sessions: Sessions, joined: Callable[[TenantId, str], None]
) -> None:
    """A full queue already promises a notice: nothing blocks and nothing raises."""
    joined(ACME, "a1")
    for _ in range(3):
        sessions.enqueue(ACME)
