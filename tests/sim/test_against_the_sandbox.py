"""The client against the sandbox server, which was written from the same notes but shares no code with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from sim_mcp.model.clock import ManualClock
from sim_mcp.model.errors import (
    NotASimApi,
    RunBegan,
    RunIdTaken,
    SimAnswerLost,
    SimError,
    SimNotDeployed,
    SimNotFound,
    SimRateLimited,
    SimRejectedKey,
    SimUnavailable,
    SimUsageExceeded,
    SnapshotNotReady,
)
from sim_mcp.model.execution import Status
from sim_mcp.model.integration import Dialect, Integration
from sim_mcp.model.run import RunId, RunRequest
from sim_mcp.model.tool import Mode, WorkflowId
from sim_mcp.sim import SimClients, file_fields_of, input_schema_of
from sim_mcp.sim.client import SimClient
from sim_mcp.sim.fake import FakeSim, demo_account, faults, workflow_id

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R39")]

both = pytest.mark.parametrize("v2", [True, False], ids=["v2", "legacy"])
FILE = {"type": "file", "data": "data:text/plain;base64,aGVsbG8=", "name": "a.txt", "mime": "text/plain"}


class Hurried:
    """Time that jumps to the end of every sleep, and otherwise moves only when told to."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 8, 21, 10, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    async def sleep(self, delay_s: float) -> None:
        self.moment += timedelta(seconds=max(0.0, delay_s))
        await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def client_of(fake: FakeSim, clock: ManualClock, *, tenant: str = "acme") -> AsyncGenerator[SimClient]:
    async def no_key(_: Integration) -> str:
        raise AssertionError

    clients = SimClients(
        clock=clock,
        key_of=no_key,
        allowed_hosts=("sim.sandbox",),
        transport_of=lambda _: fake.transport(),
    )
    base_url = f"http://sim.sandbox{fake.path_prefix}"
    async with clients.trial(base_url=base_url, api_key=demo_account(tenant).api_key) as client:
        yield client


def asks(
    name: str, mode: Mode = Mode.SYNC, *, file_fields: tuple[str, ...] = (), **arguments: Any
) -> RunRequest:
    return RunRequest(
        workflow_id=WorkflowId(workflow_id("acme", name)),
        input=arguments,
        mode=mode,
        timeout_s=30.0,
        file_fields=file_fields,
    )


def fake_of(*, v2: bool, **options: Any) -> FakeSim:
    return FakeSim(v2_enabled=v2, time=options.pop("time", Hurried()), **options)


@both
@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (asks("quick", employee="Ada", hours=7.5), Status.COMPLETED),
        (asks("large", rows=3), Status.COMPLETED),
        (asks("respond", status=401), Status.COMPLETED),
        (asks("failing", status=401), Status.FAILED),
        (asks("failing", status=429), Status.FAILED),
        (asks("failing"), Status.FAILED),
        (asks("asking", variant="human"), Status.PAUSED),
        (asks("asking", variant="api"), Status.PAUSED),
        (asks("asking", variant="api_scalar"), Status.PAUSED),
        (asks("asking", variant="parallel"), Status.PAUSED),
        (asks("asking", variant="time"), Status.PAUSED),
        (asks("streaming", Mode.STREAM, topic="hours"), Status.COMPLETED),
        (asks("failing", Mode.STREAM), Status.FAILED),
        (asks("asking", Mode.STREAM), Status.PAUSED),
        (asks("quick", Mode.ASYNC), Status.QUEUED),
        (asks("files", receipts=[FILE], file_fields=("receipts",)), Status.COMPLETED),
    ],
    ids=lambda value: f"{value.mode} {dict(value.input)}" if isinstance(value, RunRequest) else str(value),
)
async def test_every_kind_of_run_is_understood(
    request_: RunRequest,
    expected: Status,
    *,
    v2: bool,
    clock: ManualClock,
) -> None:
    """Both dialects tell the same story, and each run is started once."""
    fake = fake_of(v2=v2)
    async with client_of(fake, clock) as client:
        run = await client.execute(request_, run_id=RunId("run-1"))
    assert (run.status, run.run_id) == (expected, "run-1")
    assert len(list(fake.runs)) == 1


@both
async def test_uploaded_files_arrive(*, v2: bool, clock: ManualClock) -> None:
    """SIM took the file in, instead of passing the raw object through."""
    async with client_of(fake_of(v2=v2), clock) as client:
        request = asks("files", receipts=[FILE], file_fields=("receipts",))
        run = await client.execute(request, run_id=RunId("run-1"))
    assert "data:text/plain" not in repr(run.output)
    assert "a.txt" in repr(run.output)


@both
async def test_a_background_run_is_followed_to_its_end(*, v2: bool, clock: ManualClock) -> None:
    """The receipt's run id is enough to find the run and its output."""
    time = Hurried()
    async with client_of(fake_of(v2=v2, time=time), clock) as client:
        request = asks("quick", Mode.ASYNC, employee="Ada")
        run = await client.execute(request, run_id=RunId("run-1"))
        assert not run.status.is_settled
        time.moment += timedelta(seconds=1)
        run = await client.run(request.workflow_id, RunId("run-1"), job_id=run.job_id)
    assert run.status is Status.COMPLETED
    assert "Ada" in repr(run.output)


async def test_a_server_without_the_run_route_is_followed_by_job(clock: ManualClock) -> None:
    """Servers before May 2026 know jobs only."""
    time = Hurried()
    async with client_of(fake_of(v2=False, time=time, has_execution_endpoint=False), clock) as client:
        assert (await client.probe()).dialect is Dialect.LEGACY
        request = asks("quick", Mode.ASYNC, employee="Ada")
        run = await client.execute(request, run_id=RunId("run-1"))
        assert not run.status.is_settled
        time.moment += timedelta(seconds=1)
        run = await client.run(request.workflow_id, RunId("run-1"), job_id=run.job_id)
    assert run.status is Status.COMPLETED


@both
async def test_a_pause_is_shown_and_answered(*, v2: bool, clock: ManualClock) -> None:
    """The form is read, the answer sent, and the original run completes; a second answer is refused."""
    fake = fake_of(v2=v2)
    fake.script(faults.SnapshotNotReady(times=1), verb="resume")
    async with client_of(fake, clock) as client:
        request = asks("asking", amount=5)
        await client.execute(request, run_id=RunId("run-1"))
        (point,) = await client.pauses(request.workflow_id, RunId("run-1"))
        assert [field.name for field in point.fields][:1] == ["approved"]
        with pytest.raises(SnapshotNotReady):
            await client.resume(request.workflow_id, RunId("run-1"), point.context_id, {"approved": True})
        run = await client.resume(request.workflow_id, RunId("run-1"), point.context_id, {"approved": True})
        assert (run.status, run.run_id) == (Status.COMPLETED, "run-1")
        assert (await client.run(request.workflow_id, RunId("run-1"))).status is Status.COMPLETED
        with pytest.raises(SimError) as caught:
            await client.resume(request.workflow_id, RunId("run-1"), point.context_id, {"approved": True})
    assert caught.value.sim_status in {404, 409}


@both
async def test_parallel_pauses_are_addressed_by_their_odd_ids(*, v2: bool, clock: ManualClock) -> None:
    """Ids with subscripts survive the way."""
    async with client_of(fake_of(v2=v2), clock) as client:
        request = asks("asking", variant="parallel")
        run = await client.execute(request, run_id=RunId("run-1"))
        assert len(run.pauses) == 2
        assert not run.pauses[0].context_id.isascii()
        run = await client.resume(
            request.workflow_id, RunId("run-1"), run.pauses[0].context_id, {"approved": True}
        )
    assert run.run_id == "run-1"


@both
async def test_a_running_run_is_cancelled(*, v2: bool, clock: ManualClock) -> None:
    """A run in the background stops when asked to; a finished one says so."""
    async with client_of(fake_of(v2=v2), clock) as client:
        request = asks("slow", Mode.ASYNC, seconds=60)
        await client.execute(request, run_id=RunId("run-1"))
        assert (await client.cancel(request.workflow_id, RunId("run-1"))).accepted
        assert (await client.run(request.workflow_id, RunId("run-1"))).status is Status.CANCELLED
        assert (await client.cancel(request.workflow_id, RunId("run-1"))).already_final


@both
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.RateLimited(kind="rate"), SimRateLimited),
        (faults.RateLimited(kind="concurrency"), SimRateLimited),
        (faults.RateLimited(kind="gate"), SimRateLimited),
        (faults.Unavailable503(), SimUnavailable),
        (faults.AmbiguousEnqueue(starts_run=True), SimAnswerLost),
        (faults.AmbiguousEnqueue(starts_run=False), SimAnswerLost),
        (faults.LostAnswer(), SimAnswerLost),
        (faults.NotBegunReset(), SimAnswerLost),
        (faults.ResetMidBody(), SimAnswerLost),
        (faults.HtmlPage(status=502, run_started=True), SimAnswerLost),
        (faults.HtmlPage(status=504), SimAnswerLost),
        (faults.HtmlPage(status=200), NotASimApi),
        (faults.MalformedJson(), SimAnswerLost),
        (faults.Redirect(), NotASimApi),
        (faults.Unauthorized401(), SimRejectedKey),
        (faults.UsageExceeded402(), SimUsageExceeded),
        (faults.RunConflict(run_exists=True), RunIdTaken),
    ],
    ids=repr,
)
async def test_every_fault_leaves_doubt_exactly_when_a_run_may_exist(
    fault: faults.Fault,
    error: type[SimError],
    *,
    v2: bool,
    clock: ManualClock,
) -> None:
    """A run that really began is never called unbegun."""
    fake = fake_of(v2=v2)
    fake.script(fault)
    async with client_of(fake, clock) as client:
        with pytest.raises(error) as caught:
            await client.execute(asks("quick"), run_id=RunId("run-1"))
    assert type(caught.value) is error
    assert len([each for each in fake.requests if each.verb == "execute"]) == 1
    if fake.runs.get("run-1") is not None:
        assert caught.value.began is RunBegan.MAYBE


@both
async def test_foreign_and_undeployed_workflows_are_refused(*, v2: bool, clock: ManualClock) -> None:
    """Another customer's workflow is out of reach with this key; a draft cannot run."""
    async with client_of(fake_of(v2=v2), clock) as client:
        foreign = RunRequest(
            workflow_id=WorkflowId(workflow_id("globex", "quick")), input={}, mode=Mode.SYNC, timeout_s=5.0
        )
        with pytest.raises(SimError) as caught:
            await client.execute(foreign, run_id=RunId("run-1"))
        assert caught.value.began is RunBegan.NO
        with pytest.raises(SimNotDeployed):
            await client.execute(asks("undeployed"), run_id=RunId("run-2"))
        with pytest.raises(SimNotFound):
            await client.run(WorkflowId(workflow_id("acme", "quick")), RunId("never"))


@both
async def test_the_catalogue_is_read(*, v2: bool, clock: ManualClock) -> None:
    """Workflows, deployments, inputs and limits, behind a path prefix too."""
    async with client_of(fake_of(v2=v2, path_prefix="/sim"), clock) as client:
        assert (await client.probe()).dialect is (Dialect.V2 if v2 else Dialect.LEGACY)
        listed = await client.workflows(workspace_id=demo_account("acme").workspace_id, search="timesheets")
        (summary,) = listed.workflows
        assert (await client.deployment(summary.workflow_id)).is_deployed
        inputs = await client.inputs(summary.workflow_id)
        assert inputs.is_deployed_version is v2
        assert "employee" in repr(input_schema_of(inputs))
        assert file_fields_of(await client.inputs(WorkflowId(workflow_id("acme", "files")))) == ("receipts",)
        assert await client.usage() is not None
        assert await client.health() >= 0.0
