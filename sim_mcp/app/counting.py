"""What the process counts for its operator: facts as they happen, gauges when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator

from sim_mcp.catalog import ToolSource
from sim_mcp.config import Settings
from sim_mcp.resilience import Throttle
from sim_mcp.telemetry.metrics import ProcessMetrics, TenantGauges


def process_metrics(settings: Settings, *, throttle: Throttle, tools: ToolSource) -> ProcessMetrics:
    """The counters, with gauges of the tenants that were served lately."""

    def gauges() -> Iterator[TenantGauges]:
        for tenant_id in throttle.tenants():
            near = throttle.proximity(tenant_id)
            yield TenantGauges(
                tenant_id=tenant_id, rate_used_share=near.used_share, running_calls=near.in_use
            )
        for catalog in tools.known():
            yield TenantGauges(
                tenant_id=catalog.tenant_id,
                tools_listed=len(catalog.tools),
                tools_held=catalog.held_count,
            )

    return ProcessMetrics(names_tenants=settings.metrics_tenants, gauges=gauges)
