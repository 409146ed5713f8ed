"""What several of these tests stand on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.transports.web import Web, open_web


@pytest.fixture
async def web(tmp_path: Path) -> AsyncGenerator[Web]:
    """Two tenants, each with a tool, behind the product's own server."""
    async with open_web(tmp_path, has_tools=True) as opened:
        for tenant in ("acme", "globex"):
            await opened.allow(tenant, "echo")
        yield opened
