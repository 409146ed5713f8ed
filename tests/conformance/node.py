"""Node and the programs that it runs, in a cache of the user: installed once, for all who run the tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO

from platformdirs import user_cache_path

HERE = Path(__file__).parent
PINS = ("package.json", "package-lock.json")
OLDEST = (22, 19)
"""The Inspector's; the suite is content with any Node 22."""
INSTALL_WITHIN_S = 300
MODULES = Path("node_modules", "@modelcontextprotocol")
SUITE = MODULES / "conformance" / "dist" / "index.js"
INSPECTOR = MODULES / "inspector" / "clients" / "launcher" / "build" / "index.js"


class NoNode(Exception):
    """Why there is no Node here with what it should run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A Node that is new enough, and the folder that holds the programs."""

    program: str
    folder: Path

    @property
    def suite(self) -> list[str]:
        """The command of the conformance suite."""
        return [self.program, str(self.folder / SUITE)]

    @property
    def inspector(self) -> list[str]:
        """The command of the Inspector."""
        return [self.program, str(self.folder / INSPECTOR)]


def found_or_installed() -> Node:
    """The pinned programs, installed when this machine does not have them yet.

    Raises:
        NoNode: There is no npm, or it could not install them; the reason is meant for people.
    """
    pins = sha256(b"".join((HERE / name).read_bytes() for name in PINS)).hexdigest()[:16]
    try:
        cache = user_cache_path("sim-mcp-tests", ensure_exists=True)
    except OSError as error:
        raise NoNode(f"there is no folder to keep it in: {error.strerror}") from error
    with _alone(cache / f"node-{pins}.lock"):
        folder = cache / f"node-{pins}"
        if not folder.is_dir():
            _install(folder, reason_of_failure=cache / f"node-{pins}.failed")
    return Node(program=_newest_program(folder), folder=folder)


def _install(folder: Path, *, reason_of_failure: Path) -> None:
    """Install into `folder`, whole or not at all; what failed in this test run is not tried again in it."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "")
    if run and reason_of_failure.is_file():
        failed: Mapping[str, str] = json.loads(reason_of_failure.read_text("utf-8"))
        if failed["run"] == run:
            raise NoNode(failed["reason"])
    try:
        _install_now(folder)
    except NoNode as error:
        reason_of_failure.write_text(json.dumps({"run": run, "reason": str(error)}), "utf-8")
        raise


def _install_now(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NoNode("there is no npm")
    growing = folder.with_suffix(".growing")
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir()
    for name in PINS:
        shutil.copy(HERE / name, growing)
    # No package needs its install scripts here, so none of them runs anything on this machine.
    command = [
        npm,
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--fetch-retries=1",
        "--loglevel=error",
    ]
    try:
        done = subprocess.run(
            command, cwd=growing, capture_output=True, text=True, timeout=INSTALL_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NoNode(f"`npm ci` took longer than {INSTALL_WITHIN_S} s") from error
    if done.returncode:
        said = (done.stderr.strip() or "nothing").splitlines()
        raise NoNode(f"`npm ci` failed: {said[0][:300]}")
    _newest_program(growing)
    growing.rename(folder)


def _newest_program(folder: Path) -> str:
    """The Node that came with the packages, else the machine's own.

    Raises:
        NoNode: Neither is there, or new enough.
    """
    came = [str(path) for path in folder.glob("node_modules/node-*-*/bin/node*")]
    found = [program for program in (*came, shutil.which("node")) if program]
    for program in found:
        if _version(program) >= OLDEST:
            return program
    raise NoNode(f"there is no Node {'.'.join(map(str, OLDEST))} or newer")


def _version(program: str) -> tuple[int, ...]:
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(int(number) for number in re.findall(r"\d+", told.stdout)[:2])


@contextmanager
def _alone(path: Path) -> Generator[None]:
    """Only one process at a time is inside, however many test workers there are."""
    with path.open("w", encoding="utf-8") as file:
        _lock(file)
        yield


def _lock(file: IO[str]) -> None:
    try:
        import fcntl
    except ImportError as error:  # not a POSIX system
        raise NoNode("this system has no file locks that the test workers could share") from error
    fcntl.flock(file, fcntl.LOCK_EX)
