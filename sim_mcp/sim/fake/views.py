"""How both dialects show the same things: a run's pause, a deployment, the graph behind it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sim_mcp.sim.fake.behaviours import block_id, links
from sim_mcp.sim.fake.outcomes import PausePoint
from sim_mcp.sim.fake.runs import Run
from sim_mcp.sim.fake.timing import iso
from sim_mcp.sim.fake.workflows import InputField
from sim_mcp.sim.fake.world import Entry, Version, World


def milliseconds(earlier: datetime, later: datetime) -> float:
    """The time between two moments, as SIM gives durations."""
    return (later - earlier).total_seconds() * 1000


def optional_iso(moment: datetime | None) -> str | None:
    """`moment` as text, or nothing."""
    return None if moment is None else iso(moment)


def user_of(account: str) -> str:
    """The id of the person behind an account."""
    return block_id(account, "user").replace("-", "")


def pause_overlay(run: Run, now: datetime) -> dict[str, Any] | None:
    """The `paused` member of a run's status, without the pause record's id (sim-api 4.2, 4.4)."""
    points = run.waiting_points(now)
    first = run.first_pause(now)
    if not points or first is None:
        return None
    # A second question is stored under another id: the first pause is all that the original run can show.
    shown = None if run.stranded_id else points[0]
    return {
        "contextId": shown.context_id if shown else None,
        "pausedAt": iso(first[1]),
        "resumeAt": optional_iso(shown.resume_at) if shown else None,
        "pauseKind": shown.kind if shown else None,
        "blockedOnBlockId": shown.block_id if shown else None,
        "automaticResumeWaitingReason": None,
        "pausePointCount": len(first[0].points),
        "resumedCount": 0 if run.stranded_id else len(run.resumed),
    }


def pause_id(run: Run) -> str:
    """The id of a run's pause record."""
    return block_id(run.run_id, "pause")


def pause_record(run: Run, entry: Entry, now: datetime, *, detailed: bool) -> dict[str, Any]:
    """A paused execution: an item of the list, or with `detailed` the whole record (sim-api 6.1)."""
    first = run.first_pause(now)
    if first is None:
        raise LookupError(run.run_id)
    pause, paused_at = first
    later = () if run.stranded_id else run.waiting_points(now)
    points = [*pause.points, *(each for each in later if each not in pause.points)]
    record: dict[str, Any] = {
        "id": pause_id(run),
        "workflowId": run.workflow_id,
        "executionId": run.run_id,
        "status": pause_status(run, now),
        "totalPauseCount": len(points),
        "resumedCount": len(run.resumed),
        "pausedAt": iso(paused_at),
        "updatedAt": iso(run.ended_at(now) or paused_at),
        "expiresAt": None,
        "metadata": _pause_metadata(entry),
        "triggerIds": [],
        "pausePoints": [pause_point(run, each, paused_at) for each in points],
    }
    if detailed:
        secret = {"workflow": graph(entry, entry.active), "state": {"blockStates": run.occasion.arguments}}
        record["executionSnapshot"] = {"snapshot": str(secret), "triggerIds": []}
        record["queue"] = []
    return record


def pause_status(run: Run, now: datetime) -> str:
    """Where the pause record stands; not the same words as the run's."""
    first = run.first_pause(now)
    if run.standing(now) == "cancelled":
        return "cancelled"
    if first is not None and 0 < len(run.resumed) < len(first[0].points):
        return "partially_resumed"
    is_over = run.resumed and not run.stranded_id and not run.waiting_points(now)
    return "fully_resumed" if is_over else "paused"


def pause_point(run: Run, point: PausePoint, paused_at: datetime) -> dict[str, Any]:
    """One place where a human is asked (sim-api 6.2)."""
    shown: dict[str, Any] = {
        "contextId": point.context_id,
        "blockId": point.block_id,
        "response": point.response,
        "registeredAt": iso(paused_at),
        "resumeStatus": "resumed" if point.context_id in run.resumed else "paused",
        "snapshotReady": True,
        "resumeLinks": links(run.occasion, point.context_id),
        "pauseKind": point.kind,
        "queuePosition": None,
        "latestResumeEntry": None,
    }
    if point.resume_at is not None:
        shown["resumeAt"] = iso(point.resume_at)
    return shown


def _pause_metadata(entry: Entry) -> dict[str, Any]:
    user = user_of(entry.account)
    return {
        "pauseScope": "execution",
        "triggerIds": [],
        "workspaceId": entry.workspace_id,
        "executorUserId": user,
        "billingAttribution": {
            "actorUserId": user,
            "workspaceId": entry.workspace_id,
            "billingEntity": {"id": user, "type": "user"},
            "billingPeriod": {
                "end": "9999-12-31T00:00:00.000Z",
                "start": "1970-01-01T00:00:00.000Z",
                "source": "default",
            },
            "organizationId": None,
            "payerSubscription": None,
            "billedAccountUserId": user,
        },
    }


def summary(entry: Entry, world: World) -> dict[str, Any]:
    """A workflow as both lists show it, without its folder; `runCount` counts successes (sim-api 5.4)."""
    runs = world.ledger.of(workflow_id=entry.workflow.id)
    good = [each for each in runs if each.standing(world.time.now()) == "completed"]
    return {
        "id": entry.workflow.id,
        "name": entry.workflow.name,
        "description": entry.workflow.description,
        "workspaceId": entry.workspace_id,
        "isDeployed": entry.is_deployed,
        "deployedAt": optional_iso(entry.active.created_at if entry.active else None),
        "runCount": len(good),
        "lastRunAt": optional_iso(good[-1].started_at if good else None),
        "createdAt": iso(entry.created_at),
        "updatedAt": iso(entry.updated_at),
    }


def draft_inputs(entry: Entry, *, with_ids: bool) -> list[dict[str, Any]]:
    """The inputs of the draft: what details show, and not always what runs (sim-api 5.4)."""
    shown: list[dict[str, Any]] = []
    for each in entry.draft:
        item: dict[str, Any] = {"id": block_id(entry.workflow.id, each.name)} if with_ids else {}
        item |= {"name": each.name, "type": each.type}
        if each.description:
            item["description"] = each.description
        shown.append(item)
    return shown


def version_id(entry: Entry, version: Version) -> str:
    """The stable id of a deployment."""
    return block_id(entry.workflow.id, f"version-{version.number}")


def graph(entry: Entry, version: Version | None) -> dict[str, Any]:
    """The deployed graph: a start block with its input format, and one block of the behaviour's kind."""
    start, work = block_id(entry.workflow.id, "start"), block_id(entry.workflow.id, "Work")
    fields = version.inputs if version else ()
    kind = {"asking": "human_in_the_loop", "respond": "response", "streaming": "agent"}
    input_format = {
        "id": "inputFormat",
        "type": "input-format",
        "value": [_declared(entry, each) for each in fields],
    }
    code = {"id": "code", "type": "code", "value": "return {}"}
    return {
        "blocks": {
            start: _block(start, "start_trigger", "Start", 0, {"inputFormat": input_format}),
            work: _block(work, kind.get(entry.workflow.behaviour, "function"), "Work", 300, {"code": code}),
        },
        "edges": [
            {
                "id": block_id(entry.workflow.id, "edge"),
                "source": start,
                "target": work,
                "sourceHandle": "source",
                "targetHandle": "target",
                "type": "default",
                "data": {},
            }
        ],
        "loops": {},
        "parallels": {},
        "variables": {},
        "lastSaved": int((version.created_at if version else entry.updated_at).timestamp() * 1000),
    }


def _declared(entry: Entry, field: InputField) -> dict[str, Any]:
    return {
        "id": block_id(entry.workflow.id, field.name),
        "name": field.name,
        "type": field.type,
        "value": field.default,
        "collapsed": False,
        "description": field.description,
    }


def _block(identity: str, kind: str, name: str, x: int, sub_blocks: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": identity,
        "type": kind,
        "name": name,
        "position": {"x": x, "y": 0},
        "enabled": True,
        "horizontalHandles": True,
        "advancedMode": False,
        "errorEnabled": False,
        "triggerMode": False,
        "height": 0,
        "subBlocks": sub_blocks,
        "outputs": {},
        "data": {},
        "locked": False,
    }
