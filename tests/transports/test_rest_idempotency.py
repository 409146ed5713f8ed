"""`Idempotency-Key` on execute: a repeat gets the first answer, and the header says that it is one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from inline_snapshot import snapshot

from sim_mcp.sim.fake import workflow_id
from tests.transports.web import Web, bearer, open_web

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R47", "R53")]

QUICK = workflow_id("acme", "quick")
FAILING = workflow_id("acme", "failing")


@pytest.fixture
async def web(tmp_path: Path) -> AsyncGenerator[Web]:
    """Two tenants, each with a few workflows."""
    async with open_web(tmp_path) as opened:
        for tenant in ("acme", "globex"):
            await opened.allow(tenant, "quick", "failing", "asking")
        yield opened


async def execute(
    web: Web, workflow: str = QUICK, *, key: Any = "k1", by: dict[str, str] | None = None, **body: Any
) -> httpx.Response:
    """POST execute under an idempotency key."""
    headers = {"idempotency-key": key} if key is not None else {}
    body = {"input": {"employee": "Ada"}} | body
    path = f"/workflows/{workflow}/execute"
    return await web.ask("POST", path, by=by or bearer("acme"), json=body, headers=headers)


async def test_a_repeat_gets_the_same_answer_and_says_so(web: Web) -> None:
    """The whole body is the first one's; only the header differs."""
    first, again = await execute(web), await execute(web)
    assert (again.status_code, again.json()) == (200, first.json())
    assert first.json()["idempotencyKey"] == "k1"
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in (await execute(web, key=None)).headers
    assert len(web.world.started) == 2


async def test_another_body_is_409_and_names_the_earlier_execution(web: Web) -> None:
    """In the error format, with what to do instead."""
    first = (await execute(web)).json()["id"]
    changes: list[dict[str, Any]] = [{"input": {"employee": "Bob"}}, {"timeout": 5000}, {"runAsync": True}]
    for change in changes:
        answer = await execute(web, **change)
        assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")
        assert answer.json()["message"].replace(first, "FIRST") == snapshot(
            "This idempotency key was used less than 24 hours ago by the execution 'FIRST', which was "
            "another request. Use a new key for a new request; repeat a request unchanged."
        )
    assert (await execute(web, workflow_id("acme", "asking"))).status_code == 409
    assert len(web.world.started) == 1


async def test_a_repeated_failure_and_a_repeated_job_keep_their_shapes(web: Web) -> None:
    """The error format with the same execution id; 202 with the same job."""
    first, again = await execute(web, FAILING), await execute(web, FAILING)
    assert (first.status_code, again.status_code) == (500, 500)
    assert again.json()["executionId"] == first.json()["executionId"]
    assert again.headers["idempotency-replayed"] == "true"
    job = await execute(web, key="job", runAsync=True)
    same = await execute(web, key="job", runAsync=True)
    assert (same.status_code, same.json()["jobId"]) == (202, job.json()["jobId"])
    assert (same.headers["location"], same.headers["idempotency-replayed"]) == (
        job.headers["location"],
        "true",
    )
    assert len(web.world.started) == 2


@pytest.mark.requirement("R35")
async def test_a_guessed_key_opens_nothing(web: Web) -> None:
    """Another organisation, another person and another tenant get runs of their own."""
    mine = (await execute(web)).json()
    for by in (bearer("acme", organizationId="north"), bearer("acme", id="somebody else")):
        theirs = await execute(web, by=by)
        assert theirs.json()["id"] != mine["id"]
        assert "idempotency-replayed" not in theirs.headers
    foreign = await execute(web, by=bearer("globex"))
    assert (foreign.status_code, mine["id"] in foreign.text) == (404, False)
    assert len(web.world.started) == 3


@pytest.mark.parametrize("key", ["", "a" * 256, b"schl\xfcssel", b"a\x7fb"])
async def test_what_is_no_key_is_400(web: Web, key: str | bytes) -> None:
    """The message tells the rule and not the text."""
    answer = await execute(web, key=key)
    assert (answer.status_code, answer.json()["faults"]) == (
        400,
        [{"path": "idempotencyKey", "message": "must be 1 to 255 printable ASCII characters"}],
    )
    assert not web.world.started


async def test_two_keys_are_refused(web: Web) -> None:
    """Which of them counts nobody could tell."""
    headers = [*bearer("acme").items(), ("idempotency-key", "a"), ("idempotency-key", "b")]
    path = f"/api/integration/sim/workflows/{QUICK}/execute"
    answer = await web.client.post(path, headers=headers, json={})
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_INPUT")
    assert not web.world.started


async def test_a_refused_request_does_not_burn_its_key(web: Web) -> None:
    """A wrong body, then the right one under the same key."""
    assert (await execute(web, timeout=1)).status_code == 400
    assert (await execute(web)).status_code == 200
