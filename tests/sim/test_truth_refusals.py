"""Whatever legacy SIM, a proxy or the network refuses has one meaning: did a run begin, or may it have?"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import (
    ErrorCode,
    NotASimApi,
    RunIdTaken,
    SimAnswerLost,
    SimConflict,
    SimInternalError,
    SimNotDeployed,
    SimNotFound,
    SimPayloadTooLarge,
    SimRateLimited,
    SimRefused,
    SimRejectedInput,
    SimRejectedKey,
    SimTimeout,
    SimUnavailable,
    SimUsageExceeded,
)
from sim_mcp.model.tool import Mode
from tests.sim.scripted import KEY, RUN, page, says
from tests.sim.truth import (
    Row,
    maybe,
    meaning_of,
    no,
)

pytestmark = pytest.mark.anyio


def refuses(status: int, error: str, **more: Any) -> httpx.Response:
    return says(status, {"error": error, **more})


INVALID, KEY_BAD = ErrorCode.INVALID_INPUT, ErrorCode.UNAUTHORIZED
AWAY, LOST, LIMIT = ErrorCode.SIM_UNAVAILABLE, ErrorCode.OUTCOME_UNKNOWN, ErrorCode.RATE_LIMIT_EXCEEDED
FORBIDDEN, USED_UP, LARGE = ErrorCode.FORBIDDEN, ErrorCode.USAGE_LIMIT_EXCEEDED, ErrorCode.PAYLOAD_TOO_LARGE

REFUSALS = [
    (400, "Invalid JSON in request body", no(SimRejectedInput, INVALID)),
    (400, "Invalid request body", no(SimRejectedInput, INVALID)),
    (400, "Invalid execution ID header", no(SimRejectedInput, INVALID)),
    (400, "External callers cannot override triggerType", no(SimRejectedInput, INVALID)),
    (400, "File processing failed: Failed to upload file: a.txt", no(SimRejectedInput, INVALID)),
    (401, "Unauthorized", no(SimRejectedKey, KEY_BAD)),
    (401, "Invalid API key", no(SimRejectedKey, KEY_BAD)),
    (401, "Rate limit check failed", no(SimUnavailable, AWAY)),
    (402, "Usage limit exceeded: $21 used of $20 limit", no(SimUsageExceeded, USED_UP)),
    (403, "Access denied", no(SimRefused, FORBIDDEN)),
    (403, "Unauthorized: Access denied to read this workflow", no(SimRefused, FORBIDDEN)),
    (403, "API key is not authorized for this workspace", no(SimRefused, FORBIDDEN)),
    (403, "Personal API keys are not allowed for this workspace", no(SimRefused, FORBIDDEN)),
    (403, "Account suspended", no(SimRefused, FORBIDDEN)),
    (403, "Workflow is not deployed", no(SimNotDeployed, ErrorCode.NOT_DEPLOYED)),
    (404, "Workflow not found", no(SimNotFound, ErrorCode.NOT_FOUND)),
    (409, "Maximum workflow call chain depth (25) exceeded.", no(SimConflict, ErrorCode.CONFLICT)),
    (413, "Workflow execution request body exceeds maximum size", no(SimPayloadTooLarge, LARGE)),
    (429, "Rate limit exceeded. Please try again later.", no(SimRateLimited, LIMIT)),
    (429, "Too many concurrent executions are in progress for this account", no(SimRateLimited, LIMIT)),
    (500, "Failed to queue async execution", no(SimUnavailable, AWAY)),
    (500, "Internal error while fetching workflow", maybe(SimInternalError, AWAY)),
    (500, "Internal server error", maybe(SimInternalError, AWAY)),
    (503, "Workflow execution identity is temporarily unavailable", no(SimUnavailable, AWAY)),
    (503, "Usage admission is temporarily unavailable", no(SimUnavailable, AWAY)),
    (504, "upstream timed out", maybe(SimAnswerLost, LOST)),
]

OTHERS = [
    Row(
        when="the run id was used before",
        reply=refuses(
            409, "Execution ID has already been used", code="EXECUTION_ID_CONFLICT", executionId=RUN
        ),
        means=maybe(RunIdTaken, ErrorCode.CONFLICT),
    ),
    Row(
        when="the server is full",
        reply=refuses(429, "Too many requests", code="ADMISSION_GATE_CAPACITY", retryAfterSeconds=5),
        means=no(SimRateLimited, LIMIT),
    ),
    Row(
        when="the queue's answer got lost inside SIM",
        reply=refuses(
            503,
            "Async execution queue acceptance could not be confirmed",
            code="ASYNC_ENQUEUE_AMBIGUOUS",
            executionId=RUN,
        ),
        means=maybe(SimAnswerLost, LOST),
        mode=Mode.ASYNC,
    ),
    Row(
        when="an API gateway refuses with a message of its own",
        reply=says(403, {"message": "Forbidden"}, is_sims=False),
        means=no(SimRefused, FORBIDDEN),
    ),
    Row(
        when="an answer is cut in the middle of a word",
        reply=page(200, '{"success": tr', kind="application/json"),
        means=maybe(SimAnswerLost, LOST),
    ),
    Row(when="a login page answers", reply=page(200), means=maybe(NotASimApi, AWAY)),
    Row(when="an unknown page answers", reply=page(404), means=maybe(NotASimApi, AWAY)),
    Row(when="an empty answer comes", reply=httpx.Response(200), means=maybe(NotASimApi, AWAY)),
    Row(
        when="somebody answers with a bare list",
        reply=says(200, [1], is_sims=False),
        means=maybe(NotASimApi, AWAY),
    ),
    Row(when="a proxy limits", reply=page(429), means=no(SimRateLimited, LIMIT)),
    Row(when="a proxy finds the body too large", reply=page(413), means=no(SimPayloadTooLarge, LARGE)),
    Row(when="a proxy answers 502", reply=page(502), means=maybe(SimAnswerLost, LOST)),
    Row(when="a proxy answers 503", reply=page(503), means=maybe(SimAnswerLost, LOST)),
    Row(when="a proxy answers 504", reply=page(504), means=maybe(SimAnswerLost, LOST)),
    Row(
        when="a redirect answers",
        reply=httpx.Response(307, headers={"location": f"https://other.example/x?k={KEY}"}),
        means=maybe(NotASimApi, AWAY),
    ),
    Row(when="nobody listens", reply=httpx.ConnectError("refused"), means=no(SimUnavailable, AWAY)),
    Row(when="nobody accepts in time", reply=httpx.ConnectTimeout("slow"), means=no(SimUnavailable, AWAY)),
    Row(when="the pool is full", reply=httpx.PoolTimeout("full"), means=no(SimUnavailable, AWAY)),
    Row(
        when="the connection is reset",
        reply=httpx.ReadError(f"reset {KEY}"),
        means=maybe(SimAnswerLost, LOST),
    ),
    Row(when="the request breaks off", reply=httpx.WriteError("pipe"), means=maybe(SimAnswerLost, LOST)),
    Row(when="the server hangs up", reply=httpx.RemoteProtocolError("eof"), means=maybe(SimAnswerLost, LOST)),
    Row(
        when="a sync run takes too long",
        reply=httpx.ReadTimeout("late"),
        means=maybe(SimTimeout, ErrorCode.TIMEOUT),
    ),
    Row(
        when="an async receipt takes too long",
        reply=httpx.ReadTimeout("late"),
        means=maybe(SimAnswerLost, LOST),
        mode=Mode.ASYNC,
    ),
]

REFUSAL_ROWS = [
    Row(when=f"{status} {text}", reply=refuses(status, text), means=means) for status, text, means in REFUSALS
]


@pytest.mark.parametrize("row", [*REFUSAL_ROWS, *OTHERS], ids=lambda row: row.when)
async def test_a_refusal_or_a_loss_means_one_thing_when(row: Row, clock: ManualClock) -> None:
    """Each becomes one error of one class, which says whether a run may exist."""
    assert await meaning_of(row, v2=False, clock=clock) == row.means
