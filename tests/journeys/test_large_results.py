"""Large results, files, and what SIM keeps: what clients of both eras get, from both dialects of SIM."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from mcp import Client, MCPError
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    ResourceTemplateReference,
    TextResourceContents,
)

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.principal import Permission
from sim_mcp.sim.fake import FakeSim
from sim_mcp.sim.fake.stored import document
from sim_mcp.transports.addresses import FILE_TEMPLATE, PAGE_TEMPLATE
from tests.journeys.mcp_clients import Era, connected, structured, told, words
from tests.world import SandboxTime, World, flowing, open_world

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("F13")]


@pytest.fixture(params=["v2", "legacy"])
async def world(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncGenerator[World]:
    """Two tenants with the same tools, at a SIM with and without v2."""
    sim = FakeSim(time=SandboxTime(clock), v2_enabled=request.param == "v2")
    async with open_world(tmp_path, clock=clock, sim=sim) as opened:
        for tenant in ("acme", "globex"):
            for workflow in ("large", "chart", "archive", "echo"):
                await opened.allow(tenant, workflow)
        await opened.allow("acme", "chart", "chart_async", mode="async")
        await opened.allow("acme", "archive", "archive_async", mode="async")
        yield opened


async def read(client: Client, uri: str) -> Any:
    """What stands at `uri`, parsed."""
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    assert content.uri == uri
    return json.loads(content.text)


async def refused(client: Client, uri: str) -> tuple[int, str, Any]:
    """The error that reading `uri` ends with."""
    with pytest.raises(MCPError) as error:
        await client.read_resource(uri)
    return error.value.code, error.value.message, error.value.data


async def test_five_megabytes_are_read_page_by_page_and_nothing_is_lost(world: World, era: Era) -> None:
    """By resource links alone, and by the tool alone; the tool itself never hands out megabytes."""
    async with connected(world, era) as client:
        result = await client.call_tool("large", {"rows": 2_000, "row_bytes": 2_500})
        execution_id = structured(result)["execution_id"]
        assert len(words(result)) + len(json.dumps(structured(result))) < 210_000
        (link,) = [block for block in result.content if isinstance(block, ResourceLink)]
        whole = (await read(client, f"sim://executions/{execution_id}"))["output"]["result"]["rows"]
        assert len(json.dumps(whole)) > 5_000_000
        rows: list[Any] = []
        uri: str | None = str(link.uri)
        while uri is not None:
            page = await read(client, uri)
            assert len(json.dumps(page["value"], separators=(",", ":"))) <= 60_000
            assert (page["total"], page["truncated"], page["offset"]) == (2_000, [], len(rows))
            rows += page["value"]
            uri = page["next"]
        assert rows == whole
        shown = await client.call_tool("sim_get_execution", {"execution_id": execution_id})
        assert len(words(shown)) < 110_000
        assert structured(shown)["output"] == structured(result)["output"]


async def test_a_page_has_everything_to_go_on(world: World, era: Era) -> None:
    """Whole answers, by address and by tool."""
    async with connected(world, era) as client:
        result = await client.call_tool("echo", {"rows": [1, 2, 3], "a/b": "text"})
        execution_id = structured(result)["execution_id"]
        page = await read(client, f"sim://executions/{execution_id}?path=%2Fresult%2Frows&offset=1&limit=1")
        base = f"sim://executions/{execution_id}"
        expected = {
            "execution_id": execution_id,
            "status": "completed",
            "path": "/result/rows",
            "type": "array",
            "total": 3,
            "offset": 1,
            "limit": 1,
            "next": f"{base}?path=/result/rows&offset=2&limit=1",
            "truncated": [],
            "value": [2],
        }
        assert page == expected
        run_id = structured(result)["run_id"]
        assert await read(client, f"sim://executions/{run_id}?path=/result/rows&offset=1&limit=1") == expected
        assert (await read(client, f"{base}?path=/result/a~1b"))["value"] == "text"
        asked = {"execution_id": execution_id, "path": "/result/rows", "offset": 1, "limit": 1}
        shown = structured(await client.call_tool("sim_get_execution", asked))
        assert shown["output"] == [2]
        placed = ("path", "type", "total", "offset", "limit", "next", "truncated")
        assert shown["page"] == {name: expected[name] for name in placed}


async def test_a_faulty_selection_is_told_with_its_address(world: World, era: Era) -> None:
    """-32602 with the remedy, the address and our code; as a tool, the same words."""
    async with connected(world, era) as client:
        execution_id = structured(await client.call_tool("echo", {"rows": [1]}))["execution_id"]
        base = f"sim://executions/{execution_id}"
        for query in ("path=rows", "path=/rows", "offset=-1", "limit=0", "offset=1&offset=1", "cursor=1", ""):
            code, message, data = await refused(client, f"{base}?{query}")
            assert code == -32602
            assert data == {"uri": f"{base}?{query}", "code": "INVALID_INPUT"}
            assert len(message) > 20
        failed = await client.call_tool("sim_get_execution", {"execution_id": execution_id, "path": "/rowz"})
        assert told(failed) == snapshot(
            {
                "is_error": True,
                "text": [
                    [
                        "INVALID_INPUT: path leads nowhere: the output has the fields 'result', 'stdout',",
                        "and no 'rowz'.",
                    ]
                ],
                "structured": {
                    "status": "failed",
                    "execution_id": None,
                    "run_id": None,
                    "workflow_id": None,
                    "duration_ms": None,
                    "output": None,
                    "error": {
                        "code": "INVALID_INPUT",
                        "message": [
                            "path leads nowhere: the output has the fields 'result', 'stdout', and",
                            "no 'rowz'.",
                        ],
                        "retryable": False,
                        "retry_after_s": None,
                    },
                },
            }
        )


async def test_a_file_is_an_image_beside_the_output(world: World, era: Era) -> None:
    """With its media type; its content is in no text and no structure, and whole in the resource."""
    content = base64.b64encode(document("png", 5_000)).decode()
    async with connected(world, era) as client:
        result = await client.call_tool("chart", {"format": "png", "bytes": 5_000})
        (image,) = [block for block in result.content if isinstance(block, ImageContent)]
        assert (image.mime_type, image.data) == ("image/png", content)
        assert content[:100] not in words(result) + json.dumps(structured(result))
        assert told(result) == snapshot(
            {
                "is_error": False,
                "text": [
                    [
                        "The run completed. Its output has 1 file: 'sales.png' (5007 bytes of image/png)",
                        "is attached.",
                    ],
                    [
                        '{"result":{"title":"Sales","chart":{"name":"sales.png","size":5007,"type":"image',
                        '/png","base64":"… 5007 bytes of image/png, attached"}},"stdout":""}',
                    ],
                ],
                "structured": {
                    "status": "completed",
                    "execution_id": "id-1",
                    "run_id": "id-2",
                    "workflow_id": "id-3",
                    "duration_ms": "some ms",
                    "output": {
                        "result": {
                            "title": "Sales",
                            "chart": {
                                "name": "sales.png",
                                "size": 5007,
                                "type": "image/png",
                                "base64": "… 5007 bytes of image/png, attached",
                            },
                        },
                        "stdout": "",
                    },
                    "error": None,
                },
            }
        )
        execution_id = structured(result)["execution_id"]
        whole = await read(client, f"sim://executions/{execution_id}")
        assert whole["output"]["result"]["chart"]["base64"] == content
        again = await client.call_tool("sim_get_execution", {"execution_id": execution_id})
        assert image in again.content
        assert content[:100] not in words(again) + json.dumps(structured(again))
        page = await read(client, f"sim://executions/{execution_id}?path=/result/chart/base64&limit=100")
        assert (page["value"], page["total"]) == (content[:100], len(content))


async def test_files_of_other_kinds_come_as_what_they_are(world: World, era: Era) -> None:
    """A sound, a text, a document; one that is too large as a link to where its bytes are read."""
    async with connected(world, era) as client:
        (sound,) = (await client.call_tool("chart", {"format": "wav"})).content[2:]
        assert isinstance(sound, AudioContent)
        (table,) = (await client.call_tool("chart", {"format": "csv"})).content[2:]
        assert isinstance(table, EmbeddedResource)
        assert isinstance(table.resource, TextResourceContents)
        assert table.resource.text.startswith("month,sales\n")
        (paper,) = (await client.call_tool("chart", {"format": "pdf"})).content[2:]
        assert isinstance(paper, EmbeddedResource)
        assert isinstance(paper.resource, BlobResourceContents)
        result = await client.call_tool("chart", {"format": "pdf", "bytes": 400_000})
        (link,) = [block for block in result.content if isinstance(block, ResourceLink)]
        assert (link.mime_type, link.name) == ("application/pdf", "sales.pdf")
        for uri, size_bytes in ((str(paper.resource.uri), 0), (str(link.uri), 400_000)):
            (content,) = (await client.read_resource(uri)).contents
            assert isinstance(content, BlobResourceContents)
            assert (content.uri, content.mime_type) == (uri, "application/pdf")
            assert base64.b64decode(content.blob) == document("pdf", size_bytes)
        wrong = f"sim://executions/{structured(result)['execution_id']}?file=/result/title"
        assert (await refused(client, wrong))[0] == -32602


@pytest.mark.parametrize("shape", ["array", "string", "object", "manifest"])
async def test_what_sim_keeps_is_said_and_its_way_there_is_not(world: World, era: Era, shape: str) -> None:
    """No reference, key or address of SIM's storage in anything that a client is told, nor in the row."""
    async with connected(world, era) as client:
        result = await client.call_tool("archive", {"shape": shape})
        assert "SIM itself kept 1 value back (" in words(result)
        kept = structured(result)["output"]["result"]["invoices"]
        assert (kept["truncated"], kept["kind"]) == (True, "array" if shape == "manifest" else shape)
        whole = await read(client, f"sim://executions/{structured(result)['execution_id']}")
        told_everything = json.dumps([whole, structured(result)]) + words(result)
        for secret in ("__simLarge", "lv_", "large-value", "execution/"):
            assert secret not in told_everything


async def test_a_followed_run_tells_what_sim_keeps_of_it(world: World, era: Era) -> None:
    """SIM shows the content of files in the answer to a start alone: afterwards, a file is kept back."""
    assert isinstance(world.clock, ManualClock)
    async with flowing(world.clock), connected(world, era) as client:
        for name, kind in (("chart_async", "file"), ("archive_async", "array")):
            execution_id = structured(await client.call_tool(name, {}))["execution_id"]
            shown = await client.call_tool("sim_get_execution", {"execution_id": execution_id, "wait_s": 45})
            assert structured(shown)["status"] == "completed"
            assert f"SIM itself kept 1 value back ({kind}, " in words(shown)
            assert "localhost:3000" not in words(shown)


async def test_no_address_leads_to_another_tenant_s_output(world: World, era: Era) -> None:
    """Own id or SIM's, page or file: in the very words of an execution that never was."""
    async with connected(world, era, "globex") as client:
        theirs = structured(await client.call_tool("chart", {"format": "pdf"}))
    unknown = "0" * 8 + theirs["execution_id"][8:]
    queries = ("", "?path=", "?path=/result/chart", "?path=/nothing", "?offset=5", "?file=/result/chart")
    async with connected(world, era) as client:
        for asked in (theirs["execution_id"], theirs["run_id"], unknown):
            for query in queries:
                uri = f"sim://executions/{asked}{query}"
                assert await refused(client, uri) == (-32602, "Resource not found.", {"uri": uri})
            bad = f"sim://executions/{asked}?path=nowhere"
            assert (await refused(client, bad))[1] == "Resource not found."
            worse = f"sim://executions/{asked}?offset=-1"
            assert "offset must be" in (await refused(client, worse))[1]
        said = [
            words(await client.call_tool("sim_get_execution", {"execution_id": asked, "path": "/result"}))
            for asked in (theirs["execution_id"], unknown)
        ]
        assert said[0].replace(theirs["execution_id"], unknown) == said[1]
    async with connected(world, era, "globex", permissions={Permission.EDIT}) as client:
        for query in queries:
            uri = f"sim://executions/{theirs['execution_id']}{query}"
            assert await refused(client, uri) == (-32602, "Resource not found.", {"uri": uri})


@pytest.mark.parametrize(
    "uri",
    [
        "sim://executions/?path=/a",
        "sim://executions?path=/a",
        "sim://history?path=/data",
        "sim://workflows/a?path=/a",
        "ui://sim/history?path=",
        "sim://executions/a/b?path=/a",
        "sim://executions/%61?path=",
        "https://example.com/?path=/a",
    ],
)
async def test_a_query_elsewhere_leads_nowhere(world: World, uri: str) -> None:
    """Only executions have parts."""
    async with connected(world, "auto") as client:
        assert (await refused(client, uri))[:2] == (-32602, "Resource not found.")


async def test_ids_are_completed_for_pages_and_files_too(world: World, era: Era) -> None:
    """The same ids at each of an execution's addresses."""
    async with connected(world, era) as client:
        execution_id = structured(await client.call_tool("echo", {}))["execution_id"]
        for template in (PAGE_TEMPLATE, FILE_TEMPLATE):
            ref = ResourceTemplateReference(type="ref/resource", uri=template)
            found = await client.complete(ref, {"name": "execution_id", "value": ""})
            assert found.completion.values == [execution_id]


async def test_a_tool_whose_spec_allows_more_says_so_to_clients(world: World, era: Era) -> None:
    """Clients that cut results by themselves are told where we do, when an administrator chose it."""
    await world.allow("acme", "large", "larger", max_output_bytes=200_000)
    await world.allow("acme", "large", "largest", max_output_bytes=10_000_000)
    async with connected(world, era) as client:
        tools = {tool.name: tool.meta for tool in (await client.list_tools()).tools}
    assert [tools[name] for name in ("large", "larger", "largest")] == [
        None,
        {"anthropic/maxResultSizeChars": 202_000},
        {"anthropic/maxResultSizeChars": 500_000},
    ]
