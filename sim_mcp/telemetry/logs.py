"""Logs: to stderr, one line each, as text or JSON, without secrets."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from sim_mcp.model.correlation import ids
from sim_mcp.model.credentials import without_credentials
from sim_mcp.model.facts import BreakerChanged, CallFinished, Fact, RetryScheduled, SettingsChanged, StepTook

log = logging.getLogger("sim_mcp.facts")

_QUIET = (
    "mcp",  # its session manager writes whole session ids at INFO
    "httpx",
    "aiosqlite",
    "sse_starlette",  # at DEBUG it writes every message whole, results of tenants included
    "watchfiles",
)


def set_up_logs(*, level: str, style: str, stream: TextIO | None = None) -> None:
    """Send all logs to `stream` (stderr by default): `style` is `text`, `json` or `auto`.

    Calling it again replaces the earlier set-up. stdout is never touched: on stdio it belongs to
    the protocol.
    """
    target = stream or sys.stderr
    as_json = style == "json" or (style == "auto" and not target.isatty())
    handler = logging.StreamHandler(target)
    handler.setFormatter(_JsonLines() if as_json else _TextLines())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def log_fact(fact: Fact) -> None:
    """An observer that writes each fact as a log line."""
    match fact:
        case CallFinished():
            log.info(
                "call of %s ended %s%s (tenant %s, execution %s, %s)",
                fact.tool_name,
                fact.status.value,
                f" {fact.code.value}" if fact.code else "",
                fact.tenant_id,
                fact.execution_id,
                fact.trigger.value,
            )
        case RetryScheduled():
            log.info(
                "attempt %d did not start (%s); next in %.1f s (tenant %s, execution %s)",
                fact.attempt,
                fact.code.value,
                fact.wait_s,
                fact.tenant_id,
                fact.execution_id,
            )
        case BreakerChanged():
            log.warning("breaker of tenant %s: %s -> %s", fact.tenant_id, fact.before, fact.after)
        case StepTook():
            pass  # four lines for each call would hide the others; metrics and spans tell
        case SettingsChanged():
            log.info("%s of tenant %s changed", fact.kind, fact.tenant_id)


class _TextLines(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        about = " ".join(f"{name}={value}" for name, value in ids().items())
        line = super().format(record)
        return _one_line(without_credentials(f"{line} [{about}]" if about else line))


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, str] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_credentials(record.getMessage()),
            **{name: without_credentials(value) for name, value in ids().items()},
        }
        if record.exc_info:
            line["error"] = without_credentials(self.formatException(record.exc_info))
        return _one_line(json.dumps(line, ensure_ascii=False), spelled=_as_json)


def _as_python(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _as_json(character: str) -> str:
    return json.dumps(character)[1:-1]


def _one_line(text: str, *, spelled: Callable[[str], str] = _as_python) -> str:
    """Line breaks and control characters in a record could forge further records, or steer a terminal.

    Some readers end a line at U+0085 or U+2028 too, which JSON does not escape by itself.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else spelled(each) for each in text)
