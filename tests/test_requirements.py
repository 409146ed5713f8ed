"""Every requirement has a test, and no test names a requirement that does not exist."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.requirements import REQUIREMENTS


def named_by_tests() -> set[str]:
    """All ids in `@pytest.mark.requirement(...)` of the suite, read from its source."""
    names: set[str] = set()
    for path in Path(__file__).parent.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.requirement":
                names |= {
                    arg.value
                    for arg in node.args
                    if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                }
    return names


def test_every_named_requirement_is_a_row() -> None:
    """A test can only prove what is written down."""
    known = set(REQUIREMENTS)
    future = {f"R{number}" for number in range(1, 70)}
    assert named_by_tests() - known - future == set()


def test_every_requirement_of_this_release_is_named_by_a_test() -> None:
    """What no test names is not promised."""
    assert set(REQUIREMENTS) - named_by_tests() == set()
