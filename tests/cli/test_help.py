"""What `--help` says of every verb: only what works in this release."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Invoke

VERBS = (
    (),
    ("demo",),
    ("serve",),
    ("setup",),
    ("call",),
    ("history",),
    ("show",),
    ("doctor",),
    ("sandbox",),
    ("config",),
    ("tools",),
    ("tools", "list"),
    ("tools", "discover"),
    ("tools", "import"),
    ("tools", "apply"),
    ("tools", "export"),
    ("tools", "lint"),
    ("tools", "remove"),
    ("token",),
    ("token", "create"),
    ("token", "list"),
    ("token", "revoke"),
    ("db",),
    ("db", "upgrade"),
    ("db", "check"),
    ("db", "purge"),
    ("keys",),
    ("keys", "rotate"),
)


HELP = Path(__file__).with_name("help.txt")


def test_the_help_of_every_verb_is_what_was_reviewed(invoke: Invoke, request: pytest.FixtureRequest) -> None:
    """A verb or option that comes, goes or is worded anew shows up in review. `--regenerate` writes it."""
    pages: list[str] = []
    for verb in VERBS:
        ended = invoke(*verb, "--help")
        assert (ended.code, ended.err) == (0, "")
        pages.append(ended.out)
    text = "\n".join(pages)
    if request.config.getoption("--regenerate"):
        HELP.write_text(text, encoding="utf-8")
    assert text == HELP.read_text(encoding="utf-8")


@pytest.mark.parametrize("verb", [(), ("tools",), ("token",), ("db",), ("keys",)])
def test_no_verb_means_help(invoke: Invoke, verb: tuple[str, ...]) -> None:
    """Somebody who types the bare name is shown around, on stdout, and nothing failed."""
    ended = invoke(*verb)
    assert ended == invoke(*verb, "--help")
    assert ended.code == 0


def test_the_version_is_one_line(invoke: Invoke) -> None:
    """Scripts read it."""
    ended = invoke("--version")
    assert ended.code == 0
    assert ended.out.split()[0] == "sim-mcp"
    assert len(ended.out.splitlines()) == 1
