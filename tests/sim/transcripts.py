"""Recorded exchanges with a real SIM 0.8.9, as replies of the scripted one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from sim_mcp.model.run import RunId
from sim_mcp.model.tool import WorkflowId

TRANSCRIPTS = Path(__file__).parents[3] / "shared" / "sim-transcripts"


def recorded(name: str) -> dict[str, Any]:
    """One exchange; a body that the recorder kept as cut text is no JSON any more and is not used here."""
    return json.loads((TRANSCRIPTS / f"{name}.json").read_text("utf-8"))


def reply_of(exchange: dict[str, Any]) -> httpx.Response:
    response = exchange["response"]
    body = response["body"]
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {
        name: value
        for name, value in response["headers"].items()
        if name.lower() in {"content-type", "retry-after", "x-request-id"}
    }
    return httpx.Response(response["status"], content=text.encode(), headers=headers)


def ids_of(exchange: dict[str, Any]) -> tuple[WorkflowId, RunId]:
    parts = exchange["request"]["path"].partition("?")[0].split("/")
    at = parts.index("workflows") if "workflows" in parts else parts.index("resume")
    run_id = (
        parts[at + 3] if len(parts) > at + 3 and parts[at] == "workflows" else "".join(parts[at + 2 : at + 3])
    )
    return WorkflowId(parts[at + 1]), RunId(run_id)


def is_v2(name: str) -> bool:
    return "/api/v2/" in recorded(name)["request"]["path"]
