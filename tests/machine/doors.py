"""Calls through every door, and what the caller was told, in one form."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import httpx
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ElicitRequestFormParams, ElicitResult

from sim_mcp.model.errors import SimMcpError, UnknownTool
from sim_mcp.model.execution import Call, Trigger
from sim_mcp.sim.fake import workflow_id
from sim_mcp.transports.rest_views import BASE_PATH
from tests.journeys.mcp_clients import HOST, Era
from tests.transports.rest_document import DOCUMENTED

if TYPE_CHECKING:
    from mcp_types import RequestParamsMeta

    from tests.machine.model import Asked, Token
    from tests.machine.world import Town

Form = Literal["result", "protocol", "http", "raised"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a caller was told. `text` is all of it; `http` is the status where the door has one."""

    form: Form
    text: str
    status: str | None = None
    code: str | None = None
    is_retryable: bool = False
    is_error: bool = False
    execution_id: str | None = None
    http: int | None = None


class User:
    """A person before an MCP client: says yes to questions, approves what waits."""

    async def __call__(self, context: object, params: object) -> ElicitResult:
        """Fill in the form."""
        del context
        assert isinstance(params, ElicitRequestFormParams)
        properties = cast("dict[str, dict[str, Any]]", params.requested_schema["properties"])
        filled = {name: True for name, each in properties.items() if each.get("type") == "boolean"}
        return ElicitResult(action="accept", content=cast("Any", filled))


@asynccontextmanager
async def client_of(
    town: Town, token: Token, era: Era, *, user: User | None = None
) -> AsyncGenerator[Client]:
    """An official MCP client at the HTTP door; with a `user` it can ask somebody."""
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    headers = {"authorization": f"Bearer {token.secret}"}
    inner = httpx2.ASGITransport(cast("Any", town.web.application))
    async with (
        httpx2.AsyncClient(transport=inner, headers=headers) as http,
        Client(
            streamable_http_client(f"{HOST}/mcp", http_client=http), mode=era, elicitation_callback=user
        ) as client,
    ):
        yield client


async def mcp_call(client: Client, name: str, arguments: dict[str, Any], *, key: str | None = None) -> Told:
    """One tool call."""
    meta = cast("RequestParamsMeta", {"idempotency_key": key}) if key else None
    try:
        return told_result(await client.call_tool(name, arguments, meta=meta))
    except MCPError as error:
        return told_protocol(error)


def told_result(result: CallToolResult) -> Told:
    """A tool result in the one form."""
    shown: dict[str, Any] = result.structured_content or {}
    error = cast("dict[str, Any]", shown.get("error") or {})
    return Told(
        form="result",
        text=result.model_dump_json(),
        status=shown.get("status"),
        code=error.get("code"),
        is_retryable=bool(error.get("retryable")),
        is_error=bool(result.is_error),
        execution_id=shown.get("execution_id"),
    )


def told_protocol(error: MCPError) -> Told:
    """A JSON-RPC error in the one form."""
    data = cast("dict[str, Any]", error.error.data or {})
    text = json.dumps([error.error.code, error.error.message, data])
    return Told(form="protocol", text=text, code=data.get("code"), is_error=True)


def told_http(answer: httpx.Response) -> Told:
    """A REST answer in the one form."""
    text = f"{dict(answer.headers)} {answer.text}"
    body: Any = answer.json() if answer.content else {}
    shown = cast("dict[str, Any]", body if isinstance(body, dict) else {})
    if answer.is_success:
        return Told(
            form="http",
            http=answer.status_code,
            text=text,
            status=shown.get("status"),
            execution_id=shown.get("jobId") if answer.status_code == 202 else shown.get("id"),
        )
    return Told(
        form="http",
        http=answer.status_code,
        text=text,
        code=shown.get("code"),
        is_error=True,
        execution_id=shown.get("executionId"),
    )


async def rest(town: Town, token: Token, method: str, path: str, **more: Any) -> Told:
    """One REST request; its answer is as the OpenAPI document says."""
    headers = {"authorization": f"Bearer {token.secret}", **more.pop("headers", {})}
    answer = await town.web.client.request(method, BASE_PATH + path, headers=headers, **more)
    DOCUMENTED.check(method, path, answer)
    return told_http(answer)


async def knock_at_mcp(town: Town, token: Token) -> Told:
    """A bare request at the MCP door, for tokens that no client gets in with."""
    headers = {
        "authorization": f"Bearer {token.secret}",
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
    }
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    return told_http(await town.web.client.post(f"{HOST}/mcp", headers=headers, json=body))


async def called(town: Town, asked: Asked) -> Told:
    """Make the call through its door."""
    if not asked.token.is_good(town.clock.now()) and asked.door != "core":
        if asked.door.startswith("rest"):
            return await _rest_call(town, asked)
        return await knock_at_mcp(town, asked.token)
    match asked.door:
        case "rest" | "rest async":
            return await _rest_call(town, asked)
        case "core":
            return await _core_call(town, asked)
        case _:
            return await _mcp_call(town, asked)


async def _mcp_call(town: Town, asked: Asked) -> Told:
    era: Era = "legacy" if "legacy" in asked.door else "auto"
    user = User() if "user" in asked.door else None
    name, arguments = asked.tool, asked.arguments
    if "fallback" in asked.door:
        name, arguments = "sim_call_tool", {"name": name, "arguments": arguments}
    async with client_of(town, asked.token, era, user=user) as client:
        return await mcp_call(client, name, arguments, key=asked.key)


async def _rest_call(town: Town, asked: Asked) -> Told:
    path = f"/workflows/{workflow_id(asked.target, asked.workflow)}/execute"
    headers = {"idempotency-key": asked.key} if asked.key else {}
    body = {"input": asked.arguments, "runAsync": asked.door == "rest async"}
    return await rest(town, asked.token, "POST", path, headers=headers, json=body)


async def _core_call(town: Town, asked: Asked) -> Told:
    """As the command line does it: straight at the gateway, under the token's principal."""
    call = Call(
        principal=asked.token.principal,
        trigger=Trigger.MANUAL,
        tool_name=asked.tool,
        arguments=asked.arguments,
        idempotency_key=asked.key,
    )
    try:
        row = (await town.app.gateway.answer(call, patience_s=30)).execution
    except SimMcpError as error:
        return Told(
            form="protocol" if isinstance(error, UnknownTool) else "raised",
            text=f"{error} {error.message}",
            code=error.code.value,
            is_retryable=error.retryable,
            is_error=True,
            execution_id=error.execution_id,
        )
    return Told(
        form="raised",
        text=repr(row),
        status=row.status.value,
        code=row.error.code.value if row.error else None,
        is_retryable=bool(row.error and row.error.retryable),
        is_error=row.status.value in {"failed", "cancelled"},
        execution_id=row.id,
    )
