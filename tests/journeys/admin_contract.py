"""Writes `tool_specs/admin-tools.json`: `uv run python -m tests.journeys.admin_contract`."""

from __future__ import annotations

import json
from pathlib import Path

from sim_mcp.transports.admin_tools import ADMIN_TOOLS

CONTRACT = Path(__file__).parents[2] / "tool_specs" / "admin-tools.json"


def contract() -> str:
    """The admin tools as a server lists them to somebody who may do everything."""
    tools = [
        tool.listed().model_dump(mode="json", by_alias=True, exclude_none=True)
        for tool in ADMIN_TOOLS.values()
    ]
    return json.dumps({"tools": tools}, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    CONTRACT.write_text(contract(), encoding="utf-8")
