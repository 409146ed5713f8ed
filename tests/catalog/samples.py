"""Specs, principals and integrations for two tenants."""

from __future__ import annotations

from datetime import UTC, datetime

from sim_mcp.catalog import ToolSpec
from sim_mcp.model.integration import Integration, IntegrationId
from sim_mcp.model.json import Json, JsonObject
from sim_mcp.model.principal import ALL_PERMISSIONS, Permission, Principal, TenantId
from sim_mcp.model.tool import WorkflowTool

ACME, GLOBEX = TenantId("acme"), TenantId("globex")


def entry(name: str = "report", **fields: Json) -> dict[str, Json]:
    """A small valid spec as JSON."""
    return {"name": name, "workflow_id": f"workflow-{name}", "description": f"Makes the {name}.", **fields}


def spec(name: str = "report", **fields: Json) -> ToolSpec:
    """A small valid spec."""
    return ToolSpec.from_json(entry(name, **fields))


def tool(input_schema: JsonObject, tenant_id: TenantId = ACME) -> WorkflowTool:
    """A tool with that input schema."""
    return spec(input_schema=input_schema).to_tool(tenant_id)


def principal(
    tenant_id: TenantId = ACME,
    *,
    permissions: frozenset[Permission] = ALL_PERMISSIONS,
    organization_id: str | None = None,
) -> Principal:
    """Somebody of that tenant."""
    return Principal(
        tenant_id=tenant_id, organization_id=organization_id, subject="somebody", permissions=permissions
    )


def integration(
    tenant_id: TenantId = ACME,
    *,
    is_enabled: bool = True,
    has_api_key: bool = True,
    organization_id: str | None = None,
) -> Integration:
    """That tenant's connection to SIM."""
    return Integration(
        id=IntegrationId(f"integration-{tenant_id}"),
        tenant_id=tenant_id,
        organization_id=organization_id,
        revision=1,
        base_url="https://sim.example",
        is_enabled=is_enabled,
        has_api_key=has_api_key,
        workspace_id=None,
        updated_at=datetime(2026, 1, 1, tzinfo=UTC),
        updated_by="somebody",
    )
