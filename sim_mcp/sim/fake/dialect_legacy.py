"""Execute in the legacy dialect: `POST /api/workflows/{id}/execute` (sim-api 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response

from sim_mcp.sim.fake.behaviours import PUBLIC_URL
from sim_mcp.sim.fake.exchange import (
    BODY_LIMIT_BYTES,
    RUN_ID,
    Exchange,
    Refused,
    conflict,
    error,
    kind_of,
    parsed_object,
)
from sim_mcp.sim.fake.inputs import CONTROL_KEYS, FileRejected, uploaded
from sim_mcp.sim.fake.outcomes import Completed, Failed
from sim_mcp.sim.fake.running import EventStream, told, wait_for
from sim_mcp.sim.fake.runs import Mode, Run, Segment
from sim_mcp.sim.fake.timing import iso
from sim_mcp.sim.fake.views import milliseconds
from sim_mcp.sim.fake.workflows import Account
from sim_mcp.sim.fake.world import Entry

_TYPES = {
    "stream": "boolean",
    "includeFileBase64": "boolean",
    "base64MaxBytes": "number",
    "selectedOutputs": "array",
    "triggerType": "string",
    "executionId": "string",
    "useDraftState": "boolean",
    "isClientSession": "boolean",
    "workflowStateOverride": "object",
    "runFromBlock": "object",
}
_BAD_ID = "Execution ID can only contain letters, numbers, dots, underscores, colons, and hyphens"
_ASYNC_CONTROLS = (
    "workflowStateOverride",
    "runFromBlock",
    "stopAfterBlockId",
    "includeFileBase64",
    "base64MaxBytes",
)
CALL_CHAIN_LIMIT = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What a valid execute request asks for."""

    raw: dict[str, Any]
    mode: Mode
    run_id: str | None
    time_limit_s: float | None
    selected: list[str] | None


async def execute(x: Exchange) -> Response:
    """Run a deployed workflow: sync, async, or as a stream."""
    if too_deep(x):
        return error("legacy", 409, f"Maximum workflow call chain depth ({CALL_CHAIN_LIMIT}) exceeded.")
    account = x.account()
    wish = _wish(x)
    entry = authorized(x, account, verb="read")
    run_id = wish.run_id or x.world.ids()
    if not x.world.ledger.claim(run_id):
        return conflict("legacy", run_id)
    if not entry.is_deployed:
        x.world.ledger.release(run_id)
        return error("legacy", 403, "Workflow is not deployed")
    try:
        raw = wish.raw if wish.mode == "async" else stored_files(x, entry, wish.raw, run_id)
    except FileRejected as rejection:
        return error("legacy", 400, str(rejection))
    run = x.world.start(
        entry, raw, run_id=run_id, key=account.api_key, mode=wish.mode, time_limit_s=wish.time_limit_s
    )
    if wish.mode == "async":
        return receipt(run_id, f"workflow-execution:{run_id}", "Workflow execution queued")
    if wish.mode == "stream":
        return EventStream(run, time=x.world.time, selected=wish.selected)
    if not await wait_for(run, run.segments[0], time=x.world.time, receive=x.request.receive):
        return JSONResponse({"success": False, "error": "Client cancelled request"}, 499)
    return _result(run, run.segments[0])


def too_deep(x: Exchange) -> bool:
    """Whether the chain of workflows that called each other is too long."""
    chain = [each for each in (x.header("x-sim-via") or "").split(",") if each.strip()]
    return len(chain) >= CALL_CHAIN_LIMIT


def authorized(x: Exchange, account: Account, *, verb: str) -> Entry:
    """The workflow of the path, if the caller may use it; legacy tells foreign from unknown (sim-api 1.2).

    Raises:
        Refused: Unknown (404) or foreign (403).
    """
    entry = x.world.entry(x.path("id"))
    if entry is None:
        raise Refused(error("legacy", 404, "Workflow not found"))
    if entry.account != account.name:
        denied = f"Unauthorized: Access denied to {verb} this workflow"
        raise Refused(
            error(
                "legacy",
                403,
                denied if account.is_personal_key else "API key is not authorized for this workspace",
            )
        )
    return entry


def stored_files(x: Exchange, entry: Entry, raw: dict[str, Any], run_id: str) -> dict[str, Any]:
    """The input with its files uploaded.

    Raises:
        FileRejected: A file was no file. The run id stays used.
    """
    folder = f"execution/{entry.workspace_id}/{entry.workflow.id}/{run_id}"
    fields = entry.active.inputs if entry.active else ()
    return uploaded(raw, fields, folder=folder, ids=x.world.ids)


def receipt(run_id: str, job_id: str, message: str) -> JSONResponse:
    """The 202 of an accepted async request; its `statusUrl` leads nowhere from outside (sim-api 1.9)."""
    told_url = f"{PUBLIC_URL}/api/jobs/{job_id}"
    accepted = {"success": True, "async": True, "jobId": job_id, "executionId": run_id}
    return JSONResponse({**accepted, "message": message, "statusUrl": told_url}, 202)


def metadata(segment: Segment, run: Run) -> dict[str, Any]:
    """How long a sync answer took."""
    ended_at = run.cancelled_at or segment.ends_at
    return {
        "duration": milliseconds(segment.starts_at, ended_at),
        "startTime": iso(segment.starts_at),
        "endTime": iso(ended_at),
    }


def _result(run: Run, segment: Segment) -> Response:
    spent = {"metadata": metadata(segment, run)}
    if segment.cut:
        return JSONResponse({"success": False, "executionId": run.run_id, "output": {}, **spent})
    outcome = segment.outcome
    if isinstance(outcome, Failed):
        failure = {"success": False, "output": outcome.output, "error": told(outcome)}
        return JSONResponse({**failure, **spent}, outcome.http_status)
    if isinstance(outcome, Completed) and outcome.responds:
        authored: dict[str, Any] = outcome.output
        return JSONResponse(authored["data"], authored["status"], authored["headers"])
    return JSONResponse({"success": True, "executionId": run.run_id, "output": outcome.output, **spent})


def _wish(x: Exchange) -> _Wish:
    body = _body(x)
    asynchronous = x.header("x-execution-mode") == "async"
    run_id = _run_id(x, body)
    time_limit_s = _time_limit(x, asynchronous=asynchronous)
    _prohibitions(body, asynchronous=asynchronous)
    mode: Mode = "sync"
    if asynchronous:
        mode = "async"
    elif body.get("stream") is True or x.header("x-stream-response") == "true":
        mode = "stream"
    raw = {name: value for name, value in body.items() if name not in CONTROL_KEYS}
    return _Wish(
        raw=raw, mode=mode, run_id=run_id, time_limit_s=time_limit_s, selected=body.get("selectedOutputs")
    )


def _body(x: Exchange) -> dict[str, Any]:
    if len(x.body) > BODY_LIMIT_BYTES:
        raise Refused(error("legacy", 413, "Workflow execution request body exceeds maximum size"))
    try:
        body = parsed_object(x.body)
    except ValueError as unreadable:
        raise Refused(error("legacy", 400, "Invalid JSON in request body")) from unreadable
    if not isinstance(body, dict):
        raise Refused(_invalid([("", "object", body)]))
    members: dict[str, Any] = body  # pyright: ignore[reportUnknownVariableType]  # JSON objects have text keys
    wrong = [
        (name, kind, members[name])
        for name, kind in _TYPES.items()
        if name in members and kind_of(members[name]) != kind
    ]
    if wrong:
        raise Refused(_invalid(wrong))
    return members


def _invalid(wrong: list[tuple[str, str, Any]]) -> Response:
    details = [
        {"path": path, "message": f"Invalid input: expected {kind}, received {kind_of(value)}"}
        for path, kind, value in wrong
    ]
    return error("legacy", 400, "Invalid request body", extra={"details": details})


def _run_id(x: Exchange, body: dict[str, Any]) -> str | None:
    """The caller's run id: the header, else the body's `executionId`, which stays input (sim-api 1.4)."""
    sent = x.header("x-execution-id")
    run_id = sent if sent is not None else body.get("executionId")
    if run_id is not None and not RUN_ID.match(run_id):
        text = "Invalid execution ID header" if sent is not None else "Invalid request body"
        path = "X-Execution-Id" if sent is not None else "executionId"
        raise Refused(error("legacy", 400, text, extra={"details": [{"path": path, "message": _BAD_ID}]}))
    return run_id


def _time_limit(x: Exchange, *, asynchronous: bool) -> float | None:
    sent = x.header("x-execution-timeout-seconds")
    if sent is None:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", sent) or not 1 <= int(sent) <= 604_800:
        details = [
            {"path": "X-Execution-Timeout-Seconds", "message": "Must be a whole number from 1 to 604800"}
        ]
        raise Refused(error("legacy", 400, "Invalid execution timeout header", extra={"details": details}))
    if not asynchronous:
        text = "X-Execution-Timeout-Seconds is supported only for async runs"
        raise Refused(error("legacy", 400, text))
    return float(sent)


def _prohibitions(body: dict[str, Any], *, asynchronous: bool) -> None:
    """What only a browser session may ask for (sim-api 1.5)."""
    rerun: dict[str, Any] = body.get("runFromBlock") or {}
    rules = (
        ("deploymentVersionId" in body, 400, "deploymentVersionId is reserved for internal MCP execution"),
        (
            "inputFromExecutionId" in body,
            403,
            "Stored execution input can only be reused by an authenticated session",
        ),
        (body.get("isClientSession") is True, 400, "API key callers cannot set isClientSession"),
        ("workflowStateOverride" in body, 400, "API key callers cannot provide workflowStateOverride"),
        (body.get("useDraftState") is True, 400, "API key callers cannot execute draft workflow state"),
        ("sourceSnapshot" in rerun, 400, "API key callers cannot provide runFromBlock.sourceSnapshot"),
        ("executionId" in rerun, 400, "External callers cannot resume from stored execution snapshots"),
        ("runFromBlock" in body, 400, "runFromBlock requires either sourceSnapshot or executionId"),
        (
            asynchronous
            and (bool(body.get("selectedOutputs")) or any(each in body for each in _ASYNC_CONTROLS)),
            400,
            "Async execution does not support draft or override execution controls",
        ),
        (body.get("triggerType", "api") != "api", 400, "External callers cannot override triggerType"),
    )
    for broken, status, text in rules:
        if broken:
            raise Refused(error("legacy", status, text))
