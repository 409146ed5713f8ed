"""The servers that ours is measured against; each does the same POST to the same upstream.

Run: `python -m benchmarks.rivals KIND UPSTREAM_PORT [TOOLS]`; prints its port once it serves.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from benchmarks.upstream import WORKFLOW_ID

Post = Callable[[str, bytes], Awaitable[bytes]]
HEADERS = {"X-API-Key": "sk-sim-benchmark-only", "Content-Type": "application/json"}


def url_of(port: int) -> str:
    """The run that everybody starts."""
    return f"http://127.0.0.1:{port}/api/v2/workflows/{WORKFLOW_ID}/execute"


def floor(post: Callable[[], Any], url: str) -> Any:
    """A bare ASGI application: reads the message, posts its arguments, answers; no protocol, no checks."""
    poster: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            return
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        if not poster:
            poster.append(post())
        message = json.loads(body)
        answer = await poster[0](url, json.dumps({"input": message["params"]["arguments"]}).encode())
        text = json.dumps(json.loads(answer)["data"]["output"])
        result = {"content": [{"type": "text", "text": text}], "isError": False}
        reply = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(reply))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    return app


def httpx_post() -> Post:
    """By httpx with its own pool, as an author would write it."""
    import httpx

    client = httpx.AsyncClient(headers=HEADERS, timeout=60, limits=httpx.Limits(max_connections=None))

    async def post(url: str, body: bytes) -> bytes:
        return (await client.post(url, content=body)).content

    return post


def aiohttp_post() -> Post:
    """By aiohttp: the limit of this stack."""
    import aiohttp

    session = aiohttp.ClientSession(headers=HEADERS, connector=aiohttp.TCPConnector(limit=0))

    async def post(url: str, body: bytes) -> bytes:
        async with session.post(url, data=body) as answer:
            return await answer.read()

    return post


def sdk_low_level(url: str, *, tools: int = 1) -> Any:
    """The SDK's low-level server, answering as JSON: its fastest way; `tools` is how many it lists."""
    import mcp.types as t
    from mcp.server.lowlevel import Server
    from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
    from starlette.applications import Starlette
    from starlette.routing import Route

    schema = {"type": "object", "properties": {"employee": {"type": "string"}}}
    post: list[Post] = []

    async def list_tools(_ctx: Any, _params: Any) -> t.ListToolsResult:
        names = ["echo", *(f"echo_{number}" for number in range(1, tools))]
        listed = [t.Tool(name=name, description="Answers at once.", input_schema=schema) for name in names]
        return t.ListToolsResult(tools=listed)

    async def call_tool(_ctx: Any, params: Any) -> t.CallToolResult:
        if not post:
            post.append(httpx_post())
        answer = await post[0](url, json.dumps({"input": params.arguments}).encode())
        text = json.dumps(json.loads(answer)["data"]["output"])
        return t.CallToolResult(content=[t.TextContent(type="text", text=text)])

    server = Server("bare", on_list_tools=list_tools, on_call_tool=call_tool)
    manager = StreamableHTTPSessionManager(server, json_response=True, security_settings=None)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        async with manager.run():
            yield

    return Starlette(routes=[Route("/mcp", StreamableHTTPASGIApp(manager))], lifespan=lifespan)


def sdk_server(url: str) -> Any:
    """The SDK's own server as its guide shows it."""
    from mcp.server import MCPServer

    server = MCPServer("bare", log_level="ERROR")
    post: list[Post] = []

    @server.tool()
    async def echo(employee: str) -> str:
        """Echo."""
        if not post:
            post.append(httpx_post())
        answer = await post[0](url, json.dumps({"input": {"employee": employee}}).encode())
        return json.dumps(json.loads(answer)["data"]["output"])

    return server.streamable_http_app()


def fastmcp_openapi(port: int) -> Any:
    """FastMCP's provider of tools from an OpenAPI document. Run by an interpreter that has it."""
    fastmcp: Any = importlib.import_module("fastmcp")
    httpx: Any = importlib.import_module("httpx2")  # its own client library since its version 4

    body = {
        "content": {
            "application/json": {"schema": {"type": "object", "properties": {"input": {"type": "object"}}}}
        }
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "sim", "version": "1"},
        "paths": {
            f"/api/v2/workflows/{WORKFLOW_ID}/execute": {
                "post": {
                    "operationId": "echo",
                    "requestBody": body,
                    "responses": {"200": {"description": "The run."}},
                }
            }
        },
    }
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=HEADERS, timeout=60)
    server = fastmcp.FastMCP.from_openapi(openapi_spec=document, client=client)
    return server.http_app(path="/mcp", stateless_http=True, json_response=True)


def application(kind: str, port: int, tools: int) -> Any:
    """The server of that kind in front of the upstream at `port`; so many tools, where it can have more."""
    url = url_of(port)
    match kind:
        case "floor-httpx":
            return floor(httpx_post, url)
        case "floor-aiohttp":
            return floor(aiohttp_post, url)
        case "sdk-low-level":
            return sdk_low_level(url, tools=tools)
        case "sdk":
            return sdk_server(url)
        case "fastmcp":
            return fastmcp_openapi(port)
        case _:
            raise SystemExit(f"no server {kind!r}")


async def main(kind: str, port: int, tools: int = 1) -> None:
    """Serve until killed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as for ours: no 40 ms in any answer
    config = uvicorn.Config(
        application(kind, port, tools), log_level="error", access_log=False, lifespan="on"
    )
    print(listener.getsockname()[1], flush=True)
    await uvicorn.Server(config).serve([listener])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
