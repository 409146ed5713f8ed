"""What v2's answers about runs mean (sim-api 2.2, 6.3): 200 or 202 with `data.runId` is a run."""

from __future__ import annotations

from dataclasses import replace

from sim_mcp.model.execution import Status
from sim_mcp.model.run import Run, RunId
from sim_mcp.sim.exchange import Answer, Effect
from sim_mcp.sim.losses import not_sim
from sim_mcp.sim.outcomes import run_of_status
from sim_mcp.sim.parsing import object_at, text_at
from sim_mcp.sim.pauses import pauses_of_output
from sim_mcp.sim.refusals import refusal
from sim_mcp.sim.wording import Wording


def run_of_answer(answer: Answer, *, run_id: RunId, words: Wording, effect: Effect, what: str) -> Run:
    """The run that an execute or resume answer tells of, under the id that we chose.

    Raises:
        SimError: The answer is a refusal, or not SIM's.
    """
    data = object_at(answer.object, "data")
    if answer.status >= 400:
        raise refusal(answer, words, effect=effect, what=what)
    if not text_at(data, "runId"):
        raise not_sim(f"HTTP {answer.status} without a run id", words, effect=effect, status=answer.status)
    if answer.status == 202:
        return Run(status=Status.QUEUED, run_id=run_id, sim_request_id=answer.request_id)
    run = run_of_status(answer, data, run_id=run_id, output=data.get("output"), words=words)
    return replace(run, pauses=pauses_of_output(data.get("output"))) if run.status is Status.PAUSED else run
