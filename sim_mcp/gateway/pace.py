"""How long runs usually take, learned from the audit log."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sim_mcp.model.principal import TenantId
from sim_mcp.model.tool import WorkflowId
from sim_mcp.store import Executions

NEWEST_OF_A_WORKFLOW = 200
NEWEST_OF_A_TENANT = 2000
FEWEST = 3
"""Fewer completed runs say nothing about what is usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualDuration:
    """The usual duration of a workflow's completed runs: half took at most `p50_s`, 95 % at most `p95_s`."""

    p50_s: float
    p95_s: float
    runs: int


class Pace:
    """Tells usual durations; each answer is one bounded query."""

    def __init__(self, executions: Executions) -> None:
        self._executions = executions

    async def of(self, tenant_id: TenantId, workflow_id: WorkflowId) -> UsualDuration | None:
        """The usual duration of one workflow; `None` when too few of its runs are known."""
        newest = await self._executions.durations_ms(
            tenant_id, workflow_id=workflow_id, limit=NEWEST_OF_A_WORKFLOW
        )
        return usual_of([duration_ms for _, duration_ms in newest])

    async def by_workflow(self, tenant_id: TenantId) -> Mapping[WorkflowId, UsualDuration]:
        """The usual durations of all workflows that ran lately."""
        by_workflow: dict[WorkflowId, list[int]] = defaultdict(list)
        for workflow_id, duration_ms in await self._executions.durations_ms(
            tenant_id, limit=NEWEST_OF_A_TENANT
        ):
            by_workflow[workflow_id].append(duration_ms)
        found = {workflow_id: usual_of(durations) for workflow_id, durations in by_workflow.items()}
        return {workflow_id: usual for workflow_id, usual in found.items() if usual is not None}


def usual_of(durations_ms: Sequence[int]) -> UsualDuration | None:
    """What is usual among `durations_ms`, by nearest rank; `None` for fewer than three."""
    if len(durations_ms) < FEWEST:
        return None
    ordered = sorted(durations_ms)

    def at_most(share: float) -> float:  # nearest rank: a duration that really occurred
        return ordered[math.ceil(share * len(ordered)) - 1] / 1000

    return UsualDuration(p50_s=at_most(0.50), p95_s=at_most(0.95), runs=len(ordered))
