"""Steps of administrators: tokens, the connection, its key and history, the allow-list."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from sim_mcp.model.errors import Disabled, Forbidden, NotConfigured, NotFound, SimError, SimMcpError
from sim_mcp.model.principal import Permission
from sim_mcp.sim.fake import faults, workflow_id
from tests.machine.doors import Told, rest
from tests.machine.model import TENANTS, WORKFLOWS, Tenant, Token, tool_name
from tests.machine.rules_calls import Calling, doors, workflows
from tests.machine.stage import at, permission_sets

FIELDS: tuple[dict[str, Any], ...] = (
    {},
    {"mode": "async", "timeout_s": 600},
    {"mode": "stream"},
    {"confirm": True},
    {"rate_per_minute": 1},
    {"attach_s": 60},
    {"approver_permission": "INTEGRATION_DELETE"},
    {"max_concurrency": 1},
    {"monthly_executions": 3},
)


class Administering(Calling):
    """Rules of administrators."""

    @rule(tenant=at, permissions=permission_sets, lasts_s=st.sampled_from((None, 900.0, 7200.0, 86_400.0)))
    def create_token(self, tenant: int, permissions: frozenset[Permission], lasts_s: float | None) -> None:
        """Somebody gets a token."""
        names = list(self.model.tenants)
        self.give_token(names[tenant % len(names)], permissions, lasts_s=lasts_s)

    @rule(token=at, by=at)
    def revoke_token(self, token: int, by: int) -> None:
        """A token is revoked by its own tenant; another tenant cannot."""
        self.revoke(self.token(token), self.token(by).tenant)

    @rule(
        token=at,
        what=st.sampled_from(("set up", "wrong key", "on", "off", "remove", "undo", "rotate", "replace")),
        which=st.integers(1, 5),
    )
    def change_settings(self, token: int, what: str, which: int) -> None:
        """Somebody changes the connection, or its key at SIM."""
        match what:
            case "set up" | "wrong key":
                self.set_up(token, "right" if what == "set up" else "wrong", is_enabled=which < 4)
            case "on" | "off":
                self.switch(token, is_enabled=what == "on")
            case "remove":
                self.remove(token)
            case "undo":
                self.undo(token, which)
            case _:
                self.rotate_key_at_sim(token)
                if what == "replace":
                    self.put_right(token)

    @rule(tenant=at)
    def put_right(self, tenant: int) -> None:
        """An administrator sees to it that all is connected, switched on and allowed."""
        names = list(self.model.tenants)
        number = tenant % len(names)
        self.here.weather.is_down = False
        self.here.sim._scripts.clear()
        token = self.founder(number)
        customer = self.model.tenants[self.token(token).tenant]
        if not self.token(token).is_good(self.here.clock.now()):
            return
        if customer.stored_key != customer.right_key or not customer.is_enabled:
            self.set_up(token, "right", is_enabled=True)
        for workflow in WORKFLOWS:
            if tool_name(customer.name, workflow) not in customer.tools:
                self.allow_workflow(token, workflow, {}, "own")

    @rule(tenant=at, workflow=workflows, door=doors, is_cut=st.booleans())
    def lose_an_answer(self, tenant: int, workflow: str, door: str, *, is_cut: bool) -> None:
        """SIM runs a call, its answer is lost, and it is made again, perhaps after the account was gone."""
        self.put_right(tenant)
        token = self.founder(tenant)
        self.here.sim.script(faults.LostAnswer(), verb="execute")
        asked = self.asked(token, "own", workflow, door, "human", 2, has_key=True)
        self.make(asked)
        if is_cut:
            self.remove(token)
            self.here.run(self.follow(20))
            self.put_right(tenant)
        self.make(asked)

    def set_up(self, token: int, key: str, *, is_enabled: bool) -> None:
        """Somebody connects the tenant's account, with a key that SIM takes or one that it does not."""
        who = self.token(token)
        tenant = self.model.tenants[who.tenant]
        given = tenant.right_key if key == "right" else self.model.new_key(who.tenant)
        told = self._administer(
            who, "POST", "/setup", Permission.ADD, {"apiKey": given, "enabled": is_enabled}
        )
        if told is None:
            return
        if self.here.weather.is_down:
            assert told.http == 502, told
        elif key == "wrong":
            assert (told.http, told.code) == (400, "INVALID_INPUT"), told
        elif told.http == 201:
            tenant.settings_become(key=given, is_enabled=is_enabled)

    def switch(self, token: int, *, is_enabled: bool) -> None:
        """Somebody switches the integration on or off."""
        who = self.token(token)
        tenant = self.model.tenants[who.tenant]
        work = self.here.app.administration.set_enabled(who.principal, is_enabled=is_enabled)
        try:
            self.do(work)
        except Forbidden:
            assert not who.may(Permission.ADD)
        except NotFound:
            assert tenant.stored_key is None
        else:
            assert who.may(Permission.ADD)
            self._switched(tenant, is_enabled=is_enabled)

    def _switched(self, tenant: Tenant, *, is_enabled: bool) -> None:
        """A switch that stands already makes no revision."""
        found = self.here.read(
            f"SELECT MAX(revision) AS newest FROM integration_revisions WHERE tenant_id = '{tenant.name}'"  # noqa: S608
        )
        tenant.is_enabled = is_enabled
        if found[0]["newest"] > len(tenant.revisions):
            tenant.revisions.append((is_enabled, False))

    def remove(self, token: int) -> None:
        """Somebody removes the integration, and its key with it."""
        who = self.token(token)
        tenant = self.model.tenants[who.tenant]
        told = self._administer(who, "DELETE", "/settings", Permission.DELETE, None)
        if told is not None:
            assert told.http == (404 if tenant.stored_key is None else 204), told
            if told.http == 204:
                tenant.settings_become(key=None, is_enabled=tenant.is_enabled)

    def undo(self, token: int, which: int) -> None:
        """Somebody puts an earlier revision in force again."""
        who = self.token(token)
        tenant = self.model.tenants[who.tenant]
        told = self._administer(who, "POST", f"/settings/revisions/{which}/restore", Permission.ADD, {})
        if told is None:
            return
        if which > len(tenant.revisions):
            assert told.http == 404, (told, tenant)
        elif tenant.revisions[which - 1][1]:
            assert told.http == 409, (told, tenant)
        elif tenant.stored_key is None:
            assert told.http == 400, (told, tenant)
        else:
            assert told.http == 200, (told, tenant)
            self._switched(tenant, is_enabled=tenant.revisions[which - 1][0])

    def rotate_key_at_sim(self, tenant: int) -> None:
        """Somebody makes a new key in SIM; the stored one opens nothing until it is replaced."""
        names = list(self.model.tenants)
        customer = self.model.tenants[names[tenant % len(names)]]
        customer.right_key = self.model.new_key(customer.name)
        self.here.sim.rotate_key(customer.name, customer.right_key)

    @rule(
        token=at,
        workflow=st.sampled_from(WORKFLOWS),
        fields=st.sampled_from(FIELDS),
        of=st.sampled_from(["own"] * 5 + [*TENANTS]),
    )
    def allow_workflow(self, token: int, workflow: str, fields: dict[str, Any], of: str) -> None:
        """Somebody puts a workflow on the list, or replaces its spec; another tenant's is none."""
        who = self.token(token)
        tenant = self.model.tenants[who.tenant]
        is_foreign = of not in {"own", who.tenant}
        work = self._allow_foreign(who, of, workflow) if is_foreign else self.allow(who, workflow, fields)
        try:
            self.do(work)
        except Forbidden:
            assert not who.may(Permission.ADD)
        except (NotConfigured, Disabled):
            assert tenant.stored_key is None or not tenant.is_enabled
        except NotFound:
            assert is_foreign
        except SimError:
            assert self.here.weather.is_down or tenant.stored_key != tenant.right_key or self.has_faults
        else:
            assert who.may(Permission.ADD)
            assert not is_foreign, "another tenant's workflow was allowed"

    async def _allow_foreign(self, who: Token, of: str, workflow: str) -> None:
        entry = {"name": "stolen", "workflow_id": workflow_id(of, workflow)}
        await self.here.app.workflows.allow(who.principal, entry)

    @property
    def has_faults(self) -> bool:
        """Whether something is arranged to go wrong at SIM."""
        return bool(self.here.sim._scripts)

    @rule(token=at, workflow=st.sampled_from(WORKFLOWS))
    def disallow_workflow(self, token: int, workflow: str) -> None:
        """Somebody takes a workflow off the list."""
        who = self.token(token)
        tools, name = self.model.tenants[who.tenant].tools, tool_name(who.tenant, workflow)
        try:
            self.do(self.here.app.workflows.disallow(who.principal, name))
        except Forbidden:
            assert not who.may(Permission.DELETE)
        except SimMcpError:
            assert name not in tools
        else:
            assert who.may(Permission.DELETE)
            assert tools.pop(name, None) is not None

    def _administer(
        self, who: Token, method: str, path: str, needs: Permission, body: dict[str, Any] | None
    ) -> Told | None:
        """A request of an administrator; `None` when the token is not good, or not good for this."""
        more: dict[str, Any] = {} if body is None else {"json": body}
        told = self.do(rest(self.here, who, method, path, **more))
        self.hear(who, told)
        self.check_form(told)
        if not self.check_entrance(who, told):
            return None
        assert (told.http == 403) == (not who.may(needs)), (told, who)
        return told if who.may(needs) else None
