"""How a run, or a stretch of one, can end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The last block gave `output`.

    `streamed` are the words that a streaming caller sees one by one. With `responds` the output is
    `{data, status, headers}` of a Response block, which the legacy dialect sends bare (sim-api 1.12).
    """

    output: Any
    streamed: tuple[str, ...] = ()
    responds: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A block failed, or time ran out. `http_status` is what legacy answers with (sim-api 1.7)."""

    message: str
    block: str | None = "Work"
    http_status: int = 500
    output: Any = field(default_factory=dict[str, Any])
    code: str = "BLOCK_EXECUTION_FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class PausePoint:
    """One place where a run waits. `response` is what its block shows: `{data, status, headers}`."""

    context_id: str
    block_id: str
    response: dict[str, Any]
    kind: Literal["human", "time"] = "human"
    resume_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """The run waits at `points`; `output` is how a sync answer shows it (sim-api 1.11).

    `then` names what follows a human's answer: the end, or a second question that SIM 0.8.9 strands
    (sim-api 12.4).
    """

    output: Any
    points: tuple[PausePoint, ...]
    then: Literal["end", "ask_again"] = "end"


Outcome = Completed | Failed | Paused
"""What a stretch of work comes to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will come to, and how long it takes to get there."""

    duration_s: float
    outcome: Outcome
