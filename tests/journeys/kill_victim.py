"""A server process to be killed: twenty calls at once, then it waits. See `test_kill.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from sim_mcp.app import App, Needs, open_app
from sim_mcp.config import Settings
from sim_mcp.model.execution import Call, Trigger
from sim_mcp.model.principal import ALL_PERMISSIONS, Principal, TenantId

CALLS_EACH = 10


async def main(folder: str, base_url: str, tool: str) -> None:
    """Connect both tenants, then make all calls side by side."""
    settings = Settings(
        data_dir=Path(folder), sim_base_url=base_url, sim_allowed_hosts=("127.0.0.1",), max_concurrency=64
    )
    async with (
        open_app(settings, needs=Needs(follows_up=False, drain_s=0)) as app,
        anyio.create_task_group() as group,
    ):
        for tenant in ("acme", "globex"):
            who = Principal(tenant_id=TenantId(tenant), permissions=ALL_PERMISSIONS)
            await app.administration.set_up(who, api_key=f"sk-sim-sandbox-{tenant}")
            await app.workflows.allow(who, _spec(tenant, tool))
            for number in range(CALLS_EACH):
                group.start_soon(_call, app, who, tool, f"{tenant}-{number}")


async def _call(app: App, who: Principal, tool: str, text: str) -> None:
    call = Call(principal=who, trigger=Trigger.MCP, tool_name=tool, arguments={"text": text, "seconds": 0.2})
    await app.gateway.call(call)


def _spec(tenant: str, tool: str) -> dict[str, str | dict[str, str]]:
    from sim_mcp.sim.fake import workflow_id

    mode = "async" if tool == "slow" else "sync"
    return {
        "name": tool,
        "workflow_id": workflow_id(tenant, tool),
        "description": "A workflow.",
        "input_schema": {"type": "object"},
        "mode": mode,
    }


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
