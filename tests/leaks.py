"""Looking for secrets where none may be: recognisable ones, and a SIM that says the key in every sentence."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from sim_mcp.telemetry import set_up_logs

PART = 8
"""This many characters of a secret in a row are a leak."""

ACME_KEY = "Zq7w-Kx2vPn9r_Jb4tMd6y"
GLOBEX_KEY = 'Hf3s/Tg8u+Lc5e"Wa1i=Ro0p'
"""Keys that look like nothing known, the second one with what JSON, addresses and base64 spell otherwise."""

_TALK = frozenset(
    ["name", "title", "description", "message", "error", "plan", "blockName", "reason", "content", "label",
     "placeholder", "detail", "details", "text", "displayName", "summary", "hint", "workspaceName"]
)  # fmt: skip
"""Where SIM's answers hold words for people."""


@dataclass(frozen=True, slots=True)
class Watchlist:
    """The secrets of a test by what they are, and all their parts."""

    secrets: Mapping[str, str]
    parts: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        found = {
            secret[at : at + PART]: name
            for name, secret in self.secrets.items()
            for at in range(len(secret) - PART + 1)
        }
        object.__setattr__(self, "parts", found)

    def leaks_in(self, *shown: str | bytes) -> list[str]:
        """Which secrets stand in `shown`, in whole or in part, each with its surroundings."""
        found: list[str] = []
        for each in shown:
            text = each.decode("latin-1") if isinstance(each, bytes) else each
            for part, name in self.parts.items():
                at = text.find(part)
                if at >= 0:
                    found.append(f"{name}: …{text[max(0, at - 60) : at + PART + 20]!r}…")
                    break
        return found


@contextmanager
def all_that_is_logged(caplog: pytest.LogCaptureFixture) -> Generator[Callable[[], str]]:
    """What the product's log says at debug level, and what its loggers said before that masked anything."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    set_up_logs(level="debug", style="text", stream=stream)
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield lambda: stream.getvalue() + caplog.text
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def files_in(folder: Path, *, but: Iterable[str] = ()) -> list[bytes]:
    """The bytes of every file below `folder`, except those of these names."""
    return [
        path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in set(but)
    ]


class Blabber(httpx.AsyncBaseTransport):
    """Passes everything on, and puts the caller's own key into every sentence, page and stream."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange; the answer is read whole."""
        answer = await self._inner.handle_async_request(request)
        body = await answer.aread()
        key = request.headers.get("x-api-key", "")
        kind = answer.headers.get("content-type", "")
        if kind.startswith("application/json"):
            body = json.dumps(_blabbed(json.loads(body), key)).encode()
        elif kind.startswith("text/event-stream"):
            body = _streamed(body.decode(), key).encode()
        else:
            body += f" {key} ".encode()
        headers = {
            name: value
            for name, value in answer.headers.items()
            if name not in {"content-length", "content-encoding"}
        }
        headers |= {"x-request-id": key if key.replace("-", "").isalnum() else "r-1", "server": key}
        return httpx.Response(answer.status_code, headers=headers, content=body)

    async def aclose(self) -> None:
        """Close what is behind."""
        await self._inner.aclose()


def _blabbed(value: Any, key: str, name: str = "") -> Any:
    if isinstance(value, dict):
        return {each: _blabbed(inner, key, each) for each, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_blabbed(each, key, name) for each in cast("list[Any]", value)]
    if isinstance(value, str) and name in _TALK:
        long = "x" * (300 - len(value) - len(key) // 2)  # so that whoever cuts at 300 cuts in the key
        return f"{value} {key} {key}" if len(value) > 100 else f"{value} {key} {long}{key}"
    return value


def _streamed(text: str, key: str) -> str:
    half = len(key) // 2
    frames: list[str] = []
    for line in text.split("\n"):
        if line.startswith("data:") and '"chunk"' in line:
            frame = json.loads(line[5:])
            for piece in (frame["chunk"], f" {key[:half]}", key[half:], " "):
                frames += [f"data: {json.dumps({**frame, 'chunk': piece})}", ""]
        else:
            frames.append(line)
    return "\n".join(frames)
