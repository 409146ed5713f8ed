"""How the client finds out which dialect SIM speaks."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import (
    NotASimApi,
    RunBegan,
    SimError,
    SimNotFound,
    SimRateLimited,
    SimRejectedKey,
    SimUnavailable,
)
from sim_mcp.model.execution import Status
from sim_mcp.model.integration import Dialect
from sim_mcp.model.run import Probe, RunId, Workspace
from sim_mcp.sim.probing import PROBE_TTL_S
from tests.sim.scripted import (
    KEY,
    RUN,
    V2_IS_OFF,
    WORKSPACES,
    ScriptedSim,
    client_of,
    page,
    request_of,
    says,
)

pytestmark = pytest.mark.anyio

LEGACY = Probe(dialect=Dialect.LEGACY)
V2 = Probe(dialect=Dialect.V2, workspaces=(Workspace(workspace_id="ws_1", name="Acme"),))
HEALTHY = says(200, {"status": "ok", "timestamp": "2026-08-21T10:00:00.000Z"})
USAGE = says(200, {"success": True, "rateLimit": {}, "usage": {"plan": "free"}})


class Probed:
    """Answers by path; a list of replies is used up from the front, its last one stays."""

    def __init__(self, **replies: Any) -> None:
        self.replies: dict[str, list[httpx.Response | Exception]] = {
            name: [*each] if isinstance(each, list) else [each] for name, each in replies.items()
        }
        self.asked: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rsplit("/", 1)[-1].replace("-", "_")
        self.asked.append(name)
        replies = self.replies[name]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ({"workspaces": says(200, WORKSPACES)}, V2),
        ({"workspaces": says(404, V2_IS_OFF)}, LEGACY),
        ({"workspaces": page(404), "health": HEALTHY, "usage_limits": USAGE}, LEGACY),
    ],
    ids=["v2 is on", "v2 is off", "the server is older than v2"],
)
async def test_the_dialect_is_found(replies: dict[str, Any], expected: Probe, clock: ManualClock) -> None:
    """The table of sim-api section 0, where it ends well."""
    async with client_of(Probed(**replies), clock) as client:
        assert await client.probe() == expected


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        (
            {"workspaces": says(401, {"error": {"code": "UNAUTHORIZED", "message": "Invalid API key"}})},
            SimRejectedKey,
        ),
        (
            {
                "workspaces": page(404),
                "health": HEALTHY,
                "usage_limits": says(
                    401, {"error": "Authentication required", "code": "AUTHENTICATION_REQUIRED"}
                ),
            },
            SimRejectedKey,
        ),
        ({"workspaces": page(404), "health": page(404)}, NotASimApi),
        ({"workspaces": page(404), "health": says(200, {"status": "UP"})}, NotASimApi),
        ({"workspaces": says(404, {"detail": "Not Found"}), "health": page(404)}, NotASimApi),
        ({"workspaces": says(401, {})}, NotASimApi),
        ({"workspaces": says(200, {"hello": "world"})}, NotASimApi),
        ({"workspaces": page(200)}, NotASimApi),
        ({"workspaces": httpx.Response(308, headers={"location": "https://www.sim.ai/api"})}, NotASimApi),
        ({"workspaces": says(429, {"error": {"code": "RATE_LIMITED", "message": "…"}})}, SimRateLimited),
        ({"workspaces": page(502)}, SimUnavailable),
        ({"workspaces": httpx.ConnectError("refused")}, SimUnavailable),
        ({"workspaces": httpx.ReadTimeout("late")}, SimUnavailable),
    ],
)
async def test_a_probe_that_ends_badly_proves_that_nothing_began(
    replies: dict[str, Any], error: type[SimError], clock: ManualClock
) -> None:
    """The rest of the table; even when it is met in the middle of an execute, nothing was sent."""
    async with client_of(Probed(**replies), clock) as client:
        with pytest.raises(error) as caught:
            await client.execute(request_of(), run_id=RUN)
    assert caught.value.began is RunBegan.NO
    assert KEY not in caught.value.message


async def test_a_redirect_names_only_the_target_origin(clock: ManualClock) -> None:
    """A wrong base URL is explained without repeating an address that might carry secrets."""
    reply = httpx.Response(307, headers={"location": "https://user:pw@www.sim.ai:8443/x?token=abc"})
    async with client_of(Probed(workspaces=reply), clock) as client:
        with pytest.raises(NotASimApi) as caught:
            await client.probe()
    assert "it redirects to https://www.sim.ai:8443." in caught.value.message
    assert not any(secret in caught.value.message for secret in ("pw", "token", "/x"))


async def test_passing_troubles_do_not_change_what_is_known(clock: ManualClock) -> None:
    """A limiter or an outage is no sign of a dialect: what was found before stays in use."""
    for trouble in (page(503), says(429, {"error": {"code": "RATE_LIMITED"}}), httpx.ConnectError("down")):
        sim = Probed(workspaces=[says(200, WORKSPACES), trouble])
        async with client_of(sim, clock) as client:
            await client.probe()
            clock.advance(PROBE_TTL_S + 1)
            assert await client.probe() == V2
            with pytest.raises((SimUnavailable, SimRateLimited)):
                await client.probe(refresh=True)
            assert await client.probe() == V2


async def test_a_probe_is_asked_again_only_when_it_is_old(clock: ManualClock) -> None:
    """Capability is a property of hours, not of calls; after its time a switched server is noticed."""
    sim = Probed(workspaces=[says(200, WORKSPACES), says(404, V2_IS_OFF)])
    async with client_of(sim, clock) as client:
        assert [await client.probe() for _ in range(3)] == [V2] * 3
        assert len(sim.asked) == 1
        clock.advance(PROBE_TTL_S)
        assert await client.probe() == LEGACY


async def test_many_first_calls_probe_once(clock: ManualClock) -> None:
    """Fifty callers at once cost one question, and all get its answer."""
    gate, asked = anyio.Event(), list[str]()

    async def slowly(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        await gate.wait()
        return says(200, WORKSPACES)

    found = list[Probe]()
    async with client_of(slowly, clock) as client, anyio.create_task_group() as group:

        async def ask() -> None:
            found.append(await client.probe())

        for _ in range(50):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert (len(asked), found) == (1, [V2] * 50)


async def test_a_shared_failure_is_an_error_of_its_own_for_each(clock: ManualClock) -> None:
    """Errors are marked with the caller's execution later, so no two callers may get the same object."""
    gate = anyio.Event()

    async def failing(_: httpx.Request) -> httpx.Response:
        await gate.wait()
        return page(502)

    errors = list[SimError]()
    async with client_of(failing, clock) as client, anyio.create_task_group() as group:

        async def ask() -> None:
            try:
                await client.probe()
            except SimUnavailable as error:
                errors.append(error)

        for _ in range(3):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert len({id(error) for error in errors}) == 3
    assert len({error.message for error in errors}) == 1


async def test_who_waits_takes_over_when_the_asker_is_cancelled(clock: ManualClock) -> None:
    """One impatient caller does not spoil the probe for the others."""
    gate, asked = anyio.Event(), list[str]()

    async def slowly(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if len(asked) == 1:
            await gate.wait()
        return says(200, WORKSPACES)

    found = list[Probe]()
    async with client_of(slowly, clock) as client, anyio.create_task_group() as group:

        async def ask(scope: anyio.CancelScope) -> None:
            with scope:
                found.append(await client.probe())

        first = anyio.CancelScope()
        group.start_soon(ask, first)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(ask, anyio.CancelScope())
        await anyio.wait_all_tasks_blocked()
        first.cancel()
    assert (len(asked), found) == (2, [V2])


async def test_a_404_of_v2_does_not_fall_back_but_makes_the_client_look_again(clock: ManualClock) -> None:
    """The run is not tried a second time in the other dialect; the next call knows better."""
    sim = ScriptedSim(
        says(404, V2_IS_OFF), says(200, {"success": True, "executionId": RUN, "output": 1}), v2=True
    )
    async with client_of(sim, clock) as client:
        with pytest.raises(SimNotFound):
            await client.execute(request_of(), run_id=RUN)
        assert len(sim.posts) == 1
        sim.v2 = False
        assert (await client.execute(request_of(), run_id=RunId("second"))).status is Status.COMPLETED
