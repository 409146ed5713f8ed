"""The corridor's own rooms, built in the order in which they stand on each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from anyio.abc import TaskGroup

from sim_mcp.catalog import ToolSource
from sim_mcp.gateway.allowance import Allowance, TenantLimits
from sim_mcp.gateway.answers import Answers
from sim_mcp.gateway.attempts import Attempts
from sim_mcp.gateway.audit import Audit
from sim_mcp.gateway.bindings import Bindings
from sim_mcp.gateway.call import Gateway
from sim_mcp.gateway.drift_gate import Gate
from sim_mcp.gateway.follow_up import Follower
from sim_mcp.gateway.inputs import Inputs
from sim_mcp.gateway.inquiry import Inquiry
from sim_mcp.gateway.keepsake import Keepsakes
from sim_mcp.gateway.live import LiveCalls
from sim_mcp.gateway.pace import Pace
from sim_mcp.gateway.planning import Planner
from sim_mcp.gateway.plans import Plans
from sim_mcp.gateway.redaction import Redactor
from sim_mcp.gateway.repeats import Repeats
from sim_mcp.gateway.runs import Runs
from sim_mcp.gateway.sim_budget import SimBudget
from sim_mcp.gateway.steps import Steps
from sim_mcp.gateway.tenancy import Tenancy
from sim_mcp.gateway.tickets import Tickets
from sim_mcp.gateway.waiting import Waiting
from sim_mcp.model.clock import Clock
from sim_mcp.model.facts import Observer
from sim_mcp.model.run import RunId
from sim_mcp.model.workbench import Workbench
from sim_mcp.resilience import Breakers, RetryPolicy, Throttle
from sim_mcp.sim import SimClients
from sim_mcp.store import Sealer, Store


@dataclass(frozen=True, kw_only=True)
class Corridor:
    """Everything that a call passes through, once for each process."""

    store: Store
    sealer: Sealer
    tenancy: Tenancy
    clients: SimClients
    observer: Observer
    background: TaskGroup
    clock: Clock
    new_id: Callable[[], str]
    random: Callable[[], float]
    limits: TenantLimits
    redact_keys: tuple[str, ...] = ()

    @cached_property
    def live(self) -> LiveCalls:
        """The calls that this process performs."""
        return LiveCalls()

    @cached_property
    def breakers(self) -> Breakers:
        """One for each tenant and SIM."""
        return Breakers(self.clock, observer=self.observer)

    @cached_property
    def throttle(self) -> Throttle:
        """Rates and places of all tenants."""
        return Throttle(self.clock)

    @cached_property
    def allowance(self) -> Allowance:
        """What may be used."""
        return Allowance(store=self.store, throttle=self.throttle, limits=self.limits, clock=self.clock)

    @cached_property
    def tools(self) -> ToolSource:
        """The tenants' catalogs."""
        return ToolSource(workbench=self._workbench)

    @cached_property
    def pace(self) -> Pace:
        """What is usual."""
        return Pace(self.store.statistics, self.clock)

    @cached_property
    def bindings(self) -> Bindings:
        """Inputs that no caller gives."""
        return Bindings(self.store.tool_secrets)

    @cached_property
    def tickets(self) -> Tickets:
        """What clients carry between two requests."""
        return Tickets(
            sealer=self.sealer, spent=self.store.spent_tickets, clock=self.clock, new_id=self.new_id
        )

    @cached_property
    def gate(self) -> Gate:
        """Lets calls of unchanged tools through."""
        return Gate(
            store=self.store,
            clients=self.clients,
            breakers=self.breakers,
            budget=self._budget,
            clock=self.clock,
        )

    @cached_property
    def follower(self) -> Follower:
        """Settles what is not settled."""
        return Follower(
            store=self.store,
            tenancy=self.tenancy,
            inquiry=Inquiry(clients=self.clients, breakers=self.breakers, clock=self.clock),
            audit=self._audit,
            live=self.live,
            budget=self._budget,
            clock=self.clock,
        )

    @cached_property
    def gateway(self) -> Gateway:
        """Performs calls."""
        return Gateway(
            store=self.store,
            tools=self.tools,
            tenancy=self.tenancy,
            audit=self._audit,
            attempts=self._attempts,
            allowance=self.allowance,
            live=self.live,
            waiting=Waiting(executions=self.store.executions, live=self.live, clock=self.clock),
            plans=self._plans,
            inputs=Inputs(self._redactor, workbench=self._workbench),
            steps=self._steps,
            gate=self.gate,
            bindings=self.bindings,
            background=self.background,
            clock=self.clock,
            kick=self.follower.kick,
        )

    @cached_property
    def planner(self) -> Planner:
        """Makes dry runs."""
        return Planner(
            gateway=self.gateway,
            allowance=self.allowance,
            plans=self._plans,
            clients=self.clients,
            breakers=self.breakers,
            throttle=self.throttle,
        )

    @cached_property
    def runs(self) -> Runs:
        """Executions after the call."""
        return Runs(
            gateway=self.gateway,
            store=self.store,
            tenancy=self.tenancy,
            clients=self.clients,
            retry=self._retry,
            audit=self._audit,
            follower=self.follower,
            live=self.live,
            answers=self._answers,
            clock=self.clock,
        )

    @cached_property
    def _answers(self) -> Answers:
        return Answers(
            executions=self.store.executions,
            tenancy=self.tenancy,
            clients=self.clients,
            retry=self._retry,
            audit=self._audit,
            follower=self.follower,
            live=self.live,
            redactor=self._redactor,
            background=self.background,
            clock=self.clock,
        )

    @cached_property
    def _attempts(self) -> Attempts:
        return Attempts(
            audit=self._audit,
            tenancy=self.tenancy,
            clients=self.clients,
            breakers=self.breakers,
            retry=self._retry,
            clock=self.clock,
            new_run_id=lambda: RunId(self.new_id()),
            steps=self._steps,
            observer=self.observer,
        )

    @cached_property
    def _audit(self) -> Audit:
        return Audit(
            executions=self.store.executions,
            keepsakes=Keepsakes(executions=self.store.executions, sealer=self.sealer),
            repeats=Repeats(claims=self.store.claims),
            live=self.live,
            redactor=self._redactor,
            workbench=self._workbench,
            clock=self.clock,
            new_id=self.new_id,
            observer=self.observer,
        )

    @cached_property
    def _plans(self) -> Plans:
        return Plans(tickets=self.tickets, clients=self.clients)

    @cached_property
    def _steps(self) -> Steps:
        return Steps(clock=self.clock, observer=self.observer)

    @cached_property
    def _retry(self) -> RetryPolicy:
        return RetryPolicy(self.random)

    @cached_property
    def _redactor(self) -> Redactor:
        return Redactor(self.redact_keys)

    @cached_property
    def _workbench(self) -> Workbench:
        return Workbench()

    @cached_property
    def _budget(self) -> SimBudget:
        return SimBudget(store=self.store, clock=self.clock)
