"""Every recorded exchange is read by the adapter, or is of a route that the adapter never asks.

What each means stands in `test_transcripts.py`. Here nothing is left out: a new recording that no row covers
fails, and whatever SIM was recorded to say ends in a run or in an error of ours, never in another exception.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import SimError
from sim_mcp.model.execution import Status
from sim_mcp.model.json import is_object
from sim_mcp.model.run import Run, RunId
from sim_mcp.model.tool import WorkflowId
from sim_mcp.sim.client import SimClient
from tests.sim.scripted import ScriptedSim, client_of, request_of
from tests.sim.test_transcripts import mode_of
from tests.sim.transcripts import TRANSCRIPTS, recorded, reply_of

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R57", "R39")]

Read = Callable[[SimClient, dict[str, Any]], Awaitable[object]]
W, R = WorkflowId("w"), RunId("run-1")
MISSING = httpx.Response(404, text="<!DOCTYPE html>", headers={"content-type": "text/html"})


async def _job(client: SimClient, _: dict[str, Any]) -> object:
    return await client.run(W, R, job_id="job")


async def _execute(client: SimClient, exchange: dict[str, Any]) -> object:
    return await client.execute(request_of(mode_of(exchange), workflow_id=W), run_id=R)


READERS: list[tuple[str, str, bool, Read]] = [
    ("POST", r"/api/workflows/[^/]+/execute", False, _execute),
    ("POST", r"/api/v2/workflows/[^/]+/execute", True, _execute),
    ("GET", r"/api/workflows/[^/]+/executions/[^/]+", False, lambda client, _: client.run(W, R)),
    ("GET", r"/api/v2/workflows/[^/]+/runs/[^/]+", True, lambda client, _: client.run(W, R)),
    ("GET", r"/api/jobs/[^/]+", False, _job),
    ("POST", r"/api/workflows/[^/]+/executions/[^/]+/cancel", False, lambda client, _: client.cancel(W, R)),
    ("POST", r"/api/v2/workflows/[^/]+/runs/[^/]+/cancel", True, lambda client, _: client.cancel(W, R)),
    ("POST", r"/api/resume/[^/]+/[^/]+/[^/]+", False, lambda client, _: client.resume(W, R, "ctx", {})),
    ("POST", r"/api/v2/workflows/[^/]+/runs/[^/]+/resume", True, lambda c, _: c.resume(W, R, "ctx", {})),
    ("GET", r"/api/workflows/[^/]+/paused/[^/]+", False, lambda client, _: client.pauses(W, R)),
    ("GET", r"/api/workflows/[^/]+/status", False, lambda client, _: client.deployment(W)),
    ("GET", r"/api/v2/workflows/[^/]+/deployment", True, lambda client, _: client.deployment(W)),
    ("GET", r"/api/v1/workflows/[^/]+", False, lambda client, _: client.inputs(W)),
    ("GET", r"/api/v2/workflows/[^/]+", True, lambda client, _: client.summary(W)),
    ("GET", r"/api/v1/workflows", False, lambda client, _: client.workflows(workspace_id="ws")),
    ("GET", r"/api/v2/workflows", True, lambda client, _: client.workflows(workspace_id="ws")),
    ("GET", r"/api/users/me/usage-limits", False, lambda client, _: client.usage()),
    ("GET", r"/api/health", False, lambda client, _: client.health()),
]
"""How each route is asked: method, path, whether on v2, and the client's own question."""

NEVER_ASKED = {
    r"\w+ /api/mcp/.*": "SIM's own MCP servers are another way in",
    r"GET /api/v[12]/logs.*": "our own rows are the history",
    r"\w+ /api/v[12]/workflows/[^/]+/(deploy|undeploy)": "the adapter deploys nothing",
    r"GET /api/v2/billing/status": "limits are read from the usage route",
    r"GET /api/v2/workspaces": "the probe's own, in test_probe.py",
    r"GET /api/v2/workflows/[^/]+/versions(/.*)?": "read with the deployment, in test_transcripts.py",
    r"GET /api/v2/workflows/[^/]+/runs": "runs are asked about one by one",
    r"GET /api/workflows/[^/]+/paused": "pauses are asked about run by run",
    r"GET /api/resume/.*": "the form is read from the paused run",
    r"GET /api/files/.*": "SIM's storage is never asked",
    r"GET /api/workflows/[^/]+/execute": "recorded to see the 405",
    r"GET /api/(v1/|v2/)?(nonsense|nope)": "no route at all",
}

HOLLOW = {"222", "223", "224", "225", "226", "291", "294", "414", "515", "604"}
"""Recordings of streams and of callers that left: the recorder kept no answer of them."""

NAMES = sorted(path.stem for path in TRANSCRIPTS.glob("*.json"))


def asked(exchange: dict[str, Any]) -> tuple[str, str]:
    """Method and path of a recorded request, without the query."""
    request = exchange["request"]
    return request["method"], re.sub(r"https?://[^/]+", "", request["path"]).partition("?")[0]


def has_answer(exchange: dict[str, Any]) -> bool:
    """Whether the answer was recorded."""
    return isinstance(exchange["response"]["status"], int)


def reader_of(exchange: dict[str, Any]) -> tuple[bool, Read] | None:
    """How the adapter asks for what was recorded; `None` when it never does."""
    method, path = asked(exchange)
    for known, pattern, v2, read in READERS:
        if known == method and re.fullmatch(pattern, path):
            return v2, read
    return None


@pytest.mark.skipif(not NAMES, reason="the recorded exchanges are not on this machine")
def test_every_recording_is_read_or_named_as_never_asked() -> None:
    """A new recording of a route that nobody thought of fails here."""
    left = [name for name in NAMES if reader_of(recorded(name)) is None]
    unnamed = {
        name: " ".join(asked(recorded(name)))
        for name in left
        if not any(re.fullmatch(pattern, " ".join(asked(recorded(name)))) for pattern in NEVER_ASKED)
    }
    assert unnamed == {}
    assert {name.partition("-")[0] for name in NAMES if not has_answer(recorded(name))} == HOLLOW
    assert len(NAMES) - len(left) > len(NAMES) / 2


@pytest.mark.parametrize("name", NAMES or [pytest.param("", marks=pytest.mark.skip("no recordings here"))])
async def test_a_recording_ends_in_an_answer_or_in_an_error_of_ours(name: str, clock: ManualClock) -> None:
    """What SIM calls a failure or refuses is never a completed run; what it completed is never a refusal."""
    exchange = recorded(name)
    found = reader_of(exchange)
    if found is None or not has_answer(exchange):
        return
    v2, read = found
    first = [MISSING] if read is _job else []
    status = exchange["response"]["status"]
    async with client_of(ScriptedSim(*first, reply_of(exchange), v2=v2), clock) as client:
        try:
            answer = await read(client, exchange)
        except SimError as error:
            assert error.message  # noqa: PT017  # either end is right; what must not come is anything else
            return
    if isinstance(answer, Run) and answer.status is Status.COMPLETED:
        assert status < 400 or answer.is_raw
        body = exchange["response"]["body"]
        assert not is_object(body) or body.get("success") is not False or answer.is_raw
