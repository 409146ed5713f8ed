"""The input and output schemas of `sim_get_execution`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.model.pointers import LONGEST_POINTER
from sim_mcp.transports.admin_schemas import EXECUTION_ID, LONGEST_WAIT_S, RECORD, arguments, listed, whole
from sim_mcp.transports.output_schemas import ANYTHING, INTEGER, TEXT, execution_properties, maybe
from sim_mcp.transports.paging import MOST_MEMBERS, MOST_OFFSET

if TYPE_CHECKING:
    from sim_mcp.model.json import Json, JsonObject

GET_EXECUTION = arguments(
    {
        "execution_id": EXECUTION_ID,
        "wait_s": {
            "type": "number",
            "minimum": 0,
            "maximum": LONGEST_WAIT_S,
            "default": 0,
            "description": "Seconds to wait for an unfinished run to end.",
        },
        "path": {
            "type": "string",
            "maxLength": LONGEST_POINTER,
            "description": "Page through this part of the output: a JSON pointer, as /rows/0; empty is all.",
        },
        "offset": whole("How many items, fields or characters of that part to skip.", 0, MOST_OFFSET, 0),
        "limit": whole("How many of them to return at most; a page is bounded anyway.", 1, MOST_MEMBERS),
    },
    "execution_id",
)

PAGE: JsonObject = {
    "type": "object",
    "description": "With path, offset or limit: where the value in `output` stands in the whole output.",
    "properties": {
        "path": TEXT,
        "type": TEXT,
        "total": {**INTEGER, "description": "How many items, fields or characters there are."},
        "offset": INTEGER,
        "limit": INTEGER,
        "next": {**maybe(TEXT), "description": "The address of the next page; null at the end."},
        "truncated": {
            **listed(
                {
                    "type": "object",
                    "properties": {"path": maybe(TEXT), "size_bytes": INTEGER, "uri": TEXT},
                }
            ),
            "description": "Members that are larger than a page: read each at its own path.",
        },
    },
}


def whole_execution() -> JsonObject:
    """The answer of `sim_get_execution`."""
    known: dict[str, Json] = {**execution_properties(), **RECORD, "input": ANYTHING, "page": PAGE}
    return {"type": "object", "properties": known}
