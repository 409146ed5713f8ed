"""The exchanges that were recorded from a real SIM, and the shape of an answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

FOLDER = Path(__file__).parents[3] / "shared" / "sim-transcripts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What the real server answered."""

    status: int
    headers: dict[str, str]
    body: Any


def recorded(number: str) -> Recording:
    """The recording whose file name starts with `number`; skips when the recordings are not here."""
    if not FOLDER.is_dir():
        pytest.skip("the recorded exchanges are not part of the project")
    found = sorted(FOLDER.glob(f"{number}-*.json"))
    assert found, f"no recording {number}"
    response: dict[str, Any] = json.loads(found[0].read_text("utf-8"))["response"]
    body = response["body"]
    return Recording(
        status=response["status"],
        headers={name.lower(): value for name, value in response["headers"].items()},
        body=parsed(body) if isinstance(body, str) else body,
    )


def parsed(text: str) -> Any:
    """JSON when the text is JSON, a list of frames when it is a stream, else the text."""
    if text.startswith("data: "):
        return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    try:
        return json.loads(text)
    except ValueError:
        return text


def shape(value: Any, *, open_at: frozenset[str] = frozenset()) -> Any:
    """Keys and types of `value`, recursively.

    `open_at` names members whose content is the workflow author's (`output`, `result`, …): only their type
    counts. A list is the shape of its first item.
    """
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {
            name: _kind(each) if name in open_at else shape(each, open_at=open_at)
            for name, each in sorted(members.items())
        }
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [shape(items[0], open_at=open_at)] if items else []
    return _kind(value)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
