"""Whatever is posted to the MCP door: an answer of the right kind, never a mistake of ours, and life goes on.

Longer: `uv run python -m tests.security.test_json_rpc_fuzz 2000`.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from hypothesis import HealthCheck, given, settings

from sim_mcp.sim.fake import workflow_id
from tests.journeys.mcp_clients import over_http, structured
from tests.patience import PATIENCE_S
from tests.security.rpc_messages import Sent, honest, messages
from tests.transports.test_http import open_session
from tests.transports.test_stdio import HANDSHAKE, PROGRAM
from tests.transports.web import Web, bearer, claims, open_web, signed

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R60", "R66")]

EXAMPLES = 120
KNOWN_STATUSES = {200, 202, 400, 401, 404, 405, 406, 413, 415}
PLAIN = frozenset({"Invalid Content-Type header"})
"""What the SDK says as plain text, before it has a message to answer."""
FOREIGN = ("globex", workflow_id("globex", "quick"))


def complaint(status: int, kind: str, body: bytes) -> str | None:
    """What is wrong about an answer."""
    text = body.decode("utf-8", "replace")
    if status not in KNOWN_STATUSES:
        return f"status {status}"
    if "Traceback" in text or 'File "' in text or "site-packages" in text:
        return "a stack of ours"
    if not body:
        return None
    if kind == "text/event-stream":
        frames = [line[5:] for line in text.splitlines() if line.startswith("data:") and line[5:].strip()]
        return next((fault for each in frames if (fault := _rpc_fault(each))), None)
    if kind == "application/json":
        return _rpc_fault(text) if '"jsonrpc"' in text else _problem_fault(text)
    return None if text in PLAIN else f"a body of type {kind!r}: {text[:80]}"


def _rpc_fault(text: str) -> str | None:
    message: Any = json.loads(text)
    if not isinstance(message, dict) or cast("dict[str, Any]", message).get("jsonrpc") != "2.0":
        return "no JSON-RPC message"
    known = cast("dict[str, Any]", message)
    if "method" in known:
        return None
    if ("result" in known) == ("error" in known):
        return "neither result nor error, or both"
    code = known.get("error", {}).get("code")
    return f"an internal error: {text[:300]}" if code == -32603 else None


def _problem_fault(text: str) -> str | None:
    wanted = {"statusCode", "message", "error", "code", "requestId", "executionId"}
    return None if wanted <= set(json.loads(text)) else "not the one error format"


class Fuzzer:
    """Posts messages as acme and looks at what comes back."""

    def __init__(self, web: Web, session: dict[str, str]) -> None:
        self._web = web
        self._session = session
        self.statuses: Counter[tuple[int, str]] = Counter()

    async def post(self, sent: Sent, in_session: bool) -> None:  # noqa: FBT001 - threads pass by position
        headers = [*sent.headers, *[(k.encode(), v.encode()) for k, v in bearer("acme").items()]]
        if in_session:
            taken = {name for name, _ in headers}
            headers += [
                (name.encode(), value.encode())
                for name, value in self._session.items()
                if name.encode() not in taken
            ]
        with anyio.fail_after(PATIENCE_S):
            answer = await self._web.client.post("/mcp", headers=headers, content=sent.body)
        kind = answer.headers.get("content-type", "").partition(";")[0]
        fault = complaint(answer.status_code, kind, answer.content)
        assert fault is None, (fault, sent, answer.status_code, answer.text[:500])
        echoed = sent.body.decode("utf-8", "replace") + repr(sent.headers)
        for each in FOREIGN:
            assert each not in answer.text or each in echoed, (sent, answer.text[:500])
        self.statuses[answer.status_code, kind] += 1


def run_examples(fuzzer: Fuzzer, count: int) -> None:
    """In a thread of its own, as hypothesis does not wait for coroutines."""

    @settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(sent=messages())
    def each(sent: Sent) -> None:
        for in_session in (False, True):
            anyio.from_thread.run(fuzzer.post, sent, in_session)

    each()


async def fuzz(folder: Path, count: int) -> Counter[tuple[int, str]]:
    """The statuses and types that came; every fault raises."""
    async with open_web(folder, has_tools=True) as web:
        for tenant in ("acme", "globex"):
            await web.allow(tenant, "echo")
        await web.allow("globex", "quick")
        await web.execute("globex", workflow_id("globex", "quick"))
        fuzzer = Fuzzer(web, await open_session(web, bearer("acme")))
        for sent in honest():
            await fuzzer.post(sent, in_session=b"_meta" not in sent.body)
        await anyio.to_thread.run_sync(run_examples, fuzzer, count)
        async with over_http(web, "auto", lambda: signed(claims("acme"))) as client:
            result = structured(await client.call_tool("echo", {"text": "still here"}))
        assert result["output"]["result"] == {"text": "still here"}
        assert {row.workflow_id for row in await web.world.rows("globex")} == {workflow_id("globex", "quick")}
    return fuzzer.statuses


async def test_whatever_is_posted_gets_an_answer_of_the_right_kind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Both eras, with and without a session; nothing of another tenant; then a normal call works."""
    statuses = await fuzz(tmp_path, EXAMPLES)
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []
    assert {status for status, _ in statuses} >= {200, 202, 400}


GARBAGE: tuple[bytes, ...] = (
    b"",
    b"hello",
    b"\x00\xff\xfe",
    b"[" * 5000,
    b'{"a":' * 5000,
    b'{"jsonrpc":"2.0"',
    b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":{},"method":"ping"}',
    b'{"jsonrpc":"2.0","id":7,"method":"no/such"}',
    b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b',"method":"ping"}',
    b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
    b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}',
    b'{"jsonrpc":"2.0","id":99,"result":{}}',
    b"x" * 1_000_000,
)


def test_garbage_on_standard_input_ends_nothing(tmp_path: Path) -> None:
    """Each line by itself: answered as JSON-RPC or passed over, and a request behind them all is served."""
    asked = [*HANDSHAKE[:2], {"id": "last", "method": "tools/list"}]
    lines_in = [*GARBAGE, *[json.dumps({"jsonrpc": "2.0", **each}).encode() for each in asked]]
    sent = b"".join(each + b"\n" for each in lines_in)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(sent)
        server.stdin.flush()
        lines: list[bytes] = []
        while not lines or b'"last"' not in lines[-1]:
            lines.append(server.stdout.readline())
            assert lines[-1], server.stderr.read() if server.stderr else b""
        rest, errors = server.communicate(timeout=PATIENCE_S)
    told = [json.loads(line) for line in lines if line.strip() != b"stray output"]
    assert {each["jsonrpc"] for each in told} == {"2.0"}
    assert "tools" in told[-1].get("result", {}), told[-1]
    assert (rest, server.returncode) == (b"", 0)
    assert b"Traceback" not in errors


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        print(anyio.run(fuzz, Path(directory), int(sys.argv[1])))  # noqa: T201 - for people
