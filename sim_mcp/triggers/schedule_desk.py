"""Schedules: setting them, and the tick that turns a due one into exactly one job."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from sim_mcp.model.errors import Fault, InvalidInput, NotFound, SimMcpError
from sim_mcp.model.events import USUAL_PRIORITY, Job, JobId, JobState, Schedule
from sim_mcp.model.execution import Trigger
from sim_mcp.model.json import nests_deeper_than
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.store import NewJob
from sim_mcp.triggers.allowed import require_allowed
from sim_mcp.triggers.ingest import DEEPEST_DATA
from sim_mcp.triggers.timetable import Timetable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim_mcp.gateway import Gateway
    from sim_mcp.model.clock import Clock
    from sim_mcp.store import Store

log = logging.getLogger(__name__)

ON_TIME_S = 60.0
"""A tick that comes no later than this was not missed."""
SHOWN_TICKS = 5
MOST_SCHEDULES = 200
LONGEST_NAME = 100
_PER_ROUND = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """A schedule and its next ticks; none while it is switched off."""

    schedule: Schedule
    next_runs: tuple[datetime, ...]


class ScheduleDesk:
    """What a principal may learn of and do to its schedules, and the clockwork behind them."""

    def __init__(
        self,
        *,
        store: Store,
        gateway: Gateway,
        clock: Clock,
        new_id: Callable[[], str],
        kick: Callable[[], None],
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._clock = clock
        self._new_id = new_id
        self._kick = kick

    async def list(self, principal: Principal) -> tuple[ScheduleView, ...]:
        """The schedules that the principal sees, with their next runs.

        Raises:
            Forbidden: without the permission VIEW.
        """
        principal.require(Permission.VIEW)
        schedules = await self._store.schedules.list(principal.tenant_id, principal.organization_id)
        return tuple(self._view(each) for each in schedules)

    async def set(self, principal: Principal, schedule: Schedule) -> ScheduleView:
        """Set `schedule` for the principal's tenant and organisation, in place of one of its name.

        Raises:
            Forbidden: without the permission ADD.
            InvalidInput: each fault with its path.
            NotFound: the workflow is not on the allow-list.
        """
        principal.require(Permission.ADD)
        _check(schedule)
        timetable = Timetable(schedule.cron, schedule.time_zone)
        await require_allowed(self._gateway, principal, schedule.workflow_id)
        known = await self._store.schedules.list(principal.tenant_id, None)
        if len(known) >= MOST_SCHEDULES and all(each.name != schedule.name for each in known):
            raise InvalidInput(f"A tenant has at most {MOST_SCHEDULES} schedules; remove some first.")
        own = replace(
            schedule,
            tenant_id=principal.tenant_id,
            organization_id=principal.organization_id,
            next_at=timetable.next_after(self._clock.now()) if schedule.is_enabled else None,
        )
        return self._view(await self._store.schedules.set(principal, own))

    async def remove(self, principal: Principal, name: str) -> None:
        """Take the schedule off.

        Raises:
            Forbidden: without the permission DELETE.
            NotFound: there is none of that name.
        """
        principal.require(Permission.DELETE)
        if not await self._store.schedules.remove(principal.tenant_id, principal.organization_id, name):
            raise NotFound("There is no such schedule.")

    async def tick(self) -> int:
        """Turn every due tick into a job, or pass it over as its policy says; how many jobs came of it."""
        made = 0
        for schedule in await self._store.schedules.due(self._clock.now(), limit=_PER_ROUND):
            try:
                made += await self._tick(schedule)
            except SimMcpError as error:
                log.warning("schedule %s cannot tick: %s", schedule.id, error.message)
        if made:
            self._kick()
        return made

    async def _tick(self, schedule: Schedule) -> int:
        now, due_at = self._clock.now(), schedule.next_at
        if due_at is None:
            return 0
        timetable = Timetable(schedule.cron, schedule.time_zone)
        newest = timetable.last_before(now, due_at)
        is_on_time = (now - newest).total_seconds() <= ON_TIME_S
        job = self._job(schedule, newest) if is_on_time or schedule.missed == "once" else None
        moved = await self._store.schedules.tick(schedule, next_at=timetable.next_after(now), job=job)
        return int(moved and job is not None)

    def _job(self, schedule: Schedule, tick: datetime) -> NewJob:
        job = Job(
            id=JobId(self._new_id()),
            tenant_id=schedule.tenant_id,
            organization_id=schedule.organization_id,
            started_by=Trigger.SCHEDULE,
            source_id=schedule.id,
            name=schedule.name,
            workflow_id=schedule.workflow_id,
            chain=(),
            priority=USUAL_PRIORITY,
            due_at=tick,
            state=JobState.WAITING,
            generation=1,
            attempts=0,
            rounds=0,
            begun_at=None,
            execution_id=None,
            error=None,
            created_at=self._clock.now(),
            finished_at=None,
            decided_by=None,
        )
        key = f"schedule:{schedule.id}:{int(tick.timestamp())}"
        return NewJob(job=job, input=schedule.input, source_key=key)

    def _view(self, schedule: Schedule) -> ScheduleView:
        if schedule.next_at is None:
            return ScheduleView(schedule=schedule, next_runs=())
        timetable = Timetable(schedule.cron, schedule.time_zone)
        later = timetable.upcoming(schedule.next_at, SHOWN_TICKS - 1)
        return ScheduleView(schedule=schedule, next_runs=(schedule.next_at, *later))


def _check(schedule: Schedule) -> None:
    faults: list[Fault] = []
    name = schedule.name
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or "/" in name or name.strip() != name:
        faults.append(Fault("name", f"must be 1 to {LONGEST_NAME} printable characters, without '/'"))
    if not schedule.workflow_id.strip():
        faults.append(Fault("workflowId", "must name a workflow"))
    if nests_deeper_than(schedule.input, DEEPEST_DATA):
        faults.append(Fault("input", f"nests deeper than {DEEPEST_DATA} levels"))
    if faults:
        raise InvalidInput("The schedule is not valid.", faults=tuple(faults))
