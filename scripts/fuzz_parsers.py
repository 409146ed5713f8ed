"""Coverage-guided fuzzing of everything that reads bytes from outside: `fuzz_parsers.py TARGET`.

Needs the dependency group `fuzz` (Linux): `uv run --group fuzz python scripts/fuzz_parsers.py sim-answer`.
A parser may refuse in its own words (`ALLOWED`); any other exception, and any input that takes more than ten
seconds, is a fault: the input is left in the folder that the last lines name.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
import tempfile
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

atheris: Any = importlib.import_module("atheris")  # of the group `fuzz`; it comes without types

with atheris.instrument_imports(include=["sim_mcp"]):
    from sim_mcp.catalog import ToolSpec
    from sim_mcp.catalog.yaml_text import TextFault, load_json, load_yaml
    from sim_mcp.config import Settings
    from sim_mcp.model.errors import SimMcpError
    from sim_mcp.model.json import is_object
    from sim_mcp.model.run import RunId
    from sim_mcp.sim.catalogue import fields_of_state, page_of, summary_of
    from sim_mcp.sim.exchange import TextStream
    from sim_mcp.sim.parsing import parse_json, retry_after_s
    from sim_mcp.sim.storage import without_storage
    from sim_mcp.sim.stream import run_of_stream
    from sim_mcp.sim.unpacking import unpack_in_pieces
    from sim_mcp.sim.wording import Wording
    from sim_mcp.transports.addresses import fields_of
    from sim_mcp.transports.jwks_keys import read_key_set
    from sim_mcp.transports.rest_requests import _parsed
    from sim_mcp.transports.tokens_jwt import verify_jwt
    from sim_mcp.triggers.signatures import check_signature

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "a-test-secret-of-more-than-32-bytes!"  # noqa: S105 - of nobody
WORDS = Wording(base_url="https://sim.example.com", api_key="sk-sim-test-0123456789")
SETTINGS = Settings(auth_jwt_secret=SecretStr(SECRET))
ALLOWED = (SimMcpError, ValueError, TextFault)


def sim_answer(data: bytes) -> None:
    """A whole JSON answer of SIM's, and what is read from it."""
    body, _ = without_storage(parse_json(data), data)
    if is_object(body):
        page_of(body, cursor=None)
        summary_of(body)
        fields_of_state(body)


def sim_stream(data: bytes) -> None:
    """An event stream, in packets as its first byte says."""
    size = data[0] + 1 if data else 1

    async def chunks() -> AsyncGenerator[bytes]:
        for at in range(1, len(data), size):
            yield data[at : at + size]

    stream = TextStream(chunks=chunks(), request_id=None)
    asyncio.run(run_of_stream(stream, run_id=RunId("r"), words=WORDS, on_text=None))


def packed_answer(data: bytes) -> None:
    """A compressed answer: the first byte chooses the kind."""
    kind = ("gzip", "deflate", "gzip, gzip", "br")[data[0] % 4] if data else "gzip"

    async def packets() -> AsyncGenerator[bytes]:
        yield data[1:3]
        yield data[3:]

    async def read() -> None:
        response = httpx.Response(200, headers={"content-encoding": kind}, content=packets())
        unpack_in_pieces(response)
        async for piece in response.aiter_bytes():
            if len(piece) > max(64 * 1024, len(data)):
                raise AssertionError("a piece larger than one may be")

    with suppress(zlib.error):
        asyncio.run(read())


def tool_spec(data: bytes) -> None:
    """A spec file, as YAML and as JSON, and each document in it as a tool."""
    text = data.decode("utf-8", "replace")
    for load in (lambda: list(load_yaml(text)), lambda: [load_json(text)]):
        try:
            documents = load()
        except TextFault:
            continue
        for each in documents:
            if is_object(each):
                with suppress(SimMcpError):
                    ToolSpec.from_json(each)


def rest_body(data: bytes) -> None:
    """The body of a REST request."""
    _parsed(data)


def token(data: bytes) -> None:
    """A bearer token."""
    asyncio.run(verify_jwt(data.decode("latin-1"), SETTINGS, NOW, None))


def key_set(data: bytes) -> None:
    """What an identity provider publishes."""
    read_key_set(data)


def signed_event(data: bytes) -> None:
    """The header and the body of a signed event."""
    header, _, body = data.partition(b"\n")
    check_signature(header.decode("latin-1"), body, SECRET, now=NOW)


def address(data: bytes) -> None:
    """The query of a resource's address, and a `Retry-After`."""
    text = data.decode("utf-8", "replace")
    retry_after_s(text, now=NOW)
    fields_of(text)


TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "sim-answer": (
        sim_answer,
        [b'{"data":[{"id":"a","name":"b"}],"nextCursor":null}', b'{"__simLargeValueRef":true}'],
    ),
    "sim-stream": (
        sim_stream,
        [b'\x05data: {"chunk":"a"}\n\ndata: {"event":"final","data":{"success":true}}\n\n'],
    ),
    "packed-answer": (packed_answer, [b"\x00\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", b"\x01x\x9c\x03\x00"]),
    "tool-spec": (tool_spec, [b"tenant: acme\ntools:\n  - name: a\n    workflow_id: b\n", b'{"name":"a"}']),
    "rest-body": (rest_body, [b'{"input":{"a":[1,2.5,"x"]},"timeout":1000}']),
    "token": (token, [b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0ZW5hbnRJZCI6ImFjbWUifQ.c2ln"]),
    "key-set": (
        key_set,
        [json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}).encode()],
    ),
    "signed-event": (signed_event, [b"t=1767225600,v1=00\n{}"]),
    "address": (address, [b"path=/a/0&offset=1&limit=2", b"Wed, 21 Oct 2026 07:28:00 GMT"]),
}


def main() -> None:
    """Fuzz one target."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=[*TARGETS])
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--folder", type=Path, help="where inputs are kept; a new one by default")
    asked = parser.parse_args()
    parse, samples = TARGETS[asked.target]
    folder = asked.folder or Path(tempfile.mkdtemp(prefix=f"fuzz-{asked.target}-"))
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    for number, sample in enumerate(samples):
        (folder / "corpus" / f"sample-{number}").write_bytes(sample)

    def once(data: bytes) -> None:
        with suppress(*ALLOWED):
            parse(data)

    limits = [f"-max_total_time={asked.seconds}", "-timeout=10", "-max_len=4096", "-rss_limit_mb=2048"]
    print(f"{asked.target}: inputs in {folder}", flush=True)
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={folder}/", str(folder / "corpus")], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
