"""Who may do what: the reviewed table of permissions, over every door (contract sections 5, 7 and 8).

The permission matrices take their expectations from here and from nowhere else. A tool, route or verb
that this table does not name fails them: whoever adds one says here who may use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from sim_mcp.model.principal import ALL_PERMISSIONS, Permission
from sim_mcp.sim.fake import workflow_id

ADD, EDIT, VIEW, DELETE = Permission.ADD, Permission.EDIT, Permission.VIEW, Permission.DELETE

HELD: tuple[frozenset[Permission], ...] = tuple(
    frozenset(held)
    for count in range(len(ALL_PERMISSIONS) + 1)
    for held in combinations(sorted(ALL_PERMISSIONS), count)
)
"""Every set of permissions that anybody can hold: from none to all."""

WORKFLOW_TOOLS = EDIT
"""What it takes to see and call a tenant's workflow tools."""

ADMIN_TOOL_NEEDS: Mapping[str, Permission] = {
    "sim_setup": ADD,
    "sim_get_settings": VIEW,
    "sim_remove_integration": DELETE,
    "sim_discover_workflows": VIEW,
    "sim_allow_workflow": ADD,
    "sim_disallow_workflow": DELETE,
    "sim_validate_workflow": VIEW,
    "sim_list_executions": VIEW,
    "sim_get_execution": VIEW,
    "sim_cancel_execution": EDIT,
    "sim_resume_execution": EDIT,
    "sim_find_tools": EDIT,
    "sim_call_tool": EDIT,
    "sim_status": VIEW,
    "sim_metrics": VIEW,
    "sim_list_event_mappings": VIEW,
    "sim_set_event_mapping": ADD,
    "sim_remove_event_mapping": DELETE,
    "sim_list_schedules": VIEW,
    "sim_set_schedule": ADD,
    "sim_remove_schedule": DELETE,
    "sim_list_jobs": VIEW,
    "sim_replay_job": EDIT,
}
"""Contract section 7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One REST route: what it takes (`None`: any caller with a token), and a request that then succeeds."""

    needs: Permission | None
    answers: int = 200
    body: Mapping[str, Any] | None = None


MAPPING: Mapping[str, Any] = {"event": "timer.started", "workflowId": workflow_id("acme", "quick")}
SCHEDULE: Mapping[str, Any] = {
    "name": "report",
    "workflowId": workflow_id("acme", "quick"),
    "cron": "0 9 * * *",
}

ROUTES: Mapping[tuple[str, str], Route] = {
    ("POST", "/setup"): Route(needs=ADD, answers=201, body={"apiKey": "sk-sim-sandbox-acme"}),
    ("GET", "/settings"): Route(needs=VIEW),
    ("DELETE", "/settings"): Route(needs=DELETE, answers=204),
    ("GET", "/settings/revisions"): Route(needs=VIEW),
    ("POST", "/settings/revisions/{revision}/restore"): Route(needs=ADD),
    ("GET", "/workflows"): Route(needs=VIEW),
    ("GET", "/workflows/{workflowId}/validate"): Route(needs=VIEW),
    ("POST", "/workflows/{workflowId}/execute"): Route(needs=EDIT, body={}),
    ("GET", "/jobs/{jobId}/status"): Route(needs=VIEW),
    ("GET", "/executions"): Route(needs=VIEW),
    ("GET", "/executions/{id}"): Route(needs=VIEW),
    ("POST", "/executions/{id}/cancel"): Route(needs=EDIT),
    ("POST", "/executions/{id}/resume"): Route(needs=EDIT, body={"input": {"approved": True}}),
    ("GET", "/status/{integrationTenantId}"): Route(needs=VIEW),
    ("GET", "/integration-tenant/{integrationTenantId}"): Route(needs=VIEW),
    ("GET", "/jobs"): Route(needs=VIEW),
    ("POST", "/jobs/{triggeredJobId}/replay"): Route(needs=EDIT, body={}),
    ("POST", "/jobs/{triggeredJobId}/discard"): Route(needs=EDIT, body={}),
    ("GET", "/events/supported"): Route(needs=VIEW),
    ("GET", "/events/mappings"): Route(needs=VIEW),
    ("POST", "/events/mappings"): Route(needs=EDIT, body=MAPPING),
    ("DELETE", "/events/mappings/{event}"): Route(needs=EDIT),
    ("POST", "/events"): Route(needs=EDIT, answers=202, body={"id": "evt-1", "event": "timer.started"}),
    ("GET", "/schedules"): Route(needs=VIEW),
    ("POST", "/schedules"): Route(needs=ADD, body=SCHEDULE),
    ("DELETE", "/schedules/{scheduleName}"): Route(needs=DELETE, answers=204),
    ("GET", "/health"): Route(needs=VIEW),
    ("GET", "/metrics"): Route(needs=VIEW),
    ("GET", "/openapi.json"): Route(needs=None),
}
"""Contract section 8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One verb of the command line: what it takes, and arguments with which it then succeeds.

    `is_hidden` verbs answer without the permission as if there were nothing, instead of naming it.
    """

    needs: frozenset[Permission]
    arguments: tuple[str, ...] = ()
    stdin: str = ""
    is_hidden: bool = False


def _verb(*needs: Permission, arguments: str = "", **more: Any) -> Verb:
    return Verb(needs=frozenset(needs), arguments=tuple(arguments.split()), **more)


VERBS: Mapping[str, Verb | None] = {
    "setup": _verb(ADD, arguments="--api-key-stdin", stdin="sk-sim-sandbox-acme\n"),
    "setup --enable": _verb(ADD),
    "setup --disable": _verb(ADD),
    "setup --remove": _verb(DELETE, arguments="--yes"),
    "tools list": _verb(VIEW),
    "tools discover": _verb(VIEW),
    "tools import": _verb(VIEW, arguments="{workflow} --dir imported"),
    "tools apply": _verb(ADD, DELETE, VIEW, arguments="{specs} --yes"),
    "tools export": _verb(VIEW),
    "tools diff": _verb(VIEW),
    "tools approve": _verb(ADD, arguments="summarize_timesheets"),
    "secrets set": _verb(ADD, arguments="portal --stdin", stdin="a secret"),
    "secrets list": _verb(VIEW),
    "secrets remove": _verb(DELETE, arguments="{secret}"),
    "tools remove": _verb(DELETE, arguments="summarize_timesheets"),
    "call": _verb(EDIT, arguments="summarize_timesheets --arg employee=Ada", is_hidden=True),
    "history": _verb(VIEW),
    "show": _verb(VIEW, arguments="{execution}"),
    "stats": _verb(VIEW),
    "dashboard": _verb(VIEW),
    "events list": _verb(VIEW),
    "events map": _verb(ADD, arguments="timer.started {listed}"),
    "events unmap": _verb(DELETE, arguments="{mapped}"),
    "events test": _verb(VIEW, arguments="timer.stopped"),
    "events sender create": _verb(ADD),
    "events sender list": _verb(VIEW),
    "events sender revoke": _verb(DELETE, arguments="{sender}"),
    "schedules list": _verb(VIEW),
    "schedules set": Verb(needs=frozenset({ADD}), arguments=("nightly", "{listed}", "0 3 * * *")),
    "schedules remove": _verb(DELETE, arguments="{scheduled}"),
    "jobs list": _verb(VIEW),
    "jobs replay": _verb(EDIT, arguments="{deadjob}"),
    "jobs discard": _verb(EDIT, arguments="{deadjob}"),
    "token create": _verb(ADD, VIEW, arguments="--permissions view"),
    "token list": _verb(VIEW),
    "token revoke": _verb(ADD, arguments="{token}"),
    "keys rotate": _verb(ADD),
    # These act for the operator of the machine, not for a principal.
    "demo": None,
    "init": None,
    "serve": None,
    "worker": None,
    "sandbox": None,
    "events supported": None,
    "doctor": None,
    "tools lint": None,
    "db upgrade": None,
    "db check": None,
    "db purge": None,
    "db copy": None,
    "audit verify": None,
    "audit export": None,
    "config": None,
}
"""Contract section 3; `None` for verbs that act for nobody's tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """Values for the parameters of routes and tools, by their names; any spelling of a name is found."""

    known: Mapping[str, str] = field(default_factory=dict[str, str])

    def __getitem__(self, name: str) -> str:
        """The value for the parameter `name`, in camel or snake case.

        Raises:
            KeyError: nobody has said yet what that parameter stands for.
        """
        return self.known[name.replace("_", "").lower()]

    def fill(self, path: str) -> str:
        """`path` with every `{parameter}` replaced."""
        for part in path.split("{")[1:]:
            name = part.partition("}")[0]
            path = path.replace(f"{{{name}}}", self[name])
        return path


def parameters_of(path: str) -> tuple[str, ...]:
    """The names of the ids in a route's path; revisions are counted in each tenant alone."""
    names = (part.partition("}")[0] for part in path.split("{")[1:])
    return tuple(name for name in names if name != "revision")
