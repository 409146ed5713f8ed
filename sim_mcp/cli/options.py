"""Options that several verbs share, spelt once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings file; default: sim-mcp.toml here.")
]
Tenant = Annotated[
    str | None, typer.Option("--tenant", metavar="T", help="Whose; default: SIM_MCP_TENANT_ID.")
]
Organization = Annotated[
    str | None, typer.Option("--organization", metavar="O", help="Only this organisation of the tenant.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
