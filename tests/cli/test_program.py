"""The real program, in a process of its own: exit codes, pure stdout, signals, a terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from sim_mcp.sim.fake import demo_account
from tests.cli.conftest import Invoke, Sandbox
from tests.patience import PATIENCE_S
from tests.transports.web import HELLO

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "sim_mcp")

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals are POSIX ones here"),
]


def environment(**more: str) -> dict[str, str]:
    """The environment of a program that is started from anywhere."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def ran(
    *arguments: str, stdin: str = "", program: tuple[str, ...] = PROGRAM
) -> subprocess.CompletedProcess[str]:
    """The program, run to its end."""
    command = (*program, *arguments)
    return subprocess.run(
        command,
        input=stdin,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@contextmanager
def running(*arguments: str) -> Generator[subprocess.Popen[str]]:
    """The program while it runs; whatever happens, it is gone afterwards."""
    process = subprocess.Popen(
        (*PROGRAM, *arguments),
        env=environment(PYTHONUNBUFFERED="1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with process:
            yield process
            process.kill()
    finally:
        process.kill()


def read_until(stream: IO[str] | None, pattern: str) -> re.Match[str]:
    """Read lines until one matches; the end of the stream is a failure that shows what came."""
    lines: list[str] = []
    assert stream is not None
    for line in iter(stream.readline, ""):
        lines.append(line)
        if match := re.search(pattern, lines[-1]):
            return match
    pytest.fail(f"{pattern!r} never came: {lines}")


@pytest.mark.parametrize(
    ("arguments", "code"), [(("--version",), 0), (("bogus",), 2), (("db", "check"), 1), ((), 0)]
)
def test_the_exit_code_reaches_the_shell(home: Path, arguments: tuple[str, ...], code: int) -> None:
    """0 done, 1 failed, 2 used wrongly; the error is on stderr, and there is no stack."""
    ended = ran(*arguments)
    assert ended.returncode == code
    assert bool(ended.stdout) is (code == 0)
    assert bool(ended.stderr) is (code != 0)
    assert "Traceback" not in ended.stderr
    assert home.is_dir()


def test_a_reader_that_stops_reading_is_no_stack(home: Path) -> None:
    """`sim-mcp --help | head -0`."""
    command = f"{' '.join(PROGRAM)} --help | true"
    ended = subprocess.run(
        ["sh", "-c", command],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    assert home.is_dir()


@pytest.mark.requirement("R66")
def test_stdio_speaks_the_protocol_and_nothing_else_on_stdout(home: Path) -> None:
    """Logs and words for people are on stderr; the end of input is the end."""
    ended = ran("serve", "--transport", "stdio", "--sandbox", stdin=json.dumps(HELLO) + "\n")
    assert ended.returncode == 0
    (answer,) = [json.loads(line) for line in ended.stdout.splitlines()]
    assert answer["result"]["serverInfo"]["name"]
    assert "Sandbox SIM at http://127.0.0.1:" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert home.is_dir()


def test_stdio_starts_without_what_it_does_not_need_yet(home: Path) -> None:
    """The start is on the critical path of every client; libraries wait for their first use."""
    told = "import atexit, sys; atexit.register(lambda: print(*sys.modules, sep='\\n', file=sys.stderr))"
    program = (sys.executable, "-c", f"{told}; from sim_mcp.__main__ import main; main()")
    ended = ran("serve", "--transport", "stdio", stdin=json.dumps(HELLO) + "\n", program=program)
    imported = set(ended.stderr.splitlines())
    assert json.loads(ended.stdout)["result"]
    assert {"mcp", "sim_mcp.app"} <= imported
    assert not imported & {"typer", "rich", "httpx", "aiohttp", "yaml", "sim_mcp.sim.client"}
    assert home.is_dir()


def test_stdio_with_the_sandbox_has_tools_at_once(home: Path) -> None:
    """One line in a client's configuration is a whole try-out: no setup, no account."""
    initialized = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    ask = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    call = {
        "jsonrpc": "2.0",
        "id": 3,
        "method": "tools/call",
        "params": {"name": "summarize_timesheets", "arguments": {"employee": "Ada"}},
    }
    options = ("serve", "--transport", "stdio", "--sandbox", "--admin-tools", "off")
    with running(*options) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for message in (HELLO, initialized, ask, call):
            process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
        answers: dict[int, Any] = {}
        while len(answers) < 3:
            answer = json.loads(process.stdout.readline())
            answers[answer["id"]] = answer
    names = [tool["name"] for tool in answers[2]["result"]["tools"]]
    assert "summarize_timesheets" in names
    assert not any(name.startswith("sim_") for name in names)
    assert answers[3]["result"]["structuredContent"]["status"] == "completed"
    assert home.is_dir()


@pytest.mark.requirement("R10")
def test_http_refuses_to_start_when_anybody_could_call(home: Path) -> None:
    """Both remedies are named."""
    ended = ran("serve", "--transport", "http", "--port", "0")
    assert ended.returncode == 1
    assert "sim-mcp token create" in ended.stderr
    assert "--insecure-no-auth" in ended.stderr
    everywhere = "0.0.0.0"  # noqa: S104 - it must be refused
    open_to_all = ran(
        "serve", "--transport", "http", "--port", "0", "--host", everywhere, "--insecure-no-auth"
    )
    assert open_to_all.returncode == 1
    assert home.is_dir()


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_http_serves_until_it_is_told_to_stop(home: Path, ended_by: signal.Signals) -> None:
    """The address is told on stderr once it answers; being stopped is a success."""
    options = ("serve", "--transport", "http", "--port", "0", "--insecure-no-auth", "--sandbox")
    with running(*options) as process:
        url = read_until(process.stderr, r"MCP at (http://\S+)/mcp")[1]
        assert httpx.get(f"{url}/healthz", trust_env=False, timeout=PATIENCE_S).status_code == 200
        process.send_signal(ended_by)
        assert process.wait(PATIENCE_S) == 0
        assert process.stdout is not None
        assert process.stdout.read() == ""
    assert home.is_dir()


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_runs_until_it_is_told_to_stop(home: Path, ended_by: signal.Signals) -> None:
    """It tells its address and its public keys as JSON."""
    with running("sandbox", "--port", "0", "--json") as process:
        told = read_until(process.stdout, r'"base_url": "(http://[^"]+)"')[1]
        key = {"x-api-key": demo_account("acme").api_key}
        answer = httpx.get(f"{told}/api/v2/workspaces", headers=key, trust_env=False, timeout=PATIENCE_S)
        assert answer.status_code == 200
        process.send_signal(ended_by)
        assert process.wait(PATIENCE_S) == 0
    assert home.is_dir()


def test_at_a_terminal_the_key_is_asked_for_and_not_echoed(sandbox: Sandbox) -> None:
    """Hidden prompt; the key is neither on the screen nor in the answer."""
    import pty

    key = demo_account("acme").api_key
    parent, child = pty.openpty()
    process = subprocess.Popen(
        (*PROGRAM, "setup"), env=environment(TERM="dumb"), stdin=child, stdout=child, stderr=child,
        start_new_session=True,
    )  # fmt: skip
    os.close(child)
    screen = _screen_until(parent, b"(not shown): ")
    os.write(parent, f"{key}\n".encode())
    screen += _screen_until(parent, b"--tenant acme")
    assert process.wait(PATIENCE_S) == 0
    os.close(parent)
    assert b"Connected tenant 'acme'" in screen
    assert key.encode() not in screen
    assert sandbox.sim.requests


def _screen_until(terminal: int, mark: bytes) -> bytes:
    screen = b""
    while mark not in screen:
        screen += os.read(terminal, 1000)
    return screen


def test_ctrl_c_cancels_the_run_and_says_so(invoke: Invoke, connected: Sandbox) -> None:
    """A person who gives up does not leave a run behind."""
    with running("call", "nightly_report", "--arg", "seconds=60") as process:
        while not connected.sim.runs:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1
    assert out == ""
    assert "SIM was asked to cancel the run" in err
    (row,) = invoke("history", "--json").json["data"]
    assert row["status"] == "cancelled"
    assert len(connected.sim.runs) == 1
