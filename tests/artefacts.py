"""Everything that tests leave behind is searched for the keys that they planted, when the session ends.

A pytest plugin (`tests/conftest.py` names it). One pattern, one pass over each file below pytest's own
temporary folder: databases, their logs, outputs, archives, configurations. What is found fails the session.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.leaks import ACME_KEY, GLOBEX_KEY

PLANTED = (ACME_KEY, GLOBEX_KEY, "sk-sim-sandbox-acme", "sk-sim-sandbox-globex")
"""Keys of SIM accounts that whole journeys use: at rest they are sealed, or they are nowhere."""
_SECRETS = re.compile(b"|".join(re.escape(each.encode()) for each in PLANTED))
LARGEST_BYTES = 50 * 1024 * 1024
PIECE_BYTES = 1024 * 1024
_OVERLAP = max(map(len, PLANTED))

HOLDING_KEYS: dict[str, str] = {
    ".env": "the user's own settings",
    "sim-mcp.toml": "the user's own settings",
    "claude_desktop_config.json": "a desktop client's configuration carries its user's key",
}
"""Files that hold a key because somebody put it there, by name, each with its reason."""


def keys_in(folder: Path) -> list[str]:
    """The files below `folder` in which a planted key stands in plain text, with the key's beginning."""
    found: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.name in HOLDING_KEYS or path.is_symlink() or not path.is_file():
            continue
        try:
            match = None if path.stat().st_size > LARGEST_BYTES else _first_in(path)
        except OSError:  # a socket of a database that is ending, a file without read permission
            continue
        if match is not None:
            found.append(f"{path.relative_to(folder)}: {match[:12].decode()}…")
    return found


def _first_in(path: Path) -> bytes | None:
    with path.open("rb") as file:
        before = b""
        while piece := file.read(PIECE_BYTES):
            match = _SECRETS.search(before + piece)
            if match is not None:
                return match.group()
            before = piece[-_OVERLAP:]
    return None


_FOUND = pytest.StashKey[list[str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Search once, for all processes of the session: the folders of workers stand below ours."""
    config = session.config
    base = getattr(getattr(config, "_tmp_path_factory", None), "_basetemp", None)
    if hasattr(config, "workerinput") or not isinstance(base, Path) or not base.is_dir():
        return
    config.stash[_FOUND] = keys_in(base)
    if config.stash[_FOUND]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was found, and what the tests printed."""
    nothing: list[str] = []
    found = config.stash.get(_FOUND, nothing)
    if found:
        terminalreporter.section("planted keys stand in plain text in what the tests left behind", red=True)
        for each in found:
            terminalreporter.line(each)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test printed is an artefact too: it ends up in the logs of a build."""
    report = yield
    if _SECRETS.search(f"{report.capstdout}{report.capstderr}".encode("utf-8", "replace")):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} printed a planted key"
    return report
