"""What all rules share: the town, the model of it, and the invariants after every step."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from sim_mcp.model.principal import ALL_PERMISSIONS, Permission, TenantId
from tests.machine import invariants as must
from tests.machine.doors import Told
from tests.machine.model import AT_SIM, TENANTS, WORKFLOWS, Asked, Model, Token, Tool, tool_name
from tests.machine.world import LONG_S, Town
from tests.statuses import HTTP_STATUS
from tests.triggers import mapping
from tests.world import spec

T = TypeVar("T")

at = st.integers(0, 7)
"""Picks one of what there is, counted from the newest."""
permission_sets = st.just(ALL_PERMISSIONS) | st.frozensets(st.sampled_from(sorted(ALL_PERMISSIONS)))
LONGEST_STEP_S = 600.0
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "variant": {"type": "string"},
        "seconds": {"type": "number"},
        "secret": {"type": "string"},
        "subject": {"type": "string"},
    },
    "required": ["text"],
    "additionalProperties": False,
}
_BOUND = {
    "text": {"from": "model"},
    "variant": {"from": "model"},
    "seconds": {"from": "model"},
    "secret": {"from": "secret", "key": "portal"},
    "subject": {"from": "principal", "key": "subject"},
}


class Stage(RuleBasedStateMachine):
    """A town with tenants, each of which has a token that may do everything."""

    def __init__(self) -> None:
        super().__init__()
        self.town: Town | None = None

    @initialize(count=st.integers(2, 3), v2_enabled=st.booleans())
    def open(self, count: int, *, v2_enabled: bool) -> None:
        """Two or three tenants; the first two are connected and have tools, the third has nothing yet."""
        self.books = must.Books()
        self.model = Model(TENANTS[:count])
        keys = {name: each.right_key for name, each in self.model.tenants.items()}
        self.town = Town(keys, v2_enabled=v2_enabled)
        for name in self.model.tenants:
            self.give_token(name, ALL_PERMISSIONS, lasts_s=None)
            self.do(self._keep_secret(name))
        for name in TENANTS[:2]:
            self.do(self._connect(name))
            for workflow in WORKFLOWS:
                fields = {"approver_permission": "INTEGRATION_DELETE"} if workflow == "asking" else {}
                self.do(self.allow(self.model.tokens[TENANTS.index(name)], workflow, fields))
            who = self.model.tokens[TENANTS.index(name)].principal
            self.do(self.here.app.mappings.set(who, mapping(name, "echo"), Permission.ADD))

    @property
    def here(self) -> Town:
        """The town, which is open."""
        assert self.town is not None
        return self.town

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Carry out one step on the loop, while time passes for those who wait."""

        async def flowing() -> T:
            async with self.here.flowing():
                return await work

        return self.here.run(flowing())

    def token(self, number: int) -> Token:
        """One of the tokens, counted from the newest; one that is about to run out runs out now.

        So no token ends in the middle of a step, where nobody could say what is right.
        """
        found = self.model.tokens[-1 - number % len(self.model.tokens)]
        left_s = (
            0.0 if found.expires_at is None else (found.expires_at - self.here.clock.now()).total_seconds()
        )
        if 0 < left_s <= LONGEST_STEP_S:
            self.here.clock.advance(left_s)
        return found

    def row(self, number: int) -> must.Row | None:
        """One of the rows that stand for a run or a try at one, counted from the newest."""
        rows = [row for row in self.books.rows.values() if row["workflow_id"]]
        return rows[-1 - number % len(rows)] if rows else None

    def give_token(self, tenant: str, permissions: frozenset[Permission], *, lasts_s: float | None) -> None:
        """One more bearer token."""
        who = self.model.who(tenant, f"person {self.model.number()} of {tenant}", permissions)
        ends_at = None if lasts_s is None else self.here.clock.now() + timedelta(seconds=lasts_s)
        made, secret = self.here.run(
            self.here.app.tokens.create(who, name="a token", expires_at=ends_at, created_by="ada")
        )
        self.model.tokens.append(Token(id=made.id, secret=secret, principal=who, expires_at=ends_at))
        self.model.secrets[secret] = tenant

    def revoke(self, which: Token, tenant: str) -> None:
        """Somebody of `tenant` revokes the token, which works if it is theirs and was not done before."""
        done = self.here.run(self.here.app.tokens.revoke(TenantId(tenant), which.id))
        assert done == (tenant == which.tenant and not which.is_revoked)
        which.is_revoked = which.is_revoked or done

    async def allow(self, token: Token, workflow: str, fields: dict[str, Any]) -> None:
        """Put a workflow of the token's tenant on its list."""
        name = tool_name(token.tenant, workflow)
        entry = spec(token.tenant, workflow, name, input_schema=_SCHEMA, inputs=_BOUND, **fields)
        await self.here.app.workflows.allow(token.principal, entry)
        self.model.tenants[token.tenant].tools[name] = Tool(name=name, workflow=workflow, fields=fields)

    def hear(self, token: Token, told: Told, *said: str) -> None:
        """Keep what a caller was told, to be searched after the step; `said` is what it typed itself."""
        self.books.said[token.tenant] |= set(said)
        self.books.heard.append((token.tenant, told.text))

    def check_form(self, told: Told) -> None:
        """A refusal has a code of the table, and the form that belongs to it."""
        if told.code is None:
            assert not told.is_error or told.status == "cancelled", told
            return
        assert told.code in HTTP_STATUS, told
        if told.form == "http":
            # What we ourselves stand on may be missing, but nothing here takes it away.
            assert told.http == HTTP_STATUS[told.code], told
        if told.form == "protocol":
            assert told.code in {"NOT_FOUND", "FORBIDDEN"}, told

    def check_entrance(self, token: Token, told: Told) -> bool:
        """Whether the token opened the door, which it did exactly if it is good.

        A 401 without `WWW-Authenticate` is about another key: the one that SIM does not take.
        """
        is_good = token.is_good(self.here.clock.now())
        is_turned_away = told.http == 401 and "www-authenticate" in told.text
        assert is_turned_away == (not is_good), (told, token)
        return is_good

    def check_call(self, asked: Asked, told: Told, before: must.Books) -> None:
        """The answer to a call agrees with the rules, and with the one row that it left."""
        counted = must_count(before.rows.values(), asked.token.tenant)
        self.books.look(self.here)
        left = must_count(self.books.rows.values(), asked.token.tenant) - counted
        self.check_form(told)
        known = before.rows.get(told.execution_id or "")
        if known is not None and left == 0:
            self._check_repeat(asked, known)
        else:
            assert left == 1, ("not one row for one call", left, asked, told)
            self._check_outcome(asked, told)
        if told.execution_id is not None:
            row = self.books.rows[told.execution_id]
            assert row["tenant_id"] == asked.token.tenant, (told, row)
            self._check_agreement(told, row)

    def _check_repeat(self, asked: Asked, known: must.Row) -> None:
        owner = (known["tenant_id"], known["subject"], known["idempotency_key"])
        assert owner == (asked.token.tenant, asked.token.principal.subject, asked.key), (asked, known)
        assert must.tag_of(known) == asked.tag, ("another call's execution", asked, known)

    def _check_outcome(self, asked: Asked, told: Told) -> None:
        expected = self.model.refusal(asked)
        if expected is None:
            assert told.code is None or told.code in AT_SIM, (asked, told)
        else:
            possible = {expected, "CONFLICT"} if asked.key else {expected}
            assert told.code in possible, (expected, asked, told)

    def _check_agreement(self, told: Told, row: must.Row) -> None:
        """What was told is what the row says."""
        if told.status is not None:
            is_followed = told.status in {"queued", "processing"}
            assert is_followed or told.status == row["status"], (told, row)
            assert not told.is_error or told.status not in {"completed", "paused"}, told
        if told.is_error and told.status is None:
            assert row["status"] in {"failed", "cancelled"}, (told, row)
        if told.is_retryable:
            assert row["run_id"] is None or self.here.sim.runs.get(row["run_id"]) is None, (told, row)

    @invariant()
    def the_contract_holds(self) -> None:
        """Sections 5, 9 and 10, after every step."""
        if self.town is None:
            return
        self.books.look(self.town)
        must.assert_runs_have_rows(self.town, self.books)
        must.assert_rows_are_true(self.town, self.books, is_quiet=False)
        must.assert_keys_go_home(self.town, self.books, self.model)
        must.assert_nothing_leaks(self.town, self.books, self.model)

    def come_to_rest(self) -> None:
        """SIM is back, and everything is followed until nothing is open."""
        town = self.here
        town.weather.is_down, town.weather.late = False, 0
        town.sim._scripts.clear()
        for each in self.model.tenants.values():
            if each.stored_key not in {None, each.right_key}:
                each.right_key = str(each.stored_key)
                town.sim.rotate_key(each.name, each.right_key)
        for advance_s in (*[15.0] * 40, LONG_S, LONG_S):
            town.run(self.follow(advance_s))
        self.books.look(town)
        must.assert_runs_have_rows(town, self.books)
        must.assert_rows_are_true(town, self.books, is_quiet=True)

    async def follow(self, advance_s: float) -> None:
        """Let time pass, and the follower look at what is due."""
        self.here.clock.advance(advance_s)
        await self.here.breathe()
        await self.here.app.follower.round()

    def teardown(self) -> None:
        """At the end all comes to rest, and the files are searched."""
        if self.town is None:
            return
        try:
            self.come_to_rest()
            self.the_contract_holds()
            must.assert_files_keep_secrets(self.town, self.model)
        finally:
            self.town.close()

    async def _connect(self, tenant: str) -> None:
        customer = self.model.tenants[tenant]
        token = next(each for each in self.model.tokens if each.tenant == tenant)
        await self.here.app.administration.set_up(token.principal, api_key=customer.right_key)
        customer.settings_become(key=customer.right_key, is_enabled=True)

    async def _keep_secret(self, tenant: str) -> None:
        token = next(each for each in self.model.tokens if each.tenant == tenant)
        secret = f"portal-secret-of-{tenant}-Wa1iRo0pTg8u"
        self.model.secrets[secret] = tenant
        await self.here.app.bindings.put(token.principal, "portal", secret)


def must_count(rows: Any, tenant: str) -> int:
    """How many calls the rows of `tenant` stand for."""
    return sum(row["refusals"] for row in rows if row["tenant_id"] == tenant)
