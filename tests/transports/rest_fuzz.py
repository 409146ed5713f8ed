"""Fuzzes the REST door from its own OpenAPI document, in this process: no sockets, no wall clock.

Longer than the suite does it: `uv run python -m tests.transports.rest_fuzz 300`.
"""

from __future__ import annotations

import copy
import itertools
import re
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.python.asgi import get_client, shutdown_lifespans
from starlette.types import ASGIApp, Receive, Scope, Send

from sim_mcp.model.clock import ManualClock
from sim_mcp.sim.fake import demo_account, workflow_id
from sim_mcp.transports.rest_views import BASE_PATH
from tests.transports.rest_document import DOCUMENTED
from tests.transports.web import NOW_S, Web, bearer, open_web
from tests.triggers import dead_job, map_event, schedule
from tests.world import SIM_URL, principal

EXECUTE = "POST /workflows/{workflowId}/execute"
SEMANTIC = re.compile(
    "SIM does not accept this API key|characters that no id has|base URL"
    "|`cursor` is not one of ours|exclude each other"
    "|cron expression is not understood|time zone .* is not known|input template cannot be filled"
    "|[Ee]vent mapping is not valid|schedule is not valid|event is not valid"
    "|`since` lies in the future"
    "|Invalid cursor|must not be earlier than `since`"
)
"""Why the door may refuse what its schema allows: rules that no schema can say."""
LEFT_OUT = frozenset({"Tenant-Id", "Organization-Id"})
LEARNING = ("examples", "coverage", "fuzzing")
ALLOWED = ("quick", "echo", "failing", "asking")
HOST = "http://127.0.0.1:8765"
YEAR_S = 366 * 86_400


@dataclass(slots=True)
class Findings:
    """What a run of the fuzzer saw: faults in words, and how often each status was answered."""

    faults: list[str] = field(default_factory=list[str])
    answers: Counter[tuple[str, int, str]] = field(default_factory=Counter[tuple[str, int, str]])
    """By route, status and code."""


class Served:
    """The whole application over two tenants, opened and closed by the fuzzer's lifespan, in its loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._web: Web
        self._application: ASGIApp
        self.known_ids: dict[str, list[str]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the lifespan or one request."""
        if scope["type"] != "lifespan":
            if _needs_account(scope["path"]):
                await self._reconnect()
            await self._application(scope, receive, send)
            return
        await receive()
        async with (
            open_web(self._folder, rate_per_minute=100_000, new_id=_counted_ids()) as web,
            anyio.create_task_group() as group,
        ):
            group.start_soon(_let_time_pass, web.clock)
            await self._furnish(web)
            self._web, self._application = web, web.application
            await send({"type": "lifespan.startup.complete"})
            await receive()
            group.cancel_scope.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    async def _furnish(self, web: Web) -> None:
        """Runs of every kind for both tenants, so that ids, own and foreign, are there to be found."""
        for tenant in ("acme", "globex"):
            await web.allow(tenant, *ALLOWED)
            for name in ALLOWED:
                await web.execute(tenant, workflow_id(tenant, name))
        own = (await web.ask("GET", "/executions")).json()["data"]
        foreign = (await web.ask("GET", "/executions", by="globex")).json()["data"]
        settings = (await web.ask("GET", "/settings")).json()
        self._workspace: str | None = settings["workspaceId"]
        self.known_ids = {
            "executions": [row[name] for row in [*own, foreign[0]] for name in ("id", "executionId")],
            "workflows": [*(workflow_id("acme", name) for name in ALLOWED), workflow_id("globex", "quick")],
            "integrations": [settings["integrationTenantId"]],
            "keys": [demo_account("acme").api_key],
            "jobs": [
                (await dead_job(web.world, tenant, "quick", f"evt-{number}")).id
                for tenant in ("acme", "acme", "acme", "globex")
                for number in range(3)
            ],
            "events": ["timer.stopped", "poison.sent"],
            "schedules": ["weekly"],
            "crons": ["0 9 * * 1", "*/5 * * * *"],
            "zones": ["UTC", "Europe/Berlin"],
        }
        await map_event(web.world, "acme", "quick")
        await web.world.app.schedules.set(principal("acme"), schedule("acme", "quick"))

    async def _reconnect(self) -> None:
        """What an earlier request removed or switched off must not hide what lies behind it."""
        app = self._web.world.app
        found = await app.administration.settings(principal("acme"))
        if (
            found is None
            or not found.is_enabled
            or found.base_url != SIM_URL
            or found.workspace_id != self._workspace
        ):
            await app.administration.set_up(principal("acme"), api_key=demo_account("acme").api_key)


def _counted_ids() -> Callable[[], str]:
    """The same ids in every run: the fuzzer learns from what it is answered."""
    numbers = itertools.count()
    return lambda: str(uuid.uuid5(uuid.NAMESPACE_URL, str(next(numbers))))


def _needs_account(path: str) -> bool:
    return path.startswith((f"{BASE_PATH}/workflows", f"{BASE_PATH}/executions"))


async def _let_time_pass(clock: ManualClock) -> None:
    while True:
        await clock.sleeper(within_s=600)
        clock.advance(1)
        await anyio.lowlevel.checkpoint()


def fuzz(folder: Path, *, examples: int, has_token: bool = True, learns: bool = False) -> Findings:
    """Ask the door `examples` times a route, and more for boundaries.

    The same requests in every run, unless it `learns`: then also sequences, and with values from
    our answers, whose times no two runs have alike.
    """
    app = Served(folder)
    try:
        with get_client(cast("Any", app)):
            config = _config(app.known_ids, examples=examples, has_token=has_token, learns=learns)
            schema = schemathesis.openapi.from_dict(_document(), config=config)
            schema.app = app
            return _run(schema)
    finally:
        shutdown_lifespans()


def _config(
    known_ids: dict[str, list[str]], *, examples: int, has_token: bool, learns: bool
) -> SchemathesisConfig:
    headers = {"Host": HOST.removeprefix("http://")}
    if has_token:
        headers["Authorization"] = bearer("acme", exp=NOW_S + YEAR_S)["authorization"]
    bound = {
        "path.id": "executions",
        "path.jobId": "executions",
        "path.workflowId": "workflows",
        "path.integrationTenantId": "integrations",
        "body.apiKey": "keys",
        "path.triggeredJobId": "jobs",
        "path.event": "events",
        "path.scheduleName": "schedules",
        "body.workflowId": "workflows",
        "body.cron": "crons",
        "body.timeZone": "zones",
        "body.name": "schedules",
    }
    return SchemathesisConfig.from_dict(  # pyright: ignore[reportUnknownMemberType]  # its own gap
        {
            "seed": 1,
            "headers": headers,
            "workers": 1,
            "request-timeout": 600,  # of real seconds: a slow machine is no fault
            "continue-on-failure": True,
            "dictionaries": {name: {"values": values} for name, values in known_ids.items()},
            "parameters": {place: {"dictionary": name, "probability": 0.6} for place, name in bound.items()},
            "phases": {
                **{name: {"extra-data-sources": {"responses": learns}} for name in LEARNING},
                "stateful": {"enabled": learns},
            },
            "checks": {
                "not_a_server_error": {"expected-statuses": ["2xx", "4xx", "5xx"]},
                "positive_data_acceptance": {"enabled": False},
            },
            "generation": {"deterministic": True, "max-examples": examples, "database": "none"},
        }
    )


def _document() -> dict[str, Any]:
    """The document without the headers that tests of their own are about: they would hide the rest."""
    document = copy.deepcopy(DOCUMENTED.document)
    for methods in document["paths"].values():
        for operation in methods.values():
            operation["parameters"] = [
                each
                for each in operation.get("parameters", [])
                if each.get("$ref", "").rpartition("/")[2] not in LEFT_OUT
            ]
    return document


def _run(schema: Any) -> Findings:
    found = Findings()
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError):
            found.faults.append(f"{event.label}: {event.value!r}")
        elif isinstance(event, events.FatalError):
            found.faults.append(repr(event.exception))
        elif isinstance(event, events.ScenarioFinished):
            _judge(event, found)
    return found


def _judge(event: events.ScenarioFinished, found: Findings) -> None:
    recorder = event.recorder
    for checks in recorder.checks.values():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                said = f"{failure.title}: {failure.message}\n  {check.failure_info.code_sample}"
                found.faults.append(f"{event.phase} {recorder.label} {check.name}: {said}")
    for case_id, interaction in recorder.interactions.items():
        case = cast("Any", recorder.cases[case_id]).value
        response = interaction.response
        if response is None:
            found.faults.append(f"{case.operation.label}: no answer")
            continue
        body: dict[str, Any] = response.json() if response.status_code >= 400 else {}
        found.answers[case.operation.label, response.status_code, body.get("code", "")] += 1
        fault = _fault(case, response.status_code, body)
        if fault:
            found.faults.append(
                f"{event.phase} {case.operation.label} {fault}: {body}\n  {case.as_curl_command()}"
            )


def _fault(case: Any, status: int, body: dict[str, Any]) -> str | None:
    """Stricter than the fuzzer's own checks, which know no codes."""
    if status >= 500 and (body["code"], case.operation.label) != ("EXECUTION_ERROR", EXECUTE):
        return "a server's error"
    is_positive = case.meta is not None and case.meta.generation.mode.is_positive
    if is_positive and status == 400 and not SEMANTIC.search(body["message"]):
        return "valid data refused"
    return None


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        seen = fuzz(Path(folder), examples=int(sys.argv[1]) if len(sys.argv) > 1 else 300, learns=True)
    lines = [f"{count:6} {' '.join(map(str, answer))}" for answer, count in sorted(seen.answers.items())]
    sys.stdout.write("\n".join([*lines, *dict.fromkeys(seen.faults), f"{len(seen.faults)} faults", ""]))
    raise SystemExit(1 if seen.faults else 0)
