"""What SIM keeps in its own storage, told without the way there: large values and files.

No API key opens that storage (sim-api 12.10), so its ids, keys and addresses are of no use to anybody
who is told them, and a reference must never pass for the value. Authors can write objects that look
like SIM's: they are treated alike, as nothing tells them apart.
"""

from __future__ import annotations

import re

from sim_mcp.model.json import Json, JsonObject, is_array, is_object
from sim_mcp.sim.parsing import whole_at

_VALUE, _ARRAY = "__simLargeValueRef", "__simLargeArrayManifest"
_SERVED = "/api/files/serve/"
_SIGNS = (b"__simLarge", b'"url"')
_ESCAPED = b"\\u00"
"""Names of plain letters may be spelt with escapes; SIM does not, but a Response block may."""
_WAY_THERE = frozenset({"id", "url", "key", "context"})
_KIND = re.compile(r"[a-z]{1,20}")
_MOST_BYTES = 2**53


def without_storage(value: Json, raw: bytes) -> tuple[Json, int]:
    """`value`, which was parsed from `raw`, with stand-ins for what SIM keeps, and how many they are.

    A large value becomes `{"truncated": true, "kind", "size_bytes", "preview"}`, with `items` for an
    array that SIM keeps in pieces. A file whose content was sent along keeps `name`, `size`, `type` and
    `base64`; one without becomes a stand-in of the kind `file`, with its `name` and `type`.
    """
    if _ESCAPED not in raw and not any(sign in raw for sign in _SIGNS):
        return value, 0
    teller = _Teller()
    return teller.told(value), teller.stand_ins


class _Teller:
    """Walks one answer. `stand_ins` does not count those inside the previews of others."""

    def __init__(self) -> None:
        self.stand_ins = 0

    def told(self, value: Json) -> Json:
        if is_array(value):
            return [self.told(item) for item in value]
        if not is_object(value):
            return value
        if value.get(_VALUE) is True:
            return self._stand_in(value.get("kind"), _bytes_at(value, "size"), value.get("preview"))
        if value.get(_ARRAY) is True:
            stand_in = self._stand_in("array", _bytes_at(value, "byteSize"), value.get("preview"))
            items = _bytes_at(value, "totalCount")
            return stand_in if items is None else {**stand_in, "items": items}
        if not _is_file(value):
            return {name: self.told(item) for name, item in value.items()}
        if isinstance(value.get("base64"), str):
            return {name: self.told(item) for name, item in value.items() if name not in _WAY_THERE}
        described = self._stand_in("file", _bytes_at(value, "size"), None)
        return {**described, "name": value.get("name"), "type": _text_of(value.get("type"))}

    def _stand_in(self, kind: Json, size_bytes: int | None, preview: Json) -> JsonObject:
        self.stand_ins += 1
        is_known = isinstance(kind, str) and _KIND.fullmatch(kind)
        return {
            "truncated": True,
            "kind": kind if is_known else "value",
            "size_bytes": size_bytes,
            "preview": _Teller().told(preview),
        }


def _is_file(value: JsonObject) -> bool:
    """Whether `value` is one of SIM's stored files: as it is, or as SIM shortens it for display.

    An id, a key, a name and an address alone are no file: projects and tickets of other services have those.
    """
    url = value.get("url")
    if not isinstance(url, str) or not all(isinstance(value.get(key), str) for key in ("id", "name")):
        return False
    is_described = isinstance(value.get("type"), str) and whole_at(value, "size") is not None
    return _SERVED in url or (is_described and isinstance(value.get("key"), str))


def _text_of(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _bytes_at(source: JsonObject, key: str) -> int | None:
    number = whole_at(source, key)
    return number if number is not None and 0 <= number < _MOST_BYTES else None
