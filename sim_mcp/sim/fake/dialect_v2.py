"""Execute and runs in the v2 dialect: strict bodies, one envelope, failures in band (sim-api 2)."""

from __future__ import annotations

from typing import Any, cast

from starlette.responses import JSONResponse, Response

from sim_mcp.sim.fake.behaviours import PUBLIC_URL, block_id
from sim_mcp.sim.fake.dialect_legacy import CALL_CHAIN_LIMIT, stored_files, too_deep
from sim_mcp.sim.fake.exchange import (
    BODY_LIMIT_BYTES,
    RUN_ID,
    Exchange,
    Refused,
    conflict,
    error,
    kind_of,
    page_of,
    parsed_object,
)
from sim_mcp.sim.fake.inputs import FileRejected
from sim_mcp.sim.fake.legacy_runs import cancelled, resumable
from sim_mcp.sim.fake.outcomes import Failed
from sim_mcp.sim.fake.running import EventStream, wait_for
from sim_mcp.sim.fake.runs import Mode, NotResumable, Run, Segment
from sim_mcp.sim.fake.stored import without_content
from sim_mcp.sim.fake.timing import iso
from sim_mcp.sim.fake.views import milliseconds, optional_iso, pause_overlay
from sim_mcp.sim.fake.world import Entry

_EXECUTE: dict[str, str | None] = {
    "input": "object",
    "async": "boolean",
    "executionTimeoutSeconds": "number",
    "stream": "boolean",
    "selectedOutputs": "array",
    "includeThinking": "boolean",
    "includeToolCalls": "boolean",
    "includeFileBase64": "boolean",
    "base64MaxBytes": "number",
}
_STREAM_ONLY = (
    "selectedOutputs",
    "includeThinking",
    "includeToolCalls",
    "includeFileBase64",
    "base64MaxBytes",
)
_PROTOCOL = "agent-events-v1"


async def execute(x: Exchange) -> Response:
    """`POST /api/v2/workflows/{id}/execute`."""
    account = x.account()
    known_query(x)
    if too_deep(x):
        text = f"Maximum workflow call chain depth ({CALL_CHAIN_LIMIT}) exceeded."
        return error("v2", 409, text, details={"code": "CALL_CHAIN_DEPTH_EXCEEDED"})
    body = strict_body(x, _EXECUTE)
    mode = _mode(x, body)
    run_id = x.header("x-run-id")
    if run_id is not None and not RUN_ID.match(run_id):
        raise Refused(_bad("Invalid X-Run-Id header", [{"code": "invalid_format", "path": ["X-Run-Id"]}]))
    entry = x.own_entry(account)
    run_id = run_id or x.world.ids()
    if not x.world.ledger.claim(run_id):
        return conflict("v2", run_id)
    if not entry.is_deployed:
        x.world.ledger.release(run_id)
        return error("v2", 403, "Workflow is not deployed", details={"code": "WORKFLOW_NOT_DEPLOYED"})
    raw: dict[str, Any] = body.get("input", {})
    try:
        raw = raw if mode == "async" else stored_files(x, entry, raw, run_id)
    except FileRejected as rejection:
        return error("v2", 400, str(rejection))
    # On v2 a field called `input` is a field: hide it from the legacy rule that looks inside.
    limit_s: float | None = body.get("executionTimeoutSeconds")
    run = x.world.start(
        entry, {"input": raw}, run_id=run_id, key=account.api_key, mode=mode, time_limit_s=limit_s
    )
    return await _answer(x, run, body)


async def _answer(x: Exchange, run: Run, body: dict[str, Any]) -> Response:
    named = {"X-Run-Id": run.run_id}
    if run.mode == "async":
        return JSONResponse({"data": _receipt(run.workflow_id, run.run_id)}, 202, named)
    if run.mode == "stream":
        return EventStream(run, time=x.world.time, selected=body.get("selectedOutputs"))
    segment = run.segments[0]
    if not await wait_for(run, segment, time=x.world.time, receive=x.request.receive):
        return error("v2", 499, "Client cancelled request", details={"runId": run.run_id})
    return JSONResponse({"data": _result(run, segment, x)}, 200, named)


def _receipt(workflow_id: str, run_id: str) -> dict[str, Any]:
    return {"runId": run_id, "statusUrl": f"{PUBLIC_URL}/api/v2/workflows/{workflow_id}/runs/{run_id}"}


def _result(run: Run, segment: Segment, x: Exchange) -> dict[str, Any]:
    shown: dict[str, Any] = {"runId": segment.attempt_id, "workflowId": run.workflow_id}
    if segment.cut:
        failure = {"message": "Workflow execution was cancelled", "code": "CANCELLED"}
        shown |= {"status": "cancelled", "output": {}, "error": failure}
    else:
        outcome = segment.outcome
        shown |= {"status": segment.standing(x.now), "output": outcome.output, "error": None}
        if isinstance(outcome, Failed):
            shown["error"] = _failure(outcome, run.workflow_id)
    ended_at = run.cancelled_at or segment.ends_at
    shown |= {"startedAt": iso(segment.starts_at), "endedAt": iso(ended_at)}
    return {**shown, "durationMs": milliseconds(segment.starts_at, ended_at)}


def _failure(outcome: Failed, workflow_id: str) -> dict[str, Any]:
    told = {"message": outcome.message, "code": outcome.code}
    if outcome.block is None:
        return told
    return {
        **told,
        "blockId": block_id(workflow_id, outcome.block),
        "blockName": outcome.block,
        "blockType": "function",
    }


async def runs(x: Exchange) -> Response:
    """`GET /api/v2/workflows/{id}/runs`, newest first."""
    entry = x.own_entry(x.account())
    known_query(x, "status", "trigger", "startDate", "endDate", "limit", "cursor", "order")
    found = x.world.ledger.of(workflow_id=entry.workflow.id)
    if x.query("order") != "asc":
        found.reverse()
    wanted = x.query("status")
    if wanted is not None:
        found = [each for each in found if each.standing(x.now) == wanted]
    mark = f"runs:{entry.workflow.id}:{wanted}:{x.query('order')}"
    page, following, understood = page_of(found, limit=limit_of(x), cursor=x.query("cursor"), mark=mark)
    if not understood:
        return error("v2", 400, "Invalid cursor")
    return JSONResponse({"data": [_item(each, x) for each in page], "nextCursor": following})


async def run(x: Exchange) -> Response:
    """`GET /api/v2/workflows/{id}/runs/{runId}` (sim-api 4.4)."""
    entry = x.own_entry(x.account())
    known_query(x, "includeOutput", "selectedOutputs")
    found = _run(x, entry)
    outcome = found.outcome(x.now)
    wanted = x.query("includeOutput") == "true" and found.standing(x.now) == "completed"
    told = None
    if isinstance(outcome, Failed):
        # Only the answer to execute knows the block; later reads classify the stored text again.
        told = {
            "message": outcome.message,
            "code": "TIMEOUT" if outcome.code == "TIMEOUT" else "EXECUTION_FAILED",
        }
    shown = {**_item(found, x), "paused": pause_overlay(found, x.now), "error": told}
    kept = without_content(outcome.output) if wanted and outcome is not None else None
    shown |= {"output": kept, "blockOutputs": None}
    return JSONResponse({"data": shown})


def _item(found: Run, x: Exchange) -> dict[str, Any]:
    ended_at = found.ended_at(x.now)
    return {
        "runId": found.run_id,
        "workflowId": found.workflow_id,
        "status": found.standing(x.now),
        "trigger": "api",
        "startedAt": iso(found.started_at),
        "endedAt": optional_iso(ended_at),
        "durationMs": None if ended_at is None else int(milliseconds(found.started_at, ended_at)),
        "cost": None if ended_at is None else {"total": 0.005},
    }


async def cancel(x: Exchange) -> Response:
    """`POST …/runs/{runId}/cancel`: always 200 when the run is known (sim-api 4.3)."""
    entry = x.own_entry(x.account())
    known_query(x)
    found = _run(x, entry)
    return JSONResponse({"data": {"success": True, "runId": found.run_id, **cancelled(x, found)}})


async def resume(x: Exchange) -> Response:
    """`POST …/runs/{runId}/resume`."""
    entry = x.own_entry(x.account())
    known_query(x)
    body = strict_body(x, {"contextId": "string", "input": None})
    if not body.get("contextId"):
        return _bad("Invalid input: expected string, received undefined", [{"path": ["contextId"]}])
    found = resumable(x, entry)
    attempt_id = x.world.ids()
    answer: Any = body.get("input")
    submission = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    busy = found.is_busy(x.now)
    try:
        segment = found.resume(body["contextId"], submission, attempt_id=attempt_id, now=x.now)
    except NotResumable as refusal:
        return error("v2", refusal.status, refusal.text)
    named = {"X-Run-Id": attempt_id}
    if busy or found.mode != "sync":
        receipt = _receipt(found.workflow_id, attempt_id)
        return JSONResponse({"data": receipt | ({"queuePosition": 1} if busy else {})}, 202, named)
    await wait_for(found, segment, time=x.world.time, receive=None)
    return JSONResponse({"data": _result(found, segment, x)}, 200, named)


def _run(x: Exchange, entry: Entry) -> Run:
    found = x.world.ledger.get(x.path("run_id"))
    if found is None or found.workflow_id != entry.workflow.id:
        raise Refused(error("v2", 404, "Run not found"))
    return found


def known_query(x: Exchange, *names: str) -> None:
    """Refuse query parameters that v2 does not know, knows twice, or gets blank.

    Raises:
        Refused: 400 with the offending names.
    """
    sent = [name for name, _ in x.request.query_params.multi_items()]
    unknown = [name for name in dict.fromkeys(sent) if name not in names]
    if unknown:
        raise Refused(_unrecognized(unknown))
    for name in sent:
        if sent.count(name) > 1 or not x.query(name):
            raise Refused(_bad(f"Query parameter {name} must be given once, not blank", [{"path": [name]}]))


def limit_of(x: Exchange) -> int:
    """The page size of a v2 list.

    Raises:
        Refused: Not a number from 1 to 100.
    """
    sent = x.query("limit") or "50"
    if not sent.isdecimal() or not 1 <= int(sent) <= 100:
        raise Refused(_bad("Invalid input: expected a limit from 1 to 100", [{"path": ["limit"]}]))
    return int(sent)


def strict_body(x: Exchange, kinds: dict[str, str | None]) -> dict[str, Any]:
    """The JSON body, if it has only known members of the right type.

    Raises:
        Refused: Too large (413), not JSON (400 or 415), or not what the contract says (400).
    """
    if len(x.body) > BODY_LIMIT_BYTES:
        raise Refused(error("v2", 413, "Request body is too large"))
    if x.body and not (x.header("content-type") or "").lower().startswith("application/json"):
        raise Refused(error("v2", 415, "Content-Type must be application/json"))
    try:
        body = parsed_object(x.body)
    except ValueError as unreadable:
        raise Refused(error("v2", 400, "Request body must be valid JSON")) from unreadable
    if not isinstance(body, dict):
        raise Refused(_mistyped([], "object", body))
    members = cast("dict[str, Any]", body)
    unknown = [name for name in members if name not in kinds]
    if unknown:
        raise Refused(_unrecognized(unknown))
    for name, value in members.items():
        kind = kinds[name]
        if kind is not None and kind_of(value) != kind:
            raise Refused(_mistyped([name], kind, value))
    return members


def _mode(x: Exchange, body: dict[str, Any]) -> Mode:
    asynchronous, stream = body.get("async") is True, body.get("stream") is True
    if asynchronous and stream:
        raise Refused(_bad("async and stream cannot be combined", [{"path": ["stream"]}]))
    if "executionTimeoutSeconds" in body:
        if not asynchronous:
            text = "executionTimeoutSeconds is supported only for async runs"
            raise Refused(_bad(text, [{"path": ["executionTimeoutSeconds"]}]))
        if not 1 <= body["executionTimeoutSeconds"] <= 604_800:
            raise Refused(
                _bad("executionTimeoutSeconds is out of range", [{"path": ["executionTimeoutSeconds"]}])
            )
    shaped = [name for name in _STREAM_ONLY if body.get(name)]
    if asynchronous and shaped:
        raise Refused(_bad(f"{shaped[0]} is not supported for async runs", [{"path": [shaped[0]]}]))
    wants_events = body.get("includeThinking") or body.get("includeToolCalls")
    if wants_events and not (stream and x.header("x-sim-stream-protocol") == _PROTOCOL):
        text = (
            "includeThinking and includeToolCalls require stream and the X-Sim-Stream-Protocol request header"
        )
        raise Refused(_bad(text, [{"path": ["includeThinking"]}]))
    if asynchronous:
        return "async"
    return "stream" if stream else "sync"


def _bad(message: str, issues: list[dict[str, Any]]) -> Response:
    details = [{"code": "custom", "message": message, **each} for each in issues]
    return error("v2", 400, message, details=details)


def _unrecognized(names: list[str]) -> Response:
    listed = ", ".join(f'"{name}"' for name in names)
    message = f"Unrecognized key{'s' if len(names) > 1 else ''}: {listed}"
    return _bad(message, [{"code": "unrecognized_keys", "keys": names, "path": []}])


def _mistyped(path: list[str], kind: str, value: Any) -> Response:
    message = f"Invalid input: expected {kind}, received {kind_of(value)}"
    return _bad(message, [{"code": "invalid_type", "expected": kind, "path": path}])
