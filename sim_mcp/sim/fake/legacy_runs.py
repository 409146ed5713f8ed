"""What the legacy dialect tells of runs, and how they are cancelled and resumed (sim-api 4, 5, 6)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from starlette.responses import JSONResponse, Response

from sim_mcp.sim.fake.behaviours import block_id
from sim_mcp.sim.fake.dialect_legacy import authorized, metadata, receipt
from sim_mcp.sim.fake.exchange import LIMIT, Exchange, Refused, coded, error, html, parsed_object
from sim_mcp.sim.fake.outcomes import Failed
from sim_mcp.sim.fake.running import told, wait_for
from sim_mcp.sim.fake.runs import NotResumable, Run
from sim_mcp.sim.fake.stored import without_content
from sim_mcp.sim.fake.timing import iso
from sim_mcp.sim.fake.views import (
    milliseconds,
    optional_iso,
    pause_id,
    pause_overlay,
    pause_point,
    pause_record,
    pause_status,
    user_of,
)
from sim_mcp.sim.fake.world import Entry

_JOB_STATES = {"queued": "pending", "running": "processing", "failed": "failed"}


async def execution(x: Exchange) -> Response:
    """`GET /api/workflows/{id}/executions/{executionId}` (sim-api 4.2)."""
    run = _run(x, authorized(x, x.account(), verb="read"))
    standing, ended_at, outcome = run.standing(x.now), run.ended_at(x.now), run.outcome(x.now)
    paused = pause_overlay(run, x.now)
    if paused is not None:
        paused["pausedExecutionId"] = pause_id(run)
    wanted = x.query("includeOutput") == "true" and standing == "completed" and outcome is not None
    return JSONResponse(
        {
            "executionId": run.run_id,
            "workflowId": run.workflow_id,
            "status": standing,
            "trigger": "api",
            "level": "error" if standing == "failed" else "info",
            "startedAt": iso(run.started_at),
            "endedAt": optional_iso(ended_at),
            "totalDurationMs": None if ended_at is None else int(milliseconds(run.started_at, ended_at)),
            "paused": paused,
            "cost": None if ended_at is None else {"total": 0.005},
            "error": told(outcome) if isinstance(outcome, Failed) else None,
            "finalOutput": without_content(outcome.output) if wanted and outcome is not None else None,
            "blockOutputs": None,
        }
    )


async def no_execution(_: Exchange) -> Response:
    """What a server from before May 2026 says to the same request."""
    return html(404, "404: This page could not be found.")


async def job(x: Exchange) -> Response:
    """`GET /api/jobs/{jobId}`: one stretch of a run, wrapped twice (sim-api 4.1)."""
    account = x.account()
    found = x.world.ledger.job(x.path("job_id"))
    if found is None:
        return coded(404, "Task not found")
    run, number = found
    if run.account != account.name:
        return coded(403, "Access denied")
    segment = run.segments[number]
    state = _JOB_STATES.get(segment.standing(x.now), "completed")
    if segment.cut:
        state = "cancelled"
    entry = x.world.entry(run.workflow_id)
    shown: dict[str, Any] = {
        "success": True,
        "taskId": x.path("job_id"),
        "status": state,
        "metadata": {
            "userId": user_of(run.account),
            "workflowId": run.workflow_id,
            "correlation": {
                "source": "workflow",
                "requestId": block_id(run.run_id, "request")[:8],
                "workflowId": run.workflow_id,
                "executionId": run.run_id,
                "triggerType": "api",
            },
            "workspaceId": entry.workspace_id if entry else None,
        },
        "output": None,
    }
    if state == "cancelled":
        shown["error"] = "Cancelled"
    elif isinstance(segment.outcome, Failed) and state == "failed":
        shown["error"] = told(segment.outcome)
    elif state == "completed":
        shown["output"] = {
            "output": without_content(segment.outcome.output),
            "success": True,
            "executedAt": iso(segment.ends_at),
            "workflowId": run.workflow_id,
            "executionId": segment.attempt_id,
        }
        if number:
            shown["output"] |= {"parentExecutionId": run.run_id, "status": run.standing(x.now)}
    return JSONResponse(shown)


async def cancel(x: Exchange) -> Response:
    """`POST …/executions/{executionId}/cancel` (sim-api 4.3)."""
    run = _run(x, authorized(x, x.account(), verb="write"))
    standing = run.standing(x.now)
    if standing in {"completed", "failed"}:
        return error("legacy", 409, f"Execution cannot be cancelled while {standing}")
    return JSONResponse({"success": True, "executionId": run.run_id, **cancelled(x, run)})


def cancelled(x: Exchange, run: Run) -> dict[str, Any]:
    """Stop `run` if that works here, and tell what became of it; may overrule `success`."""
    standing = run.standing(x.now)
    told_so = {
        "redisAvailable": True,
        "durablyRecorded": False,
        "locallyAborted": False,
        "pausedCancelled": False,
    }
    if standing not in {"queued", "running", "paused"}:
        return {**told_so, "reason": f"already_{standing}"}
    if not x.world.cancel_works:
        return {**told_so, "success": False, "redisAvailable": False, "reason": "redis_unavailable"}
    run.stop(x.now)
    return {**told_so, "durablyRecorded": True, "pausedCancelled": standing == "paused", "reason": "recorded"}


async def paused_list(x: Exchange) -> Response:
    """`GET /api/workflows/{id}/paused`: what waits for a human."""
    entry = authorized(x, x.account(), verb="read")
    wanted = {each for each in (x.query("status") or "").split(",") if each}
    shown: list[dict[str, Any]] = []
    for run in x.world.ledger.of(workflow_id=entry.workflow.id):
        first = run.first_pause(x.now)
        if first is None or first[0].points[0].kind != "human":
            continue
        if not wanted or pause_status(run, x.now) in wanted:
            shown.append(pause_record(run, entry, x.now, detailed=False))
    return JSONResponse({"pausedExecutions": shown})


async def paused_detail(x: Exchange) -> Response:
    """The whole pause record, with the snapshot that must never leave the adapter (sim-api 6.1)."""
    entry = authorized(x, x.account(), verb="read")
    run = _paused_run(x, entry)
    return JSONResponse(pause_record(run, entry, x.now, detailed=True))


async def pause_context(x: Exchange) -> Response:
    """`GET /api/resume/{workflowId}/{executionId}/{contextId}`."""
    entry = authorized(x, x.account(), verb="read")
    run = _paused_run(x, entry)
    first = run.first_pause(x.now)
    points = {each.context_id: each for each in first[0].points} if first else {}
    point = points.get(x.path("context_id"))
    if point is None or first is None:
        return error("legacy", 404, "Pause point not found for execution")
    record = pause_record(run, entry, x.now, detailed=True)
    for each in record["pausePoints"]:
        each["response"] = {name: value for name, value in each["response"].items() if name != "data"}
    shown: dict[str, Any] = {"execution": record, "pausePoint": pause_point(run, point, first[1])}
    return JSONResponse({**shown, "queue": [], "activeResumeEntry": None})


async def resume(x: Exchange) -> Response:
    """Answer a pause; the form of the answer follows the mode of the original run (sim-api 6.3)."""
    entry = authorized(x, x.account(), verb="read")
    run = resumable(x, entry)
    attempt_id = x.world.ids()
    busy = run.is_busy(x.now)
    try:
        segment = run.resume(x.path("context_id"), _submission(x), attempt_id=attempt_id, now=x.now)
    except NotResumable as refusal:
        return error("legacy", refusal.status, refusal.text)
    if busy:
        text = "Resume queued. It will run after current resumes finish."
        return JSONResponse(
            {"status": "queued", "executionId": attempt_id, "queuePosition": 1, "message": text}
        )
    if run.mode == "async":
        job_id = f"run_{attempt_id.replace('-', '')[:20]}"
        x.world.ledger.add_job(job_id, run)
        return receipt(attempt_id, job_id, "Resume execution queued")
    await wait_for(run, segment, time=x.world.time, receive=None)
    standing = segment.standing(x.now)
    shown = {"success": True, "status": standing, "executionId": attempt_id, "output": segment.outcome.output}
    return JSONResponse({**shown, "metadata": metadata(segment, run)})


def resumable(x: Exchange, entry: Entry) -> Run:
    """The run of the path, if a pause of it may be answered under this id.

    Raises:
        Refused: Not a paused run, or the id of a resume attempt (sim-api 12.4).
    """
    run_id = x.path("run_id")
    if any(each.stranded_id == run_id for each in x.world.ledger.of(workflow_id=entry.workflow.id)):
        raise Refused(error(x.dialect, 409, "Execution can no longer be resumed"))
    return _paused_run(x, entry)


async def status(x: Exchange) -> Response:
    """`GET /api/workflows/{id}/status`: is it deployed (sim-api 5.1)."""
    account = x.account()
    entry = x.world.entry(x.path("id"))
    if entry is None or entry.account != account.name:
        return coded(404, "Workflow not found")
    return JSONResponse(
        {
            "isDeployed": entry.is_deployed,
            "deployedAt": optional_iso(entry.active.created_at if entry.active else None),
            "needsRedeployment": entry.needs_redeployment,
        }
    )


async def usage_limits(x: Exchange) -> Response:
    """`GET /api/users/me/usage-limits`: the cheapest question about a key (sim-api 5.2)."""
    if x.world.account_of_key(x.key or "") is None:
        return coded(401, "Authentication required")
    bucket = {
        "isLimited": False,
        "requestsPerMinute": LIMIT,
        "maxBurst": LIMIT,
        "remaining": LIMIT,
        "resetAt": iso(x.now + timedelta(seconds=60)),
    }
    return JSONResponse(
        {
            "success": True,
            "rateLimit": {"sync": bucket, "async": bucket, "authType": "api"},
            "usage": {"currentPeriodCost": 0, "limit": 99_999, "plan": "free"},
            "storage": {"usedBytes": 0, "limitBytes": 5_368_709_120, "percentUsed": 0},
        }
    )


async def health(x: Exchange) -> Response:
    """`GET /api/health`: no key, no dependencies."""
    return JSONResponse({"status": "ok", "timestamp": iso(x.now)})


async def file(_: Exchange) -> Response:
    """`GET /api/files/serve/…`: an API key opens no file (sim-api 12.10)."""
    return error("legacy", 401, "Unauthorized")


def _run(x: Exchange, entry: Entry) -> Run:
    run = x.world.ledger.get(x.path("run_id"))
    if run is None or run.workflow_id != entry.workflow.id:
        raise Refused(error("legacy", 404, "Execution not found"))
    return run


def _paused_run(x: Exchange, entry: Entry) -> Run:
    run = x.world.ledger.get(x.path("run_id"))
    first = run.first_pause(x.now) if run is not None and run.workflow_id == entry.workflow.id else None
    if run is None or first is None:
        raise Refused(error(x.dialect, 404, "Paused execution not found"))
    return run


def _submission(x: Exchange) -> dict[str, Any]:
    """The human's answer: the content of `input`, or the whole body when there is no `input`."""
    try:
        body = parsed_object(x.body)
    except ValueError as unreadable:
        raise Refused(error("legacy", 400, "Invalid JSON in request body")) from unreadable
    members = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    answer: Any = members.get("input", members)
    return cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
