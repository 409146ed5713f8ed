"""What the sandbox answers is what SIM's published OpenAPI documents promise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from jsonschema.validators import validator_for
from openapi_schema_validator import OAS31Validator

from sim_mcp.model.clock import ManualClock
from sim_mcp.sim.fake import FakeSim, faults, workflow_id
from sim_mcp.sim.fake.workflows import workspace_id
from tests.fake.conftest import open_client
from tests.fake.recordings import recorded
from tests.fake.test_recordings import flow, flow2

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parents[3] / "shared" / "sim-openapi"
WORKFLOWS, CORE = "openapi-v2-workflows.json", "openapi-core.json"
ID, RUN = "/api/v2/workflows/{id}", "/api/v2/workflows/{id}/runs/{runId}"
LEGACY = "/api/workflows/{id}"


@cache
def document(name: str) -> dict[str, Any]:
    """One published document; skips when they are not here."""
    if not FOLDER.is_dir():
        pytest.skip("the published OpenAPI documents are not part of the project")
    return json.loads((FOLDER / name).read_text("utf-8"))


def followed(root: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """The node that `node` refers to, or itself."""
    while "$ref" in node:
        target: Any = root
        for step in str(node["$ref"]).removeprefix("#/").split("/"):
            target = target[step.replace("~1", "/").replace("~0", "~")]
        node = cast("dict[str, Any]", target)
    return node


def promised(name: str, path: str, method: str, status: int) -> dict[str, Any]:
    """The schema of an answer, with the document's components for its references."""
    root = document(name)
    answer = followed(root, root["paths"][path][method]["responses"][str(status)])
    schema = answer["content"]["application/json"]["schema"]
    return {**schema, "components": root["components"]}


def broken(schema: dict[str, Any], body: Any) -> set[str]:
    """What `schema` has against `body`: where, and which rule."""
    return {f"{error.json_path} {error.validator}" for error in OAS31Validator(schema).iter_errors(body)}


def keeps(
    answer: httpx.Response, name: str, path: str, status: int | None = None, *, like: str | None = None
) -> None:
    """`answer` has the promised status and body.

    `like` is the number of a recording for the places where the real server breaks its own document: what it
    breaks there, the sandbox may break. (A recording that was cut shows at least its nulls.)
    """
    assert status is None or answer.status_code == status, answer.text
    schema = promised(name, path, answer.request.method.lower(), answer.status_code)
    assert broken(schema, answer.json()) - _broken_by_sim(schema, like) == set()


def _broken_by_sim(schema: dict[str, Any], number: str | None) -> set[str]:
    body: Any = None if number is None else recorded(number).body
    if not isinstance(body, str):
        return set() if body is None else broken(schema, body)
    nulls = {*re.findall(r'"(\w+)":null', body), "activeResumeEntry"}  # cut off before the last member
    places = ("$", "$.pausedExecutions[0]", "$.pausePoint", "$.execution")
    points = [f"{place}{point}" for place in places for point in ("", ".pausePoints[0]")]
    return {f"{point}.{null} type" for point in points for null in nulls}


def test_the_schemas_themselves_refuse_what_is_wrong() -> None:
    """A check that cannot fail proves nothing: an answer without its run id is found out."""
    schema = promised(WORKFLOWS, f"{ID}/execute", "post", 202)
    assert validator_for(schema, default=OAS31Validator) is not None
    assert list(OAS31Validator(schema).iter_errors({"data": {"statusUrl": "http://localhost/x"}}))


async def test_v2_lists_and_details_keep_the_published_contract(acme: httpx.AsyncClient) -> None:
    """Workspaces, workflows, deployments, versions, billing."""
    home = workspace_id("acme")
    keeps(await acme.get("/api/v2/workspaces"), "openapi-v2-resources.json", "/api/v2/workspaces", 200)
    keeps(await acme.get(f"/api/v2/workflows?workspaceId={home}"), WORKFLOWS, "/api/v2/workflows", 200)
    keeps(await acme.get("/api/v2/workflows"), WORKFLOWS, "/api/v2/workflows", 400)
    for name in ("quick", "asking", "undeployed"):
        keeps(await acme.get(flow2(name)), WORKFLOWS, ID, 200)
        keeps(await acme.get(f"{flow2(name)}/deployment"), WORKFLOWS, f"{ID}/deployment", 200)
        keeps(await acme.get(f"{flow2(name)}/versions"), WORKFLOWS, f"{ID}/versions", 200)
    keeps(await acme.get(f"{flow2('quick')}/versions/1"), WORKFLOWS, f"{ID}/versions/{{version}}", 200)
    keeps(await acme.get(f"{flow2('quick')}/versions/9"), WORKFLOWS, f"{ID}/versions/{{version}}", 404)
    billing = "/api/v2/billing/status"
    keeps(await acme.get(billing), "openapi-v2-billing.json", billing, 200)


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("quick", {"input": {"hours": 1}}, 200),
        ("failing", {"input": {"status": 401}}, 200),
        ("respond", {"input": {}}, 200),
        ("asking", {"input": {}}, 200),
        ("asking", {"input": {"variant": "parallel"}}, 200),
        ("slow", {"input": {}, "async": True}, 202),
        ("quick", {"input": [], "async": True}, 400),
        ("quick", {"async": True, "stream": True}, 400),
        ("undeployed", {}, 403),
    ],
)
async def test_v2_execute_keeps_the_published_contract(
    acme: httpx.AsyncClient, name: str, body: dict[str, Any], status: int
) -> None:
    """Results, receipts and refusals."""
    keeps(await acme.post(f"{flow2(name)}/execute", json=body), WORKFLOWS, f"{ID}/execute", status)


async def test_v2_runs_keep_the_published_contract(acme: httpx.AsyncClient, clock: ManualClock) -> None:
    """A run in each of its states, the list, cancel and resume."""
    for name, run_id in (("slow", "r1"), ("failing", "r2"), ("asking", "r3"), ("slow", "r4")):
        await acme.post(f"{flow2(name)}/execute", json={"async": True}, headers={"X-Run-Id": run_id})
    keeps(await acme.get(f"{flow2('slow')}/runs/r1"), WORKFLOWS, RUN, 200)
    keeps(await acme.post(f"{flow2('slow')}/runs/r4/cancel"), WORKFLOWS, f"{RUN}/cancel", 200)
    clock.advance(5)
    for name, run_id in (("slow", "r1"), ("failing", "r2"), ("asking", "r3"), ("slow", "r4")):
        keeps(await acme.get(f"{flow2(name)}/runs/{run_id}?includeOutput=true"), WORKFLOWS, RUN, 200)
        keeps(await acme.get(f"{flow2(name)}/runs"), WORKFLOWS, f"{ID}/runs", 200)
    keeps(await acme.post(f"{flow2('slow')}/runs/r1/cancel"), WORKFLOWS, f"{RUN}/cancel", 200)
    context = (await acme.get(f"{flow2('asking')}/runs/r3")).json()["data"]["paused"]["contextId"]
    body = {"contextId": context, "input": {"approved": True}}
    keeps(await acme.post(f"{flow2('asking')}/runs/r3/resume", json=body), WORKFLOWS, f"{RUN}/resume", 202)
    keeps(await acme.post(f"{flow2('asking')}/runs/r3/resume", json=body), WORKFLOWS, f"{RUN}/resume", 409)
    keeps(await acme.get(f"{flow2('asking')}/runs/none"), WORKFLOWS, RUN, 404)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (faults.RateLimited(retry_after=7), 429),
        (faults.RateLimited(kind="concurrency"), 429),
        (faults.RateLimited(kind="gate"), 429),
        (faults.Unavailable503(), 503),
        (faults.AmbiguousEnqueue(starts_run=True), 503),
        (faults.UsageExceeded402(), 402),
        (faults.Unauthorized401(), 401),
        (faults.RunConflict(), 409),
    ],
    ids=str,
)
async def test_v2_refusals_keep_the_published_contract(
    fake: FakeSim, acme: httpx.AsyncClient, fault: Any, status: int
) -> None:
    """Scripted refusals have the published envelope too."""
    fake.script(fault)
    answer = await acme.post(f"{flow2('quick')}/execute", json={})
    keeps(answer, WORKFLOWS, f"{ID}/execute", status)


async def test_legacy_answers_keep_the_published_contract(fake: FakeSim, clock: ManualClock) -> None:
    """Execute, status, jobs, pauses, resume and usage."""
    asking, context_path = workflow_id("acme", "asking"), "/api/resume/{workflowId}/{executionId}/{contextId}"
    sent: Callable[[str], dict[str, str]] = lambda run_id: {"X-Execution-Id": run_id}  # noqa: E731
    async with open_client(fake) as acme:
        ran = await acme.post(f"{flow('quick')}/execute", json={}, headers=sent("r1"))
        keeps(ran, CORE, f"{LEGACY}/execute", 200)
        queued = {**sent("r2"), "X-Execution-Mode": "async"}
        keeps(
            await acme.post(f"{flow('slow')}/execute", json={}, headers=queued),
            CORE,
            f"{LEGACY}/execute",
            202,
        )
        keeps(await acme.post(f"/api/workflows/{asking}x/execute", json={}), CORE, f"{LEGACY}/execute", 404)
        clock.advance(5)
        status = f"{LEGACY}/executions/{{executionId}}"
        keeps(await acme.get(f"{flow('slow')}/executions/r2"), CORE, status, 200, like="203")
        keeps(await acme.get(f"{flow('slow')}/executions/none"), CORE, status, 404)
        keeps(await acme.get("/api/jobs/workflow-execution:r2"), CORE, "/api/jobs/{jobId}", 200)
        await acme.post(f"{flow('asking')}/execute", json={}, headers=sent("r3"))
        keeps(await acme.get(f"{flow('asking')}/executions/r3"), CORE, status, 200, like="232")
        keeps(await acme.get(f"{flow('asking')}/paused"), CORE, f"{LEGACY}/paused", 200, like="234")
        detail = await acme.get(f"{flow('asking')}/paused/r3")
        keeps(detail, CORE, f"{LEGACY}/paused/{{executionId}}", 200, like="234")
        context = detail.json()["pausePoints"][0]["contextId"]
        keeps(await acme.get(f"/api/resume/{asking}/r3/{context}"), CORE, context_path, 200, like="236")
        keeps(await acme.post(f"/api/resume/{asking}/r3/{context}", json={}), CORE, context_path, 200)
        usage = "/api/users/me/usage-limits"
        keeps(await acme.get(usage), CORE, usage, 200)
