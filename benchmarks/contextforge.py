"""ContextForge, a gateway that serves REST APIs as tools, set up as a rival of ours.

Run: `PYTHON -m benchmarks.contextforge` with an interpreter that has `mcp-contextforge-gateway` serves it and
prints its port. It serves by uvicorn with the event loop that uvicorn picks, like its own command.

Most of what a call costs there (of 1.0.7) is neither protocol nor checks: for each call it makes an HTTP
client of its own, bound to the address that it resolved, and that client reads the machine's certificates,
even for an upstream without TLS. Its protection against SSRF switched off changes nothing of that;
`SKIP_SSL_VERIFY=true` spares the reading, but is no setting to serve with, so it is measured as it comes.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load import Target
from benchmarks.processes import Running, running
from benchmarks.upstream import WORKFLOW_ID

ADMIN = "admin@example.com"
REVISION = "2025-11-25"  # the latest one that it knows; 2026-07-28 it refuses
STARTS_WITHIN_S = 90  # it lays out its database first


@contextmanager
def contextforge(python: str, folder: Path, sim_port: int) -> Generator[tuple[Running, Target]]:
    """The gateway of that interpreter with one tool, the run that everybody starts, and a call of it."""
    folder.mkdir(parents=True)
    environment = _environment(folder)
    token = _token(python, environment)
    with running([python, "-m", "benchmarks.contextforge"], environment=environment) as server:
        _register(server.port, sim_port, token)
        yield server, _call(server.port, token)


def _environment(folder: Path) -> dict[str, str]:
    """Its settings: SQLite, callers known by token, and nothing that would hold it up.

    Its limit of calls in a minute is off, as ours is out of reach; it may call this machine; and of what
    happens only errors are logged.
    """
    return {
        "AUTH_ENCRYPTION_SECRET": secrets.token_urlsafe(48),
        "AUTH_REQUIRED": "true",
        "BASIC_AUTH_PASSWORD": secrets.token_urlsafe(24),
        "CACHE_TYPE": "memory",
        "DATABASE_URL": f"sqlite:///{folder / 'gateway.db'}",
        "JWT_SECRET_KEY": secrets.token_urlsafe(48),
        "LOG_LEVEL": "ERROR",
        "PLATFORM_ADMIN_EMAIL": ADMIN,
        "PLATFORM_ADMIN_PASSWORD": secrets.token_urlsafe(24),
        "RATE_LIMITING_ENABLED": "false",
        "SSRF_ALLOW_LOCALHOST": "true",
        "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
    }


def _token(python: str, environment: Mapping[str, str]) -> str:
    """A token of the administrator for a day, made by the gateway's own tool."""
    tool = [python, "-m", "mcpgateway.utils.create_jwt_token", "--username", ADMIN, "--exp", "1440"]
    done = subprocess.run(
        tool, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    if done.returncode:
        raise RuntimeError(f"no token for ContextForge: {done.stderr[-600:]}")
    return done.stdout.split()[-1]


def _register(port: int, sim_port: int, token: str) -> None:
    """Make the upstream's POST a tool. Who asks before the gateway serves waits until it does."""
    import httpx  # not at the top: the gateway's own interpreter reads this module too

    tool = {
        "name": "echo",
        "description": "Answers at once.",
        "integration_type": "REST",
        "request_type": "POST",
        "url": f"http://127.0.0.1:{sim_port}/api/v2/workflows/{WORKFLOW_ID}/execute",
        "headers": {"X-API-Key": "sk-sim-benchmark-only"},
        "input_schema": {
            "type": "object",
            "properties": {
                "input": {
                    "type": "object",
                    "properties": {"employee": {"type": "string"}},
                    "required": ["employee"],
                }
            },
            "required": ["input"],
        },
    }
    answer = httpx.post(
        f"http://127.0.0.1:{port}/tools",
        json={"tool": tool},
        headers={"Authorization": f"Bearer {token}"},
        timeout=STARTS_WITHIN_S,
    )
    if not answer.is_success:
        raise RuntimeError(f"ContextForge took no tool: {answer.status_code} {answer.text[:400]}")


def _call(port: int, token: str) -> Target:
    """A call of that tool in the revision that it knows, without a session."""
    message = {
        "jsonrpc": "2.0",
        "id": "ID",
        "method": "tools/call",
        "params": {"name": "echo", "arguments": {"input": {"employee": "Ada"}}},
    }
    headers = {
        "Accept": "application/json, text/event-stream",
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "MCP-Protocol-Version": REVISION,
    }
    body = json.dumps(message).replace('"ID"', "%d")
    return Target(port=port, path="/mcp/", headers=headers, body=body, proof=b'"hours')


def main() -> None:
    """Serve until killed."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(listener.getsockname()[1], flush=True)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # it tells much while it starts, and nobody reads on
    config = uvicorn.Config("mcpgateway.main:app", log_level="error", access_log=False, backlog=2048)
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
