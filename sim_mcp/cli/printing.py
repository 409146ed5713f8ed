"""What a verb prints: data on stdout, words for people on stderr. Nothing here can move a cursor."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime

from sim_mcp.model.credentials import without_credentials
from sim_mcp.model.json import Json

_WIDEST_CELL = 60


def safe(text: str) -> str:
    """`text` in one line and without control characters: names come from SIM and may carry any."""
    return "".join(each if each.isprintable() else " " if each in "\n\r\t" else "\ufffd" for each in text)


def say(text: str = "") -> None:
    """Print a line of the answer."""
    _write(sys.stdout, text)


def note(text: str) -> None:
    """Print a line for people, beside the answer."""
    _write(sys.stderr, text)


def complain(message: str, *, remedy: str | None = None) -> None:
    """Print an error in one line, and its remedy in another; not a credential that was typed by mistake."""
    note(f"Error: {safe(without_credentials(message)).strip()}")
    if remedy:
        note(f"Fix: {safe(without_credentials(remedy))}")


def print_json(value: Json) -> None:
    """Print `value` as JSON, readable, in whatever encoding the terminal has."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, ensure_ascii=True, indent=2)
    say(text)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print `rows` under `columns`; on a terminal long cells wrap, elsewhere they stay whole."""
    cells = [["" if cell is None else safe(str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _print_rich(columns, cells)
        return
    widths = [
        min(_WIDEST_CELL, max(len(row[at]) for row in [list(columns), *cells])) for at in range(len(columns))
    ]
    for row in [list(columns), *cells]:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def moment(at: datetime | None) -> str | None:
    """`at` in ISO 8601, UTC, to the second."""
    return None if at is None else at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _print_rich(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _write(stream: object, text: str) -> None:
    out = sys.stdout if stream is sys.stdout else sys.stderr
    encoding = out.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), file=out, flush=True)
