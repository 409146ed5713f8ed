"""`sim-mcp init`: a settings file and a first spec, commented, to begin with."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from sim_mcp.cli.exits import Misuse
from sim_mcp.cli.options import AsJson
from sim_mcp.cli.printing import note, print_json, say
from sim_mcp.model.json import Json

_SPEC = """\
# yaml-language-server: $schema=./tool-spec.schema.json
# One workflow of your SIM account as a tool. `sim-mcp tools import WORKFLOW_ID` writes such files for you.
tenant: {tenant}
tools:
  - name: my_workflow
    workflow_id: 00000000-0000-4000-8000-000000000000   # the last part of its address in SIM's editor
    description: >-
      What it does, for what, and with which effects: a model chooses by these words.
    input_schema:
      type: object
      properties:
        topic: {{type: string, description: What it is about.}}
      additionalProperties: false
    mode: sync            # sync | async | stream
    timeout_s: 60
    enabled: false        # set it to true once the id is that of a workflow
"""
_SHOWN = ("tenant_id", "sim_base_url", "tool_specs", "public_url", "call_patience_s", "retention_days")
"""The settings that newcomers look for; docs/settings.md has them all."""


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; default: here.")] = Path(),
    *,
    tenant: Annotated[str, typer.Option("--tenant", metavar="T", help="Whose tools.")] = "default",
    as_json: AsJson = False,
) -> None:
    """Write a commented sim-mcp.toml and a first spec. Files that are there are left alone."""
    from sim_mcp.catalog.spec import TENANT_PATTERN, schema_of_specs

    if not re.fullmatch(TENANT_PATTERN, tenant):
        raise Misuse(
            f"--tenant {tenant!r} is no name of a tenant.", remedy="use letters, digits and _ . : @ -"
        )
    schema = json.dumps(schema_of_specs(), indent=2, ensure_ascii=False) + "\n"
    wanted = {
        directory / "sim-mcp.toml": _settings(tenant),
        directory / "tool_specs" / f"{re.sub(r'[^A-Za-z0-9_-]', '_', tenant)}.yaml": _SPEC.format(
            tenant=tenant
        ),
        directory / "tool_specs" / "tool-spec.schema.json": schema,
    }
    written = [path for path, text in wanted.items() if _write(path, text)]
    if as_json:
        files: list[Json] = [{"file": str(path), "is_new": path in written} for path in wanted]
        print_json({"files": files})
        return
    for path in wanted:
        say(f"{'wrote' if path in written else 'kept '} {path}")
    note("Next: `sim-mcp setup` connects a SIM account; `sim-mcp demo` shows everything without one.")


def _settings(tenant: str) -> str:
    from sim_mcp.config import Settings

    lines = [
        "# Settings of sim-mcp. Environment variables (SIM_MCP_...) win over it; no secret belongs here.",
        "# Every setting: docs/settings.md. An unknown name is an error that tells the nearest one.",
        "",
    ]
    for name in _SHOWN:
        field = Settings.model_fields[name]
        lines += [f"# {line}" for line in textwrap.wrap(field.description or "", 100)]
        match name:
            case "tenant_id":
                lines += [f'tenant_id = "{tenant}"', ""]
            case "tool_specs":
                lines += ['tool_specs = "tool_specs"', ""]
            case "public_url":
                lines += ['# public_url = "https://mcp.example.com"', ""]
            case _:
                default = field.get_default()
                shown = f'"{default}"' if isinstance(default, str) else str(default)
                lines += [f"# {name} = {shown}", ""]
    return "\n".join(lines)


def _write(path: Path, text: str) -> bool:
    """Whether the file was written: one that is there stays as it is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise Misuse(
            f"{str(path)!r} cannot be written ({error.strerror}).", remedy="give another DIR"
        ) from error
    return True
