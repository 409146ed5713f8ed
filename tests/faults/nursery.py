"""Server processes to be killed, one after the other: forked, so that the next is there in milliseconds.

A line on stdin begins a life, the next one kills it, and how it ended is written to stdout. A life opens the
app, repeats the keyed calls of earlier lives that never got an answer, and makes calls until it is killed.
What it began and what it was told is appended to `told.txt`, so that nothing it heard is forgotten. See
`test_kills.py`.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path

import anyio

from sim_mcp.app import App, Needs, open_app
from sim_mcp.config import Settings
from sim_mcp.model.execution import Call, Trigger
from tests.world import TENANTS, principal, spec

HEAVY = ("aiosqlite", "cryptography.hazmat.primitives.ciphers.aead", "sim_mcp.sim.client", "sim_mcp.sim.pool")
"""Loaded before the fork, since every life needs them."""
TOOLS = {"echo": "sync", "slow": "async", "streaming": "stream", "failing": "sync"}
"""A caller for each tool; those of the first two bring idempotency keys."""
KEYED = ("echo", "slow")


class Life:
    """One process, from its fork to its end."""

    def __init__(self, folder: Path, base_url: str, number: int) -> None:
        self._settings = Settings(
            data_dir=folder,
            sim_base_url=base_url,
            sim_allowed_hosts=("127.0.0.1",),
            max_concurrency=64,
            rate_per_minute=100_000,
        )
        self._number = number
        self._told = os.open(folder / "told.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._unanswered = unanswered((folder / "told.txt").read_text("utf-8"))

    async def live(self) -> None:
        """Call and call, until killed."""
        async with (
            open_app(self._settings, needs=Needs(follows_up=True, drain_s=0)) as app,
            anyio.create_task_group() as group,
        ):
            for tenant in TENANTS:
                await self._connect(app, tenant)
                for tool in TOOLS:
                    group.start_soon(self._call_on, app, tenant, tool)

    async def _connect(self, app: App, tenant: str) -> None:
        who = principal(tenant)
        if await app.administration.settings(who) is None:
            await app.administration.set_up(who, api_key=f"sk-sim-sandbox-{tenant}")
        known = {tool.name for tool in await app.gateway.tools(who)}
        for tool, mode in TOOLS.items():
            if tool not in known:
                entry = {"input_schema": {"type": "object"}, "mode": mode, **spec(tenant, tool)}
                await app.workflows.allow(who, entry)

    async def _call_on(self, app: App, tenant: str, tool: str) -> None:
        for text in self._unanswered:
            if text.startswith(f"{tenant}/{tool}/"):
                await self._call(app, tenant, tool, text, patience_s=0)
        for number in range(1_000_000):
            text = f"{tenant}/{tool}/{self._number}/{number}"
            await self._call(app, tenant, tool, text, patience_s=0.1 if tool == "slow" else None)

    async def _call(self, app: App, tenant: str, tool: str, text: str, *, patience_s: float | None) -> None:
        self._note("began", text)
        row = await app.gateway.call(
            Call(
                principal=principal(tenant),
                trigger=Trigger.MCP,
                tool_name=tool,
                arguments={"text": text, "seconds": 0.05},
                idempotency_key=text if tool in KEYED else None,
            ),
            patience_s=patience_s,
        )
        if row.status.is_final:
            self._note("told", text, row.id, row.status.value)

    def _note(self, *words: str) -> None:
        os.write(self._told, f"{' '.join(words)}\n".encode())


def unanswered(told: str) -> list[str]:
    """The keyed calls that were begun and never answered, in their order."""
    lines = [line.split() for line in told.splitlines()]
    answered = {words[1] for words in lines if words[0] == "told"}
    began = dict.fromkeys(words[1] for words in lines if words[0] == "began")
    return [text for text in began if text not in answered and text.split("/")[1] in KEYED]


def main(folder: str, base_url: str) -> None:
    """Begin a life at one line, end it at the next. Who forked it kills it: till then its id is its own."""
    for module in HEAVY:
        importlib.import_module(module)
    for line in iter(sys.stdin.readline, ""):
        born = os.fork()
        if not born:
            sys.stdin.close()
            anyio.run(Life(Path(folder), base_url, int(line)).live)
            os._exit(0)
        sys.stdin.readline()
        os.kill(born, signal.SIGKILL)
        _, end = os.waitpid(born, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(end)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
