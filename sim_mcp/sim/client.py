"""`SimClient`: everything that the product asks of SIM, in one dialect-free vocabulary."""

from __future__ import annotations

from sim_mcp.model.clock import Clock
from sim_mcp.model.errors import InvalidInput, SimNotFound
from sim_mcp.model.integration import Dialect
from sim_mcp.model.json import JsonObject
from sim_mcp.model.run import (
    Cancellation,
    Deployment,
    PausePoint,
    Probe,
    Run,
    RunId,
    RunRequest,
    Usage,
    WorkflowInputs,
    WorkflowPage,
    WorkflowSummary,
)
from sim_mcp.model.tool import WorkflowId
from sim_mcp.sim.catalogue import MAX_PAGE, usage_of
from sim_mcp.sim.exchange import Effect, path_of
from sim_mcp.sim.legacy import Legacy
from sim_mcp.sim.losses import not_sim
from sim_mcp.sim.parsing import text_at
from sim_mcp.sim.pauses import pauses_of_record
from sim_mcp.sim.probing import PROBE_TTL_S, Prober
from sim_mcp.sim.reads import checked
from sim_mcp.sim.stream import OnText
from sim_mcp.sim.v2 import V2
from sim_mcp.sim.wire import Wire


class SimClient:
    """SIM for one key. Made by `SimClients`; safe for any number of callers at once.

    Which dialect is spoken is found out on first use. Every method makes a single attempt: whether
    something may be repeated is the gateway's decision. Every read raises `SimUnavailable` when no
    answer came, `NotASimApi` when the answer was not SIM's, `SimRejectedKey`, `SimRefused`,
    `SimNotFound` or `SimRateLimited` as SIM says; and all of these prove that nothing was begun.
    """

    def __init__(self, wire: Wire, *, clock: Clock, probe_ttl_s: float = PROBE_TTL_S) -> None:
        self._wire = wire
        self._clock = clock
        self._prober = Prober(wire, clock=clock, ttl_s=probe_ttl_s)
        self._v2 = V2(wire)
        self._legacy = Legacy(wire)

    def __repr__(self) -> str:
        """The origin only: never a key."""
        return f"<SimClient of {self._wire!r}>"

    async def probe(self, *, refresh: bool = False) -> Probe:
        """Which dialect SIM speaks with this key, and (v2) which workspaces it sees. Cached for some minutes.

        Args:
            refresh: Ask now. Passing troubles are then raised, but do not change what is cached.

        Raises:
            SimRejectedKey: The key is not accepted.
            SimUnavailable: SIM cannot be reached and nothing is known from before.
            NotASimApi: Something else answers at the base URL.
        """
        return await self._prober.probe(refresh=refresh)

    async def execute(self, request: RunRequest, *, run_id: RunId, on_text: OnText | None = None) -> Run:
        """Start a run under the id `run_id`, in one HTTP attempt.

        Sync and stream wait for the end, at most `request.timeout_s` seconds. Async returns the
        receipt as a `queued` run. Whatever SIM says about the *run* is returned: completed, failed,
        cancelled, paused or queued. `run_id` of the result is SIM's own where an old server did not
        honour ours.

        Args:
            request: What to run.
            run_id: Ours, unguessable, and used for nothing else before (sim-api 1.4).
            on_text: Stream mode only: gets each piece of text as it arrives.

        Raises:
            SimError: SIM refused, or the answer was lost; `began` says whether a run may exist.
            InvalidInput: The request cannot be sent to SIM like this; nothing was sent.
            PayloadTooLarge: A file or the whole input exceeds SIM's limits; nothing was sent.

        When cancelled, the connection closes and SIM usually aborts a sync or stream run; cancel it
        by its id all the same.
        """
        words = self._wire.words
        if (await self.probe()).dialect is not Dialect.V2:
            run = await self._legacy.execute(request, run_id=run_id, on_text=on_text)
            return words.without_key(run)
        try:
            return words.without_key(await self._v2.execute(request, run_id=run_id, on_text=on_text))
        except SimNotFound:
            self._prober.doubt()  # unknown, foreign, or v2 was switched off: the next call asks again
            raise

    async def run(self, workflow_id: WorkflowId, run_id: RunId, *, job_id: str | None = None) -> Run:
        """Where a run stands, with its output once it completed.

        `pauses` is empty unless the answer tells all of them; ask `pauses` for the forms.

        Args:
            workflow_id: The workflow of the run.
            run_id: The id of the original run, also after a resume.
            job_id: From the receipt of an async run: lets servers before May 2026 answer.

        Raises:
            SimNotFound: SIM does not know the run, or not yet (sim-api 4.2).
        """
        words = self._wire.words
        if (await self.probe()).dialect is Dialect.V2:
            return words.without_key(await self._v2.run(workflow_id, run_id))
        return words.without_key(await self._legacy.run(workflow_id, run_id, job_id=job_id))

    async def cancel(self, workflow_id: WorkflowId, run_id: RunId) -> Cancellation:
        """Ask SIM to stop a run. May be repeated; the run may still end in any way (sim-api 4.3).

        Raises:
            SimNotFound: SIM does not know the run.
            SimRefused: The key's owner may start the workflow but not stop it.
        """
        if (await self.probe()).dialect is Dialect.V2:
            return await self._v2.cancel(workflow_id, run_id)
        return await self._legacy.cancel(workflow_id, run_id)

    async def pauses(self, workflow_id: WorkflowId, run_id: RunId) -> tuple[PausePoint, ...]:
        """Where a paused run waits and the forms it shows. Nothing else of SIM's record is kept.

        Raises:
            SimNotFound: The run never paused, or is unknown.
        """
        path = path_of("api", "workflows", workflow_id, "paused", run_id)
        answer = await self._wire.get(path)
        return pauses_of_record(checked(answer, words=self._wire.words, what=f"paused run {run_id!r}"))

    async def resume(self, workflow_id: WorkflowId, run_id: RunId, context_id: str, input: JsonObject) -> Run:  # noqa: A002  # the word of SIM's form
        """Answer one pause. Never repeat this blindly: SIM has no protection against a second answer.

        Returns:
            The run under its original id, which is the one to follow: queued, completed, paused again …

        Raises:
            SnapshotNotReady: The pause is still being written; ask again in a second or two.
            SimConflict: Already answered, or over.
            SimNotFound: No such pause.
            SimAnswerLost: No usable answer came; the run may have gone on.
        """
        dialect = self._v2 if (await self.probe()).dialect is Dialect.V2 else self._legacy
        run = await dialect.resume(workflow_id, run_id, context_id, answer=input)
        return self._wire.words.without_key(run)

    async def deployment(self, workflow_id: WorkflowId) -> Deployment:
        """Whether a workflow can be executed, and whether its draft moved on since (sim-api 5.1).

        Raises:
            SimNotFound: No such workflow for this key.
        """
        if (await self.probe()).dialect is Dialect.V2:
            return await self._v2.deployment(workflow_id)
        return await self._legacy.deployment(workflow_id)

    async def workflows(
        self,
        *,
        workspace_id: str | None,
        search: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> WorkflowPage:
        """One page of workflows.

        Args:
            workspace_id: Which workspace; may be left out when the key sees exactly one (v2).
            search: Part of a name. On legacy it filters each page, so that a page may be empty.
            limit: 1 to 100.
            cursor: `next_cursor` of the page before.

        Raises:
            InvalidInput: SIM needs a workspace id to be named.
            SimNotFound: No such workspace for this key.
        """
        probe = await self.probe()
        if workspace_id is None:
            if len(probe.workspaces) != 1:
                names = ", ".join(f"{w.name!r} ({w.workspace_id})" for w in probe.workspaces[:10])
                known = f" This key sees: {self._wire.words.tidy(names, limit=1000)}." if names else ""
                raise InvalidInput(
                    f"SIM lists workflows by workspace; name the workspace id of the integration.{known}"
                )
            workspace_id = probe.workspaces[0].workspace_id
        dialect = self._v2 if probe.dialect is Dialect.V2 else self._legacy
        return await dialect.workflows(
            workspace_id=workspace_id, search=search, limit=min(max(limit, 1), MAX_PAGE), cursor=cursor
        )

    async def summary(self, workflow_id: WorkflowId) -> WorkflowSummary:
        """What SIM's list tells of one workflow (sim-api 5.4).

        Raises:
            SimNotFound: No such workflow for this key.
        """
        if (await self.probe()).dialect is Dialect.V2:
            return await self._v2.summary(workflow_id)
        return await self._legacy.summary(workflow_id)

    async def inputs(self, workflow_id: WorkflowId) -> WorkflowInputs:
        """The declared inputs: of the deployed version on v2, of the draft on legacy (sim-api 5.4).

        Raises:
            SimNotFound: No such workflow for this key.
        """
        if (await self.probe()).dialect is Dialect.V2:
            return await self._v2.inputs(workflow_id)
        return await self._legacy.inputs(workflow_id)

    async def usage(self) -> Usage | None:
        """SIM's limits for this key; `None` when the server does not tell (sim-api 5.2)."""
        answer = await self._wire.get(path_of("api", "users", "me", "usage-limits"))
        if answer.status == 404:
            return None
        return usage_of(checked(answer, words=self._wire.words, what="account"))

    async def health(self) -> float:
        """Ask whether SIM is up, without using the key's rights. Returns the round trip in seconds.

        Raises:
            SimUnavailable: It is not.
            NotASimApi: Something else answers.
        """
        started_s = self._clock.monotonic()
        answer = await self._wire.get(path_of("api", "health"))
        if text_at(checked(answer, words=self._wire.words, what="server"), "status") != "ok":
            raise not_sim(
                "an unknown health answer", self._wire.words, effect=Effect.NOTHING, status=answer.status
            )
        return self._clock.monotonic() - started_s

    async def rest(self) -> None:
        """Let go of what connections need until the next call; what is known of the server stays known."""
        await self._wire.rest()

    async def retire(self) -> None:
        """Close the connections once the calls in flight are done; later calls open one for themselves."""
        await self._wire.retire()

    async def aclose(self) -> None:
        """Close the connections now; calls in flight lose their answers."""
        await self._wire.aclose()
