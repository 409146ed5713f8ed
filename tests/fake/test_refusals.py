"""What each dialect refuses, and the rarer answers that no recording shows."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.sim.fake import FakeSim, workflow_id
from sim_mcp.sim.fake.workflows import workspace_id
from tests.fake.conftest import open_client
from tests.fake.test_recordings import flow, flow2

pytestmark = pytest.mark.anyio

ASYNC = {"X-Execution-Mode": "async"}
PROTOCOL = {"X-Sim-Stream-Protocol": "agent-events-v1"}
BROKEN_FILE = {"type": "file", "data": "data:text/plain;base64,*", "name": "a.txt", "mime": "text/plain"}


@pytest.mark.parametrize(
    ("body", "headers", "status", "told"),
    [
        ({"isClientSession": True}, {}, 400, "isClientSession"),
        ({"workflowStateOverride": {}}, {}, 400, "workflowStateOverride"),
        ({"runFromBlock": {"sourceSnapshot": {}}}, {}, 400, "sourceSnapshot"),
        ({"runFromBlock": {"executionId": "r"}}, {}, 400, "stored execution snapshots"),
        ({"runFromBlock": {}}, {}, 400, "requires either"),
        ({"deploymentVersionId": "v"}, {}, 400, "reserved"),
        ({"inputFromExecutionId": "r"}, {}, 403, "authenticated session"),
        ({"executionId": "bad id!"}, {}, 400, "Invalid request body"),
        ({"selectedOutputs": ["a.b"]}, ASYNC, 400, "draft or override"),
        ({"includeFileBase64": False}, ASYNC, 400, "draft or override"),
        ({}, {"X-Execution-Timeout-Seconds": "5"}, 400, "supported only for async runs"),
        ({}, {**ASYNC, "X-Execution-Timeout-Seconds": "0"}, 400, "Invalid execution timeout header"),
        ({}, {**ASYNC, "X-Execution-Timeout-Seconds": "soon"}, 400, "Invalid execution timeout header"),
        ({"receipts": [BROKEN_FILE]}, {}, 400, "Failed to upload file: a.txt"),
    ],
)
async def test_legacy_execute_refuses(  # the table of sim-api 1.5
    fake: FakeSim, acme: httpx.AsyncClient, body: Any, headers: dict[str, str], status: int, told: str
) -> None:
    """What only sessions may ask, and what cannot be read. Nothing runs."""
    answer = await acme.post(f"{flow('files')}/execute", json=body, headers=headers)
    assert (answer.status_code, len(fake.runs)) == (status, 0)
    assert told in answer.json()["error"]
    assert "success" not in answer.json()


async def test_a_body_that_is_too_large_is_refused_in_both_dialects(acme: httpx.AsyncClient) -> None:
    """413 above 10 MB (sim-api 1.13)."""
    body, headers = b" " * (10 * 1024 * 1024 + 1), {"Content-Type": "application/json"}
    legacy = await acme.post(f"{flow('quick')}/execute", content=body, headers=headers)
    v2 = await acme.post(f"{flow2('quick')}/execute", content=body, headers=headers)
    assert (legacy.status_code, legacy.json()["error"]) == (
        413,
        "Workflow execution request body exceeds maximum size",
    )
    assert (v2.status_code, v2.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        ({"input": [1]}, {}, 400, "BAD_REQUEST"),
        ([1], {}, 400, "BAD_REQUEST"),
        ({"async": "yes"}, {}, 400, "BAD_REQUEST"),
        ({"async": True, "stream": True}, {}, 400, "BAD_REQUEST"),
        ({"async": True, "selectedOutputs": ["a.b"]}, {}, 400, "BAD_REQUEST"),
        ({"executionTimeoutSeconds": 5}, {}, 400, "BAD_REQUEST"),
        ({"async": True, "executionTimeoutSeconds": 0}, {}, 400, "BAD_REQUEST"),
        ({"stream": True, "includeThinking": True}, {}, 400, "BAD_REQUEST"),
        ({"includeToolCalls": True}, PROTOCOL, 400, "BAD_REQUEST"),
        ({}, {"X-Run-Id": "bad id!"}, 400, "BAD_REQUEST"),
        ({}, {"X-Sim-Via": ",".join("w" * 25)}, 409, "CONFLICT"),
        ({"input": {"receipts": [BROKEN_FILE]}}, {}, 400, "BAD_REQUEST"),
    ],
)
async def test_v2_execute_refuses(
    fake: FakeSim, acme: httpx.AsyncClient, body: Any, headers: dict[str, str], status: int, code: str
) -> None:
    """The rules of sim-api 2.1. Nothing runs."""
    answer = await acme.post(f"{flow2('files')}/execute", json=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"], len(fake.runs)) == (status, code, 0)


async def test_v2_wants_json_and_clean_queries(acme: httpx.AsyncClient) -> None:
    """415 for another content type; unknown, repeated and blank parameters are 400."""
    text = await acme.post(f"{flow2('quick')}/execute", content="{}", headers={"Content-Type": "text/plain"})
    queries = ["?x=1", "?limit=1&limit=2", "?limit=", "?limit=0", "?limit=many", "?cursor=garbage"]
    answers = [await acme.get(f"{flow2('quick')}/runs{query}") for query in queries]
    assert text.status_code == 415
    assert [each.status_code for each in answers] == [400] * len(queries)
    assert (await acme.get(f"{flow2('quick')}/versions?cursor=e30=")).status_code == 400


async def test_v2_lists_filter(acme: httpx.AsyncClient) -> None:
    """By deployment, by name, and runs by status, in both directions."""
    for run_id in ("r1", "r2"):
        await acme.post(f"{flow2('quick')}/execute", json={}, headers={"X-Run-Id": run_id})
    runs = [
        [each["runId"] for each in (await acme.get(f"{flow2('quick')}/runs{query}")).json()["data"]]
        for query in ("", "?order=asc", "?status=failed")
    ]
    home = {"workspaceId": workspace_id("acme")}
    deployed = await acme.get("/api/v2/workflows", params={**home, "deployedOnly": "true"})
    named = await acme.get("/api/v2/workflows", params={**home, "search": "ECHO"})
    assert runs == [["r2", "r1"], ["r1", "r2"], []]
    assert workflow_id("acme", "undeployed") not in deployed.text
    assert [each["name"] for each in named.json()["data"]] == ["Echo"]


async def test_v1_lists_filter_and_refuse(acme: httpx.AsyncClient) -> None:
    """`workspaceId` is required, `limit` is 1 to 100; details show the draft with ids."""
    home = {"workspaceId": workspace_id("acme")}
    deployed = await acme.get("/api/v1/workflows", params={**home, "deployedOnly": "true"})
    refused = [await acme.get("/api/v1/workflows", params=each) for each in ({}, {**home, "limit": "0"})]
    detail = (await acme.get(f"/api/v1/workflows/{workflow_id('acme', 'files')}")).json()["data"]
    assert workflow_id("acme", "undeployed") not in deployed.text
    assert [each.status_code for each in refused] == [400, 400]
    assert [(each["name"], each["type"]) for each in detail["inputs"]] == [("receipts", "file[]")]


async def test_a_failed_stream_is_http_200(acme: httpx.AsyncClient) -> None:
    """`event:error`, then the end mark (sim-api 1.10)."""
    answer = await acme.post(f"{flow('failing')}/execute", json={"stream": True, "status": 404})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert answer.text == 'data: {"event":"error","error":"CRM 1: Not found"}\n\ndata: "[DONE]"\n\n'


@pytest.mark.parametrize("status", [401, 404, 429])
async def test_a_workflow_may_borrow_the_status_of_a_refusal(acme: httpx.AsyncClient, status: int) -> None:
    """On legacy only `success:false` tells a failed run from a refused request (sim-api 1.7)."""
    legacy = await acme.post(f"{flow('failing')}/execute", json={"status": status})
    v2 = await acme.post(f"{flow2('failing')}/execute", json={"input": {"status": status}})
    assert (legacy.status_code, legacy.json()["success"]) == (status, False)
    assert (v2.status_code, v2.json()["data"]["status"]) == (200, "failed")


async def test_a_response_block_is_bare_on_legacy_and_wrapped_on_v2(acme: httpx.AsyncClient) -> None:
    """It can imitate any refusal (sim-api 1.12)."""
    body = {"error": "Invalid API key"}
    legacy = await acme.post(f"{flow('respond')}/execute", json={"status": 401, "body": body})
    v2 = await acme.post(f"{flow2('respond')}/execute", json={"input": {"status": 401, "body": body}})
    assert (legacy.status_code, legacy.json(), legacy.headers["x-custom"]) == (401, body, "yes")
    assert (v2.status_code, v2.json()["data"]["output"]["data"]) == (200, body)


async def test_a_file_that_is_no_data_uri_is_left_alone(acme: httpx.AsyncClient) -> None:
    """SIM ignores it in silence (sim-api 1.5)."""
    file = {"type": "file", "data": "aGVsbG8=", "name": "a.txt", "mime": "text/plain"}
    answer = await acme.post(f"{flow('files')}/execute", json={"receipts": [file, "x"]})
    assert answer.json()["output"]["result"]["receipts"] == [file, "x"]


async def test_an_async_file_is_left_alone(acme: httpx.AsyncClient) -> None:
    """Files are stored on sync and stream runs only (sim-api 12.11)."""
    file = {"type": "file", "data": "data:text/plain;base64,aGk=", "name": "a.txt", "mime": "text/plain"}
    await acme.post(
        f"{flow('files')}/execute", json={"receipts": [file]}, headers={**ASYNC, "X-Execution-Id": "r1"}
    )
    job = (await acme.get("/api/jobs/workflow-execution:r1")).json()
    assert job["output"]["output"]["result"]["receipts"] == [file]


async def test_a_cancelled_v2_run_says_so_in_band(clock: ManualClock) -> None:
    """`cancelled` while running; the status of the run agrees."""
    fake = FakeSim(time=clock)
    async with open_client(fake) as acme:
        await acme.post(f"{flow2('slow')}/execute", json={"async": True}, headers={"X-Run-Id": "r1"})
        first = (await acme.post(f"{flow2('slow')}/runs/r1/cancel")).json()["data"]
        second = (await acme.post(f"{flow2('slow')}/runs/r1/cancel")).json()["data"]
        status = (await acme.get(f"{flow2('slow')}/runs/r1")).json()["data"]["status"]
    assert (first["reason"], second["reason"], status) == ("recorded", "already_cancelled", "cancelled")
    assert (first["success"], second["success"]) == (True, True)
