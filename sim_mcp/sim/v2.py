"""SIM's v2 dialect: one envelope, stated statuses, off by default on self-hosted servers (sim-api 2)."""

from __future__ import annotations

from sim_mcp.model.errors import SimConflict, SimNotFound
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
from sim_mcp.sim.catalogue import deployment_of, fields_of_draft, fields_of_state, page_of, summary_of
from sim_mcp.sim.confirming import confirmed
from sim_mcp.sim.exchange import Effect, TextStream, path_of
from sim_mcp.sim.losses import not_sim
from sim_mcp.sim.outcomes import run_of_status
from sim_mcp.sim.parsing import object_at, text_at
from sim_mcp.sim.reads import CANCEL_TIMEOUT_S, RESUME_TIMEOUT_S, cancellation_of, checked
from sim_mcp.sim.stream import OnText, run_of_stream
from sim_mcp.sim.submission import encoded, v2_submission
from sim_mcp.sim.v2_answers import run_of_answer
from sim_mcp.sim.wire import Wire


class V2:
    """The verbs of `SimClient` in the v2 dialect. Errors as told there."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def execute(self, request: RunRequest, *, run_id: RunId, on_text: OnText | None) -> Run:
        """Start a run. Only a stream can leave the status unsaid; then SIM's record is asked."""
        submission = v2_submission(request, run_id=run_id)
        async with self._wire.open(
            "POST",
            path_of("api", "v2", "workflows", request.workflow_id, "execute"),
            content=submission.content,
            headers=submission.headers,
            effect=submission.effect,
            timeout_s=submission.timeout_s,
        ) as answer:
            if not isinstance(answer, TextStream):
                what = f"workflow {request.workflow_id!r}"
                effect = submission.effect
                return run_of_answer(answer, run_id=run_id, words=self._wire.words, effect=effect, what=what)
            run, is_stated = await run_of_stream(
                answer, run_id=run_id, words=self._wire.words, on_text=on_text
            )
        if is_stated:
            return run
        return await confirmed(run, lambda: self.run(request.workflow_id, run_id))

    async def run(self, workflow_id: WorkflowId, run_id: RunId) -> Run:
        """Read a run by its id."""
        path = path_of("api", "v2", "workflows", workflow_id, "runs", run_id)
        what = f"run {run_id!r}"
        answer = await self._wire.get(path, query={"includeOutput": "true"})
        try:
            record = self._data(checked(answer, words=self._wire.words, what=what))
        except SimConflict:  # SIM has the run but not its output any more (sim-api 4.2)
            answer = await self._wire.get(path)
            record = self._data(checked(answer, words=self._wire.words, what=what))
        if not text_at(record, "status"):
            raise not_sim(
                "a run without a status", self._wire.words, effect=Effect.NOTHING, status=answer.status
            )
        output = record.get("output")
        return run_of_status(answer, record, run_id=run_id, output=output, words=self._wire.words)

    async def cancel(self, workflow_id: WorkflowId, run_id: RunId) -> Cancellation:
        """Ask SIM to stop a run."""
        path = path_of("api", "v2", "workflows", workflow_id, "runs", run_id, "cancel")
        answer = await self._wire.post(path, effect=Effect.NOTHING, timeout_s=CANCEL_TIMEOUT_S)
        record = checked(answer, words=self._wire.words, what=f"run {run_id!r}")
        return cancellation_of(self._data(record), self._wire.words)

    async def resume(
        self, workflow_id: WorkflowId, run_id: RunId, context_id: str, *, answer: JsonObject
    ) -> Run:
        """Answer one pause of a run; v2 queues the rest of what began as a stream."""
        async with self._wire.open(
            "POST",
            path_of("api", "v2", "workflows", workflow_id, "runs", run_id, "resume"),
            content=encoded({"contextId": context_id, "input": answer}),
            effect=Effect.QUEUE,
            timeout_s=RESUME_TIMEOUT_S,
        ) as reply:
            if not isinstance(reply, TextStream):
                what, effect = f"run {run_id!r}", Effect.QUEUE
                return run_of_answer(reply, run_id=run_id, words=self._wire.words, effect=effect, what=what)
            run, is_stated = await run_of_stream(reply, run_id=run_id, words=self._wire.words, on_text=None)
        return run if is_stated else await confirmed(run, lambda: self.run(workflow_id, run_id))

    async def deployment(self, workflow_id: WorkflowId) -> Deployment:
        """Whether a workflow can be executed, and its active version."""
        answer = await self._wire.get(path_of("api", "v2", "workflows", workflow_id, "deployment"))
        record = checked(answer, words=self._wire.words, what=f"workflow {workflow_id!r}")
        return deployment_of(self._data(record), workflow_id=workflow_id)

    async def workflows(
        self, *, workspace_id: str, search: str | None, limit: int, cursor: str | None
    ) -> WorkflowPage:
        """One page of a workspace's workflows."""
        query = {"workspaceId": workspace_id, "limit": str(limit)}
        if search:
            query["search"] = search
        if cursor:
            query["cursor"] = cursor
        answer = await self._wire.get(path_of("api", "v2", "workflows"), query=query)
        body = checked(answer, words=self._wire.words, what=f"workspace {workspace_id!r}")
        return page_of(body, cursor=cursor)

    async def summary(self, workflow_id: WorkflowId) -> WorkflowSummary:
        """One workflow by its id."""
        answer = await self._wire.get(path_of("api", "v2", "workflows", workflow_id))
        record = checked(answer, words=self._wire.words, what=f"workflow {workflow_id!r}")
        return summary_of(self._data(record))

    async def inputs(self, workflow_id: WorkflowId) -> WorkflowInputs:
        """The inputs of the active version, which is what runs; the draft's when there is none."""
        what = f"workflow {workflow_id!r}"
        version = (await self.deployment(workflow_id)).version
        if version is not None:
            path = path_of("api", "v2", "workflows", workflow_id, "versions", str(version))
            answer = await self._wire.get(path)
            try:
                record = self._data(checked(answer, words=self._wire.words, what=what))
            except SimNotFound:
                pass  # deployed anew in between, or an old server: the draft is the next best
            else:
                fields = fields_of_state(object_at(record, "state"))
                return WorkflowInputs(fields=fields, is_deployed_version=True, version=version)
        answer = await self._wire.get(path_of("api", "v2", "workflows", workflow_id))
        record = self._data(checked(answer, words=self._wire.words, what=what))
        return WorkflowInputs(fields=fields_of_draft(record), is_deployed_version=False)

    def _data(self, body: JsonObject) -> JsonObject:
        return object_at(body, "data")
