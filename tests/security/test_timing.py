"""The time that a refusal takes tells nothing about the secret that was guessed."""

from __future__ import annotations

import ast
import hmac
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sim_mcp.model.errors import Unauthorized
from sim_mcp.triggers import signatures
from sim_mcp.triggers.signatures import check_signature, sign

pytestmark = pytest.mark.requirement("R60")

ROOT = Path(__file__).parents[2] / "sim_mcp"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRETIVE = re.compile(r"(^|_)(secret|signature|digest|csrf|hmac|mac|token|password|api_key)($|_)")
HARMLESS = {
    "len",  # a length is no secret
    "digest_of_text",  # of a tool's words, which its tenant may read
}


def _names(node: ast.expr) -> str:
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
        case ast.Call():
            return _names(node.func)
        case _:
            return ""


def test_no_secret_is_compared_character_by_character() -> None:
    """`==` between two values of which one is named like a secret; a constant is no guess."""
    found: list[str] = []
    for path in sorted(ROOT.rglob("*.py")):
        if "fake" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
                continue
            sides = [node.left, *node.comparators]
            if any(isinstance(each, ast.Constant) for each in sides):
                continue
            if any(SECRETIVE.search(name) for each in sides if (name := _names(each)) not in HARMLESS):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")
    assert found == []


@pytest.mark.parametrize("right", [0, 1, 32, 63, 64])
def test_every_guess_of_a_signature_costs_the_same_work(monkeypatch: pytest.MonkeyPatch, right: int) -> None:
    """However many of its characters are right: one comparison for each candidate, over its whole length."""
    compared: list[tuple[int, int]] = []
    honest: Callable[[bytes, bytes], bool] = hmac.compare_digest

    def counting(wanted: bytes, given: bytes) -> bool:
        compared.append((len(wanted), len(given)))
        return honest(wanted, given)

    monkeypatch.setattr(signatures.hmac, "compare_digest", counting)
    header = sign("s" * 40, b"{}", at=NOW)
    known = header.rpartition("=")[2]
    guess = known[:right] + "".join("0" if each != "0" else "1" for each in known[right:])
    several = f"{header.rpartition('=')[0]}={guess},v1={guess},v1={known}"
    check_signature(several, b"{}", "s" * 40, now=NOW)
    assert compared == [(64, 64)] * 3
    if right < 64:
        with pytest.raises(Unauthorized):
            check_signature(f"{header.rpartition('=')[0]}={guess}", b"{}", "s" * 40, now=NOW)
