"""The tenant's half of the check-up, one for `sim_status` and `doctor`: each finding with its remedy.

Asks SIM only what costs nothing. A finding that cannot be made never hides the others, and none
takes longer than its bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import anyio

from sim_mcp.gateway.call import Gateway
from sim_mcp.gateway.curation import Curation
from sim_mcp.gateway.remedies import complaint, remedy_for
from sim_mcp.gateway.status import QueueStatus, SimHealth, StatusDesk, TenantStatus
from sim_mcp.gateway.tenancy import PROCESS_KEY_ID
from sim_mcp.model.check import Check, Level
from sim_mcp.model.errors import NotFound, SimError, SimMcpError, SimRateLimited
from sim_mcp.model.integration import Dialect, Integration
from sim_mcp.model.principal import Principal
from sim_mcp.model.run import Usage
from sim_mcp.model.tool import WorkflowTool
from sim_mcp.sim import SimClients

LONGEST_S = 20.0
"""How long one part of a check-up may wait for SIM; a tool call must end within 45 s."""
MOST_WORKFLOWS = 15
"""How many workflows one check-up asks SIM about, with three questions each: it answers 300 a minute,
for all tenants together (sim-api 2.4)."""
_AT_ONCE = 4
_NEAR = 0.8
_NO_KEY = "sim-mcp-doctor-has-no-key"
"""Stands where a key must: the question behind it needs none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantCheckup:
    """A tenant's status and what follows from it."""

    status: TenantStatus
    checks: tuple[Check, ...]


class Checkup:
    """Looks a tenant's connection and tools over. Changes nothing and runs nothing."""

    def __init__(
        self,
        *,
        status: StatusDesk,
        gateway: Gateway,
        workflows: Curation,
        clients: SimClients,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._status = status
        self._gateway = gateway
        self._workflows = workflows
        self._clients = clients
        self._longest_s = longest_s

    def within(self, longest_s: float) -> Checkup:
        """The same check-up, with `longest_s` seconds for each part that waits for SIM."""
        return Checkup(
            status=self._status,
            gateway=self._gateway,
            workflows=self._workflows,
            clients=self._clients,
            longest_s=longest_s,
        )

    async def of(self, principal: Principal, *, most_workflows: int | None = MOST_WORKFLOWS) -> TenantCheckup:
        """The status of the principal's tenant, and every finding about it.

        `most_workflows` bounds how many are looked up at SIM; `None` for all.

        Raises:
            Forbidden: without VIEW.
            StoreUnavailable: the database does not answer.
        """
        status = await self._status.of(principal)
        checks = [
            *_integration(principal, status.integration),
            *_sim(status),
            *_limits(status),
            *_queue(status.queue),
            *await self._tools(principal, status, most_workflows),
        ]
        return TenantCheckup(status=status, checks=tuple(checks))

    async def default_sim(self, base_url: str) -> Check:
        """Whether the SIM of tenants that name none is up; no key is needed for that."""
        name = "default_sim"
        with anyio.move_on_after(self._longest_s):
            try:
                async with self._clients.trial(base_url=base_url, api_key=_NO_KEY) as client:
                    await client.health()
            except SimMcpError as error:
                return Check.failure(name, complaint(error), remedy=remedy_for(error), about=base_url)
            return Check.ok(name, "It answers.", about=base_url)
        return Check.failure(
            name,
            f"It did not answer within {self._longest_s:g} s.",
            remedy="check SIM_MCP_SIM_BASE_URL, the network and that SIM is running",
            about=base_url,
        )

    async def _tools(self, principal: Principal, status: TenantStatus, most: int | None) -> list[Check]:
        catalog = await self._gateway.catalog(principal.tenant_id)
        found: list[Check] = []
        if not catalog.tools:
            found.append(
                Check.warning(
                    "tools",
                    "No workflow is on the allow-list, so assistants see no workflow tool.",
                    remedy="choose some: `sim-mcp tools discover`, then `sim-mcp tools import` and "
                    "`sim-mcp tools apply`, or the tool `sim_allow_workflow`",
                )
            )
        for problem in catalog.problems:
            about = problem.source if problem.tool_name is None else f"{problem.source}: {problem.tool_name}"
            make = Check.warning if problem.is_warning else Check.failure
            what = problem.message if problem.field is None else f"{problem.field}: {problem.message}"
            held = "" if problem.is_warning else "Held back, assistants do not see it. "
            found.append(
                make(
                    "tool_spec",
                    f"{held}{what}",
                    remedy="correct the spec; `sim-mcp tools lint DIR` checks files offline",
                    about=about,
                )
            )
        sim = status.sim
        if catalog.tools and (sim is None or not sim.is_key_accepted):
            found.append(
                Check.skipped(
                    "workflows",
                    f"{len(catalog.tools)} workflows were not looked up, because SIM cannot be asked.",
                    remedy="mend the connection to SIM first, then look again",
                )
            )
            return found
        if status.integration is None or not status.integration.is_enabled:
            return found
        asked = tuple(tool for tool in catalog.tools if tool.name not in status.held_tools)
        return [*found, *_held(status), *await self._looked_up(principal, asked, most)]

    async def _looked_up(
        self, principal: Principal, tools: tuple[WorkflowTool, ...], most: int | None
    ) -> list[Check]:
        """A finding for each tool, in the order of the list; a few are asked about at the same time."""
        found: dict[str, Check] = {}
        limiter = anyio.CapacityLimiter(_AT_ONCE)
        asked = tools[:most]
        with anyio.move_on_after(self._longest_s):
            async with anyio.create_task_group() as group:

                async def look(tool: WorkflowTool) -> None:
                    async with limiter:
                        found[tool.name] = check = await self._workflow(principal, tool)
                    if check.level is Level.SKIPPED:  # SIM had enough of our questions: ask no more of them
                        group.cancel_scope.cancel()

                for tool in asked:
                    group.start_soon(look, tool)
        return [found.get(tool.name) or _not_looked_up(tool) for tool in tools]

    async def _workflow(self, principal: Principal, tool: WorkflowTool) -> Check:
        name = "workflow"
        try:
            seen = await self._workflows.validate(principal, tool.workflow_id, tool=tool)
        except NotFound:
            return Check.failure(
                name,
                f"SIM knows no workflow {tool.workflow_id!r} for this account.",
                remedy="correct its `workflow_id`, or take it off the list: "
                f"`sim-mcp tools remove {tool.name}`, or delete it from its spec file",
                about=tool.name,
            )
        except SimRateLimited as error:
            return Check.skipped(name, complaint(error), remedy=remedy_for(error), about=tool.name)
        except SimMcpError as error:
            return Check.failure(name, complaint(error), remedy=remedy_for(error), about=tool.name)
        if not seen.deployment.is_deployed:
            return Check.failure(
                name,
                "The workflow is not deployed, so every call is refused.",
                remedy="deploy it in SIM",
                about=tool.name,
            )
        if seen.drift:
            return Check.warning(
                name,
                f"The workflow has moved on from the pinned schema. {' '.join(seen.drift)}",
                remedy="review the change, then pin the new schema: "
                f"`sim-mcp tools import {tool.workflow_id}` and `sim-mcp tools apply`, "
                "or `sim_allow_workflow`",
                about=tool.name,
            )
        if seen.deployment.needs_redeployment:
            return Check.warning(
                name,
                "The workflow's draft has changes that are not deployed; calls run the older version.",
                remedy="deploy it in SIM again, if the changes are meant to count",
                about=tool.name,
            )
        return Check.ok(name, "Deployed, and its inputs are those that are pinned.", about=tool.name)


def _held(status: TenantStatus) -> Iterator[Check]:
    for name, changes in sorted(status.held_tools.items()):
        yield Check.failure(
            "drift",
            f"Held, calls are refused: the workflow changed since it was approved. {' '.join(changes)}",
            remedy=f"review it with `sim-mcp tools diff`, then `sim-mcp tools approve {name}`"
            " or sim_allow_workflow",
            about=name,
        )


def _not_looked_up(tool: WorkflowTool) -> Check:
    return Check.skipped(
        "workflow",
        "Not looked up: SIM is slow, limits our questions, or the list is long.",
        remedy="look again in a minute, or ask about it alone with `sim_validate_workflow`",
        about=tool.name,
    )


def _integration(principal: Principal, found: Integration | None) -> Iterator[Check]:
    name, tenant = "integration", principal.tenant_id
    connect = f"connect one: `sim-mcp setup --tenant {tenant}`, or `sim_setup` in the assistant"
    if found is None:
        yield Check.failure(name, f"No SIM account is connected for tenant {tenant!r}.", remedy=connect)
    elif not found.has_api_key:
        yield Check.failure(name, "The settings have no SIM API key.", remedy=connect)
    elif not found.is_enabled:
        yield Check.warning(
            name,
            "The integration is switched off: every call is refused.",
            remedy=f"switch it on when calls shall run: `sim-mcp setup --tenant {tenant} --enable`",
        )
    else:
        where = "with SIM_API_KEY, in memory" if found.id == PROCESS_KEY_ID else "with a sealed key"
        yield Check.ok(name, f"Connected to {found.base_url} {where}.")


def _sim(status: TenantStatus) -> Iterator[Check]:
    integration, sim = status.integration, status.sim
    if integration is None or sim is None:
        return
    if sim.cause is not None and not isinstance(sim.cause, SimError):  # refused before SIM was asked
        yield Check.failure("sim", complaint(sim.cause), remedy=remedy_for(sim.cause))
        return
    if not sim.is_reachable:
        yield Check.failure("sim", _said(sim), remedy=remedy_for(sim.cause))
    else:
        yield Check.ok("sim", f"SIM answers at {integration.base_url}.")
        yield from _key(sim, status)
    breaker = status.breaker
    if breaker is not None and breaker.name != "closed":
        wait_s = breaker.retry_after_s or 0.0
        yield Check.warning(
            "breaker",
            f"The circuit breaker is {breaker.name.replace('_', ' ')} after "
            f"{breaker.failures_in_a_row} failures in a row.",
            remedy=f"mend the connection to SIM; the next probe is in {wait_s:.0f} s, nothing else to do",
        )


def _key(sim: SimHealth, status: TenantStatus) -> Iterator[Check]:
    if not sim.is_key_accepted:
        yield Check.failure("sim_key", _said(sim), remedy=remedy_for(sim.cause))
        return
    spoken = "its v2 API" if sim.dialect is Dialect.V2 else "its legacy API"
    yield Check.ok("sim_key", f"SIM accepts the key and speaks {spoken}.")
    if status.usage is not None:
        yield from _usage(status.usage)


def _usage(usage: Usage) -> Iterator[Check]:
    name, plan = "sim_limits", f"plan {usage.plan!r}" if usage.plan else "the SIM plan"
    cost, limit = usage.period_cost, usage.period_limit
    raise_it = "raise the limit or change the plan in SIM, or wait for the next period"
    if cost is not None and limit is not None and 0 < limit <= cost:
        yield Check.failure(name, f"Of {plan}, {cost:.2f} of {limit:.2f} is used: all.", remedy=raise_it)
    elif cost is not None and limit is not None and limit > 0 and cost >= _NEAR * limit:
        share = round(100 * cost / limit)
        yield Check.warning(
            name, f"Of {plan}, {cost:.2f} of {limit:.2f} is used: {share} %.", remedy=raise_it
        )
    elif 0 in {usage.sync_remaining, usage.async_remaining}:
        yield Check.warning(
            name,
            f"The runs per minute of {plan} are used up for now.",
            remedy="wait a minute; when it happens often, lower SIM_MCP_RATE_PER_MINUTE or raise the plan",
        )
    else:
        yield Check.ok(name, f"Far from the limits of {plan}.")


def _limits(status: TenantStatus) -> Iterator[Check]:
    name, used, most = "limits", status.executions_this_month, status.monthly_executions
    if most is not None and used >= _NEAR * most:
        make: Callable[..., Check] = Check.failure if used >= most else Check.warning
        yield make(
            name,
            f"{used} of {most} executions of this month are used.",
            remedy="raise SIM_MCP_MONTHLY_EXECUTIONS, or wait for the next month",
        )
    elif status.running_calls >= status.max_concurrency:
        yield Check.warning(
            name,
            f"All {status.max_concurrency} places for calls at the same time are taken.",
            remedy="wait for a call to end, or raise SIM_MCP_MAX_CONCURRENCY",
        )
    elif status.rate_used_share >= _NEAR:
        yield Check.warning(
            name,
            f"The limit of {status.rate_per_minute} calls a minute is nearly reached.",
            remedy="slow down, or raise SIM_MCP_RATE_PER_MINUTE",
        )
    else:
        yield Check.ok(name, "Far from this server's own limits.")


def _queue(queue: QueueStatus) -> Iterator[Check]:
    name = "queue"
    if queue.dead:
        yield Check.warning(
            name,
            f"Dead letters of events and schedules: {queue.dead}.",
            remedy="see why with `sim-mcp jobs list --state dead`, then replay or discard them",
        )
    if queue.waiting and not queue.workers:
        yield Check.failure(
            name,
            f"Jobs waiting: {queue.waiting}. No process runs jobs.",
            remedy="start `sim-mcp worker`, or `sim-mcp serve --transport http` without --no-worker",
        )
    elif queue.jobs:
        yield Check.ok(name, f"Jobs waiting: {queue.waiting}, running: {queue.running}.")


def _said(sim: SimHealth) -> str:
    return complaint(sim.cause) if sim.cause is not None else sim.problem or "SIM cannot be asked."
