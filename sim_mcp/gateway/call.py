"""The corridor.

Every call from every door walks through `Gateway.call`, in this order:

    authorize -> integration -> resolve the tool -> check the input -> admit (throttle)
      -> audit row (write-ahead) -> guard (breaker) -> SIM -> close the row -> answer

The first five may refuse; a refusal is a row too. A repeat under an idempotency key leaves after
the first step and is answered from the earlier row. From the row on, the work goes on in the
background whatever becomes of the caller, and the caller is answered from the row.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from anyio.abc import TaskGroup

from sim_mcp.catalog import Catalog, ToolSource, ToolSpec
from sim_mcp.gateway.allowance import Allowance
from sim_mcp.gateway.attempts import Attempts, Intent
from sim_mcp.gateway.audit import Audit
from sim_mcp.gateway.bindings import Bindings, BoundValues
from sim_mcp.gateway.drift_gate import Gate
from sim_mcp.gateway.inputs import CleanInput, Inputs
from sim_mcp.gateway.live import LiveCall, LiveCalls, Progress, Watch
from sim_mcp.gateway.masking import Secrets
from sim_mcp.gateway.plans import Plans
from sim_mcp.gateway.steps import Steps
from sim_mcp.gateway.tenancy import Tenancy
from sim_mcp.gateway.view import View
from sim_mcp.gateway.waiting import Waiting
from sim_mcp.model.clock import Clock
from sim_mcp.model.correlation import working_on
from sim_mcp.model.credentials import without_credentials
from sim_mcp.model.errors import Fault, InvalidInput, UnknownTool
from sim_mcp.model.execution import Call, Execution, ExecutionId
from sim_mcp.model.facts import Step
from sim_mcp.model.integration import Integration
from sim_mcp.model.json import Json
from sim_mcp.model.principal import Permission, Principal, TenantId
from sim_mcp.model.run import RunRequest
from sim_mcp.model.tool import (
    MAX_ASYNC_TIMEOUT_S,
    MAX_SYNC_TIMEOUT_S,
    MIN_TIMEOUT_S,
    Mode,
    WorkflowTool,
)
from sim_mcp.resilience import Admission
from sim_mcp.store import Store
from sim_mcp.telemetry import describe, span

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a call came to. `is_replay`: the execution is an earlier call's with the same idempotency key."""

    execution: Execution
    is_replay: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A call that would be admitted, as far as can be told without taking anything.

    `stored_input` is without secrets. `earlier` is the execution of the same call made before.
    """

    tool: WorkflowTool
    integration: Integration
    request: RunRequest
    stored_input: Json
    bound_secrets: Secrets
    earlier: Execution | None


class Gateway:
    """What a principal may call, and the calling."""

    def __init__(
        self,
        *,
        store: Store,
        tools: ToolSource,
        tenancy: Tenancy,
        audit: Audit,
        attempts: Attempts,
        allowance: Allowance,
        live: LiveCalls,
        waiting: Waiting,
        plans: Plans,
        inputs: Inputs,
        steps: Steps,
        gate: Gate,
        bindings: Bindings,
        background: TaskGroup,
        clock: Clock,
        kick: Callable[[], None],
    ) -> None:
        self._store = store
        self._tools = tools
        self._tenancy = tenancy
        self._audit = audit
        self._attempts = attempts
        self._allowance = allowance
        self._live = live
        self.waiting = waiting
        self._plans = plans
        self._inputs = inputs
        self._steps = steps
        self._gate = gate
        self._bindings = bindings
        self._background = background
        self._clock = clock
        self._kick = kick

    async def tools(self, principal: Principal) -> tuple[WorkflowTool, ...]:
        """The workflow tools that `principal` sees and may call, sorted by name."""
        return (await self.view(principal)).tools

    async def view(self, principal: Principal) -> View:
        """The settings and the allow-list as they are now for `principal`."""
        integration, version = await self._tenancy.look(principal)
        catalog = await self._catalog(principal.tenant_id, version)
        return View(principal=principal, integration=integration, catalog=catalog)

    async def catalog(self, tenant_id: TenantId) -> Catalog:
        """The tenant's allow-list, compiled; cached until it changes."""
        return await self._catalog(tenant_id, await self._store.tools.version(tenant_id))

    async def _catalog(self, tenant_id: TenantId, version: int) -> Catalog:
        async def entries() -> list[object]:
            return [entry.spec for entry in await self._store.tools.entries(tenant_id)]

        return await self._tools.catalog(tenant_id, version, entries)

    async def problem_with(self, catalog: Catalog, spec: ToolSpec) -> str | None:
        """Why `spec` could not be listed as a tool in `catalog`, in one sentence; `None` when it could."""
        return await self._tools.problem_with(catalog, spec)

    async def call(
        self, call: Call, *, patience_s: float | None = None, watch: Watch | None = None
    ) -> Execution:
        """Perform `call`, and return its row: `answer` for those who need not know of repeats."""
        return (await self.answer(call, patience_s=patience_s, watch=watch)).execution

    async def answer(
        self,
        call: Call,
        *,
        patience_s: float | None = None,
        watch: Watch | None = None,
        view: View | None = None,
    ) -> Answered:
        """Perform `call`, and return its row once it is settled or `patience_s` seconds are over.

        `patience_s=None` waits until the row is settled; 0 returns as soon as the call is under
        way. `watch` is told of progress at least every two seconds. Cancelling the waiting does
        not cancel the run (`Runs.cancel` does). `view` is what the caller has just seen: it saves asking
        once more.

        With an idempotency key, the same call is performed once in 24 hours, however often and in
        how many processes it is made: the others wait for that execution and get it. So do equal
        calls within `attach_s` of the tool (`Repeats`).

        Raises:
            Conflict: the idempotency key was used for another request, or the plan holds no more.
            ToolHeld: the workflow is not any more what was approved as this tool.
            UnknownTool, Forbidden, NotConfigured, Disabled, InvalidInput, PayloadTooLarge,
            Throttled, MonthlyLimitReached: refused; recorded; nothing was sent to SIM.
            StoreUnavailable: the row could not be written; nothing was sent to SIM.
        """
        name = call.tool_name or call.workflow_id or ""
        with (
            working_on(tenant=call.principal.tenant_id),
            span(
                "sim_mcp.call",
                parent=call.traceparent,
                tenant=call.principal.tenant_id,
                tool=without_credentials(name)[:64],
            ),
        ):
            return await self._answer(call, patience_s=patience_s, watch=watch, view=view)

    async def _answer(
        self, call: Call, *, patience_s: float | None, watch: Watch | None, view: View | None
    ) -> Answered:
        given = await self._inputs.clean(call.principal.tenant_id, call.arguments)
        async with self._audit.refusals(call, given):
            prepared = await self._prepare(call, given, view)
        if isinstance(prepared, Execution):
            row = await self.waiting.until_settled(prepared, patience_s=patience_s, watch=watch)
            return Answered(execution=row, is_replay=True)
        intent, admission = prepared
        live = LiveCall(intent.execution.tenant_id, intent.execution.id)
        with self._live.waiting(live):
            self._live.begin(live)
            self._background.start_soon(self._perform, intent, live, admission)
            if watch is not None:  # at once, so that whoever cancels knows what to cancel
                await watch(
                    Progress(execution_id=live.execution_id, elapsed_s=0.0, status=intent.execution.status)
                )
            row = await self.waiting.until_settled(
                intent.execution, patience_s=patience_s, watch=watch, live=live
            )
            return Answered(execution=row, is_replay=False)

    async def checked(self, call: Call, *, records_refusal: bool = False) -> Checked:
        """`call` after every step that needs no row and no token: what it would run, with what.

        Raises:
            SimMcpError: as `answer` refuses it; recorded when `records_refusal`.
        """
        given = await self._inputs.clean(call.principal.tenant_id, call.arguments)
        if records_refusal:
            async with self._audit.refusals(call, given):
                return await self._check(call, given)
        return await self._check(call, given)

    async def decline(self, call: Call) -> ExecutionId:
        """Record that a person was asked to confirm `call` and said no; nothing is run."""
        return await self._audit.record_declined(
            call, await self._inputs.clean(call.principal.tenant_id, call.arguments)
        )

    async def follow(
        self, execution: Execution, *, patience_s: float | None, watch: Watch | None = None
    ) -> Execution:
        """Wait until `execution` is settled, at most `patience_s` seconds; its newest row."""
        return await self.waiting.until_settled(execution, patience_s=patience_s, watch=watch)

    async def _check(self, call: Call, given: CleanInput, view: View | None = None) -> Checked:
        _authorize(call)
        if view is None or view.principal != call.principal:  # what another one saw counts for nothing
            view = await self.view(call.principal)
        integration, catalog = self._tenancy.ready(view.integration), view.catalog
        tool = _resolve(catalog, call, integration)
        await self._gate.check(catalog, tool, integration)
        bound = await self._bindings.of(call.principal, tool, call.arguments)
        await self._tools.check(catalog, tool, call.arguments)
        earlier = await self._audit.repeats.earlier(call) or await self._audit.repeats.same(call, tool)
        return Checked(
            tool=tool,
            integration=integration,
            request=_request(call, tool, bound),
            bound_secrets=bound.secrets,
            stored_input=given.stored,
            earlier=earlier,
        )

    async def _prepare(
        self, call: Call, given: CleanInput, view: View | None
    ) -> tuple[Intent, Admission] | Execution:
        """All steps that may refuse, then the row; or the execution of the same call made before."""
        _authorize(call)
        # Before anything that may have changed since the first call: a lost answer is found again.
        earlier = await self._audit.repeats.earlier(call)
        if earlier is not None:
            return earlier
        with self._steps.step(Step.CHECK, call.principal.tenant_id):
            checked = await self._check(call, given, view)
        if checked.earlier is not None:
            return checked.earlier
        tool, integration = checked.tool, checked.integration
        given = given.with_secrets(checked.bound_secrets)
        await self._plans.redeem(call, tool, integration)
        tenant_id = call.principal.tenant_id
        admission = self._allowance.admit(tenant_id, tool)
        try:
            await self._allowance.left(tenant_id, tool)
            while (row := await self._open(call, given, checked)) is None:
                earlier = await self._audit.repeats.earlier(call) or await self._audit.repeats.same(
                    call, tool
                )
                if earlier is not None:  # the same call was a moment faster
                    admission.release()
                    return earlier
        except BaseException:
            admission.release()
            raise
        describe(execution_id=row.id)
        intent = Intent(
            execution=row,
            integration=integration,
            request=checked.request,
            secrets=given.secrets,
            counts_cost=self._allowance.counts_cost(tool),
        )
        return intent, admission

    async def _open(self, call: Call, given: CleanInput, checked: Checked) -> Execution | None:
        with self._steps.step(Step.OPEN, call.principal.tenant_id):
            return await self._audit.open(call, given, checked.tool, checked.integration)

    async def _perform(self, intent: Intent, live: LiveCall, admission: Admission) -> None:
        is_over = False
        try:
            with admission, working_on(execution_id=intent.execution.id):
                is_over = await self._attempts.perform(intent, live)
        except Exception:  # one call's bug must not end the other calls of this process
            log.exception("performing execution %s failed; it will be followed up", intent.execution.id)
        finally:
            self._live.end(live)
            if not is_over:
                self._kick()


def _authorize(call: Call) -> None:
    if call.workflow_id is not None:
        call.principal.require(Permission.EDIT)
    elif not call.principal.may(Permission.EDIT):
        raise UnknownTool(f"Unknown tool: {call.tool_name!r}")  # what is hidden does not exist


def _resolve(catalog: Catalog, call: Call, integration: Integration) -> WorkflowTool:
    if call.tool_name is not None:
        return catalog.resolve(call.tool_name, call.principal, integration)
    assert call.workflow_id is not None  # noqa: S101 - a Call has exactly one of the two
    return catalog.resolve_workflow(call.workflow_id, call.principal, integration)


def _request(call: Call, tool: WorkflowTool, bound: BoundValues) -> RunRequest:
    mode = call.mode or tool.mode
    timeout_s = call.timeout_s if call.timeout_s is not None else tool.timeout_s
    longest_s = MAX_ASYNC_TIMEOUT_S if mode is Mode.ASYNC else MAX_SYNC_TIMEOUT_S
    if not MIN_TIMEOUT_S <= timeout_s <= longest_s:
        message = f"must be between {MIN_TIMEOUT_S:g} and {longest_s:g} seconds in mode {mode.value!r}"
        raise InvalidInput(f"timeout {message}.", faults=(Fault(path="timeout", message=message),))
    return RunRequest(
        workflow_id=tool.workflow_id,
        input=bound.with_arguments(call.arguments),
        mode=mode,
        timeout_s=timeout_s,
        selected_outputs=tool.selected_outputs,
        file_fields=tool.file_fields,
        traceparent=call.traceparent,
    )
