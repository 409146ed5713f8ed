"""The demo's promises: each is shown as it is checked, and remembered for the verdict."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim_mcp.cli.exits import root_of
from sim_mcp.cli.printing import safe
from sim_mcp.model.json import Json

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One thing that was to be so, in which step, and whether it was."""

    step: str
    text: str
    is_kept: bool


class Ledger:
    """Keeps the promises. With a console it tells each step as it happens."""

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._step = ""
        self._number = 0
        self._said: list[str] = []
        self.promises: list[Promise] = []

    @contextmanager
    def step(self, title: str) -> Generator[None]:
        """Everything promised inside belongs to `title`. What fails inside is a broken promise, no crash."""
        self._step = title
        self._number += 1
        self._print(f"\n{self._number}. {title}", style="bold cyan")
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the verdict names it, and the tour goes on
            cause = root_of(error)
            self.promise(f"the step goes through ({type(cause).__name__}: {cause})", is_kept=False)

    def tell(self, text: str) -> None:
        """Show what was seen."""
        self._said.append(text)
        self._print(f"   {safe(text)}")

    def promise(self, text: str, *, is_kept: bool) -> None:
        """Note whether what `text` says is so."""
        self._said.append(text)
        text = safe(text)
        self.promises.append(Promise(step=self._step, text=text, is_kept=is_kept))
        self._print(f"   {self._mark(is_kept=is_kept)} {text}", style="green" if is_kept else "bold red")

    def has_said(self, secret: str) -> bool:
        """Whether `secret` was shown in some step."""
        return any(secret in text for text in self._said)

    @property
    def broken(self) -> tuple[Promise, ...]:
        """The promises that were not kept."""
        return tuple(promise for promise in self.promises if not promise.is_kept)

    def to_json(self) -> list[Json]:
        """Every promise as data."""
        return [
            {"step": promise.step, "promise": promise.text, "kept": promise.is_kept}
            for promise in self.promises
        ]

    def _mark(self, *, is_kept: bool) -> str:
        fancy = self._console is not None and self._console.encoding.lower().startswith("utf")
        if is_kept:
            return "\N{CHECK MARK}" if fancy else "ok"
        return "\N{BALLOT X}" if fancy else "BROKEN"

    def _print(self, text: str, *, style: str = "") -> None:
        if self._console is not None:
            self._console.print(text, style=style, markup=False, highlight=False, emoji=False)
