"""People at the setup page: a SIM with several workspaces, and a browser without a browser."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any

import httpx

from sim_mcp.model.integration import Integration
from sim_mcp.sim.fake import FakeSim, demo_account

KEY = demo_account("acme").api_key
OTHER_KEY = demo_account("globex").api_key
WORKSPACES = (("ws-1", "Marketing"), ("ws-2", "Finance <b>&</b> controlling"))
OUR_FORM = {"origin": "null", "sec-fetch-site": "same-origin"}
"""What a browser says about a form of a page whose referrer policy is `no-referrer`."""


@dataclass(slots=True)
class Network(httpx.AsyncBaseTransport):
    """The way to the fake SIM: may be cut, may show further workspaces, knows where every key went."""

    sim: FakeSim
    workspaces: tuple[tuple[str, str], ...] = ()
    is_cut: bool = False
    sent: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    closed: int = 0

    def of(self, integration: Integration) -> httpx.AsyncBaseTransport:
        """The same way for everybody."""
        del integration
        return self

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append((request.url.host, request.headers["x-api-key"]))
        if self.is_cut:
            raise httpx.ConnectError("no route", request=request)
        response = await self.sim.transport().handle_async_request(request)
        if self.workspaces and request.url.path == "/api/v2/workspaces" and response.status_code == 200:
            listed = [{"id": each, "name": name} for each, name in self.workspaces]
            return httpx.Response(200, json={"data": listed, "nextCursor": None}, request=request)
        return response

    async def aclose(self) -> None:
        self.closed += 1


@dataclass(slots=True, kw_only=True)
class Visitor:
    """A browser of few parts: keeps the cookie and the hidden field, sends forms, remembers what came."""

    client: httpx.AsyncClient
    url: str
    csrf: str = ""
    cookies: dict[str, str] = field(default_factory=dict[str, str])
    seen: list[httpx.Response] = field(default_factory=list[httpx.Response])

    async def open(self, **more: Any) -> httpx.Response:
        """GET the link."""
        return self._remember(await self.client.get(self.url, headers=self._headers(more), **more))

    async def send(self, **fields: str) -> httpx.Response:
        """Send the form that was shown, with these fields filled in."""
        return await self.post({"csrf": self.csrf, **fields})

    async def post(self, content: dict[str, str] | bytes, **more: Any) -> httpx.Response:
        """POST anything."""
        body: dict[str, Any] = {"content": content} if isinstance(content, bytes) else {"data": content}
        headers = {**OUR_FORM, **self._headers(more)}
        return self._remember(await self.client.post(self.url, headers=headers, **body, **more))

    def _headers(self, more: dict[str, Any]) -> dict[str, str]:
        self.client.cookies.clear()
        pairs = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        known: dict[str, str] = {"cookie": pairs} if pairs else {}
        return {**known, **more.pop("headers", {})}

    def _remember(self, response: httpx.Response) -> httpx.Response:
        self.seen.append(response)
        self.cookies |= dict(response.cookies)
        found = re.search(r'name="csrf" value="(\w+)"', response.text)
        self.csrf = found[1] if found else self.csrf
        return response


def said(response: httpx.Response) -> list[str]:
    """What a page says to somebody who reads it: its texts in order, long ones in lines."""
    body = re.sub(r"<style>.*?</style>", "", response.text, flags=re.DOTALL)
    texts = re.sub(r"<[^>]+>", "\n", body.partition("<body>")[2]).splitlines()
    return [line for text in texts if text.strip() for line in wrap(html.unescape(text.strip()), 90)]
