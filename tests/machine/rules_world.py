"""Steps of the world: SIM and the network fail, time passes, processes die, events arrive, people read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule
from mcp.shared.exceptions import MCPError

from sim_mcp.gateway import Keeping
from sim_mcp.model.principal import Permission
from sim_mcp.sim.fake import faults
from sim_mcp.triggers import Performer
from tests.journeys.mcp_clients import ERAS, Era, names
from tests.machine.doors import Told, client_of, mcp_call, rest, told_protocol
from tests.machine.model import TENANTS, WORKFLOWS, Token, tool_name
from tests.machine.stage import Stage, at, must_count

FAULTS: tuple[tuple[faults.Verb, faults.Fault], ...] = (
    ("execute", faults.LostAnswer()),
    ("execute", faults.ResetMidBody()),
    ("execute", faults.NotBegunReset()),
    ("execute", faults.Unavailable503()),
    ("execute", faults.RateLimited(retry_after=1, kind="gate")),
    ("execute", faults.RateLimited(retry_after=1, kind="rate")),
    ("execute", faults.AmbiguousEnqueue(starts_run=True)),
    ("execute", faults.AmbiguousEnqueue(starts_run=False)),
    ("execute", faults.HtmlPage(run_started=True)),
    ("execute", faults.HtmlPage(run_started=False)),
    ("execute", faults.RunConflict()),
    ("execute", faults.MalformedJson()),
    ("execute", faults.UsageExceeded402()),
    ("resume", faults.LostAnswer()),
    ("resume", faults.NotBegunReset()),
    ("resume", faults.SnapshotNotReady()),
    ("resume", faults.Forbidden403()),
    ("status", faults.Unavailable503()),
    ("status", faults.HtmlPage()),
    ("status", faults.Unauthorized401()),
    ("cancel", faults.LostAnswer()),
    ("cancel", faults.NotFound404()),
    ("cancel", faults.Forbidden403()),
)
UNKNOWN = "00000000-0000-4000-8000-00000000dead"
READS = (
    "/settings",
    "/settings/revisions",
    "/executions",
    "/workflows",
    "/events/mappings",
    "/jobs",
    "/schedules",
    "/metrics",
    "/health",
)
ADMIN_READS = ("sim_status", "sim_list_executions", "sim_get_settings", "sim_metrics", "sim_list_jobs")
NONSENSE = {"no_tool_takes_this": 1}


class Living(Stage):
    """Rules of everything that nobody asked for, and of those who only look."""

    @rule(
        which=st.none() | st.sampled_from(FAULTS),
        is_down=st.sampled_from((False, False, True)),
        late=st.integers(0, 1),
    )
    def trouble(self, which: tuple[faults.Verb, faults.Fault] | None, late: int, *, is_down: bool) -> None:
        """SIM or the way there gets worse, or better."""
        if which is not None:
            self.break_sim(which)
        else:
            self.change_the_weather(late, is_down=is_down)

    def break_sim(self, which: tuple[faults.Verb, faults.Fault]) -> None:
        """SIM's next answer of that kind goes wrong."""
        self.here.sim.script(which[1], verb=which[0])

    def change_the_weather(self, late: int, *, is_down: bool) -> None:
        """SIM goes away or comes back, or will answer too late."""
        self.here.weather.is_down, self.here.weather.late = is_down, late

    @rule(seconds=st.sampled_from((1.0, 5.0, 20.0, 90.0, 3600.0)), rounds=st.integers(1, 4))
    def let_time_pass(self, seconds: float, rounds: int) -> None:
        """Time passes, and the follower looks at what is due."""
        for _ in range(rounds):
            self.here.run(self.follow(seconds))

    @rule(days=st.sampled_from((1, 2, 40, 100)))
    def let_days_pass(self, days: int) -> None:
        """Days pass: tokens and keys of calls run out, and what is older than the retention is purged."""
        app, clock = self.here.app, self.here.clock
        self.here.run(self.follow(days * 86_400.0))
        keeping = Keeping(retention=app.store.retention, clock=clock, retention_days=90, archive=None)
        self.here.run(keeping.run_due())

    @rule(dies=st.booleans())
    def pause_between_requests(self, *, dies: bool) -> None:
        """The process dies, or SIM is back and all is followed to its end."""
        if dies:
            self.here.kill()
        else:
            self.come_to_rest()

    @rule(token=at, number=st.integers(0, 3))
    def post_event(self, token: int, number: int) -> None:
        """An event arrives, perhaps not for the first time; it starts what is mapped once."""
        who = self.token(token)
        body = {
            "id": f"evt-{number}",
            "event": "timer.stopped",
            "data": {"text": f"event-{number}-of-{who.tenant}"},
        }
        told = self.do(rest(self.here, who, "POST", "/events", json=body))
        self.hear(who, told, f"evt-{number}")
        self.check_form(told)
        if self.check_entrance(who, told):
            assert told.http == (202 if who.may(Permission.EDIT) else 403), told

    @rule()
    def work_jobs(self) -> None:
        """A worker takes up what waits, and judges what has ended."""
        self.do(self._worked())

    async def _worked(self) -> None:
        app, clock = self.here.app, self.here.clock
        performer = Performer(store=app.store, gateway=app.gateway, clock=clock, random=lambda: 0.5)
        for job in await app.store.jobs.waiting(limit=100):
            if job.due_at <= clock.now():
                await app.store.jobs.handed(job, at=clock.now())
                await performer.perform(job.tenant_id, job.id, job.generation)
        await performer.settle()

    @rule(token=at, what=st.sampled_from((*READS, *ADMIN_READS)), era=st.sampled_from(ERAS))
    def look_around(self, token: int, what: str, era: Era) -> None:
        """Somebody reads, through REST or MCP."""
        if what in READS:
            self.read(token, what)
        else:
            self.read_by_mcp(token, what, era)

    def read(self, token: int, path: str) -> None:
        """Somebody reads what is the tenant's; the history is exactly the tenant's rows."""
        who = self.token(token)
        told = self.do(rest(self.here, who, "GET", path))
        self.hear(who, told)
        if path != "/health" or told.http != 503:  # which tells how SIM is, in a form of its own
            self.check_form(told)
        if not self.check_entrance(who, told):
            return
        if not who.may(Permission.VIEW):
            assert told.http == 403, told
        elif path == "/executions":
            total = json.loads(told.text[told.text.index("} {") + 2 :])["total"]
            assert total == sum(row["tenant_id"] == who.tenant for row in self.books.rows.values())

    def read_by_mcp(self, token: int, tool: str, era: Era) -> None:
        """The same through MCP."""
        who = self.token(token)
        if not who.is_good(self.here.clock.now()):
            return
        told = self.do(self._asked_by_mcp(who, era, tool, {}))
        self.hear(who, told)
        self.check_form(told)
        hidden = {"NOT_FOUND", "NOT_CONFIGURED", "DISABLED"}  # like every name that the tenant does not have
        assert (told.code in hidden) == (not who.may(Permission.VIEW)), told

    async def _asked_by_mcp(self, who: Token, era: Era, tool: str, arguments: dict[str, Any]) -> Told:
        async with client_of(self.here, who, era) as client:
            return await mcp_call(client, tool, arguments)

    @rule(token=at, which=at, by_run=st.booleans())
    def look_at_anothers(self, token: int, which: int, *, by_run: bool) -> None:
        """Another tenant's ids are answered, at every address, exactly as ids that do not exist."""
        who, rows = self.token(token), [*self.books.rows.values()]
        foreign = [row for row in rows if row["tenant_id"] != who.tenant]
        if not foreign or not who.is_good(self.here.clock.now()):
            return
        row = foreign[-1 - which % len(foreign)]
        one = row["run_id"] if by_run and row["run_id"] else row["id"]
        answers = self.do(self._pried(who, one))
        self.books.said[who.tenant] |= {one, UNKNOWN}
        for told in answers:
            self.hear(who, told)
            self.check_form(told)
        unknown = self.do(self._pried(who, UNKNOWN))
        assert [each.text.replace(one, "*") for each in answers] == [
            each.text.replace(UNKNOWN, "*") for each in unknown
        ]
        now = {each["id"]: each for each in self.here.read("SELECT * FROM executions")}
        assert now[row["id"]] == row, "another tenant's row was touched"

    async def _pried(self, who: Token, one: str) -> list[Told]:
        """The answers to questions about `one`, at every address that takes an execution's id."""
        found = [
            await rest(self.here, who, method, path, **({} if body is None else {"json": body}))
            for method, path, body in (
                ("GET", f"/executions/{one}", None),
                ("GET", f"/jobs/{one}/status", None),
                ("POST", f"/executions/{one}/cancel", {}),
                ("POST", f"/executions/{one}/resume", {"input": {"approved": True}}),
            )
        ]
        async with client_of(self.here, who, "auto") as client:
            for tool, more in (
                ("sim_get_execution", {}),
                ("sim_cancel_execution", {}),
                ("sim_resume_execution", {"input": {"approved": True}}),
            ):
                found.append(await mcp_call(client, tool, {"execution_id": one, **more}))
            try:
                await client.read_resource(f"sim://executions/{one}")
            except MCPError as error:
                told = told_protocol(error)  # MCP's own way, without a code of ours
                found.append(replace(told, code="NOT_FOUND" if "Resource not found." in told.text else None))
        return found

    @rule(token=at, era=st.sampled_from(ERAS))
    def survey(self, token: int, era: Era) -> None:
        """What the token's bearer is shown is what it may call, and is what the model says."""
        who = self.token(token)
        if not who.is_good(self.here.clock.now()):
            return
        self.books.look(self.here)
        counted = must_count(self.books.rows.values(), who.tenant)
        asked = sorted({tool_name(tenant, each) for tenant in TENANTS for each in WORKFLOWS} | {"stolen"})
        listed, found = self.do(self._surveyed(who, era, asked))
        self.books.said[who.tenant] |= set(asked)
        there = {name for name, told in found.items() if told.code == "INVALID_INPUT"}
        for told in found.values():
            self.hear(who, told)
            self.check_form(told)
        expected = self.model.visible(who)
        assert listed == expected, (listed ^ expected, who)
        assert there == expected & set(asked), (there, expected, who, found)
        self.books.look(self.here)
        left = must_count(self.books.rows.values(), who.tenant) - counted
        assert left == len(asked), ("not one row for each refused call", left, len(asked))

    async def _surveyed(self, who: Token, era: Era, asked: list[str]) -> tuple[set[str], dict[str, Told]]:
        async with client_of(self.here, who, era) as client:
            listed = await names(client)
            return set(listed), {name: await mcp_call(client, name, NONSENSE) for name in asked}
