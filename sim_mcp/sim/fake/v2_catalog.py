"""What v2 tells of workspaces, workflows, deployments and billing (sim-api 5)."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from sim_mcp.sim.fake.behaviours import block_id
from sim_mcp.sim.fake.dialect_v2 import known_query, limit_of
from sim_mcp.sim.fake.exchange import Exchange, error, page_of
from sim_mcp.sim.fake.timing import iso
from sim_mcp.sim.fake.views import draft_inputs, graph, optional_iso, summary, version_id
from sim_mcp.sim.fake.world import Entry, Version


async def workspaces(x: Exchange) -> Response:
    """`GET /api/v2/workspaces`: the probe for the dialect (sim-api 0)."""
    account = x.account()
    known_query(x, "limit", "cursor", "search", "sortBy", "sortOrder")
    entries = x.world.entries_of(account.name)
    made_at = iso(entries[0].created_at if entries else x.now)
    shown: dict[str, Any] = {
        "id": account.workspace_id,
        "name": f"{account.name}'s Workspace",
        "color": "#a855f7",
        "logoUrl": None,
        "memberCount": 1,
        "createdAt": made_at,
        "updatedAt": made_at,
    }
    return JSONResponse({"data": [shown], "nextCursor": None})


async def workflows(x: Exchange) -> Response:
    """`GET /api/v2/workflows`; unlike v1 it refuses a cursor that it does not understand."""
    account = x.account()
    known_query(
        x, "workspaceId", "folderPath", "deployedOnly", "search", "sortBy", "sortOrder", "limit", "cursor"
    )
    workspace = x.query("workspaceId")
    if workspace is None:
        message = "Invalid input: expected string, received undefined"
        details = [
            {"code": "invalid_type", "expected": "string", "path": ["workspaceId"], "message": message}
        ]
        return error("v2", 400, message, details=details)
    if workspace != account.workspace_id:
        return error("v2", 404, "Workspace not found")
    entries = x.world.entries_of(account.name)
    if x.query("deployedOnly") == "true":
        entries = [each for each in entries if each.is_deployed]
    search = (x.query("search") or "").lower()
    entries = [each for each in entries if search in each.workflow.name.lower()]
    mark = f"workflows:{workspace}:{x.query('deployedOnly')}:{search}"
    page, following, understood = page_of(entries, limit=limit_of(x), cursor=x.query("cursor"), mark=mark)
    if not understood:
        return error("v2", 400, "Invalid cursor")
    return JSONResponse({"data": [_summary(each, x) for each in page], "nextCursor": following})


async def workflow(x: Exchange) -> Response:
    """`GET /api/v2/workflows/{id}`, with the draft's inputs."""
    entry = x.own_entry(x.account())
    known_query(x)
    shown: dict[str, Any] = {
        **_summary(entry, x),
        "variables": {},
        "inputs": draft_inputs(entry, with_ids=False),
    }
    return JSONResponse({"data": shown})


async def deployment(x: Exchange) -> Response:
    """`GET /api/v2/workflows/{id}/deployment`."""
    entry = x.own_entry(x.account())
    known_query(x)
    active = entry.active
    latest = entry.versions[-1] if entry.versions else None
    shown: dict[str, Any] = {
        "id": entry.workflow.id,
        "isDeployed": entry.is_deployed,
        "deployedAt": optional_iso(active.created_at if active else None),
        "warnings": [],
        "activeDeployment": None,
        "latestDeploymentAttempt": _attempt(entry, latest) if latest else None,
        "needsRedeployment": entry.needs_redeployment,
    }
    if active is not None:
        shown["activeDeployment"] = {
            "deploymentVersionId": version_id(entry, active),
            "version": active.number,
            "deployedAt": iso(active.created_at),
        }
    return JSONResponse({"data": shown})


async def versions(x: Exchange) -> Response:
    """`GET /api/v2/workflows/{id}/versions`, newest first."""
    entry = x.own_entry(x.account())
    known_query(x, "limit", "cursor")
    found = list(reversed(entry.versions))
    page, following, understood = page_of(found, limit=limit_of(x), cursor=x.query("cursor"), mark="versions")
    if not understood:
        return error("v2", 400, "Invalid cursor")
    shown = [
        {**_version(entry, each), "deployedBy": entry.account, "latestOperationStatus": "active"}
        for each in page
    ]
    return JSONResponse({"data": shown, "nextCursor": following})


async def version(x: Exchange) -> Response:
    """`GET /api/v2/workflows/{id}/versions/{version}`: the only place that shows the deployed inputs."""
    entry = x.own_entry(x.account())
    known_query(x)
    number = x.path("version")
    found = next((each for each in entry.versions if str(each.number) == number), None)
    if found is None:
        return error("v2", 404, "Deployment version not found")
    return JSONResponse({"data": {**_version(entry, found), "state": graph(entry, found)}})


async def billing(x: Exchange) -> Response:
    """`GET /api/v2/billing/status`: nulls for a workspace key (sim-api 5.2)."""
    account = x.account()
    known_query(x, "workspaceId")
    personal = account.is_personal_key
    storage = {"usedBytes": 0, "limitBytes": 5_368_709_120, "percentUsed": 0}
    shown = {
        "workspaceId": x.query("workspaceId"),
        "period": {"start": "1970-01-01T00:00:00.000Z", "end": "9999-12-31T00:00:00.000Z"},
        "plan": "free",
        "status": "active",
        "credits": {"used": 0, "limit": 200_000, "remaining": 200_000} if personal else None,
        "storage": storage if personal else None,
    }
    return JSONResponse({"data": shown})


async def nothing(x: Exchange) -> Response:
    """Any other path, and all of v2 when it is switched off: first the key, then 404 (sim-api 0)."""
    x.account()
    return error("v2", 404, "Not found")


def _summary(entry: Entry, x: Exchange) -> dict[str, Any]:
    return {**summary(entry, x.world), "folderPath": "/"}


def _version(entry: Entry, found: Version) -> dict[str, Any]:
    return {
        "id": version_id(entry, found),
        "version": found.number,
        "name": None,
        "description": None,
        "isActive": found == entry.active,
        "createdAt": iso(found.created_at),
    }


def _attempt(entry: Entry, found: Version) -> dict[str, Any]:
    return {
        "id": block_id(entry.workflow.id, f"attempt-{found.number}"),
        "deploymentVersionId": version_id(entry, found),
        "version": found.number,
        "action": "deploy",
        "status": "active",
        "isCurrent": True,
        "readiness": {"webhooks": "ready", "schedules": "ready", "mcp": "ready"},
        "requestedAt": iso(found.created_at),
        "activatedAt": iso(found.created_at),
        "error": None,
    }
