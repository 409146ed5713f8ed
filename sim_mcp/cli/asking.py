"""Asking the person at the terminal; where there is none, saying what to write instead."""

from __future__ import annotations

import sys

from sim_mcp.cli.exits import Misuse


def is_terminal() -> bool:
    """Whether a person can be asked: both ends are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirmed(question: str, *, is_yes: bool) -> bool:
    """Whether a person, or `--yes`, agrees to `question`.

    Raises:
        Misuse: nobody can be asked and `--yes` was not given.
    """
    if is_yes:
        return True
    if not is_terminal():
        raise Misuse(
            "This changes things and nobody can be asked here.", remedy="look at it first, then add --yes"
        )
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def read_secret(name: str, *, from_stdin: bool) -> str:
    """A secret that is typed without being shown, or with `from_stdin` the whole of standard input.

    Raises:
        Misuse: nothing was given, nobody can be asked, or what was given is no key.
    """
    secret = read_value(name, from_stdin=from_stdin, option="--api-key-stdin")
    if not secret:
        raise Misuse(f"No {name} was given.", remedy="copy one from SIM: Settings, API keys")
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise Misuse(f"The {name} holds blanks or other characters no key has.", remedy="copy it again")
    return secret


def read_value(name: str, *, from_stdin: bool, option: str = "--stdin") -> str:
    """A text that is typed without being shown, or the whole of standard input, without blanks around it.

    Raises:
        Misuse: nobody can be asked.
    """
    if from_stdin:
        return sys.stdin.read().strip()
    if not is_terminal():
        raise Misuse(f"The {name} cannot be asked for here.", remedy=f"pipe it in, with {option}")
    from getpass import getpass

    return getpass(f"{name} (not shown): ", stream=sys.stderr).strip()
