"""Whatever legacy SIM says to an execute has exactly one meaning, and only `completed` is a success."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import (
    ErrorCode,
    SimAnswerLost,
    SimNotDeployed,
)
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
    Row,
    maybe,
    meaning_of,
    no,
)

pytestmark = pytest.mark.anyio

METADATA = {"duration": 512.4, "startTime": "2026-08-21T10:00:00.000Z", "endTime": "2026-08-21T10:00:01.834Z"}
RESUME = {"contextId": "blk_9", "executionId": RUN, "workflowId": WORKFLOW}
FORM: dict[str, Any] = {"operation": "human", "inputFormat": [], "responseStructure": [], "_resume": RESUME}
HEADERS = {"Content-Type": "application/json"}


def ok(output: Any) -> httpx.Response:
    return says(200, {"success": True, "executionId": RUN, "output": output, "metadata": METADATA})


def bad(status: int, error: str) -> httpx.Response:
    return says(status, {"success": False, "output": {}, "error": error, "metadata": METADATA})


def refuses(status: int, error: str, **more: Any) -> httpx.Response:
    return says(status, {"error": error, **more})


def record(status: str) -> httpx.Response:
    return says(200, {"executionId": RUN, "workflowId": WORKFLOW, "status": status, "finalOutput": None})


RUNS = [
    Row(when="the run completed", reply=ok({"content": "Hello"}), means=COMPLETED),
    Row(when="the run completed without an output", reply=ok(None), means=COMPLETED),
    Row(
        when="a success has no metadata",
        reply=says(200, {"success": True, "output": {"a": 1}}),
        means=COMPLETED,
    ),
    Row(when="a failure comes in a 200", reply=bad(200, "Work: boom"), means=FAILED),
    Row(when="a block failed", reply=bad(500, "Work: boom"), means=FAILED),
    Row(when="a failed block borrowed a 401", reply=bad(401, "CRM 1: Unauthorized"), means=FAILED),
    Row(when="a failed block borrowed a 402", reply=bad(402, "Pay: no funds"), means=FAILED),
    Row(when="a failed block borrowed a 403", reply=bad(403, "CRM 1: Forbidden"), means=FAILED),
    Row(when="a failed block borrowed a 404", reply=bad(404, "CRM 1: Not found"), means=FAILED),
    Row(when="a failed block borrowed a 409", reply=bad(409, "CRM 1: Conflict"), means=FAILED),
    Row(when="a failed block borrowed a 429", reply=bad(429, "LLM 1: 429 rate limited"), means=FAILED),
    Row(when="a failed block borrowed a 503", reply=bad(503, "LLM 1: overloaded"), means=FAILED),
    Row(when="a field reference was wrong", reply=bad(400, 'Work: "nope" does not exist'), means=FAILED),
    Row(when="a failure says nothing", reply=says(500, {"success": False}), means=FAILED),
    Row(when="the run timed out", reply=bad(408, "Execution timed out after 5 minutes"), means=TIMED_OUT),
    Row(when="a timeout says nothing", reply=says(408, {"success": False}), means=TIMED_OUT),
    Row(
        when="the run was cancelled from outside",
        reply=says(200, {"success": False, "executionId": RUN, "output": {}, "metadata": METADATA}),
        means=CANCELLED,
    ),
    Row(
        when="SIM thinks that we hung up",
        reply=says(499, {"success": False, "error": "Client cancelled request"}),
        means=CANCELLED,
    ),
]

PAUSES = [
    Row(when="a person is asked", reply=ok({"data": FORM, "status": 200, "headers": HEADERS}), means=PAUSED),
    Row(
        when="a pause of operation api shows its author's object",
        reply=ok({"data": {**FORM, "operation": "api", "order": 7}, "status": 201, "headers": HEADERS}),
        means=PAUSED,
    ),
    Row(
        when="several people are asked at once",
        reply=ok({"pausedBlocks": [{"data": FORM}, {"data": FORM}], "pauseCount": 2}),
        means=PAUSED,
    ),
    Row(
        when="several pauses show no forms and the record says paused",
        reply=ok({"pausedBlocks": [{"data": 1}], "pauseCount": 1}),
        record=record("paused"),
        means=PAUSED,
    ),
    Row(
        when="a wait block sleeps",
        reply=ok({"waitDuration": 60000, "resumeAt": "2026-08-21T10:00:00.000Z"}),
        record=record("paused"),
        means=PAUSED,
    ),
    Row(
        when="a wait block sleeps and its record cannot be had",
        reply=ok({"waitDuration": 60000, "resumeAt": "2026-08-21T10:00:00.000Z"}),
        record=page(502),
        means=PAUSED,
    ),
    Row(
        when="a wait block sleeps on a server without records",
        reply=ok({"waitDuration": 60000, "resumeAt": "2026-08-21T10:00:00.000Z"}),
        record=page(404),
        means=PAUSED,
    ),
    Row(
        when="a result only looks like a wait and the record says completed",
        reply=ok({"resumeAt": "tomorrow"}),
        record=record("completed"),
        means=COMPLETED,
    ),
    Row(
        when="a pause without a form hides behind a response and the record says paused",
        reply=ok({"data": "approve?", "status": 200, "headers": HEADERS}),
        record=record("paused"),
        means=PAUSED,
    ),
    Row(
        when="an HTTP block's result looks like a pause and the record says completed",
        reply=ok({"data": {"id": 1}, "status": 200, "headers": HEADERS}),
        record=record("completed"),
        means=COMPLETED,
    ),
    Row(
        when="an HTTP block's result looks like a pause on a server without records",
        reply=ok({"data": {"id": 1}, "status": 200, "headers": HEADERS}),
        record=page(404),
        means=COMPLETED,
    ),
    Row(
        when="what looks like a pause cannot be looked up",
        reply=ok({"data": {"id": 1}, "status": 200, "headers": HEADERS}),
        record=httpx.ReadError("reset"),
        means=PROCESSING,
    ),
]

RESPONSE_BLOCKS = [
    Row(when="a response block answers 200", reply=says(200, {"valid": True}), means=COMPLETED),
    Row(when="a response block answers 418", reply=says(418, {"teapot": True}), means=COMPLETED),
    Row(
        when="a response block answers 422",
        reply=says(422, {"valid": False, "reason": "IBAN"}),
        means=COMPLETED,
    ),
    Row(when="a response block answers 401 in its own words", reply=says(401, {"who": "?"}), means=COMPLETED),
    Row(when="a response block answers 500 in its own words", reply=says(500, {"oh": "no"}), means=COMPLETED),
    Row(when="a response block answers with a list", reply=says(200, [1, 2]), means=COMPLETED),
    Row(
        when="a response block answers 200 with an error word",
        reply=says(200, {"error": "none"}),
        means=COMPLETED,
    ),
    Row(
        when="a response block boasts of success",
        reply=says(201, {"success": True, "id": 5}),
        means=COMPLETED,
    ),
    Row(
        when="a response block has a message", reply=says(404, {"message": "no such order"}), means=COMPLETED
    ),
]

RECEIPT = {"success": True, "async": True, "jobId": f"workflow-execution:{RUN}", "executionId": RUN}
RECEIPTS = [
    Row(when="the run is queued", reply=says(202, RECEIPT), means=QUEUED, mode=Mode.ASYNC),
    Row(
        when="a server of 2025 queued it",
        reply=says(
            202, {"success": True, "taskId": "run_abc", "status": "queued", "links": {"status": "/x"}}
        ),
        means=QUEUED,
        mode=Mode.ASYNC,
    ),
    Row(
        when="a receipt comes in the other dialect's shape",
        reply=says(202, {"data": {"runId": RUN, "statusUrl": "http://elsewhere/x"}}),
        means=QUEUED,
        mode=Mode.ASYNC,
    ),
]

LOST = ErrorCode.OUTCOME_UNKNOWN

FINAL_OK = {"event": "final", "data": {"success": True, "output": {"a": 1}}}
STREAMS = [
    Row(when="a stream completes", reply=events(FINAL_OK), means=COMPLETED, mode=Mode.STREAM),
    Row(
        when="a stream ends in a failed final",
        reply=events({"event": "final", "data": {"success": False, "output": {}, "error": "Work: boom"}}),
        means=FAILED,
        mode=Mode.STREAM,
    ),
    Row(
        when="a stream ends in an error frame",
        reply=events({"event": "error", "error": "Work: boom"}),
        means=FAILED,
        mode=Mode.STREAM,
    ),
    Row(when="a stream's error is empty", reply=events({"event": "error"}), means=FAILED, mode=Mode.STREAM),
    Row(
        when="a stream times out in SIM",
        reply=events({"event": "error", "error": "Execution timed out after 5 minutes"}),
        means=TIMED_OUT,
        mode=Mode.STREAM,
    ),
    Row(
        when="a stream is cancelled",
        reply=events({"event": "error", "error": "Client cancelled request"}),
        means=CANCELLED,
        mode=Mode.STREAM,
    ),
    Row(
        when="a stream pauses",
        reply=events({"event": "final", "data": {"success": True, "status": "paused", "output": {}}}),
        means=PAUSED,
        mode=Mode.STREAM,
    ),
    Row(
        when="a stream pauses without saying so",
        reply=events({"event": "final", "data": {"success": True, "output": {"data": FORM}}}),
        means=PAUSED,
        mode=Mode.STREAM,
    ),
    Row(
        when="a stream ends with an unknown status",
        reply=events({"event": "final", "data": {"success": True, "status": "dreaming", "output": {}}}),
        means=PROCESSING,
        mode=Mode.STREAM,
    ),
    Row(
        when="a stream just ends",
        reply=events({"blockId": "b", "chunk": "Hel"}, done=False),
        means=maybe(SimAnswerLost, LOST),
        mode=Mode.STREAM,
    ),
    Row(
        when="a stream is done without a final",
        reply=events({"blockId": "b", "chunk": "Hel"}),
        means=maybe(SimAnswerLost, LOST),
        mode=Mode.STREAM,
    ),
    Row(
        when="a stream request is refused",
        reply=refuses(403, "Workflow is not deployed"),
        means=no(SimNotDeployed, ErrorCode.NOT_DEPLOYED),
        mode=Mode.STREAM,
    ),
]

ROWS = [*RUNS, *PAUSES, *RESPONSE_BLOCKS, *RECEIPTS, *STREAMS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.when)
async def test_legacy_sim_means_one_thing_when(row: Row, clock: ManualClock) -> None:
    """Each answer becomes exactly one status, or one error that says whether a run may exist."""
    assert await meaning_of(row, v2=False, clock=clock) == row.means
