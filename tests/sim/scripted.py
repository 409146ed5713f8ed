"""A SIM that says exactly what a test tells it to: the network is scripted, our classes are real."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.run import RunId, RunRequest
from sim_mcp.model.tool import Mode, WorkflowId
from sim_mcp.sim.client import SimClient
from sim_mcp.sim.wire import MAX_ANSWER_BYTES, Wire

KEY = "sk-sim-acme-SECRET-0001"
BASE_URL = "https://sim.example.com"
WORKFLOW = WorkflowId("3b1f7c92-8d4e-4a6b-9c0d-5e2f8a714b36")
RUN = RunId("6f0c7a1e-6a0c-4c6e-9d1b-6b9a0d2f1c11")
REQUEST_ID = "a1b2c3d4"

Reply = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


def says(
    status: int, body: Any, *, headers: dict[str, str] | None = None, is_sims: bool = True
) -> httpx.Response:
    """A JSON answer; `is_sims` adds the request id that everything from SIM carries."""
    own = {"x-request-id": REQUEST_ID} if is_sims else {}
    return httpx.Response(status, json=body, headers={**own, **(headers or {})})


def page(
    status: int, text: str = "<html><b>Bad gateway</b></html>", *, kind: str = "text/html"
) -> httpx.Response:
    """A proxy's page."""
    return httpx.Response(status, text=text, headers={"content-type": kind})


def events(*frames: Any, done: bool = True) -> httpx.Response:
    """A stream of frames, ended as SIM ends it."""
    lines = [f"data: {json.dumps(frame)}\n\n" for frame in frames]
    if done:
        lines.append('data: "[DONE]"\n\n')
    return httpx.Response(
        200,
        content="".join(lines).encode(),
        headers={"content-type": "text/event-stream", "x-request-id": REQUEST_ID},
    )


WORKSPACES = {"data": [{"id": "ws_1", "name": "Acme"}], "nextCursor": None}
V2_IS_OFF = {"error": {"code": "NOT_FOUND", "message": "Not found"}}


class ScriptedSim:
    """Answers the capability probe by itself, and everything else with the next reply of the script."""

    def __init__(self, *replies: Reply, v2: bool = False) -> None:
        self.v2 = v2
        self.replies: deque[Reply] = deque(replies)
        self.seen: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/api/v2/workspaces"):
            return says(200, WORKSPACES) if self.v2 else says(404, V2_IS_OFF)
        self.seen.append(request)
        reply = self.replies.popleft()
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, httpx.Response) else reply(request)

    @property
    def posts(self) -> list[httpx.Request]:
        """The requests that could have had an effect."""
        return [request for request in self.seen if request.method == "POST"]


@asynccontextmanager
async def client_of(
    sim: Callable[[httpx.Request], Any],
    clock: ManualClock,
    *,
    base_url: str = BASE_URL,
    max_answer_bytes: int = MAX_ANSWER_BYTES,
) -> AsyncGenerator[SimClient]:
    """A real client whose network is `sim`."""
    wire = Wire(
        base_url=base_url,
        api_key=KEY,
        open_transport=lambda: httpx.MockTransport(sim),
        clock=clock,
        max_answer_bytes=max_answer_bytes,
    )
    client = SimClient(wire, clock=clock)
    try:
        yield client
    finally:
        await client.aclose()


def request_of(mode: Mode = Mode.SYNC, **changes: Any) -> RunRequest:
    """A request as the gateway makes it."""
    values: dict[str, Any] = {
        "workflow_id": WORKFLOW,
        "input": {"topic": "invoices"},
        "mode": mode,
        "timeout_s": 60.0,
    }
    return RunRequest(**{**values, **changes})
