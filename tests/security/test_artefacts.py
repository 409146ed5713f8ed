"""The search of what tests leave behind finds what somebody plants there, and fails the session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.artefacts import LARGEST_BYTES, PIECE_BYTES, keys_in
from tests.leaks import ACME_KEY
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.requirement("R31", "R60")

ROOT = Path(__file__).parents[2]
LEAKING = f"""
def test_leaves_a_database(tmp_path):
    (tmp_path / "data.db").write_bytes(b"x" * 70_000 + {ACME_KEY.encode()[:5]!r} + {ACME_KEY.encode()[5:]!r})
"""
PRINTING = f"""
def test_prints():
    print({ACME_KEY[:5]!r} + {ACME_KEY[5:]!r})
"""


def session(folder: Path, test: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A test session of its own with one test in it; its folders stand where our own search passes by."""
    (folder / "test_one.py").write_text(test, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.artefacts", "-p", "no:cacheprovider"]
    command += [f"--basetemp={folder / 'left'}", f"--rootdir={folder}", "-c", "/dev/null", *options]
    return subprocess.run(
        [*command, str(folder / "test_one.py")],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd=ROOT,
        check=False,
    )


@pytest.mark.parametrize("options", [("-n0",), ("-n1",)], ids=["in one process", "in workers"])
def test_a_key_in_any_file_fails_the_session(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Though the test itself passed."""
    ended = session(tmp_path, LEAKING, *options)
    (left,) = (tmp_path / "left").rglob("data.db")
    left.unlink()  # our own session is searched as well
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED, ended.stdout
    assert "1 passed" in ended.stdout
    assert "data.db" in ended.stdout
    assert ACME_KEY not in ended.stdout


def test_a_key_that_is_printed_fails_its_test(tmp_path: Path) -> None:
    """What a test prints is kept by whoever builds."""
    assert session(tmp_path, PRINTING, "-n0").returncode == pytest.ExitCode.TESTS_FAILED


def test_a_session_without_keys_is_left_alone(tmp_path: Path) -> None:
    """It ends as its tests did."""
    assert session(tmp_path, "def test_nothing(tmp_path): (tmp_path / 'x').touch()", "-n0").returncode == 0


def test_the_search_knows_where_keys_may_be(tmp_path: Path) -> None:
    """Somebody's own settings; over the border of two pieces; not in what is too large to be read."""
    at = tmp_path / "over-the-border"
    at.write_bytes(b"x" * (PIECE_BYTES - 3) + ACME_KEY.encode())
    (tmp_path / "sim-mcp.toml").write_text(ACME_KEY, encoding="utf-8")
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(LARGEST_BYTES + 1)
    assert [each.partition(":")[0] for each in keys_in(tmp_path)] == ["over-the-border"]
    for path in tmp_path.iterdir():
        path.unlink()
