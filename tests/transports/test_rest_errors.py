"""Every route times every way to be refused: one shape, and nothing about others."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sim_mcp.sim.fake import workflow_id
from sim_mcp.transports.rest import ROUTES
from sim_mcp.transports.rest_examples import EXAMPLES
from tests.transports.rest_document import DOCUMENTED
from tests.transports.web import Web, bearer, open_web

pytestmark = pytest.mark.anyio

UNKNOWN = "00000000-0000-4000-8000-000000000000"
IDS = ("{id}", "{jobId}", "{workflowId}", "{integrationTenantId}")
TAKES_ID = [row for row in ROUTES if any(place in row.path for place in IDS)]
TAKES_BODY = [row for row in ROUTES if row.operation.body is not None]


def named(row: Any) -> str:
    """How a test of `row` is called."""
    return f"{row.method} {row.path}"


@pytest.fixture
async def web(tmp_path: Path) -> AsyncGenerator[Web]:
    """Two tenants, connected, each with workflows that end, fail and pause."""
    async with open_web(tmp_path) as opened:
        for tenant in ("acme", "globex"):
            await opened.allow(tenant, "quick", "asking")
        yield opened


async def ask(web: Web, row: Any, *, an_id: str = UNKNOWN, **more: Any) -> httpx.Response:
    """A request that is right for `row`, but for what `more` changes."""
    path = re.sub(r"\{\w+\}", an_id, row.path)
    if row.operation.body is not None and not more.keys() & {"json", "content"}:
        more["json"] = EXAMPLES[row.operation.body]
    return await web.ask(more.pop("method", row.method), path, **more)


def is_a_problem(answer: httpx.Response, status: int, code: str, *, scope: str | None = None) -> None:
    """Contract section 9's shape, whole: nothing missing, nothing added, the status said twice alike."""
    body = answer.json()
    assert (answer.status_code, body["statusCode"], body["code"]) == (status, status, code), answer.text
    assert DOCUMENTED.faults_of(body, {"$ref": "#/components/schemas/Problem"}) == []
    assert body["message"].endswith(".")
    assert answer.headers["x-request-id"] == body["requestId"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    challenge = answer.headers.get("www-authenticate", "")
    assert bool(challenge) == (status == 401 or scope is not None)
    assert scope is None or f'error="insufficient_scope", scope="{scope}"' in challenge


@pytest.mark.requirement("R10", "R37", "R53")
@pytest.mark.parametrize("row", ROUTES, ids=named)
async def test_who_may_not_is_told_in_the_one_shape(web: Web, row: Any) -> None:
    """No token, a bad one, no permission at all, another tenant's or organisation's name."""
    is_a_problem(await ask(web, row, by={}), 401, "UNAUTHORIZED")
    is_a_problem(await ask(web, row, by={"authorization": "Bearer nonsense"}), 401, "UNAUTHORIZED")
    is_a_problem(await ask(web, row, by=bearer(exp=1)), 401, "UNAUTHORIZED")
    nobody = await ask(web, row, by=bearer(permissions=["ORG_TASK_VIEW"]))
    is_a_problem(nobody, 403, "FORBIDDEN", scope=row.operation.permission.value)
    is_a_problem(await ask(web, row, headers={"tenant-id": "globex"}), 403, "FORBIDDEN")
    is_a_problem(await ask(web, row, headers={"organization-id": "org-1"}), 403, "FORBIDDEN")
    is_a_problem(await ask(web, row, headers={"origin": "https://evil.example"}), 403, "FORBIDDEN")
    is_a_problem(await ask(web, row, headers={"host": "evil.example"}), 421, "FORBIDDEN")


@pytest.mark.requirement("R37", "R53")
@pytest.mark.parametrize("row", ROUTES, ids=named)
async def test_what_is_wrong_is_told_in_the_one_shape(web: Web, row: Any) -> None:
    """Another method, an unknown parameter, a longer path."""
    is_a_problem(await ask(web, row, method="PATCH", json={}), 405, "INVALID_INPUT")
    path = re.sub(r"\{\w+\}", UNKNOWN, row.path)
    more: dict[str, Any] = {} if row.operation.body is None else {"json": EXAMPLES[row.operation.body]}
    unknown = await web.ask(row.method, f"{path}?tenantId=globex", **more)
    is_a_problem(unknown, 400, "INVALID_INPUT")
    assert unknown.json()["faults"] == [{"path": "tenantId", "message": "is not known here"}]
    is_a_problem(await web.ask(row.method, f"{path}/more/than/there/is", **more), 404, "NOT_FOUND")


@pytest.mark.requirement("R34", "R37", "R53")
@pytest.mark.parametrize("row", TAKES_BODY, ids=named)
async def test_a_bad_body_is_told_in_the_one_shape(web: Web, row: Any) -> None:
    """No JSON, no object, an unknown field, a form, too much."""
    json_type = bearer() | {"content-type": "application/json"}
    for content in (b"{", b"[]", b"\xff", b'{"a":1,"a":1}'):
        is_a_problem(await ask(web, row, by=json_type, content=content), 400, "INVALID_INPUT")
    unknown = await ask(web, row, json={"tenantId": "globex"})
    is_a_problem(unknown, 400, "INVALID_INPUT")
    assert {"path": "$.tenantId", "message": "is not known here"} in unknown.json()["faults"]
    form = bearer() | {"content-type": "application/x-www-form-urlencoded"}
    is_a_problem(await ask(web, row, by=form, content=b"a=1"), 400, "INVALID_INPUT")
    huge = await ask(web, row, by=json_type, content=b" " * (10 * 1024 * 1024 + 1))
    is_a_problem(huge, 413, "PAYLOAD_TOO_LARGE")


@pytest.mark.requirement("R11", "R35", "R53", "R60")
@pytest.mark.parametrize("row", TAKES_ID, ids=named)
async def test_another_tenants_id_answers_byte_for_byte_like_an_unknown_one(web: Web, row: Any) -> None:
    """Status, headers and body, but for the ids that the answer itself was given."""
    theirs = await web.ask("POST", f"/workflows/{workflow_id('acme', 'asking')}/execute", json={})
    integration = (await web.ask("GET", "/settings")).json()["integrationTenantId"]
    runs = [theirs.json()["id"], theirs.json()["executionId"]]
    workflows = [workflow_id("acme", "asking"), workflow_id("acme", "quick")]
    foreign = zip(IDS, (runs, runs, workflows, [integration]), strict=True)
    ids = next(ids for place, ids in foreign if place in row.path)
    unknown = await ask(web, row, by="globex")
    is_a_problem(unknown, 404, "NOT_FOUND")
    for an_id in ids:
        own = await ask(web, row, an_id=an_id)
        assert own.status_code != 404
        answer = await ask(web, row, an_id=an_id, by="globex")
        assert _without_ids(answer) == _without_ids(unknown)
        assert an_id not in answer.text


def _without_ids(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], str]:
    given = re.compile(r'"executionId":"[^"]+"')  # of the refusal, which is recorded for the caller's tenant
    return answer.status_code, answer.headers.multi_items(), given.sub('"executionId":""', answer.text)
