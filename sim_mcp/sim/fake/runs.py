"""The ledger of a sandbox: which runs really started, and where each of them stands. Tests believe this.

Nothing works in the background. A run knows from its start what it will come to and when; what it *is*
follows from the time at which somebody asks. So an async run costs no task, and a clock in a test's hand
decides everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import anyio

from sim_mcp.sim.fake.behaviours import Occasion, answered, asked_again, waited
from sim_mcp.sim.fake.outcomes import Completed, Failed, Outcome, Paused, PausePoint, Plan

Mode = Literal["sync", "async", "stream"]
Standing = Literal["queued", "running", "paused", "completed", "failed", "cancelled"]


@dataclass(slots=True, kw_only=True)
class Segment:
    """One stretch of work: from the start to an end or a pause, or from an answer onwards.

    `slept` says that somebody has waited for its end, which counts even when the clock did not move;
    `cut` that the run was stopped in the middle of it.
    """

    attempt_id: str
    starts_at: datetime
    ends_at: datetime
    outcome: Outcome
    slept: bool = False
    cut: bool = False

    def is_over(self, now: datetime) -> bool:
        """Whether the stretch has come to its own end at `now`."""
        return self.slept or now >= self.ends_at

    def standing(self, now: datetime) -> Standing:
        """Where this stretch stands at `now`."""
        if self.cut:
            return "cancelled"
        if not self.is_over(now):
            return "queued" if now < self.starts_at else "running"
        if isinstance(self.outcome, Paused):
            return "paused"
        return "failed" if isinstance(self.outcome, Failed) else "completed"


class NotResumable(Exception):
    """An answer to a pause was refused; carries SIM's status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(slots=True, kw_only=True)
class Run:
    """One run that really started.

    Attributes:
        input: What the caller meant as input (the content of `input`, or the flat body without control keys).
        key: The API key that started it.
        starts: How often the work was begun. More than 1 would be the sandbox's own mistake.
        resumes: How many answers to its pauses were accepted.
    """

    run_id: str
    workflow_id: str
    account: str
    input: Any
    key: str = field(repr=False)
    mode: Mode
    occasion: Occasion = field(repr=False)
    segments: list[Segment] = field(repr=False)
    starts: int = 1
    resumes: int = 0
    cancelled_at: datetime | None = None
    resumed: set[str] = field(default_factory=set[str])
    stranded_id: str | None = None
    stopped: anyio.Event = field(default_factory=anyio.Event, repr=False)

    @property
    def started_at(self) -> datetime:
        """When the work began."""
        return self.segments[0].starts_at

    def standing(self, now: datetime) -> Standing:
        """Where the run stands at `now`."""
        if self.cancelled_at is not None:
            return "cancelled"
        self._wake(now)
        return self.segments[-1].standing(now)

    def outcome(self, now: datetime) -> Outcome | None:
        """What the run has come to, if it has come to anything at `now`."""
        return None if self.standing(now) in {"queued", "running", "cancelled"} else self.segments[-1].outcome

    def ended_at(self, now: datetime) -> datetime | None:
        """When the work ended or paused."""
        if self.standing(now) in {"queued", "running"}:
            return None
        return self.cancelled_at or self.segments[-1].ends_at

    def stop(self, now: datetime) -> None:
        """End a run that is not over yet; it is `cancelled` from now on."""
        if self.standing(now) in {"queued", "running", "paused"}:
            self.cancelled_at = now
            self.segments[-1].cut = not self.segments[-1].is_over(now)
            self.stopped.set()

    def waiting_points(self, now: datetime) -> tuple[PausePoint, ...]:
        """Pause points that still want an answer."""
        outcome = self.outcome(now)
        return outcome.points if isinstance(outcome, Paused) else ()

    def first_pause(self, now: datetime) -> tuple[Paused, datetime] | None:
        """The run's first pause and when it was reached, even when it has long been answered."""
        first = self.segments[0]
        if not isinstance(first.outcome, Paused) or first.cut or not first.is_over(now):
            return None
        return first.outcome, first.ends_at

    def is_busy(self, now: datetime) -> bool:
        """Whether something of the run is being worked on."""
        return self.standing(now) in {"queued", "running"}

    def resume(
        self, context_id: str, submission: dict[str, Any], *, attempt_id: str, now: datetime
    ) -> Segment:
        """Go on from a pause with a human's answer.

        Raises:
            NotResumable: The pause is unknown, answered already, or not for humans (sim-api 6.3).
        """
        pause = self._answerable(context_id, now)
        self.resumed.add(context_id)
        self.resumes += 1
        left = tuple(each for each in pause.points if each.context_id not in self.resumed)
        outcome: Outcome
        if left:
            outcome = Paused(output=pause.output, points=left)
        elif pause.then == "ask_again":
            outcome = asked_again(self.occasion)
            self.stranded_id = attempt_id if self.occasion.strands_pauses else None
        else:
            outcome = answered(self.occasion, submission)
        starts_at = max(now, self.segments[-1].ends_at)
        ends_at = starts_at + timedelta(seconds=self.occasion.brief_s)
        segment = Segment(attempt_id=attempt_id, starts_at=starts_at, ends_at=ends_at, outcome=outcome)
        self.segments.append(segment)
        return segment

    def _answerable(self, context_id: str, now: datetime) -> Paused:
        first = self.first_pause(now)
        if first is None:
            raise NotResumable(404, "Paused execution not found")
        pause = self.segments[-1].outcome
        if self.standing(now) == "cancelled":
            raise NotResumable(409, "Paused execution is not resumable")
        now_open = pause.points if isinstance(pause, Paused) and not self.stranded_id else ()
        if context_id not in {each.context_id for each in (*first[0].points, *now_open)}:
            raise NotResumable(404, "Pause point not found for execution")
        if context_id in self.resumed or not isinstance(pause, Paused):
            raise NotResumable(409, "Pause point has already been resumed or is in progress")
        if any(each.kind == "time" for each in pause.points):
            raise NotResumable(400, "Pause point is not resumable by hand")
        return pause

    def _wake(self, now: datetime) -> None:
        """Go on by itself once a timed pause is over."""
        last = self.segments[-1]
        if not isinstance(last.outcome, Paused):
            return
        resume_at = last.outcome.points[0].resume_at
        if resume_at is None or now < resume_at:
            return
        self.segments.append(
            Segment(attempt_id=self.run_id, starts_at=resume_at, ends_at=resume_at, outcome=waited())
        )


class Ledger:
    """Every run that started, in order, and every run id that was ever claimed."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._claims: set[str] = set()
        self._jobs: dict[str, tuple[Run, int]] = {}

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._runs.values()))

    def __len__(self) -> int:
        return len(self._runs)

    def get(self, run_id: str) -> Run | None:
        """The run that was started under `run_id`."""
        return self._runs.get(run_id)

    def of(self, *, account: str | None = None, workflow_id: str | None = None) -> list[Run]:
        """The runs of one account or workflow, oldest first."""
        return [
            each
            for each in self
            if (account is None or each.account == account)
            and (workflow_id is None or each.workflow_id == workflow_id)
        ]

    def claim(self, run_id: str) -> bool:
        """Use up `run_id`, for all accounts and for good (sim-api 1.4); false when it was used up before."""
        if run_id in self._claims:
            return False
        self._claims.add(run_id)
        return True

    def release(self, run_id: str) -> None:
        """Give a claimed id back: the request was refused before anything was written."""
        self._claims.discard(run_id)

    def start(
        self,
        plan: Plan,
        occasion: Occasion,
        *,
        account: str,
        key: str,
        mode: Mode,
        time_limit_s: float | None = None,
    ) -> Run:
        """Begin a run under the claimed id of `occasion`."""
        known = self._runs.get(occasion.run_id)
        if known is not None:
            known.starts += 1
            return known
        run = Run(
            run_id=occasion.run_id,
            workflow_id=occasion.workflow_id,
            account=account,
            input=occasion.submitted,
            key=key,
            mode=mode,
            occasion=occasion,
            segments=[_first(plan, occasion, mode=mode, time_limit_s=time_limit_s)],
        )
        self._claims.add(run.run_id)
        self._runs[run.run_id] = run
        self._jobs[f"workflow-execution:{run.run_id}"] = (run, 0)
        return run

    def add_job(self, job_id: str, run: Run) -> None:
        """Let `job_id` stand for the latest stretch of `run`."""
        self._jobs[job_id] = (run, len(run.segments) - 1)

    def job(self, job_id: str) -> tuple[Run, int] | None:
        """The run behind a job id and the number of the stretch it stands for."""
        return self._jobs.get(job_id)


def _first(plan: Plan, occasion: Occasion, *, mode: Mode, time_limit_s: float | None) -> Segment:
    """The first stretch, cut short when it would take longer than allowed (sim-api 1.8)."""
    starts_at = occasion.now + timedelta(seconds=2 * occasion.brief_s if mode == "async" else 0.0)
    outcome, duration_s = plan.outcome, plan.duration_s
    if time_limit_s is not None and duration_s > time_limit_s:
        duration_s = time_limit_s
        outcome = Failed(
            message=f"Execution timed out after {_spoken(time_limit_s)}",
            block=None,
            http_status=408,
            code="TIMEOUT",
        )
    ends_at = starts_at + timedelta(seconds=duration_s)
    return Segment(attempt_id=occasion.run_id, starts_at=starts_at, ends_at=ends_at, outcome=outcome)


def _spoken(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 60} minutes" if whole >= 60 and whole % 60 == 0 else f"{seconds:g} seconds"


def streamed_words(outcome: Outcome) -> tuple[str, ...]:
    """The words that a streaming caller sees before the final frame."""
    return outcome.streamed if isinstance(outcome, Completed) else ()
