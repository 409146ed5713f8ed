"""Events over REST: by token and by signature, and never in the way of their source."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from sim_mcp.app import sign
from sim_mcp.sim.fake import workflow_id
from tests.transports.web import Web, open_web
from tests.triggers import dead_job
from tests.world import principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R17", "R20", "R54", "F17")]

BODY: dict[str, Any] = {"id": "evt-1", "event": "timer.stopped", "data": {"text": "tea"}}


@pytest.fixture
async def web(tmp_path: Path) -> AsyncGenerator[Web]:
    """Two tenants with a tool each."""
    async with open_web(tmp_path) as opened:
        for tenant in ("acme", "globex"):
            await opened.allow(tenant, "echo")
        yield opened


async def mapped(web: Web) -> None:
    """Let the event start something."""
    body = {"event": "timer.stopped", "workflowId": workflow_id("acme", "echo")}
    assert (await web.ask("POST", "/events/mappings", json=body)).status_code == 200


async def signed(web: Web, secret: str, sender: str, body: dict[str, Any], **more: Any) -> Any:
    """The event, posted by signature and without a token."""
    content = json.dumps(body).encode()
    signature = sign(secret, content, at=web.world.clock.now())
    headers = {"content-type": "application/json", "x-sim-mcp-signature": signature}
    path = more.pop("path", f"/events?sender={sender}")
    return await web.ask("POST", path, by=headers | more.pop("headers", {}), content=content, **more)


async def test_an_event_is_stored_before_it_is_answered_and_told_in_full(web: Web) -> None:
    """202 with its job; the second time the same job; the dead letter can be replayed over REST."""
    await mapped(web)
    first = await web.ask("POST", "/events", json=BODY)
    assert (first.status_code, first.json()["duplicate"], first.json()["reason"]) == (202, False, None)
    again = await web.ask("POST", "/events", json=BODY)
    assert again.json() == first.json() | {"duplicate": True}
    listed = await web.ask("GET", "/jobs", params={"state": "waiting"})
    assert listed.json()["data"] == first.json()["jobs"]
    assert web.world.started == []
    dead = await dead_job(web.world, "acme", "echo", "evt-2")
    replayed = await web.ask("POST", f"/jobs/{dead.id}/replay", json={})
    told = replayed.json()
    assert (replayed.status_code, told["state"], told["generation"]) == (200, "waiting", 2)
    foreign = await web.ask("POST", f"/jobs/{dead.id}/replay", json={}, by="globex")
    assert foreign.status_code == 404


async def test_a_signature_opens_the_one_route_and_nothing_else(web: Web) -> None:
    """No other path, no other method, no token beside it; and the tenant is the sender's."""
    await mapped(web)
    sender, secret = await web.world.app.events.add_sender(principal("acme"), "platform")
    accepted = await signed(web, secret, sender.id, BODY)
    assert (accepted.status_code, len(accepted.json()["jobs"])) == (202, 1)
    for path in (f"/events/mappings?sender={sender.id}", f"/schedules?sender={sender.id}"):
        assert (await signed(web, secret, sender.id, BODY, path=path)).status_code == 401
    wrong = await signed(web, "not-the-secret", sender.id, BODY)
    assert (wrong.status_code, wrong.json()["code"]) == (401, "UNAUTHORIZED")
    both = await signed(web, secret, sender.id, BODY, headers={"authorization": "Bearer x"})
    assert both.status_code == 401
    assert (await web.ask("GET", "/jobs", by="globex")).json()["data"] == []


async def test_schedules_and_mappings_round_trip(web: Web) -> None:
    """What was set is what is listed; what was removed is gone."""
    body = {
        "event": "task.completed",
        "workflowId": workflow_id("acme", "echo"),
        "filter": [{"pointer": "/status", "equals": None}, {"pointer": "/n", "atLeast": 1}],
        "input": {"task": {"$from": "/id"}},
        "delayS": 5,
        "priority": 1,
    }
    made = await web.ask("POST", "/events/mappings", json=body)
    assert made.json()["filter"] == [
        {"pointer": "/status", "equals": None, "atLeast": None, "atMost": None},
        {"pointer": "/n", "atLeast": 1, "atMost": None},
    ]
    assert (await web.ask("GET", "/events/mappings")).json()["data"] == [made.json()]
    gone = await web.ask("DELETE", "/events/mappings/task.completed")
    assert gone.json() == {"event": "task.completed", "removed": 1}
    plan = {"name": "weekly", "workflowId": workflow_id("acme", "echo"), "cron": "0 9 * * 1"}
    set_ = await web.ask("POST", "/schedules", json=plan)
    assert (set_.status_code, len(set_.json()["nextRuns"])) == (200, 5)
    assert (await web.ask("GET", "/schedules")).json()["data"] == [set_.json()]
    assert (await web.ask("DELETE", "/schedules/weekly")).status_code == 204
    assert (await web.ask("GET", "/schedules")).json()["data"] == []
