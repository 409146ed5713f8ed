"""An output as a model gets it: bounded, files beside it, and told what is missing and where it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mcp_types import ResourceLink

from sim_mcp.model.json import Json, is_array, is_object
from sim_mcp.model.pointers import at_pointer, below
from sim_mcp.transports.addresses import page_uri
from sim_mcp.transports.attachments import Attachments, detached, may_have_files
from sim_mcp.transports.cutting import compact, cut, is_cut, size_bytes
from sim_mcp.transports.output_schemas import TRUNCATED, flaw_of
from sim_mcp.transports.paging import heaviest, members_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mcp_types import ContentBlock

    from sim_mcp.model.execution import Execution
    from sim_mcp.model.json import JsonObject

DEFAULT_MAX_OUTPUT_BYTES = 100_000
_STAND_IN = frozenset({"truncated", "kind", "size_bytes", "preview"})
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownOutput:
    """What stands in the place of an output, and beside it.

    `is_whole` is false when anything of the output is not in `value`; `has_gaps` when it is not in the
    execution either. `remarks` are sentences about that.
    """

    value: Json
    text: str
    is_whole: bool = True
    has_gaps: bool = False
    remarks: Sequence[str] = ()
    blocks: Sequence[ContentBlock] = ()


def shown_output(
    row: Execution, *, limit_bytes: int = DEFAULT_MAX_OUTPUT_BYTES, schema: JsonObject | None = None
) -> ShownOutput:
    """The output of `row` in at most `limit_bytes` of JSON; if it is not whole, it still keeps `schema`.

    A value that does not keep it becomes the stand-in that every output schema allows (`TRUNCATED`).
    """
    text = compact(row.output)
    whole_bytes = size_bytes(text)
    shown = ShownOutput(value=row.output, text=text)
    if may_have_files(text):
        value, files = detached(row.output, row.id)
        shown = replace(shown, value=value, blocks=files.blocks, remarks=_about_files(files))
        if files.phrases or files.left_out:
            shown = replace(shown, is_whole=False, text=compact(value))
    kept_back = [*kept_back_in(row.output)] if '"truncated"' in text else []
    if kept_back:
        shown = _gapped(shown, _about_kept_back(row, kept_back))
    if is_cut(row.output):
        shown = _gapped(shown, _about_unstored(row))
    elif size_bytes(shown.text) > limit_bytes:
        shown = _cut(shown, row, whole_bytes=whole_bytes, limit_bytes=limit_bytes)
    if schema is not None and not shown.is_whole and flaw_of(shown.value, schema) is not None:
        value = _allowed_anywhere(shown.value, whole_bytes=whole_bytes, limit_bytes=limit_bytes)
        shown = replace(shown, value=value, text=compact(value))
    return shown


def kept_back_in(output: Json, path: str = "") -> Iterator[tuple[str, JsonObject]]:
    """Where in `output` SIM's adapter put stand-ins for values that SIM keeps, and which.

    An author's imitation is believed: it says as well that a value is missing.
    """
    if is_array(output):
        for at, item in enumerate(output):
            yield from kept_back_in(item, below(path, at))
    elif is_object(output):
        if output.get("truncated") is True and output.keys() >= _STAND_IN:
            yield path, output
            return
        for key, item in output.items():
            yield from kept_back_in(item, below(path, key))


def _gapped(shown: ShownOutput, remark: str) -> ShownOutput:
    return replace(shown, is_whole=False, has_gaps=True, remarks=[*shown.remarks, remark])


def _allowed_anywhere(value: Json, *, whole_bytes: int, limit_bytes: int) -> JsonObject:
    if flaw_of(value, TRUNCATED) is None and is_object(value):
        return value
    wrapped: JsonObject = {"truncated": True, "size_bytes": whole_bytes, "preview": value}
    if size_bytes(compact(wrapped)) <= limit_bytes:
        return wrapped
    return cut(value, whole_bytes=whole_bytes, limit_bytes=limit_bytes)


def _cut(shown: ShownOutput, row: Execution, *, whole_bytes: int, limit_bytes: int) -> ShownOutput:
    """`shown` cut down to `limit_bytes`, with the way to the rest: a tool for models, a link for clients."""
    value = cut(shown.value, whole_bytes=whole_bytes, limit_bytes=limit_bytes)
    path = heaviest(shown.value, weight=len(shown.text))
    part = at_pointer(shown.value, path)
    count = members_in(part)
    members = "items" if is_array(part) else "fields" if is_object(part) else "characters"
    most = (
        f"Most of it is at path {compact(path)} ({count} {members})" if path else f"It has {count} {members}"
    )
    remark = (
        f"Its output has {whole_bytes} bytes, so only the beginning follows. {most}: read it in pages with "
        f'sim_get_execution(execution_id="{row.id}", path={compact(path)}, offset=0).'
    )
    link = ResourceLink(
        type="resource_link",
        uri=page_uri(row.id, path=path),
        name=f"execution {row.id}",
        title="The whole output, in pages",
        description=f"{whole_bytes} bytes; each page names the address of the next.",
        mime_type="application/json",
    )
    return replace(
        shown,
        value=value,
        text=compact(value),
        is_whole=False,
        remarks=[*shown.remarks, remark],
        blocks=[*shown.blocks, link],
    )


def _about_files(files: Attachments) -> Sequence[str]:
    if not files.phrases and not files.left_out:
        return ()
    count = len(files.phrases) + files.left_out
    rest = f"{files.left_out} more are in the execution's resource only" if files.left_out else ""
    told = "; ".join(part for part in (*files.phrases, rest) if part)
    return (f"Its output has {count} file{'s' if count > 1 else ''}: {told}.",)


def _about_kept_back(row: Execution, kept_back: Sequence[tuple[str, JsonObject]]) -> str:
    named = "; ".join(_name_of(path, stand_in) for path, stand_in in kept_back[:_MOST_NAMED])
    more = f" and {len(kept_back) - _MOST_NAMED} more" if len(kept_back) > _MOST_NAMED else ""
    values = f"{len(kept_back)} values" if len(kept_back) > 1 else "1 value"
    return (
        f"SIM itself kept {values} back ({named}{more}): no API key opens its storage, so sim-mcp cannot "
        f"fetch what is missing. The user can see it in SIM, in the logs of run {row.run_id}."
    )


def _name_of(path: str, stand_in: JsonObject) -> str:
    size = stand_in.get("size_bytes")
    told = f"{size} bytes" if isinstance(size, int) else "of unknown size"
    kind = stand_in.get("kind")
    shown = path if len(path) <= 100 else f"{path[:100]}…"
    return f"{kind if isinstance(kind, str) and len(kind) <= 20 else 'value'}, {told}, at {shown!r}"


def _about_unstored(row: Execution) -> str:
    note: JsonObject = row.output if is_object(row.output) else {}
    return (
        f"Its output has {note.get('size_bytes')} bytes, more than the {note.get('limit_bytes')} that "
        "sim-mcp keeps: none of it is here. The user can see it in SIM, in the logs of run "
        f"{row.run_id}."
    )
