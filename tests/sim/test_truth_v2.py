"""Whatever v2 SIM says to an execute has exactly one meaning, and only `completed` is a success."""

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
from sim_mcp.model.execution import Status
from sim_mcp.model.tool import Mode
from tests.sim.scripted import RUN, WORKFLOW, events, page, says
from tests.sim.truth import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PAUSED,
    PROCESSING,
    QUEUED,
    TIMED_OUT,
    Means,
    Row,
    maybe,
    meaning_of,
    no,
)

pytestmark = pytest.mark.anyio

FORM: dict[str, Any] = {"operation": "human", "inputFormat": [], "_resume": {"contextId": "blk_9"}}


def run(status: str | None, *, output: Any = None, error: Any = None) -> httpx.Response:
    data = {"runId": RUN, "workflowId": WORKFLOW, "status": status, "output": output, "error": error}
    return says(200, {"data": {**data, "startedAt": "2026-08-21T10:00:00.000Z", "durationMs": 812.2}})


def fault(code: str, message: str = "Line 1: boom") -> dict[str, str]:
    return {"message": message, "code": code, "blockName": "Work"}


def refuses(status: int, code: str, message: str = "…", reason: str | None = None) -> httpx.Response:
    details = {"details": {"code": reason}} if reason else {}
    return says(status, {"error": {"code": code, "message": message, **details}})


INVALID, AWAY, LOST = ErrorCode.INVALID_INPUT, ErrorCode.SIM_UNAVAILABLE, ErrorCode.OUTCOME_UNKNOWN
LIMIT, FORBIDDEN = ErrorCode.RATE_LIMIT_EXCEEDED, ErrorCode.FORBIDDEN
USED_UP, LARGE = ErrorCode.USAGE_LIMIT_EXCEEDED, ErrorCode.PAYLOAD_TOO_LARGE
RESPONSE = {"data": {"teapot": True}, "status": 418, "headers": {}}
UNCONFIRMED = refuses(503, "SERVICE_UNAVAILABLE", reason="ASYNC_ENQUEUE_AMBIGUOUS")

ROWS = [
    Row(when="the run completed", reply=run("completed", output={"a": 1}), means=COMPLETED),
    Row(when="a response block's answer is inside", reply=run("completed", output=RESPONSE), means=COMPLETED),
    Row(when="the run failed", reply=run("failed", error=fault("BLOCK_EXECUTION_FAILED")), means=FAILED),
    Row(when="a child failed", reply=run("failed", error=fault("CHILD_WORKFLOW_FAILED")), means=FAILED),
    Row(
        when="the failure's code is a guess", reply=run("failed", error=fault("INVALID_INPUT")), means=FAILED
    ),
    Row(when="the failure says nothing", reply=run("failed"), means=FAILED),
    Row(
        when="a failure only quotes a timeout",
        reply=run("failed", error=fault("BLOCK_EXECUTION_FAILED", "Execution timed out upstream")),
        means=FAILED,
    ),
    Row(when="the run timed out", reply=run("failed", error=fault("TIMEOUT")), means=TIMED_OUT),
    Row(
        when="the run used up the plan",
        reply=run("failed", error=fault("USAGE_LIMIT_EXCEEDED")),
        means=Means(status=Status.FAILED, code=USED_UP),
    ),
    Row(when="the run was cancelled", reply=run("cancelled"), means=CANCELLED),
    Row(when="a cancel is told as a failure", reply=run("failed", error=fault("CANCELLED")), means=CANCELLED),
    Row(when="a person is asked", reply=run("paused", output={"data": FORM}), means=PAUSED),
    Row(when="a pause of operation api has no form", reply=run("paused", output={"data": 1}), means=PAUSED),
    Row(
        when="several people are asked",
        reply=run("paused", output={"pausedBlocks": [{"data": FORM}], "pauseCount": 1}),
        means=PAUSED,
    ),
    Row(when="a wait block sleeps", reply=run("paused", output={"resumeAt": "2026-08-21"}), means=PAUSED),
    Row(when="the status is a new word", reply=run("dreaming"), means=PROCESSING),
    Row(when="the status is missing", reply=run(None), means=PROCESSING),
    Row(when="the output is being redacted", reply=run("redacting"), means=PROCESSING),
    Row(
        when="the run is queued",
        reply=says(202, {"data": {"runId": RUN, "statusUrl": "http://localhost:3000/x"}}),
        means=QUEUED,
        mode=Mode.ASYNC,
    ),
    Row(when="the body is invalid", reply=refuses(400, "BAD_REQUEST"), means=no(SimRejectedInput, INVALID)),
    Row(
        when="the key is wrong",
        reply=refuses(401, "UNAUTHORIZED", "Invalid API key"),
        means=no(SimRejectedKey, ErrorCode.UNAUTHORIZED),
    ),
    Row(
        when="the plan is used up",
        reply=refuses(402, "USAGE_LIMIT_EXCEEDED", reason="EXECUTION_PAYER_HEADROOM_EXHAUSTED"),
        means=no(SimUsageExceeded, USED_UP),
    ),
    Row(
        when="personal keys are off",
        reply=refuses(403, "FORBIDDEN", reason="PERSONAL_API_KEYS_DISABLED"),
        means=no(SimRefused, FORBIDDEN),
    ),
    Row(
        when="the role is too low",
        reply=refuses(403, "FORBIDDEN", reason="INSUFFICIENT_WORKSPACE_ROLE"),
        means=no(SimRefused, FORBIDDEN),
    ),
    Row(
        when="the workflow is not deployed",
        reply=refuses(403, "FORBIDDEN", reason="WORKFLOW_NOT_DEPLOYED"),
        means=no(SimNotDeployed, ErrorCode.NOT_DEPLOYED),
    ),
    Row(
        when="the workflow is unknown or foreign",
        reply=refuses(404, "NOT_FOUND", "Workflow not found"),
        means=no(SimNotFound, ErrorCode.NOT_FOUND),
    ),
    Row(
        when="v2 was switched off in between",
        reply=refuses(404, "NOT_FOUND", "Not found"),
        means=no(SimNotFound, ErrorCode.NOT_FOUND),
    ),
    Row(
        when="SIM gave up reading",
        reply=refuses(408, "BAD_REQUEST"),
        means=maybe(SimTimeout, ErrorCode.TIMEOUT),
    ),
    Row(
        when="the run id was used before",
        reply=refuses(409, "CONFLICT", "Run ID has already been used", "RUN_ID_CONFLICT"),
        means=maybe(RunIdTaken, ErrorCode.CONFLICT),
    ),
    Row(
        when="the call chain is too deep",
        reply=refuses(409, "CONFLICT", reason="CALL_CHAIN_DEPTH_EXCEEDED"),
        means=no(SimConflict, ErrorCode.CONFLICT),
    ),
    Row(when="it is locked", reply=refuses(423, "LOCKED"), means=no(SimConflict, ErrorCode.CONFLICT)),
    Row(
        when="the body is too large",
        reply=refuses(413, "PAYLOAD_TOO_LARGE"),
        means=no(SimPayloadTooLarge, LARGE),
    ),
    Row(
        when="the media type is wrong",
        reply=refuses(415, "UNSUPPORTED_MEDIA_TYPE"),
        means=no(SimRejectedInput, INVALID),
    ),
    Row(
        when="the rate limit is reached",
        reply=refuses(429, "RATE_LIMITED", reason="RATE_LIMIT_EXCEEDED"),
        means=no(SimRateLimited, LIMIT),
    ),
    Row(
        when="too many run at once",
        reply=refuses(429, "RATE_LIMITED", reason="EXECUTION_CONCURRENCY_LIMIT"),
        means=no(SimRateLimited, LIMIT),
    ),
    Row(
        when="SIM thinks that we hung up",
        reply=refuses(499, "CLIENT_CLOSED_REQUEST", "Client cancelled request"),
        means=maybe(SimAnswerLost, LOST),
    ),
    Row(when="SIM breaks inside", reply=refuses(500, "INTERNAL_ERROR"), means=maybe(SimInternalError, AWAY)),
    Row(when="SIM is overloaded", reply=refuses(503, "SERVICE_UNAVAILABLE"), means=no(SimUnavailable, AWAY)),
    Row(
        when="the queue's answer got lost inside SIM",
        reply=UNCONFIRMED,
        means=maybe(SimAnswerLost, LOST),
        mode=Mode.ASYNC,
    ),
    Row(when="an answer has no run id", reply=says(200, {"data": {}}), means=maybe(NotASimApi, AWAY)),
    Row(when="a list answers", reply=says(200, []), means=maybe(NotASimApi, AWAY)),
    Row(when="a page answers", reply=page(200), means=maybe(NotASimApi, AWAY)),
    Row(when="a proxy answers 504", reply=page(504), means=maybe(SimAnswerLost, LOST)),
    Row(
        when="a redirect answers",
        reply=httpx.Response(302, headers={"location": "/login"}),
        means=maybe(NotASimApi, AWAY),
    ),
    Row(when="nobody listens", reply=httpx.ConnectError("refused"), means=no(SimUnavailable, AWAY)),
    Row(when="the connection is reset", reply=httpx.ReadError("reset"), means=maybe(SimAnswerLost, LOST)),
    Row(
        when="a stream completes",
        reply=events({"event": "final", "data": {"success": True, "output": {"a": 1}}}),
        means=COMPLETED,
        mode=Mode.STREAM,
    ),
    Row(
        when="a stream pauses in a shape that only the record explains",
        reply=events({"event": "final", "data": {"success": True, "output": {"resumeAt": "2026-08-21"}}}),
        record=run("paused"),
        means=PAUSED,
        mode=Mode.STREAM,
    ),
    Row(
        when="a stream breaks",
        reply=events({"event": "error", "error": "Work: boom"}),
        means=FAILED,
        mode=Mode.STREAM,
    ),
    Row(
        when="a stream is answered with a finished run",
        reply=run("completed", output={"a": 1}),
        means=COMPLETED,
        mode=Mode.STREAM,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.when)
async def test_v2_sim_means_one_thing_when(row: Row, clock: ManualClock) -> None:
    """Each answer becomes exactly one status, or one error that says whether a run may exist."""
    assert await meaning_of(row, v2=True, clock=clock) == row.means
