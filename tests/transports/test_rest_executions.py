"""Runs over REST: started, followed, listed, cancelled, resumed; and only by their own tenant."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from dirty_equals import IsInt, IsStr, IsUUID
from inline_snapshot import snapshot

from sim_mcp.sim.fake import demo_account, faults, workflow_id
from sim_mcp.transports.rest_views import BASE_PATH
from tests.transports.web import Web, bearer, open_web
from tests.world import SECRET

pytestmark = pytest.mark.anyio

QUICK = workflow_id("acme", "quick")
ECHO = workflow_id("acme", "echo")


@pytest.fixture
async def web(tmp_path: Path) -> AsyncGenerator[Web]:
    """Two tenants, each with a few workflows; every answer is searched for secrets at the end."""
    async with open_web(tmp_path) as opened:
        for tenant in ("acme", "globex"):
            await opened.allow(tenant, "quick", "echo", "failing", "asking", "slow")
        yield opened
        shown = "".join(str(answer.headers) + answer.text for answer in opened.seen)
        for secret in (demo_account("acme").api_key, demo_account("globex").api_key, SECRET, "eyJ"):
            assert secret not in shown


@pytest.mark.requirement("R2", "R14", "R47")
async def test_a_completed_run_answers_with_its_execution(web: Web) -> None:
    """Output, duration and metadata, in one answer."""
    answer = await web.execute("acme", QUICK, input={"employee": "Ada", "hours": 3})
    assert (answer.status_code, answer.json()) == snapshot(
        (
            200,
            {
                "id": IsUUID,
                "tenantId": "acme",
                "organizationId": None,
                "integrationId": IsUUID,
                "toolName": "quick",
                "workflowId": "7a1e6fa4-12ed-56e7-be88-7f89f9464e92",
                "executionId": IsUUID,
                "jobId": None,
                "status": "completed",
                "input": {"employee": "Ada", "hours": 3},
                "output": {
                    "result": {
                        "employee": "Ada",
                        "hours": 3,
                        "billable": "",
                        "tags": "",
                        "meta": "",
                        "summary": "Ada worked 3 hours, not billable",
                    },
                    "stdout": "",
                },
                "error": None,
                "pauses": None,
                "durationMs": IsInt(ge=0),
                "attempts": 1,
                "triggeredBy": "api",
                "subject": "4b7f2d5e-5f0c-4d6c-9a0e-0f9f6f1f6b11",
                "idempotencyKey": None,
                "createdAt": IsStr(regex=r"2026-01-01T00:00:00\.\d{3}Z"),
                "startedAt": IsStr(regex=r"2026-01-01T00:00:00\.\d{3}Z"),
                "finishedAt": IsStr(regex=r"2026-01-01T00:00:00\.\d{3}Z"),
                "settingsRevision": 1,
                "traceId": None,
                "refusals": 1,
                "approverPermission": None,
                "answers": [],
            },
        )
    )
    assert web.world.started == [answer.json()["executionId"]]


@pytest.mark.requirement("R15", "R47", "R49")
async def test_an_async_run_answers_with_a_job_and_is_polled_to_its_end(web: Web) -> None:
    """202 with our id at once; SIM's own id finds the same job later."""
    accepted = await web.execute("acme", QUICK, input={"employee": "Ada"}, runAsync=True)
    job = accepted.json()
    assert accepted.status_code == 202
    assert accepted.headers["location"] == job["statusUrl"]
    path = f"/jobs/{job['jobId']}/status"
    polled = (await web.ask("GET", path)).json()
    for _ in range(20):
        if polled["status"] == "completed":
            break
        web.clock.advance(1)
        polled = (await web.ask("GET", path)).json()
    assert polled["jobId"] == job["jobId"]
    assert polled["output"]["result"]["employee"] == "Ada"
    again = await web.ask("GET", f"/jobs/{polled['executionId']}/status")
    assert again.json() == polled
    assert len(web.world.started) == 1


async def test_waiting_ends_a_little_after_the_timeout(web: Web) -> None:
    """A run that SIM has not answered for by then is 202: still going, with an id to follow."""
    web.world.sim.script(faults.Hang(run_started=True), workflow_id=QUICK)
    before_s = web.clock.monotonic()

    async def pass_time() -> None:
        while True:
            await web.clock.sleeper(within_s=2)
            web.clock.advance(1)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(pass_time)
        await web.execute("acme", QUICK, timeout=300_000)
        group.cancel_scope.cancel()
    answer = web.seen[-1]
    assert (answer.status_code, answer.json()["status"]) == (202, "processing")
    assert 305 <= web.clock.monotonic() - before_s < 310


@pytest.mark.requirement("R37")
async def test_a_failed_run_cannot_be_mistaken_for_a_success(web: Web) -> None:
    """The table's status, the error format, and our id of the execution that tells the rest."""
    answer = await web.execute("acme", workflow_id("acme", "failing"))
    body = answer.json()
    assert (answer.status_code, body["code"], body["error"]) == (
        500,
        "EXECUTION_ERROR",
        "Internal Server Error",
    )
    shown = (await web.ask("GET", f"/executions/{body['executionId']}")).json()
    assert (shown["status"], shown["error"]["message"]) == ("failed", body["message"])


async def test_a_paused_run_is_resumed_with_an_answer(web: Web) -> None:
    """200 with `paused` and the form; the answer is checked before SIM sees it."""
    paused = (await web.execute("acme", workflow_id("acme", "asking"))).json()
    path = f"/executions/{paused['id']}/resume"
    assert (paused["status"], len(paused["pauses"])) == ("paused", 1)
    wrong = await web.ask("POST", path, json={"input": {"approved": "yes"}})
    assert (wrong.status_code, wrong.json()["faults"]) == (
        400,
        [{"path": "$.approved", "message": "must be a boolean, not a str"}],
    )
    body = {"input": {"approved": True}, "contextId": paused["pauses"][0]["contextId"]}
    assert (await web.ask("POST", path, json=body)).status_code == 200
    shown = (await web.ask("GET", f"/executions/{paused['id']}")).json()
    assert shown["status"] in {"processing", "completed"}
    late = await web.ask("POST", f"/executions/{shown['id']}/resume", json=body)
    assert (late.status_code, late.json()["code"]) == (409, "CONFLICT")


async def test_a_paused_run_is_cancelled(web: Web) -> None:
    """The execution as it is afterwards; cancelling again changes nothing."""
    paused = (await web.execute("acme", workflow_id("acme", "asking"))).json()
    for _ in range(2):
        answer = await web.ask("POST", f"/executions/{paused['id']}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


@pytest.mark.requirement("R34", "R53")
@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({"timeout": 999}, ["$.timeout"]),
        ({"timeout": 300_001}, ["$.timeout"]),
        ({"timeout": "5000"}, ["$.timeout"]),
        ({"timeout": True}, ["$.timeout"]),
        ({"timeout": 1000.5}, ["$.timeout"]),
        ({"runAsync": "yes"}, ["$.runAsync"]),
        ({"input": [1]}, ["$.input"]),
        ({"input": None}, ["$.input"]),
        ({"run_async": True}, ["$.run_async"]),
        ({"tenantId": "globex", "timeout": 1}, ["$.tenantId", "$.timeout"]),
    ],
)
async def test_a_wrong_body_names_each_fault_and_reaches_nobody(
    web: Web, body: dict[str, Any], paths: list[str]
) -> None:
    """Refused before SIM; nothing unknown is ignored."""
    asked = len(web.world.sim.requests)
    answer = await web.execute("acme", QUICK, **body)
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_INPUT")
    assert sorted(fault["path"] for fault in answer.json()["faults"]) == sorted(paths)
    assert len(web.world.sim.requests) == asked


@pytest.mark.requirement("R53", "R60")
@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b'"x"',
        b"\xff",
        b'{"input":{"a":NaN}}',
        b"[" * 100_000,
        b'{"timeout":' + b"9" * 5000 + b"}",
    ],
)
async def test_what_is_no_json_object_is_refused(web: Web, content: bytes) -> None:
    """Broken, foreign and hostile bodies are 400, and the server lives on."""
    headers = bearer("acme") | {"content-type": "application/json"}
    answer = await web.ask("POST", f"/workflows/{QUICK}/execute", by=headers, content=content)
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_INPUT")


@pytest.mark.requirement("R53", "R60")
async def test_a_body_beyond_the_limit_is_413(web: Web) -> None:
    """Declared or streamed, more than 10 MiB is not read to its end."""
    path = f"/workflows/{QUICK}/execute"
    headers = bearer("acme") | {"content-type": "application/json"}
    declared = await web.ask("POST", path, by=headers, content=b" " * (10 * 1024 * 1024 + 1))
    assert (declared.status_code, declared.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")
    sent = 0

    async def stream() -> AsyncGenerator[bytes]:
        nonlocal sent
        for _ in range(40):
            sent += 1
            yield b" " * (1024 * 1024)

    streamed = await web.ask("POST", path, by=headers, content=stream())
    assert (streamed.status_code, sent) == (413, 11)


@pytest.mark.requirement("R50", "R53")
async def test_executions_are_paged_and_filtered(web: Web) -> None:
    """By offset and by cursor, newest first, with the total of what matches."""
    for number in range(5):
        await web.execute("acme", QUICK if number % 2 else ECHO, input={})
    await web.execute("acme", workflow_id("acme", "failing"))
    first = (await web.ask("GET", "/executions?limit=4")).json()
    rest = (await web.ask("GET", f"/executions?limit=4&cursor={first['nextCursor']}")).json()
    offset = (await web.ask("GET", "/executions?limit=4&offset=4")).json()
    assert (first["total"], len(first["data"]), len(rest["data"]), rest["nextCursor"]) == (6, 4, 2, None)
    assert offset["data"] == rest["data"]
    failed = (await web.ask("GET", "/executions?status=failed&triggeredBy=api")).json()
    assert [row["toolName"] for row in failed["data"]] == ["failing"]
    assert (await web.ask("GET", f"/executions?workflowId={QUICK}")).json()["total"] == 2
    assert (await web.ask("GET", "/executions?since=2026-01-02T00:00:00Z")).json()["total"] == 0
    assert (await web.ask("GET", "/executions?until=2026-01-02T00:00:00%2B01:00")).json()["total"] == 6


@pytest.mark.requirement("R53")
@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=ten",
        "limit=5&limit=6",
        "offset=-1",
        "status=done",
        "triggeredBy=nobody",
        "since=yesterday",
        "since=2026-01-01T00:00:00",
        "cursor=%00",
        "workflow_id=x",
        "tenantId=globex",
        "organizationId=x",
    ],
)
async def test_a_wrong_query_is_refused(web: Web, query: str) -> None:
    """A filter that means nothing must not silently show everything."""
    answer = await web.ask("GET", f"/executions?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_INPUT")


@pytest.mark.requirement("R11", "R13", "R35", "R60")
async def test_a_foreign_execution_answers_exactly_like_an_unknown_one(web: Web) -> None:
    """Byte for byte, by any of its ids, over every route, and nothing happens to it."""
    own = (await web.execute("acme", workflow_id("acme", "asking"))).json()
    before = (await web.ask("GET", f"/executions/{own['id']}")).json()
    asked = len(web.world.sim.requests)
    for method, path, body in (
        ("GET", "/executions/{}", None),
        ("GET", "/jobs/{}/status", None),
        ("POST", "/executions/{}/cancel", {}),
        ("POST", "/executions/{}/resume", {"input": {"approved": True}}),
    ):
        more = {} if body is None else {"json": body}
        unknown = await web.ask(
            method, path.format("00000000-0000-4000-8000-000000000000"), by="globex", **more
        )
        assert unknown.status_code == 404
        for foreign in (own["id"], own["executionId"]):
            answer = await web.ask(method, path.format(foreign), by="globex", **more)
            assert (answer.status_code, answer.content) == (404, unknown.content)
            assert answer.headers == unknown.headers
    assert len(web.world.sim.requests) == asked
    assert (await web.ask("GET", f"/executions/{own['id']}")).json() == before
    assert (await web.ask("GET", "/executions", by="globex")).json()["total"] == 0


@pytest.mark.requirement("R11", "R35", "R60")
async def test_a_foreign_workflow_answers_exactly_like_an_unknown_one(web: Web) -> None:
    """Another tenant's allow-list and account are not to be felt out."""
    answers = [
        await web.execute("globex", each) for each in (QUICK, "00000000-0000-4000-8000-000000000000", "x")
    ]
    bodies = [answer.json() | {"executionId": None} for answer in answers]
    assert bodies[0] == bodies[1] == bodies[2]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert web.world.started == []


@pytest.mark.requirement("R11", "R35")
async def test_nothing_that_is_sent_changes_the_tenant(web: Web) -> None:
    """A header is no authority: it may repeat what the token says, and nothing else."""
    mine = bearer("globex", organizationId="org-1")
    await web.execute("acme", QUICK)
    for headers in ({"tenant-id": "acme"}, {"organization-id": "org-2"}):
        for method, path in (("GET", "/executions"), ("POST", f"/workflows/{QUICK}/execute")):
            refused = await web.ask(method, path, by=mine | headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
    twice = [*mine.items(), ("tenant-id", "globex"), ("tenant-id", "acme")]
    assert (await web.client.get(f"{BASE_PATH}/executions", headers=twice)).status_code == 403
    whole_tenant = bearer("globex") | {"organization-id": "org-1"}
    assert (await web.ask("GET", "/executions", by=whole_tenant)).status_code == 403
    same = {"tenant-id": "globex", "organization-id": "org-1", "x-tenant-id": "acme", "language": "en"}
    assert (await web.ask("GET", "/executions", by=mine | same)).json()["total"] == 0


@pytest.mark.requirement("R13", "R35")
async def test_an_organisation_sees_its_own_runs_and_not_its_sister_s(web: Web) -> None:
    """Inside one tenant too, what may not be seen answers like what does not exist."""
    mine = bearer("acme", organizationId="org-1")
    row = (await web.ask("POST", f"/workflows/{QUICK}/execute", by=mine, json={})).json()
    assert (await web.ask("GET", f"/executions/{row['id']}", by=mine)).status_code == 200
    sister = bearer("acme", organizationId="org-2")
    assert (await web.ask("GET", f"/executions/{row['id']}", by=sister)).status_code == 404


@pytest.mark.requirement("R36", "R37", "R58")
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (faults.Unauthorized401(), 401, "UNAUTHORIZED"),
        (faults.UsageExceeded402(), 402, "USAGE_LIMIT_EXCEEDED"),
    ],
)
async def test_sim_s_refusals_become_the_table_s_statuses(
    web: Web, fault: Any, status: int, code: str
) -> None:
    """With the remedy in the message and the execution's id beside it."""
    web.world.sim.script(fault, workflow_id=QUICK)
    answer = await web.execute("acme", QUICK)
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code)
    assert "www-authenticate" not in answer.headers
    assert (await web.ask("GET", f"/executions/{body['executionId']}")).json()["status"] == "failed"
