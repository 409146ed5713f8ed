"""The database URL: what it may name, and what is said when it names nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import InvalidInput
from sim_mcp.store import Sealer, open_store
from tests.store.rows import KEY

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql+asyncpg://u:hunter2@db/x", "not understood"),
        ("mysql://u:hunter2@db/x", "not understood"),
        ("", "not understood"),
        ("sqlite://", "not understood"),
        ("sqlite:///", "not understood"),
        ("sqlite://hunter2.db", "not understood"),
        ("sqlite:///a\0hunter2.db", "not understood"),
        ("sqlite:///:memory:", "must name a file"),
        ("sqlite:///directory/", "must name a file"),
    ],
)
async def test_a_url_that_names_no_database_is_refused(url: str, told: str) -> None:
    """The message says what to write instead and never repeats the URL, which may hold a password."""
    with pytest.raises(InvalidInput, match=told) as caught:
        async with open_store(url, sealer=Sealer([KEY]), clock=ManualClock(), new_id=lambda: "i"):
            pass
    assert "hunter2" not in caught.value.message


async def test_relative_and_strangely_named_files_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three slashes are relative to the working directory; no character of a name means anything."""
    monkeypatch.chdir(tmp_path)
    for name in ("plain.db", "dir with space/a%20b.db", "what?mode=memory#x.db", "ünïcode.db"):
        url = f"sqlite:///{name}"
        async with open_store(url, sealer=Sealer([KEY]), clock=ManualClock(), new_id=lambda: "i") as store:
            await store.ping()
        assert await anyio.Path(tmp_path / name).is_file()


def test_importing_the_room_loads_no_driver_and_no_cipher() -> None:
    """A server on stdio starts fast: what is heavy is loaded when it is used."""
    code = "import sys, sim_mcp.store; print(*{'aiosqlite', 'sqlite3', 'cryptography'} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30
    )
    assert done.stdout.strip() == ""
