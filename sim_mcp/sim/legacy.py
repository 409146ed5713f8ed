"""SIM's legacy dialect: always there, flat bodies, errors as text (sim-api 1, 4, 5, 6)."""

from __future__ import annotations

from sim_mcp.model.errors import NotASimApi, SimConflict, SimNotFound
from sim_mcp.model.json import JsonObject
from sim_mcp.model.run import (
    Cancellation,
    Deployment,
    Run,
    RunId,
    RunRequest,
    WorkflowInputs,
    WorkflowPage,
    WorkflowSummary,
)
from sim_mcp.model.tool import WorkflowId
from sim_mcp.sim.catalogue import deployment_of, fields_of_draft, page_of, summary_of
from sim_mcp.sim.confirming import confirmed
from sim_mcp.sim.exchange import Answer, Effect, TextStream, path_of
from sim_mcp.sim.legacy_answers import run_of_execute, run_of_job, run_of_resume
from sim_mcp.sim.losses import not_sim
from sim_mcp.sim.outcomes import run_of_status
from sim_mcp.sim.parsing import object_at, text_at
from sim_mcp.sim.reads import CANCEL_TIMEOUT_S, RESUME_TIMEOUT_S, cancellation_of, checked
from sim_mcp.sim.stream import OnText, run_of_stream
from sim_mcp.sim.submission import encoded, legacy_submission
from sim_mcp.sim.wire import Wire


class Legacy:
    """The verbs of `SimClient` in the legacy dialect. Errors as told there."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def execute(self, request: RunRequest, *, run_id: RunId, on_text: OnText | None) -> Run:
        """Start a run; a success that might be a pause is checked against SIM's record of it."""
        submission = legacy_submission(request, run_id=run_id)
        async with self._wire.open(
            "POST",
            path_of("api", "workflows", request.workflow_id, "execute"),
            content=submission.content,
            headers=submission.headers,
            effect=submission.effect,
            timeout_s=submission.timeout_s,
        ) as answer:
            if isinstance(answer, TextStream):
                run, is_stated = await run_of_stream(
                    answer, run_id=run_id, words=self._wire.words, on_text=on_text
                )
            else:
                what = f"workflow {request.workflow_id!r}"
                effect = submission.effect
                run = run_of_execute(answer, run_id=run_id, words=self._wire.words, effect=effect, what=what)
                is_stated = run.is_raw
        if is_stated or run.run_id is None:
            return run
        found_id = run.run_id
        return await confirmed(run, lambda: self._status(request.workflow_id, found_id))

    async def run(self, workflow_id: WorkflowId, run_id: RunId, *, job_id: str | None) -> Run:
        """Read a run by its id; by its job on servers that do not have that route (before May 2026)."""
        try:
            return await self._status(workflow_id, run_id)
        except NotASimApi as error:
            if error.sim_status != 404:
                raise
            try:
                return await self._job(run_id, job_id=job_id or f"workflow-execution:{run_id}")
            except SimNotFound:
                if job_id is None:  # a guessed job id proves nothing: a sync run never had a job
                    raise error from None
                raise

    async def cancel(self, workflow_id: WorkflowId, run_id: RunId) -> Cancellation:
        """Ask SIM to stop a run. An answer of 409 means that it had ended already."""
        path = path_of("api", "workflows", workflow_id, "executions", run_id, "cancel")
        answer = await self._wire.post(path, effect=Effect.NOTHING, timeout_s=CANCEL_TIMEOUT_S)
        if answer.status == 409:
            said = self._wire.words.tidy(text_at(answer.object, "error"))
            return Cancellation(accepted=False, already_final=True, reason=said or "already_final")
        return cancellation_of(self._checked(answer, what=f"run {run_id!r}"), self._wire.words)

    async def resume(
        self, workflow_id: WorkflowId, run_id: RunId, context_id: str, *, answer: JsonObject
    ) -> Run:
        """Answer one pause of a run."""
        async with self._wire.open(
            "POST",
            path_of("api", "resume", workflow_id, run_id, context_id),
            content=encoded({"input": answer}),
            effect=Effect.QUEUE,
            timeout_s=RESUME_TIMEOUT_S,
        ) as reply:
            if isinstance(reply, TextStream):
                run, is_stated = await run_of_stream(
                    reply, run_id=run_id, words=self._wire.words, on_text=None
                )
            else:
                run = run_of_resume(reply, run_id=run_id, words=self._wire.words, what=f"run {run_id!r}")
                is_stated = bool(text_at(reply.object, "status"))
        return run if is_stated else await confirmed(run, lambda: self._status(workflow_id, run_id))

    async def deployment(self, workflow_id: WorkflowId) -> Deployment:
        """Whether a workflow can be executed."""
        answer = await self._wire.get(path_of("api", "workflows", workflow_id, "status"))
        record = self._checked(answer, what=f"workflow {workflow_id!r}")
        return deployment_of(record, workflow_id=workflow_id)

    async def workflows(
        self, *, workspace_id: str, search: str | None, limit: int, cursor: str | None
    ) -> WorkflowPage:
        """One page of a workspace's workflows; `search` filters the page only."""
        query = {"workspaceId": workspace_id, "limit": str(limit)}
        if cursor:
            query["cursor"] = cursor
        answer = await self._wire.get(path_of("api", "v1", "workflows"), query=query)
        body = self._checked(answer, what=f"workspace {workspace_id!r}")
        return page_of(body, cursor=cursor, search=search)

    async def summary(self, workflow_id: WorkflowId) -> WorkflowSummary:
        """One workflow by its id."""
        answer = await self._wire.get(path_of("api", "v1", "workflows", workflow_id))
        return summary_of(object_at(self._checked(answer, what=f"workflow {workflow_id!r}"), "data"))

    async def inputs(self, workflow_id: WorkflowId) -> WorkflowInputs:
        """The draft's inputs: legacy shows no others (sim-api 5.4)."""
        answer = await self._wire.get(path_of("api", "v1", "workflows", workflow_id))
        record = self._checked(answer, what=f"workflow {workflow_id!r}")
        return WorkflowInputs(fields=fields_of_draft(object_at(record, "data")), is_deployed_version=False)

    async def _status(self, workflow_id: WorkflowId, run_id: RunId) -> Run:
        path = path_of("api", "workflows", workflow_id, "executions", run_id)
        what = f"run {run_id!r}"
        answer = await self._wire.get(path, query={"includeOutput": "true"})
        try:
            record = self._checked(answer, what=what)
        except SimConflict:  # SIM has the run but not its output any more (sim-api 4.2)
            answer = await self._wire.get(path)
            record = self._checked(answer, what=what)
        if not text_at(record, "status"):
            raise not_sim(
                "a run without a status", self._wire.words, effect=Effect.NOTHING, status=answer.status
            )
        output = record.get("finalOutput")
        return run_of_status(answer, record, run_id=run_id, output=output, words=self._wire.words)

    async def _job(self, run_id: RunId, *, job_id: str) -> Run:
        answer = await self._wire.get(path_of("api", "jobs", job_id))
        self._checked(answer, what=f"run {run_id!r}")
        return run_of_job(answer, run_id=run_id, job_id=job_id, words=self._wire.words)

    def _checked(self, answer: Answer, *, what: str) -> JsonObject:
        return checked(answer, words=self._wire.words, what=what)
