"""What this SIM keeps in its own storage: values too heavy for an answer, and files (sim-api 1.6, 12.10)."""

from __future__ import annotations

import base64
import json
import struct
import uuid
import zlib
from typing import Any, cast

LARGE_VALUE_BYTES = 8 * 1024 * 1024
"""Values above this leave the answer and are replaced by a reference (sim-api 1.6)."""

MEDIA_TYPES = {"png": "image/png", "wav": "audio/wav", "csv": "text/csv", "pdf": "application/pdf"}


def lightened(value: Any, *, workflow_id: str, run_id: str) -> Any:
    """`value` with whatever is too heavy replaced by references, from the leaves up."""
    if weight_bytes(value) <= LARGE_VALUE_BYTES:
        return value
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        value = {
            name: lightened(each, workflow_id=workflow_id, run_id=run_id) for name, each in members.items()
        }
        if weight_bytes(value) <= LARGE_VALUE_BYTES:
            return value
    kind, preview = "object", None
    if isinstance(value, str):
        kind, preview = "string", value[:20]
    elif isinstance(value, list):
        kind, preview = "array", cast("list[Any]", value)[:1]
    return reference(kind, weight_bytes(value), preview, workflow_id=workflow_id, run_id=run_id)


def weight_bytes(value: Any) -> int:
    """The length of `value` as JSON."""
    return len(json.dumps(value, separators=(",", ":")))


def reference(kind: str, size_bytes: int, preview: Any, *, workflow_id: str, run_id: str) -> dict[str, Any]:
    """What stands in an answer for a value of `kind` that was stored."""
    identity = f"lv_{uuid.uuid5(uuid.NAMESPACE_OID, f'{run_id}/{kind}').hex[:12]}"
    return {
        "__simLargeValueRef": True,
        "version": 1,
        "id": identity,
        "kind": kind,
        "size": size_bytes,
        "key": f"execution/{workflow_id}/{run_id}/large-value-{identity}.json",
        "executionId": run_id,
        "preview": preview,
    }


def manifest(items: int, size_bytes: int, preview: Any, *, workflow_id: str, run_id: str) -> dict[str, Any]:
    """What stands in an answer for an array that was stored in pieces."""
    piece = reference("array", size_bytes, None, workflow_id=workflow_id, run_id=run_id)
    return {
        "__simLargeArrayManifest": True,
        "version": 2,
        "kind": "array",
        "totalCount": items,
        "chunkCount": 1,
        "byteSize": size_bytes,
        "chunks": [{"ref": piece, "count": items, "byteSize": size_bytes}],
        "preview": preview,
    }


def stored_file(name: str, media_type: str, content: bytes, *, public_url: str, key: str) -> dict[str, Any]:
    """A stored file as the answer to an execute shows it, its content included (transcript 431)."""
    return {
        "id": f"file_{uuid.uuid5(uuid.NAMESPACE_OID, key).hex[:16]}",
        "name": name,
        "size": len(content),
        "type": media_type,
        "url": f"{public_url}/api/files/serve/{key.replace('/', '%2F')}",
        "key": key,
        "context": "execution",
        "base64": base64.b64encode(content).decode(),
    }


def without_content(value: Any) -> Any:
    """`value` as later reads show it: only the answer to an execute carries the content of files."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        is_file = "key" in members and "url" in members
        return {
            name: without_content(each)
            for name, each in members.items()
            if not (is_file and name == "base64")
        }
    return [without_content(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value


def document(kind: str, size_bytes: int) -> bytes:
    """The content of a file of `kind` (one of `MEDIA_TYPES`), of about `size_bytes`; it can be opened."""
    filler = b"." * max(0, size_bytes - 100)
    match kind:
        case "png":
            header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
            rows = b"".join(b"\x00" + bytes(32 * (at > line) for at in range(8)) for line in range(8))
            chunks = (
                ("IHDR", header),
                ("tEXt", b"Comment\x00" + filler),
                ("IDAT", zlib.compress(rows)),
                ("IEND", b""),
            )
            return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name.encode(), data) for name, data in chunks)
        case "wav":
            sound = bytes(len(filler) or 8)
            form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8)
            body = b"WAVE" + form + b"data" + struct.pack("<I", len(sound)) + sound
            return b"RIFF" + struct.pack("<I", len(body)) + body
        case "pdf":
            return (
                b"%PDF-1.4\n%"
                + filler
                + b"\ntrailer<</Root<</Type/Catalog/Pages<</Kids[]/Count 0>>>>>>\n%%EOF\n"
            )
        case _:
            return b"month,sales\nJanuary,12\nFebruary,17\n" + filler


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
