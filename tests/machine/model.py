"""What must be so by the contract, told in dictionaries: who may what, and how a call is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from sim_mcp.model.principal import Permission, Principal, TenantId
from sim_mcp.sim.fake import workflow_id
from tests.authority import ADMIN_TOOL_NEEDS

TENANTS = ("acme", "globex", "initech")
WORKFLOWS = ("echo", "failing", "asking", "slow", "streaming")

OWNERS = {workflow_id(tenant, workflow): tenant for tenant in TENANTS for workflow in WORKFLOWS}
"""Whose each workflow is."""

AT_SIM = frozenset(
    {
        "UNAUTHORIZED",
        "TIMEOUT",
        "EXECUTION_ERROR",
        "SIM_UNAVAILABLE",
        "CIRCUIT_OPEN",
        "OUTCOME_UNKNOWN",
        "RATE_LIMIT_EXCEEDED",
        "USAGE_LIMIT_EXCEEDED",
        "CONFLICT",
    }
)
"""How a call can fail that our own rules let through."""


@dataclass(slots=True, kw_only=True)
class Tool:
    """One entry of an allow-list."""

    name: str
    workflow: str
    fields: dict[str, Any]

    @property
    def approver(self) -> Permission | None:
        """What answering a pause of it takes beside EDIT."""
        wanted = self.fields.get("approver_permission")
        return None if wanted is None else Permission(wanted)


@dataclass(slots=True, kw_only=True)
class Token:
    """One bearer token, with its secret, which only a test may keep."""

    id: str
    secret: str = field(repr=False)
    principal: Principal
    expires_at: datetime | None
    is_revoked: bool = False

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return str(self.principal.tenant_id)

    def is_good(self, now: datetime) -> bool:
        """Whether it opens anything at `now`."""
        return not self.is_revoked and (self.expires_at is None or now < self.expires_at)

    def may(self, permission: Permission) -> bool:
        """Whether its bearer holds `permission`."""
        return permission in self.principal.permissions


@dataclass(slots=True, kw_only=True)
class Tenant:
    """One customer: its SIM key, its settings, its allow-list."""

    name: str
    right_key: str
    stored_key: str | None = None
    is_enabled: bool = False
    revisions: list[tuple[bool, bool]] = field(default_factory=list[tuple[bool, bool]])
    """Of each revision: whether it is enabled, and whether it is a removal."""
    tools: dict[str, Tool] = field(default_factory=dict[str, Tool])

    def settings_become(self, *, key: str | None, is_enabled: bool) -> None:
        """Note a new revision; without a key it is a removal."""
        self.stored_key, self.is_enabled = key, is_enabled
        self.revisions.append((is_enabled, key is None))


@dataclass(slots=True, kw_only=True)
class Asked:
    """One call as it was made, so that it can be made again."""

    token: Token
    door: str
    target: str
    workflow: str
    arguments: dict[str, Any]
    key: str | None
    is_valid: bool = True

    @property
    def tool(self) -> str:
        """The name that is called."""
        return tool_name(self.target, self.workflow)

    @property
    def tag(self) -> str:
        """What marks this call's input, and that of its repeats alone."""
        return str(self.arguments["text"])


class Model:
    """Everything that is known outside the system."""

    def __init__(self, tenants: tuple[str, ...]) -> None:
        self.tenants = {
            name: Tenant(name=name, right_key=f"sk-sim-{name}-key-000-Zq7wKx2vPn9rJb4t") for name in tenants
        }
        self.tokens: list[Token] = []
        self.asked: list[Asked] = []
        self.secrets: dict[str, str] = {}
        """Each secret with whose it is."""
        for each in self.tenants.values():
            self.secrets[each.right_key] = each.name
        self._numbers = 0

    def number(self) -> int:
        """A number that was not given before."""
        self._numbers += 1
        return self._numbers

    def new_key(self, tenant: str) -> str:
        """An API key that nobody has yet."""
        key = f"sk-sim-{tenant}-key-{self.number():03}-Hf3sTg8uLc5eWa1i"
        self.secrets[key] = tenant
        return key

    def visible(self, token: Token) -> set[str]:
        """The names of all tools that the token's bearer sees, and may call."""
        held = token.principal.permissions
        tenant = self.tenants[token.tenant]
        admin = {name for name, needed in ADMIN_TOOL_NEEDS.items() if needed in held}
        is_open = Permission.EDIT in held and tenant.stored_key is not None and tenant.is_enabled
        return admin | set(tenant.tools) if is_open else admin

    def refusal(self, asked: Asked) -> str | None:
        """The code with which the rules refuse a call that was not made before; `None`: it goes to SIM."""
        tenant = self.tenants[asked.token.tenant]
        if not asked.token.may(Permission.EDIT):
            return "FORBIDDEN" if by_workflow(asked.door) else "NOT_FOUND"
        if tenant.stored_key is None:
            return "NOT_CONFIGURED"
        if not tenant.is_enabled:
            return "DISABLED"
        is_foreign_workflow = by_workflow(asked.door) and asked.target != asked.token.tenant
        if asked.tool not in tenant.tools or is_foreign_workflow:
            return "NOT_FOUND"
        if not asked.is_valid:
            return "INVALID_INPUT"
        return None

    def who(self, tenant: str, subject: str, permissions: frozenset[Permission]) -> Principal:
        """Somebody of `tenant`."""
        return Principal(tenant_id=TenantId(tenant), subject=subject, permissions=permissions)


def tool_name(tenant: str, workflow: str) -> str:
    """The name under which `tenant` lists the workflow; one name is the same for everybody."""
    return workflow if workflow == "echo" else f"{workflow}_{tenant}"


def by_workflow(door: str) -> bool:
    """Whether that door names workflows instead of tools."""
    return door.startswith("rest")


def tag_of(row: dict[str, Any]) -> str | None:
    """The mark in a row's input."""
    given: Any = json.loads(row["input"]) if row["input"] else None
    return cast("dict[str, Any]", given).get("text") if isinstance(given, dict) else None
