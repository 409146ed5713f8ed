"""`sim-mcp demo`: the newcomer's first minute, and the verdict when a promise is broken."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from sim_mcp.cli.demo_ledger import Ledger
from sim_mcp.cli.demo_stage import stage
from sim_mcp.cli.demo_tour import Tour
from sim_mcp.sim.fake import DEMO_ACCOUNTS, workflow_id
from tests.cli.conftest import Invoke
from tests.cli.test_program import ran, read_until, running
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.sockets

TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+|simmcp_\w+")


@pytest.mark.requirement("R69")
def test_the_demo_keeps_every_promise_and_shows_no_secret(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole program: exit code 0, nothing on stderr, whatever the user's settings are."""
    monkeypatch.setenv("SIM_MCP_PERMISSIONS", "none")
    monkeypatch.setenv("SIM_MCP_MONTHLY_EXECUTIONS", "1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    ended = ran("demo")
    assert (ended.returncode, ended.stderr) == (0, "")
    kept, made = map(int, re.findall(r"(\d+) of (\d+) promises kept", ended.stdout)[0])
    assert kept == made > 12
    assert not TOKEN.search(ended.stdout)
    assert not any(account.api_key in ended.stdout for account in DEMO_ACCOUNTS)
    assert not (home / "data").exists()


def test_kept_running_it_says_how_to_connect_and_its_tokens_work(home: Path) -> None:
    """Inspector, Claude and curl; the tokens are marked as what they are. Ctrl-C ends it."""
    with running("demo", "--keep") as process:
        url = read_until(process.stdout, r"Left running at (http://\S+) until Ctrl-C\. DEMO TOKENS")[1]
        token = read_until(process.stdout, r"^acme:\s+(\S+)$")[1]
        read_until(process.stdout, r"inspector --cli")
        read_until(process.stdout, r"claude mcp add")
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.get(
            f"{url}/api/integration/sim/executions", headers=headers, trust_env=False, timeout=PATIENCE_S
        )
        assert answer.json()["total"] > 0
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    assert home.is_dir()


@pytest.mark.anyio
async def test_a_broken_promise_is_named_and_the_tour_goes_on() -> None:
    """A SIM without one of the workflows: that step fails, and only that one."""
    ledger = Ledger(None)
    async with stage() as played:
        played.sim.set_deployed(workflow_id("acme", "asking"), False)
        await Tour(played, ledger).walk()
    assert {promise.step for promise in ledger.broken} == {"A run that waits for a person"}
    assert len({promise.step for promise in ledger.promises}) == 8


def test_what_fails_inside_a_step_is_a_broken_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """The verdict names the step and the cause."""
    ledger = Ledger(Console(soft_wrap=True, force_terminal=False))
    with ledger.step("First"):
        ledger.tell("[bold]not markup[/bold] \x1b[2J")
        ledger.promise("this holds", is_kept=True)
    with ledger.step("Second"):
        raise ExceptionGroup("wrapped", [OSError("no route")])
    (broken,) = ledger.broken
    assert (broken.step, broken.text) == ("Second", "the step goes through (OSError: no route)")
    assert ledger.to_json()[0] == {"step": "First", "promise": "this holds", "kept": True}
    shown = capsys.readouterr().out
    assert "[bold]not markup[/bold]" in shown
    assert "\x1b" not in shown
    assert ledger.has_said("not markup")


def test_a_demo_with_a_broken_promise_ends_with_1(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here: no example specs, so that nobody has a tool."""
    empty = Path("empty")
    empty.mkdir()
    monkeypatch.setattr("sim_mcp.cli.demo_stage.example_specs", empty.absolute)
    ended = invoke("demo", "--json")
    assert ended.code == 1
    assert not all(promise["kept"] for promise in ended.json)
    assert "Broken promise, in 'Each tenant has its own tools'" in ended.err
