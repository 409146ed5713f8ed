"""The sandbox answers with the status and the shape that a real SIM 0.8.9 was recorded with."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.sim.fake import FakeSim, faults, workflow_id
from sim_mcp.sim.fake.workflows import workspace_id
from tests.fake.conftest import open_client
from tests.fake.recordings import Recording, parsed, recorded, shape

pytestmark = pytest.mark.anyio

TIMES = {"employee": "Ada", "hours": 7.5, "billable": True, "tags": ["a", "b"], "meta": {"k": 1}}
AUTHORED = frozenset({"output", "finalOutput", "state", "executionSnapshot", "value", "data"})
"""Members whose content depends on the workflow: compared by type alone."""
PAUSED = frozenset({"finalOutput", "executionSnapshot", "value", "usage"})
"""The same for answers whose `output` is SIM's own: the form of a pause."""
HEADERS = (
    "content-type",
    "cache-control",
    "retry-after",
    "www-authenticate",
    "x-run-id",
    "x-accel-buffering",
)


def flow(name: str, account: str = "acme") -> str:
    return f"/api/workflows/{workflow_id(account, name)}"


def flow2(name: str, account: str = "acme") -> str:
    return f"/api/v2/workflows/{workflow_id(account, name)}"


def agree(answer: httpx.Response, recording: Recording, *, open_at: frozenset[str] = AUTHORED) -> None:
    """Status, telling headers and shape are as recorded."""
    assert answer.status_code == recording.status, answer.text
    told = {name for name in HEADERS if name in answer.headers}
    assert told >= {name for name in HEADERS if name in recording.headers}
    assert ("x-ratelimit-limit" in answer.headers) == ("x-ratelimit-limit" in recording.headers)
    if recording.body is not None:
        assert shape(parsed(answer.text), open_at=open_at) == shape(recording.body, open_at=open_at)


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request that needs no history."""

    number: str
    method: str = "POST"
    path: str
    json: Any = None
    content: str | bytes | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    key: str | None = "acme"
    text: bool = True
    """Whether the error text must be the recorded one, too."""

    def __str__(self) -> str:
        return f"{self.number} {self.method} {self.path}"


UNKNOWN = "00000000-0000-4000-8000-000000000001"
BIG = b'{"input":{"employee":"' + b"x" * (10 * 1024 * 1024) + b'"}}'

LEGACY = [
    Ask(number="52", path=f"{flow('quick')}/execute", json={"input": TIMES}),
    Ask(number="53", path=f"{flow('quick')}/execute", json=TIMES),
    Ask(number="113", path=f"{flow('failing')}/execute", json={"x": "now"}, text=False),
    Ask(number="114", path=f"{flow('failing')}/execute", json={"status": 400}, text=False),
    Ask(number="115", path=f"{flow('quick')}/execute", json=TIMES, key="wrong"),
    Ask(number="116", path=f"{flow('quick')}/execute", json=TIMES, key=None),
    Ask(number="118", path=f"/api/workflows/{UNKNOWN}/execute", json=TIMES),
    Ask(number="119", path="/api/workflows/not-a-uuid/execute", json=TIMES),
    Ask(number="120", path=f"{flow('undeployed')}/execute", json={"x": "1"}),
    Ask(number="123", path=f"{flow('quick')}/execute", content='{"text": "unterminated'),
    Ask(number="124", path=f"{flow('quick')}/execute", json=[1, 2, 3]),
    Ask(number="126", path=f"{flow('quick')}/execute", content="text=hello"),
    Ask(number="129", path=f"{flow('quick')}/execute", json={**TIMES, "stream": "not-a-bool"}),
    Ask(number="130", path=f"{flow('quick')}/execute", json={"triggerType": "manual"}),
    Ask(number="131", path=f"{flow('quick')}/execute", json={"useDraftState": True}),
    Ask(number="132", path=f"{flow('quick')}/execute", json=TIMES, headers={"X-Execution-Id": UNKNOWN}),
    Ask(number="134", path=f"{flow('quick')}/execute", json=TIMES, headers={"X-Execution-Id": "bad id!"}),
    Ask(number="137", method="GET", path=f"{flow('quick')}/executions/{UNKNOWN}"),
    Ask(number="139", method="GET", path=f"{flow('quick')}/execute"),
    Ask(number="61", path=f"{flow('slow')}/execute", json={}, headers={"X-Execution-Mode": "async"}),
    Ask(number="212", path=f"{flow('undeployed')}/execute", json={}, headers={"X-Execution-Mode": "async"}),
    Ask(number="228", path=f"{flow('undeployed')}/execute", json={"stream": True}),
    Ask(
        number="64",
        path=f"{flow('quick')}/execute",
        json={**TIMES, "stream": True, "selectedOutputs": ["work.result"]},
    ),
    Ask(number="68", method="GET", path="/api/jobs/does-not-exist"),
    Ask(number="279", path=f"{flow('slow')}/executions/{UNKNOWN}/cancel"),
    Ask(number="01", method="GET", path="/api/health", key=None),
    Ask(number="13", method="GET", path=f"{flow('quick')}/status"),
    Ask(number="14", method="GET", path=f"{flow('undeployed')}/status"),
    Ask(number="15", method="GET", path="/api/users/me/usage-limits"),
    Ask(number="303", method="GET", path="/api/users/me/usage-limits", key="wrong"),
    Ask(number="439", method="GET", path="/api/files/serve/execution/some.json"),
]

V1 = [
    Ask(number="11", method="GET", path=f"/api/v1/workflows?workspaceId={workspace_id('acme')}"),
    Ask(number="312", method="GET", path=f"/api/v1/workflows?workspaceId={workspace_id('acme')}&limit=2"),
    Ask(
        number="317",
        method="GET",
        path=f"/api/v1/workflows?workspaceId={workspace_id('acme')}&cursor=garbage",
    ),
    Ask(number="316", method="GET", path=f"/api/v1/workflows?workspaceId={workspace_id('globex')}"),
    Ask(
        number="324", method="GET", path=f"/api/v1/workflows?workspaceId={workspace_id('acme')}", key="wrong"
    ),
    Ask(number="325", method="GET", path=f"/api/v1/workflows?workspaceId={workspace_id('acme')}", key=None),
]

V2 = [
    Ask(number="02", method="GET", path="/api/v2/workspaces"),
    Ask(number="03", method="GET", path="/api/v2/workspaces", key="wrong"),
    Ask(number="04", method="GET", path=f"/api/v2/workflows?workspaceId={workspace_id('acme')}&limit=3"),
    Ask(number="06", method="GET", path=f"/api/v2/workflows?workspaceId={workspace_id('acme')}&limt=3"),
    Ask(number="07", method="GET", path=flow2("quick")),
    Ask(number="08", method="GET", path=f"{flow2('quick')}/deployment"),
    Ask(number="09", method="GET", path=f"{flow2('quick')}/versions"),
    Ask(number="10", method="GET", path=f"{flow2('quick')}/versions/1"),
    Ask(number="17", path=f"{flow2('quick')}/execute", json={"input": TIMES}, headers={"X-Run-Id": UNKNOWN}),
    Ask(number="20", path=f"{flow2('quick')}/execute", json={"input": TIMES}, key="wrong"),
    Ask(number="21", path=f"{flow2('quick')}/execute", json={"input": TIMES}, key=None),
    Ask(number="22", path=f"/api/v2/workflows/{UNKNOWN}/execute", json={"input": {}}),
    Ask(number="24", path=f"{flow2('quick')}/execute", json={"input": {}, "bogus": 1}),
    Ask(
        number="25",
        path=f"{flow2('quick')}/execute",
        content='{"input": ',
        headers={"Content-Type": "application/json"},
    ),
    Ask(
        number="26",
        path=f"{flow2('quick')}/execute",
        content=BIG,
        headers={"Content-Type": "application/json"},
    ),
    Ask(number="27", path=f"{flow2('quick')}/execute", json={"input": {"hours": "not a number"}}),
    Ask(number="28", path=f"{flow2('failing')}/execute", json={"input": {}}),
    Ask(number="30", path=f"{flow2('large')}/execute", json={"input": {"rows": 5}}),
    Ask(number="31", path=f"{flow2('slow')}/execute", json={"input": {"seconds": 8}, "async": True}),
    Ask(
        number="36",
        path=f"{flow2('quick')}/execute",
        json={"input": TIMES, "stream": True, "selectedOutputs": ["work.result"]},
    ),
    Ask(number="49", method="GET", path=f"{flow2('slow')}/runs/{UNKNOWN}"),
    Ask(number="69", method="GET", path="/api/v2/nope"),
    Ask(
        number="502",
        path=f"{flow2('quick')}/execute",
        json={"text": 1, "count": 2, "flag": 3, "meta": 4, "tags": 5},
    ),
    Ask(number="503", path=f"{flow2('failing')}/execute", json={"input": {}}),
    Ask(number="505", path=f"{flow2('failing')}/execute", json={"input": {"status": 400}}),
    Ask(number="506", path=f"{flow2('quick', 'globex')}/execute", json={"input": {}}),
    Ask(number="507", path=f"{flow2('undeployed')}/execute", json={"input": {}}),
    Ask(number="509", path=f"{flow2('quick')}/execute", json={"input": {}, "timeoutSeconds": 5}),
]


def key_headers(ask: Ask) -> dict[str, str]:
    keys = {"acme": "sk-sim-sandbox-acme", "globex": "sk-sim-sandbox-globex", "wrong": "sk-sim-wrong"}
    return {} if ask.key is None else {"X-API-Key": keys[ask.key]}


def text_of(refusal: Any) -> str:
    told: Any = refusal["error"]
    return told if isinstance(told, str) else told["message"]


async def send(client: httpx.AsyncClient, ask: Ask) -> httpx.Response:
    return await client.request(
        ask.method, ask.path, json=ask.json, content=ask.content, headers={**key_headers(ask), **ask.headers}
    )


@pytest.mark.parametrize("ask", [*LEGACY, *V1, *V2], ids=str)
async def test_a_request_without_history_is_answered_as_recorded(fake: FakeSim, ask: Ask) -> None:
    """Status, headers, shape, and for refusals the text."""
    recording = recorded(ask.number)
    async with open_client(fake, None) as client:
        answer = await send(client, ask)
    open_at = AUTHORED - {"data"} if ask in V1 or ask in V2 else AUTHORED
    agree(answer, recording, open_at=open_at)
    if answer.status_code >= 400 and ask.text and recording.body is not None:
        assert text_of(answer.json()) == text_of(recording.body)


async def test_a_run_is_shown_as_recorded_in_both_dialects(
    acme: httpx.AsyncClient, clock: ManualClock
) -> None:
    """Status while running, after the end, and in the list."""
    started = await acme.post(
        f"{flow('slow')}/execute",
        json={"seconds": 8},
        headers={"X-Execution-Mode": "async", "X-Execution-Id": "r1"},
    )
    agree(started, recorded("61"))
    clock.advance(1)
    agree(await acme.get("/api/jobs/workflow-execution:r1"), recorded("62"))
    agree(await acme.get(f"{flow2('slow')}/runs/r1?includeOutput=true"), recorded("32"), open_at=PAUSED)
    clock.advance(9)
    agree(await acme.get("/api/jobs/workflow-execution%3Ar1"), recorded("202-legacy-async-job-poll-1"))
    agree(await acme.get(f"{flow('slow')}/executions/r1?includeOutput=true"), recorded("55"))
    agree(await acme.get(f"{flow('slow')}/executions/r1"), recorded("203"))
    agree(
        await acme.get(f"{flow2('slow')}/runs/r1?includeOutput=true"),
        recorded("35"),
        open_at=frozenset({"output"}),
    )
    for _ in range(2):
        await acme.post(f"{flow2('slow')}/execute", json={"input": {"seconds": 0.1}})
    agree(await acme.get(f"{flow2('slow')}/runs?limit=2"), recorded("50"), open_at=frozenset())


async def test_a_failed_job_is_shown_as_recorded(acme: httpx.AsyncClient, clock: ManualClock) -> None:
    """A failing block and a timeout end a job as `failed` with a text."""
    asynchronous = {"X-Execution-Mode": "async", "X-Execution-Id": "r1"}
    agree(await acme.post(f"{flow('failing')}/execute", json={}, headers=asynchronous), recorded("204"))
    limited = {**asynchronous, "X-Execution-Id": "r2", "X-Execution-Timeout-Seconds": "2"}
    agree(await acme.post(f"{flow('slow')}/execute", json={"seconds": 12}, headers=limited), recorded("213"))
    clock.advance(5)
    agree(await acme.get("/api/jobs/workflow-execution:r1"), recorded("205"))
    status = await acme.get(f"{flow('slow')}/executions/r2")
    agree(status, recorded("215"))
    assert status.json()["error"] == "Execution timed out after 2 seconds"


async def test_a_sync_timeout_is_answered_as_recorded(clock: ManualClock) -> None:
    """408 with `success:false` and no run id; v2 says 200 and `TIMEOUT`."""
    fake = FakeSim(time=clock, time_limit_s=5)
    async with open_client(fake) as acme:
        answer = await acme.post(f"{flow('slow')}/execute", json={"seconds": 15})
        agree(answer, recorded("605"))
        assert answer.json()["error"] == "Execution timed out after 5 seconds"
        other = await acme.post(f"{flow2('slow')}/execute", json={"input": {"seconds": 15}})
    assert (other.status_code, other.json()["data"]["error"]["code"]) == (200, "TIMEOUT")


async def test_a_reused_run_id_is_refused_as_recorded(acme: httpx.AsyncClient) -> None:
    """409 with the code and the id."""
    headers = {"X-Execution-Id": "r1"}
    await acme.post(f"{flow('quick')}/execute", json=TIMES, headers=headers)
    agree(await acme.post(f"{flow('quick')}/execute", json=TIMES, headers=headers), recorded("133"))


async def test_a_file_is_stored_only_when_sent_flat_as_recorded(acme: httpx.AsyncClient) -> None:
    """Flat becomes a stored file, wrapped stays what it was."""
    file = {
        "type": "file",
        "data": "data:text/plain;base64,aGVsbG8gZmlsZQ==",
        "name": "a.txt",
        "mime": "text/plain",
    }
    flat = await acme.post(f"{flow('files')}/execute", json={"receipts": [file]})
    expected: Any = recorded("431").body["output"]["result"]["docs"]
    assert shape(flat.json()["output"]["result"]["receipts"]) == shape(expected)
    wrapped = await acme.post(f"{flow('files')}/execute", json={"input": {"receipts": [file]}})
    assert (
        wrapped.json()["output"]["result"]["receipts"]
        == recorded("432").body["output"]["result"]["docs"]
        == [file]
    )


async def test_a_large_value_is_referred_to_as_recorded(acme: httpx.AsyncClient) -> None:
    """Above 8 MiB a reference with a preview stands in the place of the value."""
    answer = await acme.post(f"{flow('large')}/execute", json={"rows": 9, "row_bytes": 1_000_000})
    reference = answer.json()["output"]["result"]["rows"]
    assert '"__simLargeValueRef":true,"version":1,"id":"lv_' in str(recorded("128").body)
    assert (reference["__simLargeValueRef"], reference["version"], reference["kind"]) == (True, 1, "array")


async def test_cancelling_is_answered_as_recorded(acme: httpx.AsyncClient) -> None:
    """A running, a cancelled, a finished, and a paused run."""
    await acme.post(
        f"{flow('slow')}/execute",
        json={"seconds": 9},
        headers={"X-Execution-Mode": "async", "X-Execution-Id": "r1"},
    )
    first = await acme.post(f"{flow('slow')}/executions/r1/cancel")
    agree(first, recorded("272"))
    assert first.json() == {**recorded("272").body, "executionId": "r1"}
    agree(await acme.get(f"{flow('slow')}/executions/r1"), recorded("274"))
    agree(await acme.get("/api/jobs/workflow-execution:r1"), recorded("275"))
    again = await acme.post(f"{flow('slow')}/executions/r1/cancel")
    assert again.json() == {**recorded("276").body, "executionId": "r1"}
    done = await acme.post(f"{flow('quick')}/execute", json={}, headers={"X-Execution-Id": "r2"})
    agree(done, recorded("277"))
    finished = await acme.post(f"{flow('quick')}/executions/r2/cancel")
    agree(finished, recorded("278"))
    assert finished.json() == recorded("278").body
    await acme.post(f"{flow('asking')}/execute", json={}, headers={"X-Execution-Id": "r3"})
    paused = await acme.post(f"{flow('asking')}/executions/r3/cancel")
    assert paused.json() == {**recorded("281").body, "executionId": "r3"}
    agree(await acme.get(f"{flow('asking')}/executions/r3"), recorded("282"))


async def test_another_tenants_things_are_refused_as_recorded(fake: FakeSim, acme: httpx.AsyncClient) -> None:
    """Jobs and pauses of a stranger: 403 on the legacy surface."""
    sent = {"X-Execution-Mode": "async", "X-Execution-Id": "r1"}
    await acme.post(f"{flow('asking')}/execute", json={}, headers=sent)
    async with open_client(fake, "globex") as globex:
        job = await globex.get("/api/jobs/workflow-execution:r1")
        resume = await globex.post(f"/api/resume/{workflow_id('acme', 'asking')}/r1/x", json={"input": {}})
    agree(job, recorded("210"))
    assert job.json() == recorded("210").body
    agree(resume, recorded("239"))
    assert resume.json() == recorded("239").body


async def test_rate_limits_are_told_as_recorded(fake: FakeSim, acme: httpx.AsyncClient) -> None:
    """Legacy says nothing about when; v2 and the gate do."""
    fake.script(faults.RateLimited(), faults.RateLimited(kind="gate"), faults.RateLimited(retry_after=40))
    legacy = await acme.post(f"{flow('quick')}/execute", json={})
    gate = await acme.post(f"{flow('quick')}/execute", json={})
    v2 = await acme.post(f"{flow2('quick')}/execute", json={"input": {}})
    agree(legacy, recorded("609"))
    agree(gate, recorded("712"))
    assert gate.json() == recorded("712").body
    agree(v2, recorded("610"))
    assert v2.json() == recorded("610").body
    assert v2.headers["retry-after"] == recorded("610").headers["retry-after"]


@pytest.mark.parametrize("number", ["701", "702", "704", "705"])
async def test_v2_switched_off_is_answered_as_recorded(clock: ManualClock, number: str) -> None:
    """The key is looked at first, then everything is 404 in JSON."""
    asks = {
        "701": Ask(number="701", method="GET", path="/api/v2/workspaces"),
        "702": Ask(number="702", method="GET", path="/api/v2/workspaces", key="wrong"),
        "704": Ask(number="704", path=f"{flow2('quick')}/execute", json={"input": {}}, key=None),
        "705": Ask(number="705", method="GET", path="/api/v2/nonsense"),
    }
    recording = recorded(number)
    async with open_client(FakeSim(time=clock, v2_enabled=False), None) as client:
        answer = await send(client, asks[number])
    assert (answer.status_code, answer.json()) == (recording.status, recording.body)


@pytest.mark.parametrize(("number", "path"), [("707", "/api/v1/nonsense"), ("708", "/api/nonsense")])
async def test_an_unknown_page_is_html_as_recorded(acme: httpx.AsyncClient, number: str, path: str) -> None:
    """Outside v2 an unknown path is a page for people."""
    answer = await acme.get(path)
    assert answer.status_code == recorded(number).status
    assert answer.headers["content-type"] == recorded(number).headers["content-type"]


@pytest.mark.parametrize("number", ["128", "431"])
async def test_what_is_stored_has_the_recorded_members(fake: FakeSim, number: str) -> None:
    """A file as it is sent once, and the reference that stands for a value of more than 8 MiB."""
    recording = recorded(number)
    name, fields = ("chart", {"format": "csv"}) if number == "431" else ("archive", {"shape": "string"})
    async with open_client(fake) as client:
        answer = await client.post(f"{flow(name)}/execute", json=fields)
        v2 = await client.post(f"{flow2(name)}/execute", json={"input": fields})
        run = answer.json()["executionId"]
        later = await client.get(f"{flow(name)}/executions/{run}", params={"includeOutput": "true"})
    outputs = (answer.json()["output"], v2.json()["data"]["output"], later.json()["finalOutput"])
    if number == "431":
        now, at_once, afterwards = (each["result"]["chart"] for each in outputs)
        assert {*now} == {*at_once} == {*recording.body["output"]["result"]["docs"][0]}
        assert {*afterwards} == {*now} - {"base64"}
    else:
        for each in outputs:
            kept = each["result"]["invoices"]
            assert list(kept) == re.findall(r'"(\w+)":', recording.body.partition('"text":')[2])[: len(kept)]
