"""From a `RunRequest` to the one HTTP request that starts a run, in either dialect."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sim_mcp.model.errors import Fault, InvalidInput, PayloadTooLarge, SimConflict
from sim_mcp.model.json import Json, JsonObject
from sim_mcp.model.run import RunId, RunRequest
from sim_mcp.model.tool import Mode
from sim_mcp.sim.files import check_files, files_in
from sim_mcp.sim.wire import Effect

MAX_BODY_BYTES = 10 * 1024 * 1024
"""SIM refuses a body of this size or more (sim-api 1.13)."""
MAX_VIA = 25
MAX_EXECUTION_TIMEOUT_S = 604_800
MAX_SELECTED_OUTPUTS = 100
SUBMIT_TIMEOUT_S = 30.0
"""Queueing a run is quick; only the run itself may take `timeout_s`."""

CONTROL_KEYS = frozenset(
    {
        *("selectedOutputs", "triggerType", "stream", "useDraftState", "inputFromExecutionId"),
        *("includeFileBase64", "base64MaxBytes", "workflowStateOverride", "deploymentVersionId"),
        *("triggerBlockId", "stopAfterBlockId", "runFromBlock", "copilotToolCallId", "workflowId"),
        *("parentWorkspaceId", "executionId", "startBlockId", "isClientSession", "includeThinking"),
        *("includeToolCalls", "input"),
    }
)
"""Keys that legacy reads as commands when they stand at the top of a body (sim-api 1.5)."""

_RUN_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_VIA_ENTRY = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,200}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What is sent, and what a lost answer to it would mean. `timeout_s` bounds the exchange."""

    content: bytes = field(repr=False)
    headers: Mapping[str, str]
    effect: Effect
    timeout_s: float


def v2_submission(request: RunRequest, *, run_id: RunId) -> Submission:
    """The body and headers of `POST /api/v2/workflows/{id}/execute` (sim-api 2.1).

    Raises:
        InvalidInput: Files in async mode, a malformed file, too many selected outputs.
        PayloadTooLarge: The body or a file exceeds SIM's limits.
        SimConflict: The call chain is too long.
    """
    _check(request)
    body: dict[str, Json] = {"input": request.input}
    match request.mode:
        case Mode.ASYNC:
            body |= {"async": True, "executionTimeoutSeconds": _execution_timeout_s(request)}
        case Mode.STREAM:
            body["stream"] = True
        case Mode.SYNC:
            pass
    if request.selected_outputs and request.mode is not Mode.ASYNC:
        body["selectedOutputs"] = request.selected_outputs
    return _submission(request, body, {"X-Run-Id": _checked(run_id), **_common_headers(request)})


def legacy_submission(request: RunRequest, *, run_id: RunId) -> Submission:
    """The body and headers of `POST /api/workflows/{id}/execute` (sim-api 1.3, 1.5).

    The input is wrapped in `input`, so that its names cannot collide with control keys. Only files
    need the flat form, because SIM uploads nothing from inside `input`.

    Raises:
        InvalidInput: As for v2; also names that would be read as commands beside a file.
        PayloadTooLarge: The body or a file exceeds SIM's limits.
        SimConflict: The call chain is too long.
    """
    files = _check(request)
    headers = {"X-Execution-Id": _checked(run_id), **_common_headers(request)}
    body: dict[str, Json] = _flat(request.input) if files else {"input": request.input}
    match request.mode:
        case Mode.ASYNC:
            headers["X-Execution-Mode"] = "async"
            headers["X-Execution-Timeout-Seconds"] = str(_execution_timeout_s(request))
        case Mode.STREAM:
            headers["X-Stream-Response"] = "true"
            if request.selected_outputs:
                body["selectedOutputs"] = request.selected_outputs
        case Mode.SYNC:
            pass
    return _submission(request, body, headers)


def encoded(body: JsonObject) -> bytes:
    """`body` as JSON.

    Raises:
        InvalidInput: It holds a number that JSON does not know, or is nested beyond measure.
        PayloadTooLarge: It is larger than SIM accepts.
    """
    try:
        content = json.dumps(body, allow_nan=False, default=_plain).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInput("The input cannot be written as JSON.") from error
    if len(content) >= MAX_BODY_BYTES:
        limit = MAX_BODY_BYTES // (1024 * 1024)
        raise PayloadTooLarge(f"The input is larger than the {limit} MB that SIM accepts; send less.")
    return content


def _submission(request: RunRequest, body: JsonObject, headers: Mapping[str, str]) -> Submission:
    is_async = request.mode is Mode.ASYNC
    return Submission(
        content=encoded(body),
        headers=headers,
        effect=Effect.QUEUE if is_async else Effect.RUN,
        timeout_s=min(request.timeout_s, SUBMIT_TIMEOUT_S) if is_async else request.timeout_s,
    )


def _check(request: RunRequest) -> dict[str, Json]:
    """The files of the request, once they and the mode fit together."""
    files = files_in(request.input, request.file_fields)
    if files and request.mode is Mode.ASYNC:
        faults = tuple(Fault(f"$.{name}", "SIM takes files only in sync and stream mode") for name in files)
        raise InvalidInput("SIM does not take files in async mode; use sync or stream.", faults=faults)
    check_files(files)
    if len(request.selected_outputs) > MAX_SELECTED_OUTPUTS:
        raise InvalidInput(f"SIM selects at most {MAX_SELECTED_OUTPUTS} outputs.")
    return files


def _flat(arguments: JsonObject) -> dict[str, Json]:
    collisions = sorted(CONTROL_KEYS & arguments.keys())
    if collisions:
        names = ", ".join(repr(name) for name in collisions)
        faults = tuple(Fault(f"$.{name}", "SIM reads this name as a command") for name in collisions)
        raise InvalidInput(
            f"SIM cannot take files together with the input names {names}; rename them in the workflow.",
            faults=faults,
        )
    return dict(arguments)


def _common_headers(request: RunRequest) -> dict[str, str]:
    chain = (*request.via, request.workflow_id)
    if len(chain) >= MAX_VIA:
        raise SimConflict(f"Workflows call each other too deeply; SIM stops at {MAX_VIA}.")
    if not all(_VIA_ENTRY.fullmatch(entry) for entry in chain):
        raise InvalidInput("A workflow id contains characters that no id has.")
    headers = {"X-Sim-Via": ",".join(chain)}
    if request.traceparent and _TRACEPARENT.fullmatch(request.traceparent):
        headers["traceparent"] = request.traceparent
    return headers


def _execution_timeout_s(request: RunRequest) -> int:
    return min(max(math.ceil(request.timeout_s), 1), MAX_EXECUTION_TIMEOUT_S)


def _checked(run_id: RunId) -> str:
    if not _RUN_ID.fullmatch(run_id):
        raise InvalidInput(
            "A run id may have 1 to 128 letters, digits, dots, underscores, colons and hyphens."
        )
    return run_id


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # any mapping
    raise TypeError(type(value).__name__)
