"""Hold the adapter's truth table against a real SIM: `python -m scripts.check_sim --base-url https://…`.

The key comes from the environment (`SIM_API_KEY`), never from the command line. Only reads are sent, and
nothing is deployed or changed. A workflow runs only when it is named by `--execute`, once for each mode that
is asked for. Prints a line for each check, `ok`, `differs` or `skipped`; ends with 1 when anything differs, 2
when the command line cannot be meant.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, cast
from urllib.parse import urlsplit

import anyio

from sim_mcp.model.clock import Clock, SystemClock
from sim_mcp.model.credentials import without_credentials
from sim_mcp.model.errors import (
    InvalidInput,
    RunBegan,
    SimConflict,
    SimError,
    SimMcpError,
    SimNotDeployed,
    SimNotFound,
    SimRejectedKey,
)
from sim_mcp.model.integration import Dialect, Integration
from sim_mcp.model.json import JsonObject, is_object
from sim_mcp.model.run import Run, RunId, RunRequest
from sim_mcp.model.tool import Mode, WorkflowId
from sim_mcp.sim import SimClients
from sim_mcp.sim.client import SimClient

KEY_VARIABLE = "SIM_API_KEY"
FOLLOWED_S, LOOK_EVERY_S = 120.0, 2.0
LONGEST = 200
"""A line is read by a person: what SIM says is cut here."""


class Differs(Exception):
    """SIM answered otherwise than the table says."""


class Skipped(Exception):
    """This SIM, or this key, does not let it be seen."""


@dataclass(slots=True)
class Report:
    """Prints as it goes, and counts what differs."""

    differing: int = 0

    async def hold(self, name: str, check: Callable[[], Awaitable[str]]) -> None:
        """Run one check; whatever happens in it is its line."""
        try:
            self._print("ok", name, await check())
        except Skipped as why:
            self._print("skipped", name, str(why))
        except Differs as how:
            self._differs(name, str(how))
        except SimMcpError as error:
            self._differs(name, f"{type(error).__name__}: {error.message}")

    def _differs(self, name: str, told: str) -> None:
        self.differing += 1
        self._print("differs", name, told)

    def _print(self, verdict: str, name: str, told: str) -> None:
        safe = " ".join(without_credentials(told).split())[:LONGEST]
        print(f"{verdict:<8} {name}: {safe}", flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line asks for."""

    base_url: str
    workspace: str | None
    workflows: tuple[WorkflowId, ...]
    execute: tuple[WorkflowId, ...]
    modes: tuple[Mode, ...]
    input: JsonObject
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Checks:
    """The table's rows that can be seen from outside, for one client."""

    client: SimClient
    wanted: Wanted
    clock: Clock
    unknown: WorkflowId = field(default_factory=lambda: WorkflowId(str(uuid.uuid4())))

    async def health(self) -> str:
        """SIM is up, and it is SIM."""
        return f"answers within {await self.client.health() * 1000:.0f} ms"

    async def key(self) -> str:
        """The key is accepted, and the dialect is known."""
        probe = await self.client.probe(refresh=True)
        sees = f", {len(probe.workspaces)} workspaces" if probe.dialect is Dialect.V2 else ""
        return f"accepted; speaks {probe.dialect.value}{sees}"

    async def usage(self) -> str:
        """Limits are told in a shape that is understood."""
        usage = await self.client.usage()
        if usage is None:
            raise Skipped("this server does not tell limits")
        return f"sync {usage.sync_per_minute} and async {usage.async_per_minute} runs a minute"

    async def pages(self) -> str:
        """The list of workflows, page after page, names none twice."""
        seen: list[str] = []
        cursor: str | None = None
        for _ in range(3):
            try:
                page = await self.client.workflows(workspace_id=self.wanted.workspace, limit=2, cursor=cursor)
            except InvalidInput as error:
                raise Skipped("name the workspace by --workspace") from error
            seen += [each.workflow_id for each in page.workflows]
            cursor = page.next_cursor
            if cursor is None:
                break
        if len(seen) != len(set(seen)):
            raise Differs("a workflow is on two pages")
        return f"{len(seen)} workflows seen{'' if cursor is None else ', and more are there'}"

    async def unknown_workflow(self) -> str:
        """What this key cannot see is not found."""
        await refused(SimNotFound, lambda: self.client.deployment(self.unknown))
        await refused(SimNotFound, lambda: self.client.run(self.unknown, RunId(str(uuid.uuid4()))))
        return "not found, by its deployment and by its runs"

    async def workflow(self, workflow_id: WorkflowId) -> str:
        """A named workflow is told with its deployment, its inputs and its place in the list."""
        deployment = await self.client.deployment(workflow_id)
        inputs = await self.client.inputs(workflow_id)
        await refused(SimNotFound, lambda: self.client.run(workflow_id, RunId(str(uuid.uuid4()))))
        state = "deployed" if deployment.is_deployed else "not deployed"
        return f"{state}, {len(inputs.fields)} inputs; an unknown run is not found"

    async def execution(self, workflow_id: WorkflowId, mode: Mode) -> str:
        """What execute answers, the run's own record says too; its id is good for one run."""
        run_id = RunId(str(uuid.uuid4()))
        request = RunRequest(
            workflow_id=workflow_id, input=self.wanted.input, mode=mode, timeout_s=self.wanted.timeout_s
        )
        try:
            answered = await self.client.execute(request, run_id=run_id)
        except SimNotDeployed as error:
            if (await self.client.deployment(workflow_id)).is_deployed:
                raise Differs("refused as not deployed, and told as deployed") from error
            return "refused: it is not deployed"
        if answered.run_id != run_id:
            raise Differs(f"runs under another id than ours ({answered.run_id})")
        recorded = await self._ended(workflow_id, answered)
        if answered.status.is_settled and recorded.status is not answered.status:
            raise Differs(f"answered {answered.status.value}, recorded {recorded.status.value}")
        again = await refused(SimConflict, lambda: self.client.execute(request, run_id=run_id))
        if again.began is not RunBegan.MAYBE:
            raise Differs("a used run id is refused as if nothing had run")
        return f"{recorded.status.value}, as recorded; its id is refused a second time"

    async def _ended(self, workflow_id: WorkflowId, run: Run) -> Run:
        """The run as SIM records it, once it is settled."""
        ends_at_s = self.clock.monotonic() + FOLLOWED_S
        while self.clock.monotonic() < ends_at_s:
            try:
                told = await self.client.run(workflow_id, run.run_id or RunId(""), job_id=run.job_id)
            except SimNotFound:
                told = None  # recorded a moment later (sim-api 4.2)
            if told is not None and told.status.is_settled:
                return told
            await self.clock.sleep(LOOK_EVERY_S)
        raise Differs(f"not settled within {FOLLOWED_S:g} s")


async def refused(kind: type[SimError], ask: Callable[[], Awaitable[object]]) -> SimError:
    """The refusal of `kind` that `ask` must meet.

    Raises:
        Differs: it met none.
    """
    try:
        await ask()
    except kind as error:
        return error
    raise Differs(f"answered where {kind.__name__} was to come")


async def check(wanted: Wanted, api_key: str, *, clock: Clock) -> int:
    """Hold every row that may be seen against SIM; how many differ."""
    report = Report()
    parts = urlsplit(wanted.base_url)
    clients = SimClients(clock=clock, key_of=_no_other_key, allowed_hosts=(parts.hostname or "",))
    async with clients.trial(base_url=wanted.base_url, api_key=api_key) as client:
        checks = Checks(client, wanted, clock)
        await report.hold("health", checks.health)
        await report.hold("key", checks.key)
        await report.hold("limits", checks.usage)
        await report.hold("list", checks.pages)
        await report.hold("unknown workflow", checks.unknown_workflow)
        for workflow_id in dict.fromkeys((*wanted.workflows, *wanted.execute)):
            await report.hold(f"workflow {workflow_id}", lambda each=workflow_id: checks.workflow(each))
        for workflow_id in wanted.execute:
            for mode in wanted.modes:
                name = f"execute {workflow_id} {mode.value}"
                await report.hold(name, lambda each=workflow_id, how=mode: checks.execution(each, how))

    async def wrong_key() -> str:
        stranger = f"sk-sim-{uuid.uuid4().hex}"
        async with clients.trial(base_url=wanted.base_url, api_key=stranger) as client:
            await refused(SimRejectedKey, lambda: client.probe(refresh=True))
        return "refused"

    await report.hold("invented key", wrong_key)
    return report.differing


async def _no_other_key(_: Integration) -> str:
    raise AssertionError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(without_credentials(message))  # a stray argument may be a key


def wanted_of(arguments: Sequence[str]) -> Wanted:
    """What the command line asks for.

    Raises:
        SystemExit: with 2, when it cannot be meant; with 0 after `--help`.
    """
    parser = _Parser(
        prog="python -m scripts.check_sim", description=(__doc__ or "").split("\n\n")[1], allow_abbrev=False
    )
    add = parser.add_argument
    add("--base-url", required=True, metavar="URL", help="The SIM to look at, as https://www.sim.ai.")
    add("--workspace", metavar="ID", help="The workspace whose workflows are listed.")
    add("--workflow", action="append", default=[], metavar="ID", help="Look at this workflow. Repeatable.")
    add("--execute", action="append", default=[], metavar="ID", help="Run this workflow. Repeatable.")
    add("--mode", action="append", choices=[*Mode], metavar="MODE", help="sync (default), async or stream.")
    add("--input", default="{}", metavar="JSON", help="The input of the runs: a JSON object.")
    add(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="How long a run may take. Default: 60."
    )
    given = parser.parse_args(arguments)
    try:
        content: object = json.loads(given.input)
    except ValueError:
        content = None
    if not is_object(content):
        parser.error("--input must be a JSON object")
    return Wanted(
        base_url=given.base_url,
        workspace=given.workspace,
        workflows=_ids(given.workflow),
        execute=_ids(given.execute),
        modes=tuple(Mode(each) for each in given.mode or ["sync"]),
        input=content,
        timeout_s=given.timeout,
    )


def _ids(given: object) -> tuple[WorkflowId, ...]:
    return tuple(WorkflowId(each) for each in cast("list[str]", given))


def main(arguments: Sequence[str]) -> int:
    """Check, and return the exit code."""
    wanted = wanted_of(arguments)
    api_key = os.environ.get(KEY_VARIABLE, "")
    if not api_key:
        print(f"Error: no key. Put the SIM API key into {KEY_VARIABLE}.", file=sys.stderr)
        return 2

    async def run() -> int:
        return await check(wanted, api_key, clock=SystemClock())

    try:
        return 1 if anyio.run(run) else 0
    except InvalidInput as error:  # the base URL, or the key cannot be sent
        print(f"Error: {without_credentials(error.message)}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
