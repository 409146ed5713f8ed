"""The addresses of our MCP resources."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

from sim_mcp.model.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

HISTORY_URI = "sim://history"
HISTORY_APP_URI = "ui://sim/history"
EXECUTION_TEMPLATE = "sim://executions/{execution_id}"
PAGE_TEMPLATE = "sim://executions/{execution_id}{?path,offset,limit}"
"""RFC 6570. `path` is a JSON pointer into the output."""
FILE_TEMPLATE = "sim://executions/{execution_id}{?file}"
"""`file` is a JSON pointer to a file of the output."""
WORKFLOW_TEMPLATE = "sim://workflows/{workflow_id}"

_BROKEN_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def execution_uri(execution_id: str) -> str:
    """Where an execution is read whole."""
    return EXECUTION_TEMPLATE.replace("{execution_id}", execution_id)


def page_uri(execution_id: str, *, path: str, offset: int = 0, limit: int | None = None) -> str:
    """Where a page of an execution's output is read."""
    bound = "" if limit is None else f"&limit={limit}"
    return f"{execution_uri(execution_id)}?path={_quoted(path)}&offset={offset}{bound}"


def file_uri(execution_id: str, path: str) -> str:
    """Where a file of an execution's output is read."""
    return f"{execution_uri(execution_id)}?file={_quoted(path)}"


def fields_of(query: str) -> Mapping[str, str]:
    """The fields of an address's query, decoded. A `+` is a plus (RFC 3986), not a blank.

    Raises:
        InvalidInput: A field stands there twice, or its value is not percent-encoded UTF-8.
    """
    found: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name in found:
            raise InvalidInput(f"The address has {_short(name)!r} twice. Give it once.")
        found[name] = _decoded(name, value)
    return found


def _decoded(name: str, value: str) -> str:
    try:
        decoded = unquote_to_bytes(value.encode()).decode()
    except UnicodeError:
        decoded = None
    if decoded is None or _BROKEN_ESCAPE.search(value) or "#" in value:
        message = f"The value of {_short(name)!r} is not percent-encoded UTF-8 ('%' is %25, '#' is %23)."
        raise InvalidInput(message)
    return decoded


def _quoted(path: str) -> str:
    return quote(path, safe="/", errors="replace")


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:40]}…"
