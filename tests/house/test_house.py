"""The house keeps its shape: budgets, faces, layers, and no forgotten corners."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
CODE = ROOT / "sim_mcp"
MAX_FILE, MAX_CLASS, MAX_FUNCTION, MAX_FACE = 350, 250, 60, 25
FUNCTIONS_UNDER, SHARE = 40, 0.95
FORBIDDEN_NAMES = {"manager", "helper", "helpers", "util", "utils", "common", "misc", "base", "data", "info"}


def modules() -> list[Path]:
    return sorted(CODE.rglob("*.py"))


def nodes(kind: type[ast.AST] | tuple[type[ast.AST], ...]) -> Iterator[tuple[Path, ast.AST]]:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kind):
                yield path, node


def length(node: ast.AST) -> int:
    assert isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def name_of(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'name', '?')}"


def test_no_file_is_longer_than_its_budget() -> None:
    """A file over 350 lines holds more than one noun."""
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in modules()}
    assert {name: size for name, size in lengths.items() if size > MAX_FILE} == {}


def test_no_class_is_longer_than_its_budget() -> None:
    """Houses grow ugly in one way: one class."""
    found = {name_of(path, node): length(node) for path, node in nodes(ast.ClassDef)}
    assert {name: size for name, size in found.items() if size > MAX_CLASS} == {}


def test_no_function_is_longer_than_its_budget() -> None:
    """At most 60 lines, and 95 of 100 stay under 40."""
    found = {
        name_of(path, node): length(node) for path, node in nodes((ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert {name: size for name, size in found.items() if size > MAX_FUNCTION} == {}
    assert sum(size < FUNCTIONS_UNDER for size in found.values()) / len(found) >= SHARE


def test_faces_are_small_and_only_re_export() -> None:
    """A package's `__init__` says what the room offers, and holds no code."""
    for face in CODE.rglob("__init__.py"):
        tree = ast.parse(face.read_text(encoding="utf-8"))
        lines = [line for line in face.read_text(encoding="utf-8").splitlines() if line.strip()]
        assert len(lines) <= MAX_FACE + 15, face  # a sorted `__all__` may take a line each
        allowed = (ast.ImportFrom, ast.Assign, ast.AugAssign, ast.Expr, ast.If)  # `if TYPE_CHECKING`
        assert all(isinstance(node, allowed) for node in tree.body), face


def test_no_module_is_named_after_nothing() -> None:
    """A file called after a noun can be found; one called `utils` cannot."""
    assert [path for path in modules() if path.stem in FORBIDDEN_NAMES] == []


def test_no_unfinished_marks_stand_in_the_code() -> None:
    """What is not done is an issue, not a comment."""
    marks = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    assert [path for path in modules() if marks.search(path.read_text(encoding="utf-8"))] == []


def test_only_the_settings_and_the_edges_read_the_environment() -> None:
    """One class knows the environment; nothing else may depend on it."""
    allowed = {"config.py", "__main__.py"}
    reads = re.compile(r"os\.environ|os\.getenv")
    assert [p for p in modules() if reads.search(p.read_text("utf-8")) and p.name not in allowed] == []


def test_only_the_clock_reads_the_time() -> None:
    """Time is handed in, so that tests decide it."""
    reads = re.compile(
        r"\btime\.(time|monotonic|perf_counter|sleep)\(|datetime\.(now|utcnow)\(|asyncio\.sleep\("
    )
    allowed = {CODE / "model" / "clock.py", *(CODE / "sim" / "fake").glob("*.py")}
    found = [p for p in modules() if p not in allowed and reads.search(p.read_text("utf-8"))]
    assert found == []


def test_sql_stays_in_the_store() -> None:
    """The only SQL is in `store/`."""
    sql = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\b [a-z_*]+")
    found = [p for p in modules() if "store" not in p.parts and sql.search(p.read_text("utf-8"))]
    assert found == []


@pytest.mark.requirement("R4", "R6", "R7", "R65")
def test_arrows_between_rooms_run_down_only() -> None:
    """The import contract of `pyproject.toml` holds."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout


@pytest.mark.requirement("R68", "R67")
def test_the_top_level_holds_what_the_product_names() -> None:
    """Whoever opens the project finds its parts where the design says."""
    names = [
        "pyproject.toml",
        "sim_mcp",
        "tool_specs",
        "tests",
        "claude_desktop_config.example.json",
        "README.md",
    ]
    assert [name for name in names if not (ROOT / name).exists()] == []
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    for package in (
        "mcp",
        "pydantic",
        "httpx",
        "aiosqlite",
        "cryptography",
        "anyio",
        "pytest",
        "inline-snapshot",
    ):
        assert re.search(rf'"{package}[\[>=<]', project), package
