"""REST about runs: starting them, following them, and the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.app import ExecutionFilter
from sim_mcp.model.errors import ErrorCode, InvalidInput
from sim_mcp.model.execution import Call, Execution, ExecutionError, Status, Trigger
from sim_mcp.model.principal import Principal
from sim_mcp.model.tool import MAX_ASYNC_TIMEOUT_S, Mode, WorkflowId
from sim_mcp.transports import rest_views as views
from sim_mcp.transports.http_answers import Answer, problem, request_id_of
from sim_mcp.transports.http_bearer import principal_of
from sim_mcp.transports.rest_requests import read_body, read_query
from sim_mcp.transports.schemas import ExecuteRequest, ExecutionsQuery, Nothing, ResumeRequest

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from sim_mcp.app import App

SETTLING_MARGIN_S = 5.0
"""How much longer than the timeout a request waits: the row is closed a little after SIM gave up."""

REPLAYED = "idempotency-replayed"

_CANCELLED = ExecutionError(
    code=ErrorCode.CONFLICT, message="The run was cancelled before it finished. The execution tells when."
)
_NO_REASON = ExecutionError(code=ErrorCode.EXECUTION_ERROR, message="The workflow failed without a reason.")


async def execute(app: App, request: Request) -> Response:
    """POST /workflows/{workflowId}/execute.

    200: completed, or paused for a person (`status` tells). 202 with `jobId`: it goes on, because
    `runAsync` was asked for or because it is not settled in time. A failed or cancelled run answers
    in the error format with our execution id. `timeout` bounds a waiting run; with `runAsync` it
    ends nothing. A repeat under the same `Idempotency-Key` gets the first request's execution, and
    `Idempotency-Replayed: true`.
    """
    body = await read_body(request, ExecuteRequest)
    principal = principal_of(request.scope)
    workflow_id = WorkflowId(request.path_params["workflowId"])
    timeout_s: float | None = body.timeout / 1000
    patience_s = timeout_s + SETTLING_MARGIN_S
    if body.run_async:
        timeout_s, patience_s = await _followed_s(app, principal, workflow_id), 0.0
    call = Call(
        principal=principal,
        trigger=Trigger.API,
        workflow_id=workflow_id,
        arguments=body.input,
        timeout_s=timeout_s,
        mode=Mode.ASYNC if body.run_async else Mode.SYNC,
        idempotency_key=_idempotency_key(request),
        traceparent=request.headers.get("traceparent"),
    )
    answered = await app.gateway.answer(call, patience_s=patience_s)
    row, headers = answered.execution, {REPLAYED: "true"} if answered.is_replay else {}
    if body.run_async or not row.status.is_settled:
        answer = views.job_json(row)
        return Answer(answer, 202, headers={"location": str(answer["statusUrl"]), **headers})
    return _outcome(row, request, headers)


async def job(app: App, request: Request) -> Response:
    """GET /jobs/{jobId}/status: the job behind our id, SIM's run id or SIM's job id."""
    return Answer(views.job_json(await _found(app, request, request.path_params["jobId"])))


async def one(app: App, request: Request) -> Response:
    """GET /executions/{id}: the execution behind any of its ids."""
    return Answer(views.execution_json(await _found(app, request, request.path_params["id"])))


async def page(app: App, request: Request) -> Response:
    """GET /executions: newest first, filtered, by offset or cursor."""
    query = read_query(request, ExecutionsQuery)
    chosen = ExecutionFilter(
        workflow_id=None if query.workflow_id is None else WorkflowId(query.workflow_id),
        status=query.status,
        triggered_by=query.triggered_by,
        since=query.since,
        until=query.until,
    )
    found = await app.runs.page(
        principal_of(request.scope), chosen, limit=query.limit, offset=query.offset, cursor=query.cursor
    )
    return Answer(views.page_json(found))


async def cancel(app: App, request: Request) -> Response:
    """POST /executions/{id}/cancel: the execution as it is afterwards, whatever that is."""
    await read_body(request, Nothing)
    row = await app.runs.cancel(principal_of(request.scope), request.path_params["id"])
    return Answer(views.execution_json(row))


async def resume(app: App, request: Request) -> Response:
    """POST /executions/{id}/resume: answer a paused run; the execution as it is afterwards."""
    body = await read_body(request, ResumeRequest)
    row = await app.runs.resume(
        principal_of(request.scope), request.path_params["id"], body.input, context_id=body.context_id
    )
    return Answer(views.execution_json(row))


async def _found(app: App, request: Request, any_id: str) -> Execution:
    return await app.runs.get(principal_of(request.scope), any_id)


def _idempotency_key(request: Request) -> str | None:
    given = request.headers.getlist("idempotency-key")
    if len(given) > 1:
        raise InvalidInput("The header Idempotency-Key is given more than once. Send one key.")
    return given[0] if given else None


def _outcome(row: Execution, request: Request, headers: dict[str, str]) -> Response:
    if row.status in {Status.COMPLETED, Status.PAUSED}:
        return Answer(views.execution_json(row), headers=headers)
    error = row.error or (_CANCELLED if row.status is Status.CANCELLED else _NO_REASON)
    return problem(error, request_id_of(request.scope), execution_id=row.id, headers=headers)


async def _followed_s(app: App, principal: Principal, workflow_id: WorkflowId) -> float | None:
    """How long an async run is followed: as its tool says if that is an async one, else a day."""
    for tool in await app.gateway.tools(principal):
        if tool.workflow_id == workflow_id and tool.mode is Mode.ASYNC:
            return None
    return MAX_ASYNC_TIMEOUT_S
