"""`scripts/check_sim.py` against the sandbox: what is as it should be, what is not, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from scripts.check_sim import KEY_VARIABLE, main
from sim_mcp.sim.fake import FakeSim, demo_account, faults, serve_fake, workflow_id
from sim_mcp.sim.fake.workflows import workspace_id
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.sockets, pytest.mark.requirement("R39", "R57", "R63")]

ROOT = Path(__file__).parents[2]
KEY = demo_account("acme").api_key
ECHO, DRAFT = workflow_id("acme", "echo"), workflow_id("acme", "undeployed")


@dataclass(frozen=True, slots=True)
class Checked:
    """How a check ended, and what it printed: verdicts by the names of the checks."""

    code: int
    verdicts: dict[str, str]
    out: str


@pytest.fixture(params=["v2", "legacy"])
def sim(request: pytest.FixtureRequest) -> FakeSim:
    """A sandbox of one dialect."""
    return FakeSim(v2_enabled=request.param == "v2")


@pytest.fixture
def check(
    sim: FakeSim, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Generator[Callable[..., Checked]]:
    """Runs the script against the sandbox with acme's key, or the one that is given."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serve_fake(sim)) as url:

        def run(*arguments: str, key: str = KEY) -> Checked:
            monkeypatch.setenv(KEY_VARIABLE, key)
            code = main(["--base-url", url, "--workspace", workspace_id("acme"), *arguments])
            out = capsys.readouterr().out
            lines = [line.partition(": ")[0].split(maxsplit=1) for line in out.splitlines()]
            return Checked(code, {name: verdict for verdict, name in lines}, out)

        yield run


def test_reading_changes_nothing_and_finds_all_as_it_should_be(
    sim: FakeSim, check: Callable[..., Checked]
) -> None:
    """Without `--execute` no request but reads is sent, however much is named."""
    told = check("--workflow", ECHO, "--workflow", DRAFT)
    assert set(told.verdicts.values()) == {"ok"}, told.out
    assert told.code == 0
    assert {each.method for each in sim.requests} == {"GET"}
    assert len(sim.runs) == 0
    assert KEY not in told.out


def test_only_what_is_named_runs_once_for_each_mode(sim: FakeSim, check: Callable[..., Checked]) -> None:
    """Each run's id is refused a second time; a draft is refused, and that is as it should be."""
    modes = ("--mode", "sync", "--mode", "async", "--mode", "stream")
    told = check("--execute", ECHO, "--execute", DRAFT, *modes, "--input", '{"text": "hello"}')
    assert set(told.verdicts.values()) == {"ok"}, told.out
    assert [(run.workflow_id, run.mode, run.starts) for run in sim.runs] == [
        (ECHO, mode, 1) for mode in ("sync", "async", "stream")
    ]
    assert {run.input["text"] for run in sim.runs} == {"hello"}


@pytest.mark.parametrize(
    ("fault", "verb", "name"),
    [
        (faults.HtmlPage(status=200), "any", "health"),
        (faults.LostAnswer(), "execute", f"execute {ECHO} sync"),
        (faults.MalformedJson(), "status", f"execute {ECHO} sync"),
        (faults.RunConflict(), "execute", f"execute {ECHO} sync"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, faults.Fault) else str(value),
)
def test_what_is_otherwise_is_one_line_and_exit_code_one(
    sim: FakeSim, check: Callable[..., Checked], fault: faults.Fault, verb: faults.Verb, name: str
) -> None:
    """The other checks go on."""
    workflow = ECHO if verb == "status" else None
    sim.script(fault, verb=verb, workflow_id=workflow)
    told = check("--execute", ECHO)
    different = {each for each, verdict in told.verdicts.items() if verdict == "differs"}
    assert different == {f"workflow {ECHO}" if verb == "status" else name}, told.out
    assert told.code == 1
    assert "Traceback" not in told.out
    assert KEY not in told.out


def test_a_key_that_sim_refuses_differs_and_is_not_shown(check: Callable[..., Checked]) -> None:
    """Globex's key in acme's workspace, too: what it may not see is not shown."""
    wrong = "sk-sim-" + "f" * 32
    told = check(key=wrong)
    assert (told.code, told.verdicts["key"], told.verdicts["health"]) == (1, "differs", "ok")
    assert wrong not in told.out
    foreign = check("--workflow", ECHO, key=demo_account("globex").api_key)
    assert (foreign.code, foreign.verdicts[f"workflow {ECHO}"]) == (1, "differs")


def test_without_a_key_or_with_nonsense_nothing_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the remedy."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert main(["--base-url", "https://sim.example.com"]) == 2
    assert KEY_VARIABLE in capsys.readouterr().err
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert main(["--base-url", "not an address"]) == 2
    for arguments in (["--base-url", "https://sim.example.com", "--input", "[1]"], [], ["--key", KEY]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    printed = capsys.readouterr()
    assert KEY not in printed.out + printed.err


def test_help_works_as_a_module_and_as_a_file() -> None:
    """From the project's directory, as the documents show it."""
    for command in (["-m", "scripts.check_sim"], ["scripts/check_sim.py"]):
        done = subprocess.run(
            [sys.executable, *command, "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "--base-url" in done.stdout
