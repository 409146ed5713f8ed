"""Servers as processes of their own: started, told apart by port, watched for CPU and memory, stopped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Target, mcp_call
from benchmarks.upstream import WORKFLOW_ID

PORT_ALONE = r"^(\d+)$"
PORT_IN_URL = r"http://127\.0\.0\.1:(\d+)"
"""Where our server tells its port."""
SERVE = (sys.executable, "-m", "sim_mcp", "serve", "--transport", "http", "--port", "0")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SPEC = f"""
tenant: acme
tools:
  - name: echo
    workflow_id: {WORKFLOW_ID}
    description: Answers at once.
    input_schema:
      type: object
      properties:
        employee: {{type: string, description: Whose.}}
      required: [employee]
      additionalProperties: false
    rate_per_minute: 100000
    max_concurrency: 1000
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that runs."""

    pid: int
    port: int

    def cpu_s(self) -> float:
        """The CPU time it has taken, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def memory_bytes(self) -> int:
        """The memory that it holds now (resident)."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024


@contextmanager
def running(
    command: list[str], *, environment: Mapping[str, str] | None = None, port_in: str = PORT_ALONE
) -> Generator[Running]:
    """The server of `command`, once it has printed a line with its port; killed in the end."""
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            # Ours tells its address there. Others get no pipe: whoever logs would wait for a reader.
            stderr=complaints if port_in == PORT_ALONE else subprocess.STDOUT,
            text=True,
            env={**os.environ, **(environment or {})},
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if (found := re.search(port_in, line.strip())) is not None:
                    yield Running(pid=process.pid, port=int(found[1]))
                    return
            complaints.seek(0)
            raise RuntimeError(f"{command[:4]} did not serve: {complaints.read()[-800:]}")
        finally:
            process.kill()


def upstream(delay_ms: float) -> list[str]:
    """The command of the benchmark's SIM."""
    return [sys.executable, "-m", "benchmarks.upstream", str(delay_ms)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """Our server, set up in a directory of its own: two tenants, a token, everything switched on."""

    folder: Path
    sim_port: int
    token: str

    @property
    def environment(self) -> dict[str, str]:
        """Its settings."""
        return environment_of(self.folder, self.sim_port)

    @property
    def command(self) -> list[str]:
        """How it is started."""
        return [*SERVE, "--tool-specs", str(self.folder / "specs")]

    def target(self, port: int) -> Target:
        """A call of its tool."""
        return mcp_call(port, tool="echo", arguments={"employee": "Ada"}, token=self.token)


def set_up(folder: Path, sim_port: int, *, spec: str = SPEC, permissions: str = "view,edit") -> Ours:
    """Connect two tenants to the benchmark's SIM by the command line, and make a token for the first."""
    specs = folder / "specs"
    specs.mkdir(parents=True)
    (specs / "echo.yaml").write_text(spec, encoding="utf-8")
    environment = environment_of(folder, sim_port)
    for tenant in ("acme", "globex"):
        _verb(["setup", "--tenant", tenant, "--api-key-stdin"], environment, stdin="sk-sim-benchmark-only\n")
    made = _verb(
        ["token", "create", "--tenant", "acme", "--name", "benchmark", "--permissions", permissions],
        environment,
    )
    found = re.search(r"smcp_[A-Za-z0-9_-]+|[A-Za-z0-9_.-]{40,}", made)
    assert found is not None, made
    return Ours(folder=folder, sim_port=sim_port, token=found[0])


def _verb(arguments: list[str], environment: Mapping[str, str], *, stdin: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "sim_mcp", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    if done.returncode:
        raise RuntimeError(f"sim-mcp {arguments[0]}: {done.stderr[-600:]}")
    return done.stdout


def environment_of(folder: Path, sim_port: int, *, hosts: Sequence[str] = ()) -> dict[str, str]:
    """The settings of a server in `folder`, whose tenants' SIM is at that port, or at one of `hosts`."""
    return {
        "SIM_MCP_DATA_DIR": str(folder),
        "SIM_MCP_SIM_BASE_URL": f"http://127.0.0.1:{sim_port}",
        "SIM_MCP_SIM_ALLOWED_HOSTS": ",".join(hosts or [f"127.0.0.1:{sim_port}"]),
        "SIM_MCP_TENANT_ID": "acme",
        "SIM_MCP_RATE_PER_MINUTE": "100000",
        "SIM_MCP_MAX_CONCURRENCY": "1000",
        "SIM_MCP_LOG_LEVEL": "warning",
    }
