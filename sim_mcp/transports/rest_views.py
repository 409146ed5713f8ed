"""What REST shows: our nouns as camelCase JSON, times in UTC with a `Z`."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from sim_mcp.model.json import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sim_mcp.app import Discovery, Page, SimHealth, Validation
    from sim_mcp.model.execution import Execution, ExecutionError
    from sim_mcp.model.integration import Integration, Revision
    from sim_mcp.model.json import Json
    from sim_mcp.model.run import InputField
    from sim_mcp.transports import rest_answers as answers

_CAMEL = {
    "context_id": "contextId",
    "resume_at": "resumeAt",
    "api_key": "apiKey",
    "base_url": "baseUrl",
    "is_enabled": "isEnabled",
    "workspace_id": "workspaceId",
}
BASE_PATH = "/api/integration/sim"


def execution_json(row: Execution) -> answers.ExecutionAnswer:
    """One execution with the fields of contract section 10. `executionId` is SIM's run id."""
    return {
        "id": row.id,
        "tenantId": row.tenant_id,
        "organizationId": row.organization_id,
        "integrationId": row.integration_id,
        "toolName": row.tool_name,
        "workflowId": row.workflow_id,
        "executionId": row.run_id,
        "jobId": row.job_id,
        "status": row.status,
        "input": row.input,
        "output": row.output,
        "error": error_json(row.error),
        "pauses": _pauses_json(row.pauses),
        "durationMs": row.duration_ms,
        "attempts": row.attempts,
        "triggeredBy": row.triggered_by,
        "subject": row.subject,
        "idempotencyKey": row.idempotency_key,
        "createdAt": moment(row.created_at),
        "startedAt": _maybe_moment(row.started_at),
        "finishedAt": _maybe_moment(row.finished_at),
        "settingsRevision": row.settings_revision,
        "traceId": row.trace_id,
        "refusals": row.refusals,
        "approverPermission": row.approver_permission,
        "answers": [
            {
                "contextId": answer.context_id,
                "subject": answer.subject,
                "answeredAt": moment(answer.answered_at),
            }
            for answer in row.answers
        ],
    }


def job_json(row: Execution) -> answers.JobAnswer:
    """An execution as a job: `jobId` is our id, and `statusUrl` where to ask for it."""
    return {
        "jobId": row.id,
        "status": row.status,
        "workflowId": row.workflow_id,
        "executionId": row.run_id,
        "output": row.output,
        "error": error_json(row.error),
        "pauses": _pauses_json(row.pauses),
        "durationMs": row.duration_ms,
        "createdAt": moment(row.created_at),
        "startedAt": _maybe_moment(row.started_at),
        "finishedAt": _maybe_moment(row.finished_at),
        "statusUrl": f"{BASE_PATH}/jobs/{row.id}/status",
    }


def page_json(page: Page) -> answers.ExecutionPage:
    """One page of executions."""
    return {
        "data": [execution_json(row) for row in page.executions],
        "total": page.total,
        "nextCursor": page.next_cursor,
    }


def integration_json(found: Integration) -> answers.SettingsAnswer:
    """The settings in force; of the key, only whether there is one."""
    return {
        "integrationTenantId": found.id,
        "tenantId": found.tenant_id,
        "organizationId": found.organization_id,
        "isEnabled": found.is_enabled,
        "hasApiKey": found.has_api_key,
        "baseUrl": found.base_url,
        "workspaceId": found.workspace_id,
        "revision": found.revision,
        "updatedAt": moment(found.updated_at),
        "updatedBy": found.updated_by,
    }


def no_integration_json(tenant_id: str, default_base_url: str) -> answers.SettingsAnswer:
    """The settings of a tenant that has connected nothing yet; `baseUrl` is what setup would use."""
    return {
        "integrationTenantId": None,
        "tenantId": tenant_id,
        "organizationId": None,
        "isEnabled": False,
        "hasApiKey": False,
        "baseUrl": default_base_url,
        "workspaceId": None,
        "revision": None,
        "updatedAt": None,
        "updatedBy": None,
    }


def revisions_json(found: Sequence[Revision], *, limit: int, offset: int) -> answers.RevisionPage:
    """One page of the settings' history; `changedFields` by the names that REST gives them."""
    data: list[answers.RevisionAnswer] = [
        {
            "revision": each.revision,
            "organizationId": each.organization_id,
            "changedAt": moment(each.changed_at),
            "changedBy": each.changed_by,
            "changedFields": [_CAMEL.get(name, name) for name in each.changed_fields],
            "isEnabled": each.is_enabled,
            "hasApiKey": each.has_api_key,
            "baseUrl": each.base_url,
            "workspaceId": each.workspace_id,
            "isRemoved": each.is_removed,
        }
        for each in found[offset : offset + limit]
    ]
    return {"data": data, "total": len(found)}


def discovery_json(found: Discovery) -> answers.WorkflowPage:
    """One page of the account's workflows, each with its inputs, its tool and their drift."""
    data: list[answers.WorkflowAnswer] = [
        {
            "workflowId": each.summary.workflow_id,
            "name": each.summary.name,
            "description": each.summary.description,
            "isDeployed": each.summary.is_deployed,
            "deployedAt": _maybe_moment(each.summary.deployed_at),
            "workspaceId": each.summary.workspace_id,
            "runCount": each.summary.run_count,
            "toolName": each.tool_name,
            "isAllowListed": each.tool_name is not None,
            "inputs": None if each.inputs is None else [_input_json(field) for field in each.inputs.fields],
            "drift": list(each.drift),
        }
        for each in found.workflows
    ]
    return {"data": data, "nextCursor": found.next_cursor}


def validation_json(found: Validation) -> answers.ValidationAnswer:
    """Whether a workflow can be executed."""
    return {
        "workflowId": found.deployment.workflow_id,
        "isDeployed": found.deployment.is_deployed,
        "needsRedeployment": found.deployment.needs_redeployment,
        "deployedAt": _maybe_moment(found.deployment.deployed_at),
        "schemaDrift": list(found.drift),
    }


def health_json(health: SimHealth | None) -> answers.HealthAnswer:
    """Whether SIM answers this tenant: `ok`, `failing`, or `not_configured`."""
    if health is None:
        return {
            "status": "not_configured",
            "isReachable": False,
            "isKeyAccepted": False,
            "dialect": None,
            "roundTripMs": None,
            "problem": None,
        }
    is_well = health.is_reachable and health.is_key_accepted
    return {
        "status": "ok" if is_well else "failing",
        "isReachable": health.is_reachable,
        "isKeyAccepted": health.is_key_accepted,
        "dialect": health.dialect,
        "roundTripMs": None if health.round_trip_s is None else round(health.round_trip_s * 1000),
        "problem": health.problem,
    }


def moment(at: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _maybe_moment(at: datetime | None) -> str | None:
    return None if at is None else moment(at)


def _input_json(field: InputField) -> answers.WorkflowInput:
    return {
        "name": field.name,
        "type": field.type,
        "description": field.description,
        "default": field.default,
    }


def _pauses_json(pauses: Json) -> list[dict[str, Json]] | None:
    """What a paused run waits for. The names of the form's own fields are the workflow's: they stay."""
    if not is_array(pauses):
        return None
    return [
        {_CAMEL.get(name, name): value for name, value in each.items()} for each in pauses if is_object(each)
    ]


def error_json(error: ExecutionError | None) -> answers.ExecutionFailure | None:
    """Why something is not a success, if it is not."""
    if error is None:
        return None
    return {
        "code": error.code,
        "message": error.message,
        "retryable": error.retryable,
        "retryAfterS": error.retry_after_s,
        "blockName": error.block_name,
    }
