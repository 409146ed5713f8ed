"""The MCP Inspector's command line at every door, in both eras of the protocol."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest

from sim_mcp.model.clock import SystemClock
from tests.conformance.node import Node
from tests.conformance.tenant import TENANT, Tenant, conformance_tenant, token

pytestmark = [pytest.mark.anyio, pytest.mark.sockets]

Door = Literal["stdio", "sse", "http"]
TOOL_ERROR = 5
"""The exit code by which the Inspector tells that a tool's result is an error."""
ENDS_WITHIN_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspector:
    """The Inspector at one door of the tenant's server, speaking one era."""

    node: Node
    tenant: Tenant
    home: Path
    target: list[str]

    async def ask(self, method: str, *more: str, exit_code: int = 0) -> dict[str, Any]:
        """The result of `method`, after the Inspector ended with `exit_code`."""
        command = [
            *self.node.inspector,
            "--cli",
            *self.target,
            "--method",
            method,
            *more,
            "--format",
            "json",
            "-q",
        ]
        with anyio.fail_after(ENDS_WITHIN_S):
            done = await anyio.run_process(
                command, check=False, stdin=subprocess.DEVNULL, cwd=self.home, env={"HOME": str(self.home)}
            )
        assert done.returncode == exit_code, (done.stdout, done.stderr)
        told: dict[str, Any] = json.loads(done.stdout)
        return told.get("result", told)


@pytest.fixture(params=["legacy", "modern"])
def era(request: pytest.FixtureRequest) -> str:
    """The eras by the Inspector's names."""
    return request.param


@asynccontextmanager
async def inspector_at(door: Door, era: str, folder: Path, node: Node) -> AsyncGenerator[Inspector]:
    """The Inspector with a home of its own, in front of the conformance tenant."""
    home = folder / "home"
    home.mkdir()
    async with conformance_tenant(folder / "server", clock=SystemClock()) as tenant:
        if door == "stdio":
            (home / "mcp.json").write_text(json.dumps(client_configuration(tenant)), "utf-8")
            target = ["--config", str(home / "mcp.json"), "--server", "sim"]
        else:
            path = "mcp" if door == "http" else "sse"
            signed = f"Authorization: Bearer {token()}"
            target = [f"{tenant.url}/{path}", "--transport", door, "--header", signed, "--stored-auth-only"]
        yield Inspector(node=node, tenant=tenant, home=home, target=[*target, "--protocol-era", era])


def client_configuration(tenant: Tenant) -> dict[str, Any]:
    """What a user writes into a client's settings, here for the same tenant and the same database."""
    settings = tenant.world.app.settings
    environment = {
        "SIM_MCP_DATA_DIR": str(settings.data_dir),
        "SIM_MCP_TENANT_ID": TENANT,
        "SIM_MCP_SIM_BASE_URL": settings.sim_base_url,
        "SIM_MCP_SIM_ALLOWED_HOSTS": ",".join(settings.sim_allowed_hosts),
    }
    serve = ["-m", "sim_mcp", "serve", "--transport", "stdio"]
    return {"mcpServers": {"sim": {"command": sys.executable, "args": serve, "env": environment}}}


@pytest.mark.requirement("R66", "R69", "F25")
@pytest.mark.parametrize("door", ["stdio", "sse", "http"])
async def test_the_inspector_can_use_every_door(tmp_path: Path, node: Node, door: Door, era: str) -> None:
    """Lists without a schema that some client could not read; a success is one, a failure is an error."""
    async with inspector_at(door, era, tmp_path, node) as inspector:
        tools = {tool["name"] for tool in (await inspector.ask("tools/list", "--strict"))["tools"]}
        assert {"test_simple_text", "test_error_handling", "sim_status"} <= tools
        done = await called(inspector, "greet", '{"name": "Ada"}')
        assert done["structuredContent"]["output"]["result"] == {"name": "Ada"}
        failed = await called(inspector, "test_error_handling", "{}", exit_code=TOOL_ERROR)
        assert failed["structuredContent"]["error"]["code"] == "EXECUTION_ERROR"
        listed = (await inspector.ask("resources/list"))["resources"]
        assert {resource["uri"] for resource in listed} >= {"sim://history"}
        prompts = (await inspector.ask("prompts/list"))["prompts"]
        assert {prompt["name"] for prompt in prompts} == {"onboard_workflow", "troubleshoot_execution"}
        rows = await inspector.tenant.world.rows(TENANT)
        assert {(row.id, row.status.value) for row in rows} == {
            (done["structuredContent"]["execution_id"], "completed"),
            (failed["structuredContent"]["execution_id"], "failed"),
        }


async def called(inspector: Inspector, tool: str, arguments: str, *, exit_code: int = 0) -> dict[str, Any]:
    """The result of a call."""
    asked = ("--tool-name", tool, "--tool-args-json", arguments)
    return await inspector.ask("tools/call", *asked, exit_code=exit_code)
