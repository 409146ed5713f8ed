"""A database that cannot be used: the server says so in one sentence with a remedy, and touches nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from tests.cli.test_program import environment
from tests.patience import PATIENCE_S
from tests.world import TENANTS, open_world

DATABASE, NOTES = "sim-mcp.db", "sim-mcp-jobs.db"
WITHOUT_ROOTS_RIGHTS = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
"""Root may write everywhere; without these rights it is bound by modes, like everybody."""

Break = Callable[[Path], None]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a server that had some calls of both tenants; copied, never used itself."""
    folder = tmp_path_factory.mktemp("sound") / "data"

    async def fill() -> None:
        async with open_world(folder) as world:
            for tenant in TENANTS:
                await world.allow(tenant, "echo")
                for number in range(30):
                    await world.app.gateway.call(world.call(tenant, "echo", {"text": f"{number:500}"}))

    anyio.run(fill)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Generator[Path]:
    """A copy of it, which may be removed afterwards whatever its modes have become."""
    copy = tmp_path / "data"
    shutil.copytree(sound, copy)
    yield copy
    copy.chmod(0o700)


def garbage(folder: Path) -> None:
    (folder / DATABASE).write_bytes(b"these are a few notes, not a database\n" * 3000)


def broken_header(folder: Path) -> None:
    with (folder / DATABASE).open("r+b") as file:
        file.write(bytes(100))


def cut_in_a_page(folder: Path) -> None:
    path = folder / DATABASE
    os.truncate(path, path.stat().st_size // 2 + 100)


def newer(folder: Path) -> None:
    with closing(sqlite3.connect(folder / DATABASE)) as database:
        database.execute(
            "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (999, '', '', 1)"
        )
        database.commit()


def altered(folder: Path) -> None:
    with closing(sqlite3.connect(folder / DATABASE)) as database:
        database.execute("UPDATE schema_migrations SET checksum = 'another' WHERE version = 1")
        database.commit()


def a_directory(folder: Path) -> None:
    (folder / DATABASE).unlink()
    (folder / DATABASE).mkdir()


def read_only_file(folder: Path) -> None:
    (folder / DATABASE).chmod(0o400)


def read_only_directory(folder: Path) -> None:
    folder.chmod(0o500)


def broken_notes(folder: Path) -> None:
    (folder / NOTES).write_bytes(b"these are a few notes, not a database\n" * 3000)


def notes_are_a_directory(folder: Path) -> None:
    (folder / NOTES).mkdir()


def broken_key(folder: Path) -> None:
    (folder / "encryption.key").write_text("no key\n", "utf-8")


RESTORE = "damaged or is no database: restore it from a backup."


@pytest.mark.requirement("R5", "R63", "F19")
@pytest.mark.parametrize(
    ("break_", "told"),
    [
        (garbage, RESTORE),
        (broken_header, RESTORE),
        (cut_in_a_page, RESTORE),
        (newer, "written by a newer sim-mcp (schema 999, "),
        (altered, "install the release that made it, or restore the file."),
        (a_directory, "check SIM_MCP_DATABASE_URL and the rights on its directory."),
        (read_only_file, "the rights on its directory."),
        (read_only_directory, "give the server write access to its file and directory."),
        (broken_notes, "A damaged file may be deleted while no server runs: no job is lost."),
        (notes_are_a_directory, "see that the disk has space and that the server may write there."),
        (broken_key, "is no key: restore it from a backup."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_database_that_cannot_be_used_ends_the_start_and_stays_as_it_is(
    folder: Path, break_: Break, told: str
) -> None:
    """One sentence, a remedy, exit code 1; no traceback, and not a byte of the files is changed."""
    break_(folder)
    before = prints_of(folder)
    done = started(folder, is_bound=break_ in {read_only_file, read_only_directory})
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    if break_ not in {broken_notes, notes_are_a_directory}:  # there the database is sound, and in use
        assert prints_of(folder) == before


@pytest.mark.requirement("R5", "R63", "F19")
@pytest.mark.parametrize("is_there", [True, False], ids=["as it was left", "not made yet"])
def test_a_full_disk_ends_the_start_with_a_remedy(sound: Path, tmp_path: Path, *, is_there: bool) -> None:
    """On a disk of its own that is really full; what was stored before stays as it was."""
    disk = tmp_path / "disk"
    disk.mkdir()
    space = sum(each.stat().st_size for each in sound.iterdir()) + 32_768 if is_there else 32_768
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={space}", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be made here: mounting is not allowed")
    try:
        if is_there:
            shutil.copytree(sound, disk, dirs_exist_ok=True)
            fill_up(disk / "something else")
        before = prints_of(disk)
        done = started(disk)
        assert done.returncode == 1
        assert "The disk of the database is full: free some space, then try again." in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert not is_there or prints_of(disk) == before
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def fill_up(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def started(folder: Path, *, is_bound: bool = False) -> subprocess.CompletedProcess[str]:
    """`sim-mcp serve` on the data directory, run until it gives up."""
    bound = WITHOUT_ROOTS_RIGHTS if is_bound and os.getuid() == 0 else ()
    if bound and shutil.which(bound[0]) is None:
        pytest.skip("root cannot give up its rights here: there is no setpriv")
    command = [*bound, sys.executable, "-m", "sim_mcp", "serve", "--transport", "http", "--port", "0"]
    return subprocess.run(
        [*command, "--insecure-no-auth"],
        env=environment(SIM_MCP_DATA_DIR=str(folder), SIM_MCP_LOG_LEVEL="error"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def prints_of(folder: Path) -> dict[str, str]:
    """What is in the files that matter; the log beside a database is its own business."""
    names = (DATABASE, NOTES, "encryption.key")
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in names
        if (folder / name).is_file()
    }
