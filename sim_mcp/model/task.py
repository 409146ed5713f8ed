"""A task: the handle to an execution that a client of MCP's tasks extension holds (SEP-2663)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from sim_mcp.model.execution import ExecutionId


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """`id` is unguessable, and all that its holder needs beside being the one it was made for."""

    id: str
    execution_id: ExecutionId
    created_at: datetime
    expires_at: datetime
