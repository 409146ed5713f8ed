"""What a check-up found: one finding, how bad it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from sim_mcp.model.credentials import without_credentials


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Works now, and will not for long, or not for everybody."""
    FAILURE = "failure"
    SKIPPED = "skipped"
    """Could not be looked at, mostly because of a failure before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding. What looks like a credential is masked in every text of it.

    `name` is stable, for scripts; `about` tells which of several (a tool, a file). Whatever is not
    `ok` has a `remedy`: one sentence that says what to do, and where.
    """

    name: str
    level: Level
    message: str
    remedy: str | None = None
    about: str | None = None

    def __post_init__(self) -> None:
        # A base URL may carry a password, and a person may paste a key anywhere.
        for name in ("message", "remedy", "about"):
            text = getattr(self, name)
            if text is not None:
                object.__setattr__(self, name, without_credentials(text))

    @classmethod
    def ok(cls, name: str, message: str, *, about: str | None = None) -> Self:
        """Nothing to do."""
        return cls(name=name, level=Level.OK, message=message, about=about)

    @classmethod
    def warning(cls, name: str, message: str, *, remedy: str, about: str | None = None) -> Self:
        """Somebody should look at it."""
        return cls(name=name, level=Level.WARNING, message=message, remedy=remedy, about=about)

    @classmethod
    def failure(cls, name: str, message: str, *, remedy: str, about: str | None = None) -> Self:
        """It does not work."""
        return cls(name=name, level=Level.FAILURE, message=message, remedy=remedy, about=about)

    @classmethod
    def skipped(cls, name: str, message: str, *, remedy: str, about: str | None = None) -> Self:
        """Nobody could look."""
        return cls(name=name, level=Level.SKIPPED, message=message, remedy=remedy, about=about)
