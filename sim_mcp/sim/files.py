"""Files in a run's input: what SIM accepts of them, checked before anything is sent (sim-api 1.5)."""

from __future__ import annotations

import re

from sim_mcp.model.errors import Fault, InvalidInput, PayloadTooLarge
from sim_mcp.model.json import Json, JsonObject, is_array, is_object
from sim_mcp.sim.parsing import text_at

MAX_FILE_BYTES = 20 * 1024 * 1024
"""After decoding, per file."""

_DATA_URI = re.compile(r"data:[^,;\s]+(?:;[^,;\s]+)*;base64,")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def files_in(arguments: JsonObject, file_fields: tuple[str, ...]) -> dict[str, Json]:
    """The fields of `arguments` that carry files."""
    return {name: arguments[name] for name in file_fields if arguments.get(name) not in (None, [], "")}


def check_files(files: dict[str, Json]) -> None:
    """Check every file of every field.

    SIM ignores a malformed file silently, or hands the raw object to the workflow (sim-api 12.11).

    Raises:
        InvalidInput: An item is not a file object; each fault with its path.
        PayloadTooLarge: A file is larger than `MAX_FILE_BYTES` once decoded.
    """
    faults: list[Fault] = []
    for name, value in files.items():
        if not is_array(value):
            faults.append(Fault(f"$.{name}", "must be an array of file objects"))
            continue
        for index, item in enumerate(value):
            fault = _fault_of(item)
            if fault:
                faults.append(Fault(f"$.{name}[{index}]", fault))
    if faults:
        first = faults[0]
        raise InvalidInput(f"A file is not usable: {first.path} {first.message}.", faults=tuple(faults))


def _fault_of(item: Json) -> str | None:
    if not is_object(item):
        return "must be an object with `type`, `data`, `name` and `mime`"
    missing = [key for key in ("type", "data", "name", "mime") if not text_at(item, key)]
    if missing:
        return f"lacks {', '.join(missing)}"
    data = text_at(item, "data")
    match item.get("type"):
        case "file":
            return _fault_of_content(data)
        case "url":
            return None if data.startswith("https://") else "must have an https address in `data`"
        case _:
            return "must have the `type` `file` or `url`"


def _fault_of_content(data: str) -> str | None:
    prefix = _DATA_URI.match(data)
    if prefix is None:
        return "must have `data` of the form `data:<mime>;base64,<content>`"
    content = data[prefix.end() :]
    if len(content) % 4 or not _BASE64.fullmatch(content):
        return "has `data` that is not valid base64"
    size_bytes = len(content) // 4 * 3 - content[-2:].count("=")
    if size_bytes > MAX_FILE_BYTES:
        limit = MAX_FILE_BYTES // (1024 * 1024)
        raise PayloadTooLarge(f"A file is larger than the {limit} MB that SIM accepts; send a smaller one.")
    return None
