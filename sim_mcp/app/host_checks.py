"""Findings about the machine: the programs, the directory, the key file, the spec files, the clock.

Blocking, quick, and without a network. Nothing here creates or changes anything.
"""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

from sim_mcp.catalog import SpecSet, read_specs
from sim_mcp.config import Settings
from sim_mcp.gateway import halves
from sim_mcp.model.check import Check
from sim_mcp.model.errors import InvalidInput
from sim_mcp.store import load_or_create_key_file, parse_keys

_OLDEST_PYTHON = (3, 11)
_DISTRIBUTION = "sim-mcp"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*([^;]*)(;.*)?")
_CLOCK_SLACK = timedelta(hours=1)


def python() -> Iterator[Check]:
    """The interpreter and its SQLite."""
    said = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()}"
    if sys.version_info < _OLDEST_PYTHON:
        yield Check.failure("python", f"{said}.", remedy="install Python 3.11 or newer")
    else:
        yield Check.ok("python", f"{said}.")


def packages(distribution: str = _DISTRIBUTION) -> Iterator[Check]:
    """Whether everything that this release needs is installed, in a version that fits."""
    try:
        needed = metadata.requires(distribution) or []
        version = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        yield Check.warning(
            "packages",
            f"The package {distribution!r} is not installed; it runs from its source alone.",
            remedy="install it: `uv sync`, or `pip install sim-mcp`",
        )
        return
    wrong = [fault for line in needed if (fault := _misfit(line)) is not None]
    if wrong:
        yield Check.failure("packages", f"{', '.join(wrong)}.", remedy="install again: `uv sync`")
    else:
        yield Check.ok("packages", f"sim-mcp {version}; every package that it needs fits.")


def data_dir(settings: Settings) -> Iterator[Check]:
    """The directory of the database and the key file."""
    if settings.database_url is not None and settings.encryption_keys is not None:
        return  # nothing lies in it
    name, path = "data_dir", settings.data_dir
    shown = str(path)
    if path.is_dir():
        if not os.access(path, os.W_OK | os.X_OK):
            yield Check.failure(
                name,
                "It cannot be written by this user.",
                remedy="give this user the right to, or name another one in SIM_MCP_DATA_DIR",
                about=shown,
            )
        elif os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o022:
            yield Check.warning(
                name, "Others may write in it.", remedy=f"run `chmod 700 {shown}`", about=shown
            )
        else:
            yield Check.ok(name, "It can be written.", about=shown)
    elif path.exists() or path.is_symlink():
        yield Check.failure(
            name,
            "It is no directory.",
            remedy="move that away, or name another directory in SIM_MCP_DATA_DIR",
            about=shown,
        )
    else:
        nearest = next((each for each in path.absolute().parents if each.exists()), Path(path.anchor))
        if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
            yield Check.ok(name, "It is made at the first start.", about=shown)
        else:
            yield Check.failure(
                name,
                f"It does not exist, and it cannot be made in {str(nearest)!r}.",
                remedy="name another directory in SIM_MCP_DATA_DIR",
                about=shown,
            )


def encryption_key(settings: Settings) -> Iterator[Check]:
    """The key that seals SIM keys: well-formed, and readable by nobody else."""
    name = "encryption_key"
    if settings.encryption_keys is not None:
        try:
            keys = parse_keys(settings.encryption_keys.get_secret_value())
        except InvalidInput as error:
            said, remedy = halves(error)
            yield Check.failure(name, said, remedy=remedy)
        else:
            yield Check.ok(name, f"SIM_MCP_ENCRYPTION_KEYS holds {len(keys)}, the newest first.")
        return
    path, shown = settings.key_file, str(settings.key_file)
    if not path.exists():
        yield Check.ok(name, "The key file is made when it is first needed.", about=shown)
        return
    try:
        load_or_create_key_file(path)
    except InvalidInput as error:
        said, remedy = halves(error)
        yield Check.failure(name, said, remedy=remedy, about=shown)
    except OSError as error:
        said = f"The key file cannot be read: {error.strerror}."
        yield Check.failure(name, said, remedy="give this user the right to read it", about=shown)
    else:
        yield Check.ok(name, "The key file is sound, and its owner's alone.", about=shown)


def spec_files(settings: Settings) -> tuple[list[Check], SpecSet | None]:
    """The directory of spec files as a whole. What is wrong with one tenant's is told with that tenant."""
    name, directory = "tool_specs", settings.tool_specs
    if directory is None:
        return [], None
    shown = str(directory)
    if not directory.is_dir():
        missing = Check.failure(
            name,
            "There is no such directory, so the server refuses to start.",
            remedy="correct SIM_MCP_TOOL_SPECS, or make the directory",
            about=shown,
        )
        return [missing], None
    specs = read_specs(directory)
    found = [
        Check.failure(
            name,
            problem.message if problem.field is None else f"{problem.field}: {problem.message}",
            remedy=f"correct the file; `sim-mcp tools lint {shown}` checks it",
            about=problem.source,
        )
        for problem in specs.problems
        if problem.tenant_id is None and not problem.is_warning
    ]
    counts = ", ".join(f"{len(tools)} of {tenant}" for tenant, tools in specs.tools.items()) or "none"
    found.append(Check.ok(name, f"Sound tools: {counts}.", about=shown))
    return found, specs


def clock(settings: Settings, database: Path | None, now: datetime) -> Iterator[Check]:
    """Whether the clock was set back: then tokens seem valid for too long, and history is out of order."""
    for path in (database, settings.key_file):
        if path is None or not path.exists():
            continue
        written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        if written_at > now + _CLOCK_SLACK:
            yield Check.warning(
                "clock",
                f"{path.name!r} was written at {written_at:%Y-%m-%d %H:%M} UTC; this machine thinks it is "
                f"{now:%Y-%m-%d %H:%M}.",
                remedy="set the clock, best by NTP: tokens and history depend on it",
            )
            return
    yield Check.ok("clock", f"It is {now:%Y-%m-%d %H:%M} UTC.")


def _misfit(requirement: str) -> str | None:
    match = _REQUIREMENT.fullmatch(requirement.strip())
    if match is None or match[3]:  # an extra, or another system's
        return None
    try:
        installed = metadata.version(match[1])
    except metadata.PackageNotFoundError:
        return f"{match[1]} is missing"
    for bound in filter(None, (part.strip() for part in match[2].split(","))):
        operator, wanted = bound[:2].rstrip("0123456789"), bound.lstrip("<>=!~ ")
        if not _holds(operator, _numbers(installed), _numbers(wanted)):
            return f"{match[1]} is {installed}, not {bound}"
    return None


def _holds(operator: str, installed: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    match operator:
        case ">=":
            return installed >= wanted
        case "<":
            return installed < wanted
        case _:
            return True


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
