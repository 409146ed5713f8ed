"""Every request that the adapter sends is one that SIM's published OpenAPI documents describe."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import httpx
import pytest
from openapi_schema_validator import OAS31Validator
from typing_extensions import override

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import SimError
from sim_mcp.model.integration import Integration
from sim_mcp.model.run import RunId
from sim_mcp.model.tool import Mode, WorkflowId
from sim_mcp.sim import SimClients
from sim_mcp.sim.client import SimClient
from sim_mcp.sim.fake import FakeSim, demo_account, workflow_id
from tests.fake.test_openapi import FOLDER, document, followed
from tests.sim.test_against_the_sandbox import FILE, Hurried, asks

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.requirement("R39", "R57"),
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the published documents are not part of the project"),
]

UNPUBLISHED = {
    "GET /api/health",
    "GET /api/v1/workflows",
    "GET /api/v1/workflows/{}",
    "GET /api/workflows/{}/status",
}
"""Routes of older servers that no document of today describes; they are held by recordings alone."""


class Listening(httpx.AsyncBaseTransport):
    """The wire to the sandbox, which keeps every request."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.sent: list[httpx.Request] = []

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Keep it and pass it on."""
        await request.aread()
        self.sent.append(request)
        return await self._inner.handle_async_request(request)


@cache
def published() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Each published operation with its document, by method and path template."""
    return {
        f"{method.upper()} {path}": (root, operation)
        for file in sorted(FOLDER.glob("*.json"))
        for root in (document(file.name),)
        for path, operations in root["paths"].items()
        for method, operation in operations.items()
        if method in {"get", "post", "put", "patch", "delete"}
    }


def operation_of(request: httpx.Request) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
    """The operation that a request asks for: the template with the fewest gaps that fits."""
    path = request.url.raw_path.decode().partition("?")[0]
    fitting = [
        name
        for name in published()
        if name.startswith(f"{request.method} ")
        and re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(name.partition(" ")[2])), path)
    ]
    if not fitting:
        return None
    name = min(fitting, key=lambda each: each.count("{"))
    return name, *published()[name]


def complaints(request: httpx.Request, root: dict[str, Any], operation: dict[str, Any]) -> set[str]:
    """What the document has against a request: unknown or faulty parameters, and its body."""
    parameters = [followed(root, each) for each in operation.get("parameters", [])]
    known = {each["name"]: each for each in parameters if each["in"] == "query"}
    found = {f"?{name} is unknown" for name in request.url.params if name not in known}
    for name, parameter in known.items():
        given = request.url.params.get(name)
        if given is None:
            found |= {f"?{name} is missing"} if parameter.get("required") else set()
            continue
        schema = {**parameter["schema"], "components": root.get("components", {})}
        value = read_as(schema.get("type"), given)
        found |= {f"?{name}: {error.message}" for error in OAS31Validator(schema).iter_errors(value)}
    if "requestBody" in operation and request.content:
        content = followed(root, operation["requestBody"])["content"]["application/json"]
        schema = {**content["schema"], "components": root.get("components", {})}
        body = json.loads(request.content)
        found |= {
            f"{error.json_path} {error.validator}" for error in OAS31Validator(schema).iter_errors(body)
        }
    elif request.content and request.content != b"{}":
        found.add("a body where none is described")
    return found


def read_as(kind: object, given: str) -> object:
    """A query parameter as the type that its schema names."""
    if kind == "boolean":
        return {"true": True, "false": False}.get(given, given)
    return int(given) if kind in {"integer", "number"} else given


@pytest.mark.parametrize("v2", [True, False], ids=["v2", "legacy"])
async def test_each_request_is_an_operation_that_sim_publishes(*, v2: bool, clock: ManualClock) -> None:
    """Everything that the client can be asked for, in both dialects; parameters and bodies as described."""
    wire = Listening(FakeSim(v2_enabled=v2, time=Hurried()).transport())

    async def no_key(_: Integration) -> str:
        raise AssertionError

    clients = SimClients(
        clock=clock, key_of=no_key, allowed_hosts=("sim.sandbox",), transport_of=lambda _: wire
    )
    async with clients.trial(base_url="http://sim.sandbox", api_key=demo_account("acme").api_key) as client:
        await ask_everything(client)
    unpublished: set[str] = set()
    wrong: dict[str, set[str]] = {}
    for request in wire.sent:
        operation = operation_of(request)
        if operation is None:
            path = re.sub(r"/workflows/[^/]+", "/workflows/{}", request.url.path)
            unpublished.add(f"{request.method} {path}")
        elif told := complaints(request, *operation[1:]):
            wrong[operation[0]] = wrong.get(operation[0], set()) | told
    assert wrong == {}
    assert unpublished <= UNPUBLISHED
    assert unpublished or v2
    assert len({each and each[0] for each in map(operation_of, wire.sent)}) >= 8


async def ask_everything(client: SimClient) -> None:
    """Each method of the client, and execute in each mode."""
    workspace, asking = demo_account("acme").workspace_id, WorkflowId(workflow_id("acme", "asking"))
    await client.health()
    await client.usage()
    for search in (None, "time"):
        page = await client.workflows(workspace_id=workspace, search=search, limit=2)
        if page.next_cursor is not None:
            await client.workflows(workspace_id=workspace, search=search, limit=2, cursor=page.next_cursor)
    await client.summary(asking)
    await client.deployment(asking)
    await client.inputs(asking)
    for number, mode in enumerate(Mode):
        await client.execute(asks("streaming", mode, topic="rain"), run_id=RunId(f"run-{number}"))
    request = asks("files", receipts=[FILE], file_fields=("receipts",))
    await client.execute(request, run_id=RunId("run-files"))
    await client.run(asks("streaming").workflow_id, RunId("run-1"))
    await client.execute(asks("asking"), run_id=RunId("run-asking"))
    (point,) = await client.pauses(asking, RunId("run-asking"))
    await client.resume(asking, RunId("run-asking"), point.context_id, {"approved": True})
    with pytest.raises(SimError):
        await client.cancel(asking, RunId("never"))
