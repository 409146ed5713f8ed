"""From an execution or an error to the result of a tool call (contract sections 7 and 9).

Structured content is always `{status, execution_id, run_id, workflow_id, duration_ms, output,
error}`, with `pauses` while a run is paused. Text is the output, or a sentence a model can act on; files
of the output and the way to the rest of a cut one follow as content of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_types import CallToolResult, TextContent

from sim_mcp.model.errors import ErrorCode
from sim_mcp.model.execution import Execution, ExecutionError, Status
from sim_mcp.transports.output_schemas import flaw_of
from sim_mcp.transports.outputs import DEFAULT_MAX_OUTPUT_BYTES, shown_output
from sim_mcp.transports.problems import error_json
from sim_mcp.transports.sentences import refusal_sentence, state_sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim_mcp.model.errors import SimMcpError
    from sim_mcp.model.json import Json, JsonObject
    from sim_mcp.model.tool import WorkflowTool

_NOT_SAFE_TO_REPEAT = frozenset({ErrorCode.OUTCOME_UNKNOWN, ErrorCode.TIMEOUT})


def text_result(structured: JsonObject, *texts: str, is_error: bool = False) -> CallToolResult:
    """A result with one text block for each of `texts`."""
    return CallToolResult(
        content=[TextContent(type="text", text=text) for text in texts],
        structured_content=structured,
        is_error=is_error,
    )


def execution_result(row: Execution, tool: WorkflowTool | None = None) -> CallToolResult:
    """What a caller is told about `row`; with `tool`, its pinned output schema and size apply."""
    if row.status is Status.COMPLETED:
        return _completed(row, tool)
    unsafe = row.error is not None and row.error.code in _NOT_SAFE_TO_REPEAT
    is_error = row.status in {Status.FAILED, Status.CANCELLED} or (unsafe and row.status is not Status.PAUSED)
    return text_result(execution_json(row, output=None), state_sentence(row), is_error=is_error)


def error_result(error: SimMcpError, *, is_workflow_call: bool = True) -> CallToolResult:
    """A refusal or failure as a tool result; `execution_id` is our row about it, if there is one."""
    about = error.execution_id
    if is_workflow_call:
        text = refusal_sentence(
            error.code, error.message, retry_after_s=error.retry_after_s, execution_id=about
        )
    else:
        text = f"{error.code.value}: {error.message}"
    return text_result(_bare(Status.FAILED, about, error_json(error)), text, is_error=True)


def declined_result(execution_id: str) -> CallToolResult:
    """A person was asked whether to run, and did not say yes."""
    text = f"The user did not confirm: nothing was run. Execution {execution_id}. Do not call again unasked."
    return text_result(_bare(Status.CANCELLED, execution_id, None), text, is_error=True)


def unasked_result(execution_id: str, tool: WorkflowTool) -> CallToolResult:
    """A tool wants to be confirmed, and the client cannot ask its user."""
    error = ExecutionError(
        code=ErrorCode.CONFLICT,
        message=f"{tool.name!r} must be confirmed by the user, and this client cannot show a question. "
        "Nothing was run. Use a client with elicitation, or ask an administrator to run it.",
    )
    structured = _bare(Status.CANCELLED, execution_id, error_json(error))
    return text_result(structured, f"CONFLICT: {error.message} Execution {execution_id}.", is_error=True)


def with_notes(result: CallToolResult, notes: Sequence[str]) -> CallToolResult:
    """`result`, with each of `notes` as a text of its own behind the others."""
    result.content.extend(TextContent(type="text", text=note) for note in notes)
    return result


def execution_json(row: Execution, *, output: Json) -> dict[str, Json]:
    """The structured content about `row`, with `output` in the place of its own."""
    shown: dict[str, Json] = {
        "status": row.status.value,
        "execution_id": row.id,
        "run_id": row.run_id,
        "workflow_id": row.workflow_id,
        "duration_ms": row.duration_ms,
        "output": output,
        "error": error_json(row.error) if row.error else None,
    }
    if row.status is Status.PAUSED:
        shown["pauses"] = row.pauses or []
    return shown


def _completed(row: Execution, tool: WorkflowTool | None) -> CallToolResult:
    schema = tool.output_schema if tool else None
    limit_bytes = tool.max_output_bytes if tool else DEFAULT_MAX_OUTPUT_BYTES
    shown = shown_output(row, limit_bytes=limit_bytes, schema=schema)
    texts = [" ".join(["The run completed.", *shown.remarks]), shown.text] if shown.remarks else [shown.text]
    flaw = None if schema is None or shown.has_gaps else flaw_of(row.output, schema)
    if flaw is None:
        result = text_result(execution_json(row, output=shown.value), *texts)
    else:
        result = _mismatched(row, flaw, texts)
    result.content.extend(shown.blocks)
    return result


def _mismatched(row: Execution, flaw: str, texts: list[str]) -> CallToolResult:
    message = (
        f"The run completed, but its output breaks the tool's pinned output schema at {flaw}. Its effects "
        "happened: do not call again. An administrator updates `output_schema`."
    )
    error = ExecutionError(code=ErrorCode.EXECUTION_ERROR, message=message)
    structured = execution_json(row, output=None) | {"error": error_json(error)}
    sentence = f"EXECUTION_ERROR: {message} Execution {row.id}. The output follows."
    return text_result(structured, sentence, *texts, is_error=True)


def _bare(status: Status, execution_id: str | None, error: Json) -> dict[str, Json]:
    return {
        "status": status.value,
        "execution_id": execution_id,
        "run_id": None,
        "workflow_id": None,
        "duration_ms": None,
        "output": None,
        "error": error,
    }
