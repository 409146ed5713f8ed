"""The permission matrix of the command line: who sits at the terminal may do what the settings say."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from sim_mcp.app import App
from sim_mcp.cli.program import build
from sim_mcp.cli.session import with_app
from sim_mcp.model.events import Event, EventMapping, Job
from sim_mcp.model.principal import ALL_PERMISSIONS, Permission, Principal
from sim_mcp.model.tool import WorkflowId
from sim_mcp.sim.fake import workflow_id
from tests.authority import VERBS, Verb
from tests.cli.conftest import Ended, Invoke, Sandbox

OWN = {name: verb for name, verb in VERBS.items() if verb is not None}
"""The verbs that act for a tenant."""
VARIANTS = frozenset({"setup --enable", "setup --disable", "setup --remove"})
"""Rows about an option that asks for another permission than its verb."""


def served() -> set[str]:
    """The verbs that the program has."""
    return set(_leaves(get_command(build()), ()))


def _leaves(command: object, path: tuple[str, ...]) -> Iterator[str]:
    inner: dict[str, object] | None = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path)
        return
    for name, each in inner.items():
        yield from _leaves(each, (*path, name))


PERFORMED = sorted(name for name in OWN if name in served() | VARIANTS)
"""The rows whose verb is there; the others wait for it."""


@pytest.mark.requirement("R33")
def test_every_verb_is_in_the_reviewed_table() -> None:
    """Whoever adds one says in `tests/authority.py` for whom it acts, and what that takes."""
    assert served() - set(VERBS) == set()


@pytest.mark.requirement("R33")
@pytest.mark.parametrize("name", PERFORMED)
def test_a_verb_serves_exactly_those_who_may(
    name: str, invoke: Invoke, connected: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the table names is enough; with everything but one of it, one line says what is missing."""
    verb = OWN[name]
    arguments = [_filled(each, invoke) for each in verb.arguments]
    asked = len(connected.sim.requests)
    for held in _too_little(verb):
        ended = _run(name, arguments, verb, held, invoke, monkeypatch)
        assert ended.code == 1, (held, ended)
        assert ended.out == "" or Permission.VIEW in verb.needs & held, (held, ended)
        if verb.is_hidden:
            assert ended.err.startswith("Error: Unknown tool: "), ended
        else:
            said = re.search("This needs the permission ([A-Z_]+): ask an administrator", ended.err)
            assert said is not None, ended
            assert said[1] in verb.needs - held, ended
        assert [line for line in ended.err.splitlines() if not line.startswith(("Error: ", "Fix: "))] == []
    assert len(connected.sim.requests) == asked
    assert _run(name, arguments, verb, verb.needs, invoke, monkeypatch).code == 0


@pytest.mark.requirement("R33", "R35")
def test_another_tenants_execution_is_unknown_at_the_terminal_too(
    invoke: Invoke, connected: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its id it cannot be told from one that never was, with the permission and without."""
    foreign = invoke("call", "summarize_timesheets", "--arg", "employee=Ada").json["execution_id"]
    assert connected.sim.runs
    for permissions in ("INTEGRATION_VIEW", "INTEGRATION_EDIT"):
        monkeypatch.setenv("SIM_MCP_PERMISSIONS", permissions)
        ends = [invoke("show", each, "--tenant", "globex") for each in (foreign, "0" * 36)]
        assert ends[0] == ends[1]
        assert ends[0].code == 1


def _too_little(verb: Verb) -> list[frozenset[Permission]]:
    """Nothing, every single permission that is not enough, and everything but one of what is needed."""
    every = ALL_PERMISSIONS
    held = [frozenset[Permission](), *(frozenset({each}) for each in every)]
    held += [every - {each} for each in verb.needs]
    return sorted({each for each in held if not verb.needs <= each}, key=sorted)


def _run(
    name: str,
    arguments: list[str],
    verb: Verb,
    held: frozenset[Permission],
    invoke: Invoke,
    monkeypatch: pytest.MonkeyPatch,
) -> Ended:
    with monkeypatch.context() as patch:
        patch.setenv("SIM_MCP_PERMISSIONS", ",".join(sorted(held)))
        return invoke(*name.split(), *arguments, stdin=verb.stdin)


def _filled(argument: str, invoke: Invoke) -> str:
    match argument:
        case "{workflow}":
            return workflow_id("acme", "echo")
        case "{specs}":
            Path("specs").mkdir()
            changed = invoke("tools", "export").out.replace("summarize_timesheets", "summarize_hours")
            Path("specs/acme.yaml").write_text(changed, encoding="utf-8")
            return "specs"
        case "{execution}":
            called = invoke("call", "summarize_timesheets", "--arg", "employee=Ada")
            return str(called.json["execution_id"])
        case "{listed}":
            return str(invoke("tools", "list", "--json").json["tools"][0]["workflow_id"])
        case "{mapped}":
            invoke("events", "map", "timer.stopped", _filled("{listed}", invoke))
            return "timer.stopped"
        case "{scheduled}":
            invoke("schedules", "set", "weekly", _filled("{listed}", invoke), "0 9 * * 1")
            return "weekly"
        case "{secret}":
            invoke("secrets", "set", "portal", "--stdin", stdin="a secret")
            return "portal"
        case "{sender}":
            return str(invoke("events", "sender", "create", "--json").json["id"])
        case "{deadjob}":
            return dead_letter(_filled("{listed}", invoke)).id
        case "{token}":
            return str(invoke("token", "create", "--json").json["id"])
        case _:
            return argument


def dead_letter(workflow: str) -> Job:
    """A dead letter of the tenant at the terminal: its mapping wants what the event does not have."""

    async def bury(app: App, principal: Principal) -> Job:
        wanted = EventMapping(
            id="",
            tenant_id=principal.tenant_id,
            organization_id=None,
            event="poison.sent",
            workflow_id=WorkflowId(workflow),
            input={"text": {"$from": "/nowhere"}},
        )
        await app.mappings.set(principal, wanted, Permission.ADD)
        accepted = await app.events.accept(
            principal, Event(id=str(uuid.uuid4()), name="poison.sent", data={})
        )
        return accepted.jobs[0]

    return with_app(bury, config=None)
