"""Odd and hostile requests: each a clear answer in the error format, none a mistake of ours."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot

from sim_mcp.sim.fake import workflow_id
from sim_mcp.transports.rest_views import BASE_PATH
from tests.transports.web import Web, bearer, open_web

pytestmark = pytest.mark.anyio

ECHO = workflow_id("acme", "echo")
EXECUTE = f"/workflows/{ECHO}/execute"
LONG = "x" * 9000


@pytest.fixture
async def web(tmp_path: Path) -> AsyncGenerator[Web]:
    """Two tenants with one workflow each."""
    async with open_web(tmp_path) as opened:
        for tenant in ("acme", "globex"):
            await opened.allow(tenant, "echo")
        yield opened


@pytest.mark.requirement("R53", "R60")
@pytest.mark.parametrize(
    "path",
    [
        "/executions/%00",
        "/executions/%2e%2e",
        "/executions/%2E%2E%2Fsettings",
        "/executions/a%2Fb",
        "/executions/%ED%A0%80",
        "/executions/%F0%9F%98%80",
        f"/executions/{LONG}",
        "/executions//cancel",
        "/executions/",
        "/executions/%20/",
        "/settings/",
        "//settings",
        "/jobs/%00/status",
        f"/jobs/{LONG}/status",
        "/jobs//status",
        "/status/%00",
        "/status/",
        f"/integration-tenant/{LONG}",
        "/workflows//validate",
        "/workflows/%0a/validate",
        "/Settings",
        "/",
        "",
    ],
)
async def test_an_odd_path_is_not_found(web: Web, path: str) -> None:
    """Encoded, endless, empty and foreign ids are simply unknown; paths are exact."""
    answer = await web.ask("GET", path)
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert LONG[:100] not in answer.text


@pytest.mark.requirement("R53", "R60")
@pytest.mark.parametrize("odd", ["%00", "%2e%2e", LONG, "%E2%80%AE"])
async def test_an_id_that_no_workflow_has_never_reaches_sim(web: Web, odd: str) -> None:
    """It could climb to another path there."""
    asked = len(web.world.sim.requests)
    validated = await web.ask("GET", f"/workflows/{odd}/validate")
    executed = await web.ask("POST", f"/workflows/{odd}/execute")
    assert {validated.status_code, executed.status_code} <= {400, 404}
    assert len(web.world.sim.requests) == asked


@pytest.mark.requirement("R53")
@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/settings", "DELETE, GET, HEAD"),
        ("OPTIONS", "/settings", "DELETE, GET, HEAD"),
        ("TRACE", "/settings", "DELETE, GET, HEAD"),
        ("BREW", "/executions", "GET, HEAD"),
        ("GET", "/setup", "POST"),
        ("HEAD", "/setup", "POST"),
        ("DELETE", "/executions/x", "GET, HEAD"),
        ("GET", f"/workflows/{ECHO}/execute", "POST"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(web: Web, method: str, path: str, allow: str) -> None:
    """405 with `Allow`, in the same order at every start."""
    answer = await web.ask(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)


async def test_head_tells_what_get_would(web: Web) -> None:
    """Status and headers, no body."""
    for path in ("/settings", "/executions", "/executions/x"):
        got, head = await web.ask("GET", path), await web.ask("HEAD", path)
        assert (head.status_code, head.headers) == (got.status_code, got.headers)


@pytest.mark.requirement("R34", "R53", "R60")
@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (b'{"input":{},"input":{}}', 400, "same key twice"),
        (b'{"input":{"a":[{"b":1,"b":2}]}}', 400, "same key twice"),
        (b'{"timeout":1000,"timeout":300000}', 400, "same key twice"),
        (b'{"input":{"a":1e999}}', 400, "too large"),
        (b'{"input":{"a":-1e999}}', 400, "too large"),
        (b'{"input":{"a":' + b"9" * 400 + b"}}", 400, "too large"),
        (b'{"timeout":' + b"9" * 9000 + b"}", 400, "too large"),
        (b'{"input":{"a":NaN}}', 400, "NaN is no JSON"),
        (b'{"input":{"a":-Infinity}}', 400, "-Infinity is no JSON"),
        (b'{"input":{"a":"\\ud800"}}', 400, "half of a surrogate pair"),
        (b'{"input":{"\\udfff":1}}', 400, "half of a surrogate pair"),
        (b'{"input":' + b'{"a":' * 90 + b"1" + b"}" * 91, 413, "nested deeper than 64"),
        (b'{"input":' + b'{"a":' * 5000 + b"1" + b"}" * 5001, 400, "not valid JSON"),
        (b"\xef\xbb\xbf{}", 400, "not valid JSON"),
        (b'{"input":{"a":"\xff"}}', 400, "not valid JSON"),
        (b" ", 400, "not valid JSON"),
        (b"null", 400, "must be a JSON object"),
    ],
)
async def test_a_hostile_body_is_refused_in_clear_words(
    web: Web, content: bytes, status: int, says: str
) -> None:
    """What two readers could understand differently, or one not at all."""
    headers = bearer() | {"content-type": "application/json"}
    answer = await web.ask("POST", EXECUTE, by=headers, content=content)
    assert (answer.status_code, says in answer.json()["message"]) == (status, True), answer.text
    assert web.world.started == []


@pytest.mark.parametrize(
    "body", [b'{"timeout":2000.0}', b'{"timeout":2e3}', b'{"input":{"a":"\\u0000"}}', b""]
)
async def test_what_is_only_unusual_is_served(web: Web, body: bytes) -> None:
    """Numbers that JSON calls whole, NUL characters inside a text, no body at all."""
    headers = bearer() | {"content-type": "Application/JSON; charset=utf-8"}
    assert (await web.ask("POST", EXECUTE, by=headers, content=body)).status_code == 200


@pytest.mark.requirement("R53")
@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", "", None],
)
async def test_another_content_type_is_refused(web: Web, kind: str | None) -> None:
    """A form of some page must not pass for JSON."""
    headers = bearer() | ({} if kind is None else {"content-type": kind})
    answer = await web.ask("POST", EXECUTE, by=headers, content=b"{}")
    assert (answer.status_code, "application/json" in answer.json()["message"]) == (400, True)


@pytest.mark.requirement("R53", "R60")
@pytest.mark.parametrize("declared", ["-1", "abc", "0", "1", "2", "99", "+2", "0x2", "1 1"])
async def test_a_content_length_that_lies_changes_nothing(web: Web, declared: str) -> None:
    """What is read is what was sent; the server in front of us cuts and counts."""
    headers = bearer() | {"content-type": "application/json", "content-length": declared}
    assert (await web.ask("POST", EXECUTE, by=headers, content=b"{}")).status_code == 200


@pytest.mark.requirement("R53", "R60")
@pytest.mark.parametrize("declared", ["10485761", "99999999999999999999999999"])
async def test_a_content_length_beyond_the_limit_is_refused_unread(web: Web, declared: str) -> None:
    """413 before the first byte of the body."""

    async def unread() -> AsyncGenerator[bytes]:
        pytest.fail("the body was read")
        yield b""

    headers = bearer() | {"content-type": "application/json", "content-length": declared}
    answer = await web.ask("POST", EXECUTE, by=headers, content=unread())
    assert answer.json() == snapshot(
        {
            "statusCode": 413,
            "message": "The body is larger than the limit of 10485760 bytes. Send less.",
            "error": "Content Too Large",
            "code": "PAYLOAD_TOO_LARGE",
            "requestId": "generated-id",
            "executionId": None,
        }
    )


@pytest.mark.requirement("R53")
@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=-1", "limit"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=1e1", "limit"),
        ("limit=10.0", "limit"),
        ("limit=%2010", "limit"),
        ("limit=1_0", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=", "limit"),
        ("limit=true", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("offset=-1", "offset"),
        ("offset=9007199254740993", "offset"),
        ("offset=99999999999999999999999", "offset"),
        ("cursor=", "cursor"),
        ("cursor=" + "x" * 2001, "cursor"),
        ("since=1700000000", "since"),
        ("since=2026-01-01", "since"),
        ("since=2026-01-01T00:00:00", "since"),
        ("since=2026-13-01T00:00:00Z", "since"),
        ("until=now", "until"),
        ("since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "until"),
        ("since=2026-01-01T12:00:00%2B12:00&until=2025-12-31T23:59:59Z", "until"),
        ("workflowId=", "workflowId"),
        ("workflowId=" + "x" * 256, "workflowId"),
        ("status=", "status"),
        ("status=COMPLETED", "status"),
        ("page=1", "page"),
        ("Limit=1", "Limit"),
        ("limit=1&limit=1", "limit"),
    ],
)
async def test_a_query_out_of_bounds_names_its_parameter(web: Web, query: str, path: str) -> None:
    """No guess, no silent default."""
    answer = await web.ask("GET", f"/executions?{query}")
    assert (answer.status_code, [fault["path"] for fault in answer.json()["faults"]]) == (400, [path])


@pytest.mark.requirement("R53")
@pytest.mark.parametrize(
    "query", ["cursor=%00", "cursor=%FF", "cursor=e30", "cursor=WzEsMV0", "cursor=WzEsImEiXQ&offset=1"]
)
async def test_a_cursor_that_is_not_ours_says_so(web: Web, query: str) -> None:
    """Nobody gets a page of something else."""
    answer = await web.ask("GET", f"/executions?{query}")
    assert (answer.status_code, answer.json()["code"], "`cursor`" in answer.json()["message"]) == (
        400,
        "INVALID_INPUT",
        True,
    )


@pytest.mark.requirement("R53")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/settings"),
        ("POST", "/setup"),
        ("POST", EXECUTE),
        ("POST", "/executions/x/cancel"),
        ("DELETE", "/settings"),
        ("GET", "/jobs/x/status"),
    ],
)
async def test_a_query_where_none_belongs_is_refused(web: Web, method: str, path: str) -> None:
    """`POST /setup?organizationId=…`, ignored, would have given the key to the whole tenant."""
    more = {"json": {"apiKey": "k"}} if path == "/setup" else {}
    answer = await web.ask(method, f"{path}?organizationId=org-1", **more)
    assert (answer.status_code, answer.json()["faults"]) == (
        400,
        [{"path": "organizationId", "message": "is not known here"}],
    )


async def test_what_breaks_outside_of_every_route_has_the_shape_too(web: Web) -> None:
    """A mistake in a guard, for one: an id in body and header, and no word about what it was."""
    sent: list[Any] = []
    scope: dict[str, Any] = {  # no scheme: the guard that looks for it falls
        "type": "http",
        "method": "GET",
        "path": f"{BASE_PATH}/settings",
        "headers": [(b"host", b"localhost"), (b"origin", b"http://localhost")],
        "query_string": b"",
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(KeyError):  # told to the server too, which writes it into its log
        await web.application(scope, receive, send)
    headers, body = dict(sent[0]["headers"]), json.loads(sent[1]["body"])
    assert (sent[0]["status"], body["code"]) == (500, "INTERNAL_ERROR")
    assert headers[b"x-request-id"].decode() == body["requestId"] == "generated-id"
    assert "scheme" not in body["message"]
