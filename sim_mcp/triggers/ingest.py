"""Taking in events: checked, matched and stored before they are answered. Nothing here asks SIM."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from sim_mcp.model.errors import ErrorCode, Fault, InvalidInput, SimMcpError, Unauthorized
from sim_mcp.model.events import DEEPEST_CHAIN, LONGEST_EVENT_ID, Job, JobId, JobState, is_event_name
from sim_mcp.model.execution import ExecutionError, Trigger
from sim_mcp.model.json import nests_deeper_than
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.store import NewJob
from sim_mcp.triggers.mapping_desk import unknown_event
from sim_mcp.triggers.signatures import check_signature
from sim_mcp.triggers.templates import filled, holds

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim_mcp.gateway import Tenancy
    from sim_mcp.model.clock import Clock
    from sim_mcp.model.events import Event, EventMapping
    from sim_mcp.model.json import JsonObject
    from sim_mcp.store import Sender, Store

log = logging.getLogger(__name__)

DEEPEST_DATA = 64


class Reason(StrEnum):
    """Why an accepted event starts nothing."""

    NOT_CONFIGURED = "not_configured"
    DISABLED = "disabled"
    NOT_MAPPED = "not_mapped"
    FILTERED = "filtered"
    LOOP = "loop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What became of an event: its jobs, or why there are none."""

    event_id: str
    is_duplicate: bool = False
    jobs: tuple[Job, ...] = ()
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a mapping would make of an event."""

    mapping: EventMapping
    would_run: bool
    input: JsonObject | None = None
    error: str | None = None


class Ingest:
    """The door of events."""

    def __init__(
        self,
        *,
        store: Store,
        tenancy: Tenancy,
        clock: Clock,
        new_id: Callable[[], str],
        kick: Callable[[], None],
    ) -> None:
        self._store = store
        self._tenancy = tenancy
        self._clock = clock
        self._new_id = new_id
        self._kick = kick

    async def accept(self, principal: Principal, event: Event) -> Accepted:
        """Store what `event` starts, durable on return. A second delivery of its id starts nothing.

        A tenant without SIM account, with it switched off or without a mapping is no error to the
        source (requirements 21, 22): the answer tells the reason.

        Raises:
            Forbidden: without the permission EDIT.
            InvalidInput: each fault with its path.
        """
        principal.require(Permission.EDIT)
        _check(event)
        reason = await self._closed(principal)
        if reason is not None:
            return Accepted(event_id=event.id, reason=reason)
        mappings = await self._store.mappings.of_event(
            principal.tenant_id, principal.organization_id, event.name
        )
        if not mappings:
            return Accepted(event_id=event.id, reason=Reason.NOT_MAPPED)
        meant = [mapping for mapping in mappings if _means(mapping, event)]
        if not meant:
            return Accepted(event_id=event.id, reason=Reason.FILTERED)
        chain = await self._chain(principal, event)
        is_loop = event.id in chain or len(chain) >= DEEPEST_CHAIN
        new = [self._job(principal, event, mapping, chain, is_loop=is_loop) for mapping in meant]
        is_new = await self._store.events.accept(principal, event, chain, new)
        if is_new:
            self._kick()
            if is_loop:
                log.warning("event %s of tenant %s is part of a loop", event.name, principal.tenant_id)
        stored = await self._stored(principal, event)
        return Accepted(
            event_id=event.id,
            is_duplicate=not is_new,
            jobs=stored,
            reason=Reason.LOOP if is_loop and is_new else None,
        )

    async def preview(self, principal: Principal, event: Event) -> tuple[Reason | None, tuple[Preview, ...]]:
        """What `event` would start: every mapping of it, with the input; nothing is stored or run.

        Raises:
            Forbidden: without the permission VIEW.
            InvalidInput: each fault with its path.
        """
        principal.require(Permission.VIEW)
        _check(event)
        mappings = await self._store.mappings.of_event(
            principal.tenant_id, principal.organization_id, event.name
        )
        chain = await self._chain(principal, event)
        reason = await self._closed(principal)
        if reason is None and not mappings:
            reason = Reason.NOT_MAPPED
        if event.id in chain or len(chain) >= DEEPEST_CHAIN:
            reason = reason or Reason.LOOP
        return reason, tuple(_preview(mapping, event, chain) for mapping in mappings)

    async def signed_by(self, sender_id: str | None, signature: str, body: bytes) -> Principal:
        """Who posts `body` under `signature`: the sender, who may post events and nothing else.

        Raises:
            Unauthorized: no such sender, or not its signature: the same words.
        """
        found = await self._store.events.sender(sender_id) if sender_id else None
        check_signature(signature, body, found[1] if found else None, now=self._clock.now())
        if found is None:
            raise Unauthorized("There is no such sender.")
        sender = found[0]
        return Principal(
            tenant_id=sender.tenant_id,
            organization_id=sender.organization_id,
            subject=f"sender:{sender.id}",
            permissions=frozenset({Permission.EDIT}),
        )

    async def add_sender(self, principal: Principal, name: str) -> tuple[Sender, str]:
        """A sender of signed events for the principal's organisation, and its secret, told only now.

        Raises:
            Forbidden: without the permission ADD.
        """
        principal.require(Permission.ADD)
        return await self._store.events.add_sender(principal, name)

    async def senders(self, principal: Principal) -> tuple[Sender, ...]:
        """The senders of the principal's organisation.

        Raises:
            Forbidden: without the permission VIEW.
        """
        principal.require(Permission.VIEW)
        return await self._store.events.senders(principal)

    async def revoke_sender(self, principal: Principal, sender_id: str) -> bool:
        """Let the sender post no more, from now on and on every replica. `False`: there is none such.

        Raises:
            Forbidden: without the permission DELETE.
        """
        principal.require(Permission.DELETE)
        return await self._store.events.revoke_sender(principal, sender_id)

    async def _closed(self, principal: Principal) -> Reason | None:
        integration = await self._tenancy.find(principal.tenant_id, principal.organization_id)
        if integration is None or not integration.has_api_key:
            return Reason.NOT_CONFIGURED
        return None if integration.is_enabled else Reason.DISABLED

    async def _chain(self, principal: Principal, event: Event) -> tuple[str, ...]:
        """The events before this one: as its cause's row knows them, or as the sender says."""
        if event.caused_by is not None:
            row = await self._store.executions.find(
                principal.tenant_id, principal.organization_id, event.caused_by
            )
            job = None if row is None else await self._store.jobs.of_execution(row.tenant_id, row.id)
            if job is not None:
                return (*job.chain, job.source_id)
        return event.chain

    async def _stored(self, principal: Principal, event: Event) -> tuple[Job, ...]:
        jobs = await self._store.jobs.of_source(principal.tenant_id, event.id)
        own = principal.organization_id
        return tuple(job for job in jobs if job.started_by is Trigger.EVENT and job.organization_id == own)

    def _job(
        self,
        principal: Principal,
        event: Event,
        mapping: EventMapping,
        chain: tuple[str, ...],
        *,
        is_loop: bool,
    ) -> NewJob:
        now = self._clock.now()
        given: JsonObject = {}
        error: ExecutionError | None = None
        if is_loop:
            error = _refusal(
                ErrorCode.CONFLICT,
                f"The event is part of a loop: {len(chain)} events led to it, one by the run of the other "
                f"(at most {DEEPEST_CHAIN}). Change a mapping or the workflow before replaying it.",
            )
        try:
            given = filled(mapping.input, event, chain)
        except SimMcpError as fault:
            error = _refusal(fault.code, f"The mapping's input template does not fit: {fault.message}")
        job = Job(
            id=JobId(self._new_id()),
            tenant_id=principal.tenant_id,
            organization_id=principal.organization_id,
            started_by=Trigger.EVENT,
            source_id=event.id,
            name=event.name,
            workflow_id=mapping.workflow_id,
            chain=chain,
            priority=mapping.priority,
            due_at=now + timedelta(seconds=mapping.delay_s),
            state=JobState.DEAD if error else JobState.WAITING,
            generation=1,
            attempts=0,
            rounds=0,
            begun_at=None,
            execution_id=None,
            error=error,
            created_at=now,
            finished_at=now if error else None,
            decided_by=None,
        )
        scope = principal.organization_id or ""
        source = hashlib.sha256(f"{scope}\0{event.id}\0{mapping.id}".encode("utf-8", "replace")).hexdigest()
        return NewJob(job=job, input=given, source_key=f"event:{source}")


def _check(event: Event) -> None:
    faults: list[Fault] = []
    if not 0 < len(event.id) <= LONGEST_EVENT_ID or not event.id.isprintable():
        faults.append(Fault("id", f"must be 1 to {LONGEST_EVENT_ID} printable characters"))
    if not is_event_name(event.name):
        faults.append(Fault("event", unknown_event(event.name)))
    if nests_deeper_than(event.data, DEEPEST_DATA):
        faults.append(Fault("data", f"nests deeper than {DEEPEST_DATA} levels"))
    if len(event.chain) > 10 * DEEPEST_CHAIN:
        faults.append(Fault("chain", f"has more than {10 * DEEPEST_CHAIN} events"))
    if faults:
        raise InvalidInput("The event is not valid.", faults=tuple(faults))


def _means(mapping: EventMapping, event: Event) -> bool:
    return all(holds(condition, event.data) for condition in mapping.conditions)


def _preview(mapping: EventMapping, event: Event, chain: tuple[str, ...]) -> Preview:
    if not _means(mapping, event):
        return Preview(mapping=mapping, would_run=False)
    try:
        return Preview(mapping=mapping, would_run=True, input=filled(mapping.input, event, chain))
    except InvalidInput as error:
        return Preview(mapping=mapping, would_run=False, error=error.message)


def _refusal(code: ErrorCode, message: str) -> ExecutionError:
    return ExecutionError(code=code, message=message)
