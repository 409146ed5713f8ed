"""How the scripted faults look on the wire."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response

from sim_mcp.sim.fake import faults as f
from sim_mcp.sim.fake.exchange import RUN_ID, conflict, error, html
from sim_mcp.sim.fake.running import left
from sim_mcp.sim.fake.target import Target
from sim_mcp.sim.fake.timing import iso
from sim_mcp.sim.fake.world import World

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

_REFUSALS = (
    f.RateLimited
    | f.Unavailable503
    | f.Unauthorized401
    | f.UsageExceeded402
    | f.SnapshotNotReady
    | f.Forbidden403
    | f.NotFound404
)
_BURNING = (f.UsageExceeded402, f.RateLimited)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A request that a fault has been chosen for."""

    target: Target
    scope: Scope
    receive: Receive
    send: Send
    headers: Mapping[str, str]
    world: World
    carry_out: Callable[[Send], Awaitable[None]]

    @property
    def run_id(self) -> str | None:
        """The run id that the caller chose, if it is a valid one."""
        sent = self.headers.get("x-run-id" if self.target.dialect == "v2" else "x-execution-id")
        return sent if sent is not None and RUN_ID.match(sent) else None

    async def answer(self, response: Response) -> None:
        """Send `response` instead of what the endpoint would say."""
        if isinstance(response, JSONResponse):
            response.headers["x-request-id"] = self.world.ids().replace("-", "")[:8]
        await response(self.scope, self.receive, self.send)


@dataclass(slots=True)
class Kept:
    """An answer that was caught on its way out."""

    start: Message | None = None
    body: bytes = b""

    async def send(self, message: Message) -> None:
        """Keep one ASGI message."""
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self.body += message.get("body", b"")

    def begun(self, *, length: int) -> Message:
        """The kept start with another content length."""
        start = {**(self.start or {"type": "http.response.start", "status": 200, "headers": []})}
        MutableHeaders(scope=start)["content-length"] = str(length)
        return start


async def suffer(fault: f.Fault, scene: Scene) -> None:
    """Let `fault` happen to the request.

    Raises:
        ConnectionDropped: The fault is a lost connection.
    """
    match fault:
        case f.NotBegunReset():
            raise f.ConnectionDropped
        case f.Redirect():
            await scene.answer(RedirectResponse(fault.location, fault.status))
        case f.HtmlPage() | f.Hang() | f.SlowLoris():
            await _stall(fault, scene)
        case f.LostAnswer() | f.ResetMidBody() | f.MalformedJson() | f.OldReceipt() | f.AmbiguousEnqueue():
            await _spoil(fault, scene)
        case f.RunConflict():
            await _collide(fault, scene)
        case _:
            await scene.answer(_refusal(fault, scene))


async def _stall(fault: f.HtmlPage | f.Hang | f.SlowLoris, scene: Scene) -> None:
    if fault.run_started:
        await scene.carry_out(Kept().send)
    if isinstance(fault, f.HtmlPage):
        await scene.answer(html(fault.status, f"{fault.status} Bad Gateway"))
        return
    if isinstance(fault, f.Hang):
        await left(scene.receive)
        return
    headers = [(b"content-type", b"application/json")]
    await scene.send({"type": "http.response.start", "status": 200, "headers": headers})
    await _dribble(fault, scene)


async def _dribble(fault: f.SlowLoris, scene: Scene) -> None:
    import anyio

    async with anyio.create_task_group() as group:

        async def watch() -> None:
            await left(scene.receive)
            group.cancel_scope.cancel()

        group.start_soon(watch)
        while True:
            await scene.send({"type": "http.response.body", "body": b" ", "more_body": True})
            await scene.world.time.sleep(fault.interval_s)


async def _spoil(
    fault: f.LostAnswer | f.ResetMidBody | f.MalformedJson | f.OldReceipt | f.AmbiguousEnqueue, scene: Scene
) -> None:
    """Carry the request out, then let something happen to its answer."""
    if isinstance(fault, f.AmbiguousEnqueue):
        await _doubt(fault, scene)
        return
    kept = Kept()
    await scene.carry_out(kept.send)
    if isinstance(fault, f.LostAnswer):
        raise f.ConnectionDropped
    if isinstance(fault, f.OldReceipt):
        await scene.answer(_old_receipt(fault, kept, scene))
        return
    half = kept.body[: len(kept.body) // 2]
    whole = isinstance(fault, f.MalformedJson)
    await scene.send(kept.begun(length=len(half) if whole else len(kept.body)))
    await scene.send({"type": "http.response.body", "body": half, "more_body": not whole})
    if not whole:
        raise f.ConnectionDropped


async def _doubt(fault: f.AmbiguousEnqueue, scene: Scene) -> None:
    """Answer that nobody knows whether the run was accepted (sim-api 1.9)."""
    run_id = scene.run_id or scene.world.ids()
    if fault.starts_run:
        await scene.carry_out(Kept().send)
    else:
        scene.world.ledger.claim(run_id)
    text = "Async execution queue acceptance could not be confirmed"
    code = "ASYNC_ENQUEUE_AMBIGUOUS"
    if scene.target.dialect == "v2":
        details = {"code": code, "runId": run_id}
        await scene.answer(error("v2", 503, text, details=details, headers={"X-Run-Id": run_id}))
        return
    extra = {"code": code, "executionId": run_id}
    await scene.answer(error("legacy", 503, text, extra=extra, headers={"X-Execution-Id": run_id}))


async def _collide(fault: f.RunConflict, scene: Scene) -> None:
    run_id = scene.run_id or scene.world.ids()
    if fault.run_exists:
        await scene.carry_out(Kept().send)
    else:
        scene.world.ledger.claim(run_id)
    await scene.answer(conflict(scene.target.dialect, run_id))


def _old_receipt(fault: f.OldReceipt, kept: Kept, scene: Scene) -> Response:
    """The 202 of another year (sim-api 1.9); an answer that was no receipt is passed on."""
    if kept.start is None or kept.start["status"] != 202:
        status = kept.start["status"] if kept.start else 500
        return Response(kept.body, status, media_type="application/json")
    told = cast("dict[str, Any]", json.loads(kept.body))
    run_id = str(told["data"]["runId"] if "data" in told else told["executionId"])
    job_id = f"workflow-execution:{run_id}"
    now = iso(scene.world.time.now())
    shapes: dict[str, dict[str, Any]] = {
        "2025": {
            "success": True,
            "taskId": job_id,
            "status": "queued",
            "createdAt": now,
            "links": {"status": f"/api/jobs/{job_id}"},
        },
        "legacy": {
            "success": True,
            "async": True,
            "jobId": job_id,
            "executionId": run_id,
            "message": "Workflow execution queued",
            "statusUrl": f"http://localhost:3000/api/jobs/{job_id}",
        },
        "v2": {
            "data": {
                "runId": run_id,
                "statusUrl": f"http://localhost:3000/api/v2/workflows/{scene.target.workflow_id}/runs/{run_id}",
            }
        },
    }
    return JSONResponse(shapes[fault.shape], 202)


def _refusal(fault: _REFUSALS, scene: Scene) -> Response:
    dialect = scene.target.dialect
    burns = isinstance(fault, _BURNING) and not (isinstance(fault, f.RateLimited) and fault.kind == "gate")
    if burns and scene.target.verb == "execute" and scene.run_id is not None:
        known = scene.world.account_of_key(scene.headers.get("x-api-key", ""))
        if known is not None and not scene.world.ledger.claim(scene.run_id):
            return conflict(dialect, scene.run_id)
    match fault:
        case f.RateLimited():
            return _rate_limited(fault, scene)
        case f.Unavailable503():
            return _unavailable(fault, scene)
        case f.UsageExceeded402():
            text = "Usage limit exceeded: $20.00 used of $20.00 limit. Please upgrade your plan to continue."
            return error(dialect, 402, text, details={"code": "EXECUTION_PAYER_HEADROOM_EXHAUSTED"})
        case f.SnapshotNotReady():
            return error(dialect, 409, "Snapshot not ready; execution still finalizing pause")
        case f.Forbidden403():
            return error(dialect, 403, "Access denied")
        case f.NotFound404():
            return error(dialect, 404, "Run not found" if dialect == "v2" else "Execution not found")
        case f.Unauthorized401():
            return error(
                dialect, 401, "Rate limit check failed" if fault.limiter_broken else "Invalid API key"
            )


def _rate_limited(fault: f.RateLimited, scene: Scene) -> Response:
    """The different 429s: only some of them say how long to wait (sim-api 3.1, 3.2, 12.9)."""
    dialect = scene.target.dialect
    wait_s = fault.retry_after if fault.retry_after is not None else 5
    now = scene.world.time.now()
    reset_at = now + timedelta(seconds=wait_s)
    bucket = {"X-RateLimit-Limit": "4", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": iso(reset_at)}
    waiting = {"Retry-After": str(wait_s)}
    if fault.kind == "gate":
        text = "Server is at capacity. Please retry shortly."
        if dialect == "v2":
            return error("v2", 429, text, details={"code": "ADMISSION_GATE_CAPACITY"}, headers=waiting)
        extra = {
            "message": text,
            "code": "ADMISSION_GATE_CAPACITY",
            "retryable": True,
            "retryAfterSeconds": wait_s,
        }
        return error(dialect, 429, "Too many requests", extra=extra, headers=waiting)
    if fault.kind == "concurrency":
        text = (
            "Too many concurrent executions are in progress for this billing account. Please try again later."
        )
        return error(
            dialect,
            429,
            text,
            details={"code": "EXECUTION_CONCURRENCY_LIMIT"},
            headers=_v2_only(dialect, waiting),
        )
    if dialect == "v1":
        extra = {
            "message": f"API rate limit exceeded. Please retry after {iso(reset_at)}",
            "retryAfter": int(reset_at.timestamp() * 1000),
        }
        return error("v1", 429, "Rate limit exceeded", extra=extra, headers={**waiting, **bucket})
    details = {"code": "RATE_LIMIT_EXCEEDED"}
    headers = _v2_only(dialect, {**waiting, **bucket})
    return error(
        dialect, 429, "Rate limit exceeded. Please try again later.", details=details, headers=headers
    )


def _unavailable(fault: f.Unavailable503, scene: Scene) -> Response:
    text = "Workflow execution identity is temporarily unavailable"
    wait_s = fault.retry_after
    if scene.target.dialect == "v2" and wait_s is None:
        wait_s = 5
    return error(
        scene.target.dialect, 503, text, headers={} if wait_s is None else {"Retry-After": str(wait_s)}
    )


def _v2_only(dialect: str, headers: dict[str, str]) -> dict[str, str]:
    return headers if dialect == "v2" else {}
