"""A client that holds an HTTP answer open, in the same process as the server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio

from tests.transports.web import HOST

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message

WITHIN_S = 10


class OpenAnswer:
    """What has arrived of one answer."""

    def __init__(self) -> None:
        self.status = 0
        self.text = ""
        self.is_complete = False
        self.ended = anyio.Event()
        self._news = anyio.Event()

    async def until(self, wanted: str) -> str:
        """All that has arrived, once `wanted` is in it."""
        with anyio.fail_after(WITHIN_S):
            while wanted not in self.text:
                await self._news.wait()
        return self.text

    async def until_ended(self) -> None:
        """Return once the server has ended the answer."""
        with anyio.fail_after(WITHIN_S):
            await self.ended.wait()

    def hear(self, message: Message) -> None:
        """Take a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.text += message.get("body", b"").decode()
            self.is_complete = not message.get("more_body", False)
        self._news.set()
        self._news = anyio.Event()


@asynccontextmanager
async def get(app: ASGIApp, path: str, headers: dict[str, str]) -> AsyncGenerator[OpenAnswer]:
    """GET `path` and keep listening until the block ends; the connection is closed then."""
    answer, left = OpenAnswer(), anyio.Event()
    requests: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
    url = urlsplit(HOST)
    known = {"host": url.netloc, "accept": "text/event-stream"} | headers
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": url.scheme,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in known.items()],
        "server": (url.hostname, url.port),
        "client": ("127.0.0.1", 50000),
        "asgi": {"version": "3.0"},
    }

    async def receive() -> Message:
        if requests:
            return requests.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answer.hear(message)

    async def ask() -> None:
        await app(scope, receive, send)
        answer.ended.set()

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        try:
            yield answer
        finally:
            left.set()
