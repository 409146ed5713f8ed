"""One store in one file. The contract tests know only its face: another database is another parameter."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.store import Store
from tests.postgres import Server
from tests.store.rows import opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database file of this test is, or will be."""
    return tmp_path / "data" / "sim-mcp.db"


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, path: Path) -> Path | str:
    """Where an empty store may be opened, several times at once: a file, and a URL of PostgreSQL."""
    if request.param == "sqlite":
        return path
    server: Server = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
async def store(place: Path | str, clock: ManualClock) -> AsyncGenerator[Store]:
    """An empty store on each database that this release serves."""
    async with opened(place, clock=clock) as opened_store:
        yield opened_store
