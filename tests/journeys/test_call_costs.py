"""What a call asks of the database: everything once, and each thing that must last on one way to it."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot

from sim_mcp.model.errors import UnknownTool
from sim_mcp.model.execution import Status
from sim_mcp.store.sqlite import SqliteDatabase
from tests.journeys.test_tasks import rpc
from tests.transports.web import Web, open_web
from tests.world import open_world, principal

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R13", "R36", "F25")]

_TABLE = re.compile(r"(?:FROM|INTO|UPDATE)\s+(\w+)")


@contextmanager
def overheard(patch: pytest.MonkeyPatch) -> Generator[list[str]]:
    """Every way to the database meanwhile: the first word and the table of its statement."""
    said: list[str] = []

    def listening(name: str) -> None:
        asked = getattr(SqliteDatabase, name)

        def ask(self: SqliteDatabase, sql: str, *arguments: Any, **more: Any) -> Any:
            table = _TABLE.search(sql)
            said.append(f"{sql.split(maxsplit=1)[0]} {table[1] if table else ''}")
            return asked(self, sql, *arguments, **more)

        patch.setattr(SqliteDatabase, name, ask)

    with patch.context():
        for name in ("fetch_all", "execute", "change"):
            listening(name)
        yield said


async def warm(web: Web) -> None:
    """Call once, so that what is asked but once is known."""
    for tenant in ("acme", "globex"):
        await web.world.allow(tenant, "echo")
        assert "result" in await rpc(web, "tools/call", CALL, by=tenant)


CALL: dict[str, Any] = {"name": "echo", "arguments": {"text": "hello"}}


async def test_a_call_asks_the_database_for_everything_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings and list at once; then the row: opened, begun, closed with its link. Nothing is read back."""
    async with open_web(tmp_path, has_tools=True) as web:
        await warm(web)
        with overheard(monkeypatch) as said:
            told = await rpc(web, "tools/call", CALL)
    assert told["result"]["structuredContent"]["status"] == "completed"
    assert said == snapshot(
        [
            "SELECT allow_list_versions",
            "INSERT executions",
            "UPDATE executions",
            "UPDATE executions",
        ]
    )


async def test_what_another_one_saw_counts_for_nothing(tmp_path: Path) -> None:
    """A view of globex, given with a call of acme, takes neither globex's tools nor its account."""
    async with open_world(tmp_path) as world:
        await world.allow("globex", "echo")
        seen = await world.app.gateway.view(principal("globex"))
        assert [tool.name for tool in seen.tools] == ["echo"]
        call = world.call("acme", "echo", {"text": "hello"})
        with pytest.raises(UnknownTool):
            await world.app.gateway.answer(call, view=seen)
        await world.allow("acme", "echo")
        own = await world.app.gateway.view(principal("acme"))
        answered = await world.app.gateway.answer(call, view=replace(seen, catalog=own.catalog))
    assert answered.execution.status is Status.COMPLETED
    assert [run.account for run in world.sim.runs] == ["acme"]
