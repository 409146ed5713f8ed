"""A client's configuration file: read strictly, merged with care, replaced in one step, with a backup.

It belongs to somebody else: every other entry and every unknown key stays, and what cannot be read
without loss (comments, double keys) is not touched.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from sim_mcp.cli.client_entries import KEY_VARIABLE, TOKEN_VARIABLE, Entry
from sim_mcp.cli.clients import Client
from sim_mcp.model.json import Json, JsonObject, is_array, is_object

_LARGEST_BYTES = 64 * 1024 * 1024
_OURS = ("type", "command", "args", "env", "url", "headers")
_BOM = "\ufeff"


class Untouchable(Exception):
    """The file cannot be changed without loss; the message says why, never what is in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFile:
    """A file as it was read: its content and the manner in which it is written.

    `path` is where it really lies, behind every symbolic link.
    """

    path: Path
    original: bytes | None
    content: dict[str, Json]
    indent: str | int = 2
    line_end: str = "\n"
    has_bom: bool = False
    ends_with_line: bool = True

    @classmethod
    def read(cls, path: Path) -> ClientFile:
        """The file at `path`; an empty one when there is none.

        Raises:
            Untouchable: it is no JSON object, or more than JSON.
            OSError: it cannot be read.
        """
        try:
            real = path.resolve()
        except (OSError, RuntimeError):  # RuntimeError before Python 3.13
            raise Untouchable("it is a symbolic link that leads round in a circle") from None
        if not real.exists():
            return cls(path=real, original=None, content={})
        if not real.is_file():
            raise Untouchable("it is no file")
        if real.stat().st_size > _LARGEST_BYTES:
            raise Untouchable("it is larger than 64 MiB")
        original = real.read_bytes()
        try:
            text = original.decode("utf-8")
        except UnicodeDecodeError:
            raise Untouchable("it is not UTF-8 text") from None
        body = text.removeprefix(_BOM)
        indented = re.search(r"^\{\r?\n([ \t]+)\"", body, re.MULTILINE)
        return cls(
            path=real,
            original=original,
            content=_parse(body) if body.strip() else {},
            indent=indented[1] if indented else 2,
            line_end="\r\n" if "\r\n" in body else "\n",
            has_bom=text != body,
            ends_with_line=not body or body.endswith("\n"),
        )

    def with_entry(self, client: Client, entry: Entry) -> ClientFile:
        """The file with `entry` in it; whatever else was there stays.

        Raises:
            Untouchable: the client's own tables are not of the form that it documents.
        """
        content = dict(self.content)
        servers = content.get(client.key, {})
        if not is_object(servers):
            raise Untouchable(f"its {client.key!r} is no object")
        old = servers.get(entry.name)
        content[client.key] = {**servers, entry.name: _merged(old if is_object(old) else {}, entry)}
        if entry.inputs:
            inputs = content.get("inputs", [])
            if not is_array(inputs):
                raise Untouchable("its 'inputs' is no list")
            content["inputs"] = _with_inputs(inputs, entry.inputs)
        return replace(self, content=content)

    def write(self, now: datetime) -> Path | None:
        """Put this file in place of what was read, in one step; the path of the backup, if any was needed.

        The mode stays; a new file is its owner's alone. A crash leaves the old file or the new one.

        Raises:
            Untouchable: somebody changed the file since it was read.
            OSError: the disk refuses.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        backup = None if self.original is None else self._back_up(now)
        draft = self.path.with_name(f".{self.path.name}.sim-mcp-{os.getpid()}.tmp")
        mode, owner = 0o600, None
        if self.original is not None:
            found = self.path.stat()
            mode, owner = stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)
        try:
            _create(draft, self._bytes(), mode, owner)
            self._refuse_if_changed()
            draft.replace(self.path)
        except BaseException:
            if backup is not None:
                backup.unlink(missing_ok=True)
            raise
        finally:
            draft.unlink(missing_ok=True)
        return backup

    def _back_up(self, now: datetime) -> Path:
        stem = f"{self.path.name}.{now:%Y%m%dT%H%M%SZ}"
        for number in range(1, 1000):
            backup = self.path.with_name(f"{stem}{'' if number == 1 else f'-{number}'}.bak")
            with suppress(FileExistsError):
                found = self.path.stat()
                _create(
                    backup,
                    cast("bytes", self.original),
                    stat.S_IMODE(found.st_mode),
                    (found.st_uid, found.st_gid),
                )
                return backup
        raise Untouchable("a thousand backups of this second lie beside it")

    def _refuse_if_changed(self) -> None:
        present = self.path.read_bytes() if self.path.exists() else None
        if present != self.original:
            raise Untouchable("somebody else changed it at the same moment; run it again")

    def _bytes(self) -> bytes:
        text = json.dumps(self.content, ensure_ascii=False, indent=self.indent)
        try:
            text.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which JSON can say and UTF-8 cannot
            text = json.dumps(self.content, ensure_ascii=True, indent=self.indent)
        text = text.replace("\n", self.line_end) + (self.line_end if self.ends_with_line else "")
        return ((_BOM if self.has_bom else "") + text).encode()


def _parse(text: str) -> dict[str, Json]:
    try:
        content: Any = json.loads(text, object_pairs_hook=_without_double_keys)
    except Untouchable:
        raise
    except (ValueError, RecursionError):
        if re.search(r"//|/\*|,\s*[}\]]", text):
            raise Untouchable("it has comments or trailing commas, which would be lost") from None
        raise Untouchable("it is not valid JSON") from None
    if not is_object(content):
        raise Untouchable("it is no JSON object")
    return dict(content)


def _without_double_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Untouchable("it has the same key twice, and one of them would be lost")
    return found


def _merged(old: JsonObject, entry: Entry) -> dict[str, Json]:
    """The new server; unknown keys of the old one stay, and so do further variables and headers."""
    merged: dict[str, Json] = {**entry.server, **{key: old[key] for key in old if key not in _OURS}}
    for table in ("env", "headers"):
        before, now = old.get(table), entry.server.get(table)
        is_same_transport = ("command" in old) == ("command" in entry.server)
        if not is_object(before) or not is_same_transport:
            continue
        # A secret that the person put there is worth more than our reference to one.
        kept = {} if entry.has_secret else {key: before[key] for key in before if key in _SECRETS}
        together = {**before, **(now if is_object(now) else {}), **kept}
        if together:
            merged[table] = together
    return merged


_SECRETS = (KEY_VARIABLE, TOKEN_VARIABLE, "Authorization")


def _with_inputs(present: Sequence[Json], wanted: Sequence[JsonObject]) -> list[Json]:
    known = {str(each.get("id")) for each in present if is_object(each)}
    return [*present, *(dict(each) for each in wanted if each["id"] not in known)]


def _create(path: Path, content: bytes, mode: int, owner: tuple[int, int] | None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if os.name == "posix":
        if owner is not None:
            with suppress(OSError):  # only root can give a file back to its owner
                os.chown(path, *owner)
        path.chmod(mode)
