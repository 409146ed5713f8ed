"""An execution as `sim_get_execution` shows it to a model: everything about it, its output in bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.model.execution import Status
from sim_mcp.transports.admin_views import execution_view
from sim_mcp.transports.cutting import compact, cut, size_bytes
from sim_mcp.transports.outputs import DEFAULT_MAX_OUTPUT_BYTES, shown_output
from sim_mcp.transports.paging import MOST_MEMBERS, Selection, page_of_row, placed_json
from sim_mcp.transports.results import text_result
from sim_mcp.transports.sentences import state_sentence

if TYPE_CHECKING:
    from mcp_types import CallToolResult

    from sim_mcp.model.execution import Execution
    from sim_mcp.model.json import Json

MOST_INPUT_BYTES = 20_000


def execution_reading(row: Execution, *, limit_bytes: int = DEFAULT_MAX_OUTPUT_BYTES) -> CallToolResult:
    """All about `row`; the output is shown as in the result of its tool, the input cut when it is long."""
    shown = shown_output(row, limit_bytes=limit_bytes)
    view = {**execution_view(row), "output": shown.value, "input": _bounded_input(row.input)}
    result = text_result(view, *_lead(row, " ".join(shown.remarks)), compact(view))
    result.content.extend(shown.blocks)
    return result


def page_reading(row: Execution, selection: Selection) -> CallToolResult:
    """A page of the output of `row`: its value as `output`, and as `page` where it stands. No input.

    Raises:
        InvalidInput: nothing is there.
    """
    page = page_of_row(row, selection)
    view = {**execution_view(row), "output": page.value, "page": placed_json(row, page)}
    del view["input"]
    told: list[str] = []
    if page.following is not None:
        told.append(f"Next page: {_call(row, page.following)}.")
    if page.cuts:
        paths = [each.path for each in page.cuts if each.path is not None]
        where = f", as {_call(row, Selection(path=paths[0]))}" if paths else ""
        told.append(
            f"{len(page.cuts)} of its members are larger than a page: read each by its own path{where}."
        )
    return text_result(view, *_lead(row, " ".join(told)), compact(view))


def _lead(row: Execution, remark: str) -> list[str]:
    state = "" if row.status is Status.COMPLETED else state_sentence(row)
    return [text for text in (state, remark) if text]


def _call(row: Execution, selection: Selection) -> str:
    limit = "" if selection.limit == MOST_MEMBERS else f", limit={selection.limit}"
    path = compact(selection.path)
    return f'sim_get_execution(execution_id="{row.id}", path={path}, offset={selection.offset}{limit})'


def _bounded_input(given: Json) -> Json:
    whole_bytes = size_bytes(compact(given))
    if whole_bytes <= MOST_INPUT_BYTES:
        return given
    return cut(given, whole_bytes=whole_bytes, limit_bytes=MOST_INPUT_BYTES)
