"""A line break in what a caller sends never becomes a header of an answer or of a request to SIM."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim_mcp.sim.fake import workflow_id
from tests.transports.web import bearer, open_web

pytestmark = pytest.mark.anyio

BREAK = "x\r\nx-injected: yes"
ECHO = workflow_id("acme", "echo")


@pytest.mark.requirement("R60")
@pytest.mark.parametrize(
    "name", ["x-request-id", "traceparent", "tracestate", "idempotency-key", "x-forwarded-for", "user-agent"]
)
async def test_a_line_break_becomes_no_header(tmp_path: Path, name: str) -> None:
    """Neither in the answer nor towards SIM, for each header that is read or passed on."""
    async with open_web(tmp_path) as web:
        await web.allow("acme", "echo")
        headers = bearer() | {name: BREAK, "content-type": "application/json"}
        answer = await web.client.post(
            f"/api/integration/sim/workflows/{ECHO}/execute", headers=headers, json={"input": {"a": BREAK}}
        )
        assert answer.status_code in {200, 400}
        sent = [(each, value) for asked in web.world.sim.requests for each, value in asked.headers.items()]
    for header, value in [*answer.headers.items(), *sent]:
        assert "injected" not in header + value, (header, value)
        assert "\r" not in value
        assert "\n" not in value
