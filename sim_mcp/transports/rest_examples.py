"""One example for each shape of the OpenAPI document. A test validates each against its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.transports import rest_answers as answers
from sim_mcp.transports import schemas
from sim_mcp.transports.metrics_answers import MetricsAnswer
from sim_mcp.transports.trigger_examples import TRIGGER_EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim_mcp.model.json import Json

_EXECUTION = "0b9c8d4e-6f1a-4c5b-8e2d-3a7f9b1c5d6e"
_RUN = "5e2f8a71-4b36-4d6b-9c0d-3b1f7c928d4e"
_WORKFLOW = "3b1f7c92-8d4e-4a6b-9c0d-5e2f8a714b36"
_INTEGRATION = "7d3c1a5e-2b4f-4e6d-8a9c-1f0e5b7d3c2a"
_BEGAN, _ENDED = "2026-01-31T12:00:00.000Z", "2026-01-31T12:00:01.834Z"

_ENDS: Mapping[str, Json] = {
    "executions": 10,
    "completed": 9,
    "failed": 1,
    "cancelled": 0,
    "successRate": 0.9,
    "averageDurationMs": 1790,
    "cost": 0.05,
}

_COMPLETED: Mapping[str, Json] = {
    "id": _EXECUTION,
    "tenantId": "acme",
    "organizationId": None,
    "integrationId": _INTEGRATION,
    "toolName": "summarize_timesheets",
    "workflowId": _WORKFLOW,
    "executionId": _RUN,
    "jobId": None,
    "status": "completed",
    "input": {"period": "2026-01"},
    "output": {"summary": "Ada worked 12 hours."},
    "error": None,
    "pauses": None,
    "durationMs": 1834,
    "attempts": 1,
    "triggeredBy": "api",
    "subject": "ada",
    "idempotencyKey": None,
    "createdAt": _BEGAN,
    "startedAt": _BEGAN,
    "finishedAt": _ENDED,
    "settingsRevision": 1,
    "traceId": None,
    "refusals": 1,
    "approverPermission": None,
    "answers": [],
}

EXAMPLES: Mapping[type, Json] = {
    schemas.SetupRequest: {"apiKey": "the-key-that-sim-shows", "baseUrl": "https://www.sim.ai"},
    schemas.ExecuteRequest: {"input": {"period": "2026-01"}, "timeout": 60_000},
    schemas.RestoreRequest: {"apiKey": "the-key-that-sim-shows"},
    answers.RevisionPage: {
        "data": [
            {
                "revision": 2,
                "organizationId": None,
                "changedAt": _BEGAN,
                "changedBy": "ada",
                "changedFields": ["apiKey", "baseUrl"],
                "isEnabled": True,
                "hasApiKey": True,
                "baseUrl": "https://www.sim.ai",
                "workspaceId": None,
                "isRemoved": False,
            }
        ],
        "total": 2,
    },
    schemas.ResumeRequest: {"input": {"approved": True}},
    schemas.Nothing: {},
    answers.SetupAnswer: {"integrationTenantId": _INTEGRATION},
    answers.SettingsAnswer: {
        "integrationTenantId": _INTEGRATION,
        "tenantId": "acme",
        "organizationId": None,
        "isEnabled": True,
        "hasApiKey": True,
        "baseUrl": "https://www.sim.ai",
        "workspaceId": None,
        "revision": 1,
        "updatedAt": _BEGAN,
        "updatedBy": "ada",
    },
    answers.StatusAnswer: {"enabled": True},
    answers.HealthAnswer: {
        "status": "ok",
        "isReachable": True,
        "isKeyAccepted": True,
        "dialect": "v2",
        "roundTripMs": 41,
        "problem": None,
    },
    MetricsAnswer: {
        "since": _BEGAN,
        "until": _ENDED,
        **_ENDS,
        "refused": 1,
        "unfinished": 0,
        "tools": [{"toolName": "summarize_timesheets", **_ENDS, "p50Ms": 1834, "p95Ms": 2100}],
        "errors": [
            {"code": "EXECUTION_ERROR", "calls": 1, "share": 0.0909},
            {"code": "INVALID_INPUT", "calls": 1, "share": 0.0909},
        ],
        "rateLimit": {"perMinute": 120, "usedShare": 0.05, "runningCalls": 0, "maxConcurrency": 16},
        "simUsage": None,
        "breaker": {"state": "closed", "since": _BEGAN, "retryAfterS": None},
    },
    answers.WorkflowPage: {
        "data": [
            {
                "workflowId": _WORKFLOW,
                "name": "Summarize timesheets",
                "description": "Summarises hours per project for a period.",
                "isDeployed": True,
                "deployedAt": _BEGAN,
                "workspaceId": None,
                "runCount": 12,
                "toolName": "summarize_timesheets",
                "isAllowListed": True,
                "inputs": [{"name": "period", "type": "string", "description": "A month.", "default": None}],
                "drift": [],
            }
        ],
        "nextCursor": None,
    },
    answers.ValidationAnswer: {
        "workflowId": _WORKFLOW,
        "isDeployed": True,
        "needsRedeployment": False,
        "deployedAt": _BEGAN,
        "schemaDrift": [],
    },
    answers.ExecutionAnswer: _COMPLETED,
    answers.ExecutionPage: {"data": [_COMPLETED], "total": 1, "nextCursor": None},
    answers.JobAnswer: {
        "jobId": _EXECUTION,
        "status": "processing",
        "workflowId": _WORKFLOW,
        "executionId": _RUN,
        "output": None,
        "error": None,
        "pauses": None,
        "durationMs": None,
        "createdAt": _BEGAN,
        "startedAt": _BEGAN,
        "finishedAt": None,
        "statusUrl": f"/api/integration/sim/jobs/{_EXECUTION}/status",
    },
    **TRIGGER_EXAMPLES,
}
