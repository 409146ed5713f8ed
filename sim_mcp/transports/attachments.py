"""Files inside an output, as MCP content: images, sounds, documents, or links to where they are read.

A file is an object with `name`, `type` and `base64` (what the SIM adapter leaves of SIM's own), or a
text that is a base64 data URI. Its content never stands in what a model reads as JSON.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextResourceContents,
)

from sim_mcp.model.json import Json, JsonObject, is_array, is_object
from sim_mcp.model.pointers import LONGEST_POINTER, at_pointer, below, wrong
from sim_mcp.transports.addresses import file_uri

if TYPE_CHECKING:
    from typing import TypeAlias

    Block: TypeAlias = AudioContent | EmbeddedResource | ImageContent | ResourceLink

MOST_ATTACHED_BYTES = 256 * 1024
"""After decoding, for all files of a result together."""
MOST_TEXT_BYTES = 20_000
"""A longer text file is attached as bytes, which clients keep out of what the model reads."""
MOST_FILES = 20
UNKNOWN_TYPE = "application/octet-stream"

_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")
_DATA_URI = re.compile(r"data:([^,;\s]{1,200})((?:;[^,;\s]{1,200}){0,9});base64,", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff/\\]+"
)
_LONGEST_NAME = 100
_LONGEST_ADDRESS = 2_000
_SIGNATURES = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
}
"""The images that assistants can see, by how they begin: one that is none breaks the chat in some clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of an output. `content` is its base64, `path` the JSON pointer to it."""

    path: str
    name: str
    media_type: str
    content: str

    @property
    def size_bytes(self) -> int:
        """After decoding."""
        return len(self.content) // 4 * 3 - self.content[-2:].count("=")


@dataclass(slots=True, kw_only=True)
class Attachments:
    """What stands beside an output: content blocks, and one phrase about each file."""

    blocks: list[Block] = field(default_factory=list["Block"])
    phrases: list[str] = field(default_factory=list[str])
    attached_bytes: int = 0
    left_out: int = 0


def may_have_files(text: str) -> bool:
    """Whether an output that is `text` as JSON is worth looking through."""
    return '"base64"' in text or ";base64," in text.lower() or '"https://' in text.lower()


def detached(output: Json, execution_id: str) -> tuple[Json, Attachments]:
    """`output` with its files' content replaced by notes of it, and the files as MCP content.

    Small files (together `MOST_ATTACHED_BYTES`) are attached, larger ones linked to where they are read,
    and files that an author put elsewhere (an object with `name`, media type and an https `url`) are linked
    there. After `MOST_FILES` the rest is only counted.
    """
    found = Attachments()
    return _without(output, "", "", found, execution_id), found


def file_at(output: Json, path: str) -> File:
    """The file at `path` of `output`.

    Raises:
        InvalidInput: Nothing is there, or no file.
    """
    value = at_pointer(output, path)
    file = _file_of(value, path, "")
    if file is None:
        raise wrong("file", "must lead to a file: an object with base64 content, or a base64 data URI")
    return file


def blob_of(file: File, uri: str) -> BlobResourceContents:
    """The content of `file` as it stands at `uri`."""
    return BlobResourceContents(uri=uri, mime_type=file.media_type, blob=file.content)


def _without(value: Json, path: str, name: str, found: Attachments, execution_id: str) -> Json:
    """`value` without the content of files; `name` is what a data URI in it would be called."""
    file = _file_of(value, path, name)
    if file is not None:
        note = _attach(file, found, execution_id)
        if not is_object(value):
            return note
        return {
            key: note if key == "base64" else _without(item, below(path, key), "", found, execution_id)
            for key, item in value.items()
        }
    if is_array(value):
        return [_without(item, below(path, at), name, found, execution_id) for at, item in enumerate(value)]
    if is_object(value):
        _link(value, found)
        own = value.get("name")
        called = own if isinstance(own, str) else ""
        return {
            key: _without(item, below(path, key), called or key, found, execution_id)
            for key, item in value.items()
        }
    return value


def _file_of(value: Json, path: str, name: str) -> File | None:
    if is_object(value):
        content, own, media_type = value.get("base64"), value.get("name"), value.get("type")
        if not (isinstance(content, str) and isinstance(own, str) and isinstance(media_type, str)):
            return None
    elif isinstance(value, str) and (start := _DATA_URI.match(value)) is not None:
        content, own, media_type = value[start.end() :], name, start.group(1)
    else:
        return None
    if len(content) % 4 or not _BASE64.fullmatch(content):
        return None
    return File(path=path, name=_tidy(own), media_type=_media_type(media_type), content=content)


def _attach(file: File, found: Attachments, execution_id: str) -> str:
    """Put `file` beside the output, and say in its place what became of it."""
    what = f"{file.size_bytes} bytes of {file.media_type}"
    if len(found.blocks) >= MOST_FILES:
        found.left_out += 1
        return f"… {what}, not attached"
    if found.attached_bytes + file.size_bytes <= MOST_ATTACHED_BYTES:
        found.attached_bytes += file.size_bytes
        found.blocks.append(_content(file, execution_id))
        how = "attached"
    elif len(file.path) <= LONGEST_POINTER:
        found.blocks.append(_own_link(file, execution_id))
        how = "linked"
    else:
        found.left_out += 1
        return f"… {what}, not attached"
    found.phrases.append(f"{file.name!r} ({what}) is {how}")
    return f"… {what}, {how}"


def _content(file: File, execution_id: str) -> Block:
    begins = base64.b64decode(file.content[:64])
    if begins.startswith(_SIGNATURES.get(file.media_type, ())) and (
        begins[:4] != b"RIFF" or begins[8:12] == b"WEBP"
    ):
        return ImageContent(type="image", data=file.content, mime_type=file.media_type)
    if file.media_type.startswith("audio/"):
        return AudioContent(type="audio", data=file.content, mime_type=file.media_type)
    uri = file_uri(execution_id, file.path)
    text = _text_of(file)
    if text is None:
        return EmbeddedResource(type="resource", resource=blob_of(file, uri))
    return EmbeddedResource(
        type="resource", resource=TextResourceContents(uri=uri, mime_type=file.media_type, text=text)
    )


def _text_of(file: File) -> str | None:
    is_text = file.media_type.startswith("text/") or file.media_type == "application/json"
    if not is_text or file.size_bytes > MOST_TEXT_BYTES:
        return None
    try:
        text = base64.b64decode(file.content).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return None if "\x00" in text else text


def _own_link(file: File, execution_id: str) -> ResourceLink:
    return ResourceLink(
        type="resource_link",
        uri=file_uri(execution_id, file.path),
        name=file.name,
        mime_type=file.media_type,
        size=file.size_bytes,
    )


def _link(value: JsonObject, found: Attachments) -> None:
    """Link a file that its author put on the web; the object itself stays as it is."""
    url, name = value.get("url"), value.get("name")
    kind = next((value[key] for key in ("type", "mime", "mimeType", "mime_type") if key in value), None)
    if not (isinstance(url, str) and isinstance(name, str) and isinstance(kind, str)):
        return
    media_type = _media_type(kind)
    if media_type == UNKNOWN_TYPE or not _is_open(url) or len(found.blocks) >= MOST_FILES:
        return
    found.blocks.append(ResourceLink(type="resource_link", uri=url, name=_tidy(name), mime_type=media_type))


def _is_open(url: str) -> bool:
    """Whether a person's client could fetch `url`: https, no login in it, and not SIM's storage (401)."""
    if not url.startswith("https://") or len(url) > _LONGEST_ADDRESS or "/api/files/" in url:
        return False
    host = re.split("[/?#]", url[8:], maxsplit=1)[0]
    return bool(host) and "@" not in host and re.fullmatch(r"[\x21-\x7e]+", url) is not None


def _media_type(said: str) -> str:
    """`said` without parameters, if it is a media type (RFC 6838)."""
    media_type = said.partition(";")[0].strip().lower()
    return media_type if _MEDIA_TYPE.fullmatch(media_type) else UNKNOWN_TYPE


def _tidy(name: str) -> str:
    """A file's name without folders and without characters that steer or hide text."""
    return _UNPRINTABLE.sub(" ", name).strip(" .")[:_LONGEST_NAME] or "file"
