"""A terminal for tests: verbs in this process, the real program in another, a sandbox on loopback."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from sim_mcp.cli import run_program
from sim_mcp.sim.fake import FakeSim, demo_account, serve_fake


@dataclass(frozen=True, slots=True)
class Ended:
    """How a verb ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed on stdout, as JSON."""
        return json.loads(self.out)


Invoke = Callable[..., Ended]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """An empty working directory, with the server's files below it; the log is as before afterwards."""
    monkeypatch.setenv("SIM_MCP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield tmp_path
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def invoke(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs a verb in this process: `invoke("tools", "list", stdin="...")`."""
    assert home.is_dir()

    def run(*arguments: str, stdin: str = "") -> Ended:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = run_program(arguments)
        printed = capsys.readouterr()
        return Ended(code, printed.out, printed.err)

    return run


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A fake SIM on loopback, and its address."""

    sim: FakeSim
    url: str


@pytest.fixture
def sandbox(home: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Sandbox]:
    """A sandbox SIM whose host may be named; nobody is connected to it yet."""
    assert home.is_dir()
    sim = FakeSim()
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serve_fake(sim)) as url:
        monkeypatch.setenv("SIM_MCP_SIM_BASE_URL", url)
        monkeypatch.setenv("SIM_MCP_SIM_ALLOWED_HOSTS", url.removeprefix("http://"))
        monkeypatch.setenv("SIM_MCP_TENANT_ID", "acme")
        yield Sandbox(sim, url)


@pytest.fixture
def connected(sandbox: Sandbox, invoke: Invoke) -> Sandbox:
    """The sandbox, with acme and globex connected and the example tools on acme's allow-list."""
    for tenant in ("acme", "globex"):
        key = demo_account(tenant).api_key
        assert invoke("setup", "--tenant", tenant, "--api-key-stdin", stdin=f"{key}\n").code == 0
    assert invoke("tools", "apply", str(EXAMPLES), "--yes").code == 0
    return sandbox


EXAMPLES = Path(__file__).parents[2] / "tool_specs" / "examples"
