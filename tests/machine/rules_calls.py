"""Steps of those who call: tools through every door, pauses, cancels, the same call again."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from typing import Any

import anyio
from hypothesis import strategies as st
from hypothesis.stateful import rule

from sim_mcp.model.principal import ALL_PERMISSIONS, Permission
from sim_mcp.sim.fake.faults import Verb
from tests.machine.doors import called, rest
from tests.machine.model import TENANTS, WORKFLOWS, Asked
from tests.machine.network import Moment
from tests.machine.stage import Stage, at

DOORS = (
    "mcp",
    "mcp legacy",
    "mcp fallback",
    "mcp user",
    "rest",
    "rest async",
    "core",
)
workflows, doors = st.sampled_from(WORKFLOWS), st.sampled_from(DOORS)
moments: st.SearchStrategy[Moment] = st.sampled_from(("before", "after"))
VARIANTS = ("human", "human", "parallel", "time", "twice", "api")
VERBS: tuple[Verb, ...] = ("execute", "execute", "resume", "cancel", "status")


class Calling(Stage):
    """Rules of callers."""

    @rule(
        token=at,
        whose=st.sampled_from([*["own"] * 7, *TENANTS]),
        workflow=workflows,
        door=doors,
        has_key=st.booleans(),
        is_valid=st.sampled_from([*[True] * 5, False]),
        variant=st.sampled_from(VARIANTS),
        seconds=st.sampled_from((0, 2, 100, 5000)),
    )
    def call(
        self,
        token: int,
        whose: str,
        workflow: str,
        door: str,
        *,
        has_key: bool,
        is_valid: bool,
        variant: str,
        seconds: int,
    ) -> None:
        """Somebody calls a tool: mostly an own one, mostly with arguments that fit."""
        self.make(self.asked(token, whose, workflow, door, variant, seconds, has_key=has_key, fits=is_valid))

    @rule(who=at, calls=st.lists(st.tuples(workflows, doors, st.booleans()), min_size=1, max_size=4))
    def call_well(self, who: int, calls: list[tuple[str, str, bool]]) -> None:
        """One of those who may do everything calls own tools as they want to be called."""
        for workflow, door, has_key in calls:
            self.make(self.asked(self.founder(who), "own", workflow, door, "human", 2, has_key=has_key))

    @rule(who=at, workflow=workflows, door=doors, changes=st.sampled_from((False, False, True)))
    def call_twice(self, who: int, workflow: str, door: str, *, changes: bool) -> None:
        """The same key twice, mostly with the same request."""
        asked = self.asked(self.founder(who), "own", workflow, door, "human", 2, has_key=True)
        self.make(asked)
        if changes:
            asked = replace(asked, arguments={**asked.arguments, "text": f"other-{asked.tag}"})
        self.make(asked)

    @rule(who=at, door=doors, variant=st.sampled_from(VARIANTS))
    def call_what_asks(self, who: int, door: str, variant: str) -> None:
        """One of those who may do everything calls the workflow that asks a person."""
        self.make(self.asked(self.founder(who), "own", "asking", door, variant, 30, has_key=False))

    def founder(self, number: int) -> int:
        """The number of a token that may do everything, as each tenant got one at the start."""
        return len(self.model.tokens) - 1 - number % len(self.model.tenants)

    @rule(who=at, workflow=workflows, door=doors, is_revoked=st.booleans())
    def call_too_late(self, who: int, workflow: str, door: str, *, is_revoked: bool) -> None:
        """Somebody calls, and once more when the token has run out or was revoked."""
        tenant = self.token(self.founder(who)).tenant
        self.give_token(tenant, ALL_PERMISSIONS, lasts_s=7200)
        self.make(self.asked(0, "own", workflow, door, "human", 2, has_key=True))
        if is_revoked:
            self.revoke(self.token(0), tenant)
        else:
            self.here.clock.advance(7200)
        self.make(self.asked(0, "own", workflow, door, "human", 2, has_key=True))

    def asked(
        self,
        token: int,
        whose: str,
        workflow: str,
        door: str,
        variant: str,
        seconds: int,
        *,
        has_key: bool,
        fits: bool = True,
    ) -> Asked:
        """A call that was not made before."""
        who, number = self.token(token), self.model.number()
        arguments: dict[str, Any] = {"text": f"call-{number}-of-{who.tenant}"}
        arguments |= {"variant": variant} if workflow == "asking" else {}
        arguments |= {"seconds": seconds} if workflow in {"slow", "asking"} else {}
        arguments |= {} if fits else {"nobody_takes_this": 1}
        return Asked(
            token=who,
            door=door,
            target=who.tenant if whose == "own" else whose,
            workflow=workflow,
            arguments=arguments,
            key=f"key-{number}" if has_key else None,
            is_valid=fits,
        )

    def make(self, asked: Asked) -> None:
        """Make the call, and hold its answer to the rules and to its row."""
        self.books.look(self.here)
        before = copy.copy(self.books)
        told = self.do(called(self.here, asked))
        self.hear(asked.token, told, asked.tool, asked.tag)
        if asked.door == "core" or self.check_entrance(asked.token, told):
            self.model.asked.append(asked)
            self.check_call(asked, told, before)

    @rule(which=at, changes=st.booleans(), door=st.none() | st.sampled_from(DOORS))
    def call_again(self, which: int, door: str | None, *, changes: bool) -> None:
        """Somebody makes an earlier call again, perhaps with other arguments under the same key."""
        if not self.model.asked:
            return
        earlier = self.model.asked[-1 - which % len(self.model.asked)]
        asked = replace(earlier, door=door or earlier.door)
        if changes or asked.key is None or asked.door != earlier.door:
            # Without its key, or at another door, it is a call of its own, and has its own mark.
            marked = {"text": f"call-{self.model.number()}-of-{asked.token.tenant}"}
            asked = replace(asked, arguments={**asked.arguments, **marked})
        self.make(asked)

    @rule(
        token=at,
        which=at,
        by=st.sampled_from(("anybody", "founder", "clerk")),
        fits=st.sampled_from([True, True, True, False]),
    )
    def answer_a_pause(self, token: int, which: int, by: str, *, fits: bool) -> None:
        """Somebody answers a paused execution: who may, who may not, and who is of another tenant."""
        paused = [row for row in self.books.rows.values() if row["status"] == "paused"]
        if not paused:
            return
        row, who = paused[-1 - which % len(paused)], self.token(token)
        if by == "founder":
            who = self.token(self.founder([*self.model.tenants].index(row["tenant_id"])))
        elif by == "clerk":
            self.give_token(row["tenant_id"], frozenset({Permission.EDIT, Permission.VIEW}), lasts_s=None)
            who = self.token(0)
        run = self.here.sim.runs.get(row["run_id"])
        assert run is not None
        taken = run.resumes
        body: dict[str, Any] = {"input": {"approved": True if fits else "perhaps"}}
        points = run.waiting_points(self.here.sim_now)
        if len(points) > 1:
            body["contextId"] = points[0].context_id
        told = self.do(rest(self.here, who, "POST", f"/executions/{row['id']}/resume", json=body))
        self.hear(who, told, row["id"])
        self.check_form(told)
        if not self.check_entrance(who, told):
            expected = 401
        elif not who.may(Permission.EDIT):
            expected = 403
        elif who.tenant != row["tenant_id"]:
            expected = 404
        elif row["approver_permission"] and not who.may(Permission(row["approver_permission"])):
            expected = 403
        elif not fits and '"fields":[{' in (row["pauses"] or "") and told.http != 409:
            expected = 400
        else:
            return
        assert told.http == expected, (told, row)
        assert run.resumes == taken, ("an answer that was refused reached SIM", told)

    @rule(token=at, which=at)
    def cancel(self, token: int, which: int) -> None:
        """Somebody cancels an execution."""
        row, who = self.row(which), self.token(token)
        if row is None:
            return
        told = self.do(rest(self.here, who, "POST", f"/executions/{row['id']}/cancel", json={}))
        self.hear(who, told, row["id"])
        self.check_form(told)
        if not self.check_entrance(who, told):
            return
        if not who.may(Permission.EDIT):
            assert told.http == 403, told
        elif who.tenant != row["tenant_id"]:
            assert told.http == 404, told
        elif row["status"] in {"completed", "failed", "cancelled"}:
            assert told.http == 200, told

    @rule(
        token=at,
        workflow=workflows,
        door=doors,
        verb=st.sampled_from(VERBS),
        moment=moments,
        has_key=st.booleans(),
        repeats=st.booleans(),
    )
    def kill_in_a_call(
        self,
        token: int,
        workflow: str,
        door: str,
        verb: Verb,
        moment: Moment,
        *,
        has_key: bool,
        repeats: bool,
    ) -> None:
        """The process dies while a request is at SIM, just before or just after SIM got it."""
        asked = self.asked(token, "own", workflow, door, "human", 2, has_key=has_key)
        town = self.here
        if not asked.token.is_good(town.clock.now()):
            return
        town.weather.stop(verb, moment)
        town.run(self._until_stopped(asked))
        town.kill()
        self.the_contract_holds()
        self.books.said[asked.token.tenant] |= {asked.tag}
        if repeats and has_key:
            self.make(asked)

    @rule(
        who=at,
        workflow=workflows,
        door=doors,
        cancels=st.sampled_from((True, True, False)),
        waits=st.booleans(),
    )
    def meddle_in_calls(self, who: int, workflow: str, door: str, *, cancels: bool, waits: bool) -> None:
        """While a request is on its way its run is cancelled, or followed up; then its answer comes."""
        town = self.here
        for moment in ("before", "after"):
            asked = self.asked(self.founder(who), "own", workflow, door, "human", 2, has_key=False)
            if not asked.token.is_good(town.clock.now()):
                return
            town.weather.stop("execute", moment)
            self.books.said[asked.token.tenant] |= {asked.tag}
            town.run(self._meddled(asked, cancels=cancels, waits=waits))
            town.weather.stop_at = None
            self.the_contract_holds()

    async def _meddled(self, asked: Asked, *, cancels: bool, waits: bool) -> None:
        async with self.here.flowing():
            calling = asyncio.create_task(called(self.here, asked))
            stopping = asyncio.create_task(self.here.weather.stopped.wait())
            await asyncio.wait({calling, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                sql = f"SELECT id FROM executions WHERE input LIKE '%{asked.tag}\"%'"  # noqa: S608
                rows = self.here.read(sql)  # none, when what stands still is an earlier call's new attempt
                if cancels and rows:
                    path = f"/executions/{rows[0]['id']}/cancel"
                    self.hear(asked.token, await rest(self.here, asked.token, "POST", path, json={}))
                if waits:
                    await self.follow(20)
                    await self.follow(8)
                self.books.look(self.here)
                self.here.clock.advance(3)  # so that whatever is written once more is written differently
            self.here.weather.goes_on.set()
            self.here.weather.stopped.set()
            await stopping
            self.check_form(await calling)
        await self.here.breathe()

    async def _until_stopped(self, asked: Asked) -> None:
        """Until the call hangs at SIM, or is over."""
        over = anyio.Event()

        async def call() -> None:
            await called(self.here, asked)
            over.set()

        async def watch() -> None:
            await self.here.weather.stopped.wait()
            over.set()

        async with self.here.flowing(), anyio.create_task_group() as group:
            group.start_soon(call)
            group.start_soon(watch)
            await over.wait()
            self.here.network.is_dead = True
            group.cancel_scope.cancel()
