"""Only what is on the tenant's allow-list starts by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.model.credentials import without_credentials
from sim_mcp.model.errors import NotFound

if TYPE_CHECKING:
    from sim_mcp.gateway import Gateway
    from sim_mcp.model.principal import Principal


async def require_allowed(gateway: Gateway, principal: Principal, workflow_id: str) -> None:
    """Return when the workflow is on the allow-list of the principal's tenant.

    Raises:
        NotFound: it is not; says who can change that.
    """
    catalog = await gateway.catalog(principal.tenant_id)
    if all(tool.workflow_id != workflow_id for tool in catalog.tools):
        raise NotFound(
            f"The workflow {without_credentials(workflow_id)!r} is not on the allow-list. An administrator "
            "allows it first: sim_allow_workflow, or `sim-mcp tools`."
        )
