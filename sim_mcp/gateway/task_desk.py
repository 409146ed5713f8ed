"""Handles to executions for clients of MCP's tasks extension: who may hold one, and what it leads to."""

from __future__ import annotations

from datetime import timedelta

from sim_mcp.gateway.runs import Runs
from sim_mcp.model.errors import NotFound
from sim_mcp.model.execution import Execution
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.model.task import Task
from sim_mcp.store import Tasks

LASTS_BEYOND = timedelta(days=1)
"""How long a handle outlives the time for which its run is followed."""


class TaskDesk:
    """Hands out handles and follows them."""

    def __init__(self, *, tasks: Tasks, runs: Runs) -> None:
        self._tasks = tasks
        self._runs = runs

    async def begin(self, principal: Principal, row: Execution) -> Task:
        """A handle of `principal` to `row`.

        Raises:
            Forbidden: without the permission EDIT.
        """
        principal.require(Permission.EDIT)
        lasts = timedelta(seconds=row.timeout_s) + LASTS_BEYOND
        return await self._tasks.create(principal, row.id, lasts=lasts)

    async def find(self, principal: Principal, task_id: str) -> tuple[Task, Execution]:
        """The handle and its execution as the row tells it; the follower brings the row up to date.

        Raises:
            Forbidden: without the permission EDIT.
            NotFound: unknown, ended, or made for somebody else: the same words.
        """
        task = await self._tasks.find(principal, task_id)
        if task is None:
            raise NotFound("Task not found.")
        try:
            return task, await self._runs.known(principal, task.execution_id)
        except NotFound as error:
            raise NotFound("Task not found.") from error
