"""What the start block makes of a request's input, and what becomes of uploaded files (sim-api 1.5)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Any, cast

from sim_mcp.sim.fake.workflows import InputField

CONTROL_KEYS = frozenset(
    {
        "selectedOutputs",
        "triggerType",
        "stream",
        "useDraftState",
        "inputFromExecutionId",
        "includeFileBase64",
        "base64MaxBytes",
        "workflowStateOverride",
        "deploymentVersionId",
        "triggerBlockId",
        "stopAfterBlockId",
        "runFromBlock",
        "copilotToolCallId",
        "workflowId",
        "parentWorkspaceId",
    }
)
"""Body keys that the legacy dialect takes out of the input."""


class FileRejected(Exception):
    """A file of the input could not be stored; the text is SIM's."""


def resolved(raw: dict[str, Any], fields: Sequence[InputField]) -> dict[str, Any]:
    """Give the declared fields of `raw` their types and add what else was sent.

    A field is looked for in `raw["input"]` first, then at the top. Nothing is required and nothing is
    refused: a value that cannot become its type passes through, a missing one becomes its default.
    """
    inner = raw.get("input")
    wrapped = cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}
    flat = {name: value for name, value in raw.items() if not (name == "input" and wrapped is inner)}
    values = {**flat, **wrapped}
    for each in fields:
        value = values.get(each.name)
        values[each.name] = _coerced(each.default if value is None else value, each.type)
    return values


def unwrapped(raw: dict[str, Any]) -> Any:
    """What the caller meant as input: the content of a lone `input` object, else everything."""
    if set(raw) == {"input"}:
        return raw["input"]
    return raw


def _coerced(value: Any, kind: str) -> Any:
    if kind == "string":
        return _text(value)
    if isinstance(value, str) and kind in {"number", "boolean", "object", "array"}:
        return _parsed(value, kind)
    return value


def _text(value: Any) -> Any:
    if isinstance(value, dict):
        return "[object Object]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return ",".join(str(_text(each)) for each in cast("list[Any]", value))
    return value


def _parsed(text: str, kind: str) -> Any:
    wanted = {"number": (int, float), "boolean": (bool,), "object": (dict,), "array": (list,)}[kind]
    try:
        value: Any = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, bool) and kind == "number":
        return text
    return cast("Any", value) if isinstance(value, wanted) else text


def uploaded(
    raw: dict[str, Any], fields: Sequence[InputField], *, folder: str, ids: Callable[[], str]
) -> dict[str, Any]:
    """Replace the file objects of top-level `file[]` fields with stored files.

    Only the top level is scanned, and only sync and stream runs come here: a wrapped or async file passes
    through raw (sim-api 12.11).

    Raises:
        FileRejected: A data URI could not be decoded.
    """
    names = {each.name for each in fields if each.type == "file[]"}
    values = dict(raw)
    for name in names & set(raw):
        items = raw[name]
        if isinstance(items, list):
            values[name] = [_stored(each, folder, ids) for each in cast("list[Any]", items)]
    return values


def _stored(item: Any, folder: str, ids: Callable[[], str]) -> Any:
    if not isinstance(item, dict):
        return item
    file = cast("dict[str, Any]", item)
    content = str(file.get("data", ""))
    if file.get("type") != "file" or not content.startswith("data:"):
        return file
    name = str(file.get("name", "file"))
    try:
        decoded = base64.b64decode(content.partition("base64,")[2], validate=True)
    except binascii.Error as error:
        raise FileRejected(f"File processing failed: Failed to upload file: {name}") from error
    key = f"{folder}/{ids()}/{name}"
    return {
        "id": f"file_{ids()}",
        "name": name,
        "size": len(decoded),
        "type": file.get("mime", "application/octet-stream"),
        "url": f"http://localhost:3000/api/files/serve/{key.replace('/', '%2F')}",
        "key": key,
        "context": "execution",
        "base64": base64.b64encode(decoded).decode(),
    }
