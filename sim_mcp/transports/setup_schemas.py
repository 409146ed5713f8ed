"""The input and output schema of `sim_setup`."""

from __future__ import annotations

from sim_mcp.transports.admin_schemas import answer, arguments, listed, text
from sim_mcp.transports.output_schemas import BOOLEAN, INTEGER, TEXT, maybe

SET_UP = arguments(
    {
        "base_url": text(
            "Address of the SIM instance, as https://sim.example.com; leave out to keep the present one.",
            longest=2000,
        ),
        "enabled": {**BOOLEAN, "description": "false connects or leaves it switched off."},
    }
)

SETUP = answer(
    {
        "status": {
            "type": "string",
            "enum": ["open", "connected", "switched", "failed"],
            "description": "open: the page waits for the user.",
        },
        "url": {**maybe(TEXT), "description": "The one-time link, for the user alone."},
        "expires_at": maybe(TEXT),
        "base_url": {**TEXT, "description": "Where the key goes."},
        "is_enabled": BOOLEAN,
        "revision": maybe(INTEGER),
        "found": maybe(
            {
                "type": "object",
                "description": "What SIM told about the key.",
                "properties": {
                    "dialect": TEXT,
                    "workspaces": listed(
                        {"type": "object", "properties": {"workspace_id": TEXT, "name": TEXT}}
                    ),
                    "usage": maybe({"type": "object"}),
                },
            }
        ),
    }
)
