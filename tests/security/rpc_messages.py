"""JSON-RPC messages as an attacker makes them: real ones of both eras, bent, broken, and with odd headers."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any, cast

from hypothesis import strategies as st

MODERN = "2026-07-28"
LEGACY = "2025-06-18"
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
_CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("server/discover", {}),
    ("ping", {}),
    ("tools/list", {"cursor": None}),
    ("tools/call", {"name": "echo", "arguments": {"text": "x"}}),
    ("tools/call", {"name": "sim_list_executions", "arguments": {"limit": 5}}),
    ("tools/call", {"name": "sim_get_execution", "arguments": {"execution_id": "x"}}),
    ("tools/call", {"name": "sim_status", "arguments": {}}),
    ("resources/list", {}),
    ("resources/templates/list", {}),
    ("resources/read", {"uri": "sim://history"}),
    ("resources/read", {"uri": "sim://executions/x?path=/a&offset=1"}),
    ("prompts/list", {}),
    ("prompts/get", {"name": "troubleshoot_execution", "arguments": {"execution_id": "x"}}),
    (
        "completion/complete",
        {
            "ref": {"type": "ref/resource", "uri": "sim://executions/{execution_id}"},
            "argument": {"name": "execution_id", "value": ""},
        },
    ),
    ("tasks/get", {"taskId": "x"}),
    ("tasks/update", {"taskId": "x", "inputResponses": {}}),
    ("tasks/cancel", {"taskId": "x"}),
    ("logging/setLevel", {"level": "debug"}),
    ("notifications/cancelled", {"requestId": 1}),
    ("notifications/initialized", {}),
    ("notifications/progress", {"progressToken": 1, "progress": 1}),
)

_USUAL = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


@dataclass(frozen=True, slots=True)
class Sent:
    """A body and its headers."""

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]


_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["../../etc/passwd", "\r\nSet-Cookie: a=b", "${jndi:x}", "\ud800", "\x00", "globex", 2**70, -1]
    ),
)
_anything = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


def message_of(method: str, params: dict[str, Any], *, is_modern: bool, number: int = 1) -> dict[str, Any]:
    """A message as an honest client would write it."""
    known = copy.deepcopy(params | ({"_meta": _META} if is_modern else {}))
    own = {} if method.startswith("notifications/") else {"id": number}
    return {"jsonrpc": "2.0", **own, "method": method, "params": known}


def honest() -> list[Sent]:
    """Every kind of message of both eras, as it should be: what the bent ones are made from."""
    written = [
        _written(message_of(method, params, is_modern=is_modern))
        for method, params in _CALLS
        for is_modern in (True, False)
    ]
    return [_sent(body, _USUAL | (_fitting(body) if MODERN.encode() in body else {})) for body in written]


@st.composite
def _bent(draw: st.DrawFn) -> Any:
    """A real message with up to three things about it changed."""
    method, params = draw(st.sampled_from(_CALLS))
    is_modern = draw(st.booleans())
    message = message_of(method, params, is_modern=is_modern, number=draw(st.integers(1, 9)))
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        _bend(message, draw)
    return message


def _bend(message: dict[str, Any], draw: st.DrawFn) -> None:
    params: Any = message.get("params")
    place = cast("dict[str, Any]", params) if isinstance(params, dict) and draw(st.booleans()) else message
    while True:
        keys = [*place]
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        inner: Any = place[key]
        if isinstance(inner, dict) and draw(st.booleans()):
            place = cast("dict[str, Any]", inner)
            continue
        match draw(st.sampled_from(["other", "gone", "renamed", "more", "listed"])):
            case "other":
                place[key] = draw(_anything)
            case "gone":
                del place[key]
            case "renamed":
                place[draw(st.text(max_size=12))] = place.pop(key)
            case "more":
                place[draw(st.text(max_size=12))] = draw(_anything)
            case _:
                place[key] = [place[key]] * draw(st.integers(0, 3))
        return


def _written(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


_HANDMADE = (
    b"",
    b"null",
    b"[]",
    b"[[]]",
    b"{}",
    b'"x"',
    b"1",
    b"\x00",
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b"[" * 5000,
    b'{"a":' * 5000 + b"1" + b"}" * 5000,
    b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping","method":"tools/list"}',
    b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b',"method":"ping"}',
    b'{"jsonrpc":"2.0","id":1e999,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * 100_000 + b'"}',
    b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping","params":{"x":"\\udfff"}}',
    b'{"jsonrpc":"2.0","id":1,"result":{}}',
    b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}',
)

_hostile = st.one_of(
    st.lists(_bent(), max_size=3).map(_written),
    _anything.map(_written),
    st.binary(max_size=60),
    st.sampled_from(_HANDMADE),
    st.tuples(_bent().map(_written), st.integers(0, 200), st.binary(max_size=4)).map(
        lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :]
    ),
)

_values = st.one_of(
    st.sampled_from(
        [MODERN, LEGACY, "2025-11-25", "2024-11-05", "1999-01-01", "", "tools/list", "tools/call", "echo"]
    ),
    st.binary(max_size=20).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"").decode("latin-1")),
)
_odd = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "mcp-protocol-version",
                "mcp-method",
                "mcp-name",
                "mcp-session-id",
                "last-event-id",
                "accept",
                "content-type",
                "x-request-id",
                "idempotency-key",
                "traceparent",
                "mcp-param-x",
            ]
        ),
        _values,
    ),
    max_size=3,
)


@st.composite
def messages(draw: st.DrawFn) -> Sent:
    """Something to post to `/mcp`."""
    is_close = draw(st.integers(0, 9)) < 7  # most come through to a handler
    body, is_clean = draw(_bent().map(_written) if is_close else _hostile), draw(st.booleans())
    headers = dict(_USUAL)
    if MODERN.encode() in body and (is_clean or draw(st.booleans())):
        headers |= _fitting(body)
    if not is_clean:
        headers |= dict(draw(_odd))
    return _sent(body, headers)


def _sent(body: bytes, headers: dict[str, str]) -> Sent:
    return Sent(body, tuple((name.encode(), value.encode("latin-1")) for name, value in headers.items()))


def _fitting(body: bytes) -> dict[str, str]:
    """The headers with which a client of the newest revision would send `body`."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return {"mcp-protocol-version": MODERN}
    found = {"mcp-protocol-version": MODERN}
    if isinstance(message, dict):
        known = cast("dict[str, Any]", message)
        method: Any = known.get("method")
        params: Any = known.get("params")
        inner = cast("dict[str, Any]", params) if isinstance(params, dict) else {}
        name: Any = inner.get("uri") if method == "resources/read" else inner.get("name")
        told = (("mcp-method", method), ("mcp-name", name))
        found |= {
            header: value
            for header, value in told
            if isinstance(value, str) and value.isascii() and value.isprintable()
        }
    return found
