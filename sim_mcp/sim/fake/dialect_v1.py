"""The v1 dialect: lists and details of workflows, nothing that runs (sim-api 5.4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from starlette.responses import JSONResponse, Response

from sim_mcp.sim.fake.exchange import LIMIT, Exchange, error, page_of
from sim_mcp.sim.fake.timing import iso
from sim_mcp.sim.fake.views import draft_inputs, summary


async def workflows(x: Exchange) -> Response:
    """`GET /api/v1/workflows`; a cursor that is not understood starts over at page one."""
    account = x.account()
    workspace = x.query("workspaceId")
    if not workspace:
        details = [{"path": ["workspaceId"], "message": "Invalid input: expected string, received undefined"}]
        return error("v1", 400, "Invalid parameters", extra={"details": details})
    if workspace != account.workspace_id:
        return error("v1", 403, "Access denied")
    entries = x.world.entries_of(account.name)
    if x.query("deployedOnly") == "true":
        entries = [each for each in entries if each.is_deployed]
    limit = _limit(x.query("limit"))
    if limit is None:
        return error("v1", 400, "Invalid parameters")
    page, following, _ = page_of(entries, limit=limit, cursor=x.query("cursor"), mark="v1")
    shown: dict[str, Any] = {"data": [{**summary(each, x.world), "folderId": None} for each in page]}
    if following is not None:
        shown["nextCursor"] = following
    return JSONResponse({**shown, "limits": _limits(x)})


async def workflow(x: Exchange) -> Response:
    """`GET /api/v1/workflows/{id}`, with the draft's inputs."""
    entry = x.own_entry(x.account())
    shown: dict[str, Any] = {**summary(entry, x.world), "folderId": None, "variables": {}}
    shown["inputs"] = draft_inputs(entry, with_ids=True)
    return JSONResponse({"data": shown, "limits": _limits(x)})


def _limit(sent: str | None) -> int | None:
    if sent is None:
        return 50
    return int(sent) if sent.isdecimal() and 1 <= int(sent) <= 100 else None


def _limits(x: Exchange) -> dict[str, Any]:
    bucket = {
        "requestsPerMinute": LIMIT,
        "maxBurst": LIMIT,
        "remaining": LIMIT,
        "resetAt": iso(x.now + timedelta(seconds=60)),
    }
    return {
        "workflowExecutionRateLimit": {"sync": bucket, "async": bucket},
        "usage": {"currentPeriodCost": 0, "limit": 99_999, "plan": "free", "isExceeded": False},
    }
