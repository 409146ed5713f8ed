"""The findings of a check-up at the doors: their schema, and how they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.model.check import Level
from sim_mcp.transports.output_schemas import TEXT, maybe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim_mcp.model.check import Check
    from sim_mcp.model.json import Json, JsonObject

CHECKS: JsonObject = {
    "type": "array",
    "description": "What was looked at, and for everything that is not ok the remedy.",
    "items": {
        "type": "object",
        "properties": {
            "name": TEXT,
            "about": maybe(TEXT),
            "level": {"type": "string", "enum": [level.value for level in Level]},
            "message": TEXT,
            "remedy": maybe(TEXT),
        },
    },
}


def checks_json(found: Sequence[Check]) -> list[Json]:
    """The findings in the order in which they were made."""
    return [
        {
            "name": each.name,
            "about": each.about,
            "level": each.level.value,
            "message": each.message,
            "remedy": each.remedy,
        }
        for each in found
    ]
