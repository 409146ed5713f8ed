"""`sim-mcp setup`: connecting a tenant to its SIM account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli import undoing
from sim_mcp.cli.asking import confirmed, read_secret
from sim_mcp.cli.exits import Misuse, Unfinished
from sim_mcp.cli.options import AsJson, Config, Organization, Tenant, Yes
from sim_mcp.cli.printing import print_json, safe, say
from sim_mcp.cli.session import with_app
from sim_mcp.model.integration import Integration
from sim_mcp.model.json import Json
from sim_mcp.model.principal import Principal
from sim_mcp.model.run import Usage

if TYPE_CHECKING:
    from pathlib import Path

    from sim_mcp.app import App, SetupReport


_EXCLUSIVE = "--enable, --disable, --remove, --history and --undo exclude each other."


def setup(
    *,
    tenant: Tenant = None,
    organization: Organization = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="Of SIM; default: SIM_MCP_SIM_BASE_URL.")
    ] = None,
    workspace: Annotated[
        str | None, typer.Option("--workspace", metavar="W", help="Id of the SIM workspace to offer.")
    ] = None,
    api_key_stdin: Annotated[
        bool, typer.Option("--api-key-stdin", help="Read the SIM API key from standard input.")
    ] = False,
    enable: Annotated[bool, typer.Option("--enable", help="Only switch it on.")] = False,
    disable: Annotated[bool, typer.Option("--disable", help="Only switch it off.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove it and destroy the stored key.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Only show who changed what, when.")] = False,
    undo: Annotated[
        int | None, typer.Option("--undo", metavar="REVISION", min=1, help="Go back to earlier settings.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Connect a tenant: try its SIM API key, then store it sealed. The key is asked for, never shown."""
    if sum((enable, disable, remove, history, undo is not None)) > 1:
        raise Misuse(_EXCLUSIVE, remedy="give one of them")
    if history:
        undoing.show_history(config=config, tenant=tenant, organization=organization, as_json=as_json)
        return
    if undo is not None:
        restored = undoing.undo(
            undo, api_key_stdin=api_key_stdin, config=config, tenant=tenant, organization=organization
        )
        words = f"The settings of revision {undo} are in force again, as revision {restored.revision}."
        _tell(_settings(restored), words, as_json=as_json)
        return
    if remove:
        if not confirmed("Remove the SIM account of this tenant and destroy its key?", is_yes=yes):
            raise Unfinished("Nothing was removed.")
        with_app(_remove, config=config, tenant=tenant, organization=organization)
        _tell({"removed": True}, "The SIM account is disconnected and its key destroyed.", as_json=as_json)
        return
    if enable or disable:
        _switch(config, tenant, organization, is_enabled=enable, as_json=as_json)
        return
    api_key = read_secret("SIM API key", from_stdin=api_key_stdin)

    async def connect(app: App, principal: Principal) -> SetupReport:
        return await app.administration.set_up(
            principal, api_key=api_key, base_url=base_url, workspace_id=workspace
        )

    report = with_app(connect, config=config, tenant=tenant, organization=organization)
    if as_json:
        print_json(_reported(report))
    else:
        _describe(report)


def _switch(
    config: Path | None, tenant: str | None, organization: str | None, *, is_enabled: bool, as_json: bool
) -> None:
    async def switch(app: App, principal: Principal) -> Integration:
        return await app.administration.set_enabled(principal, is_enabled=is_enabled)

    changed = with_app(switch, config=config, tenant=tenant, organization=organization)
    words = f"The integration is switched {'on' if is_enabled else 'off'}."
    _tell(_settings(changed), words, as_json=as_json)


async def _remove(app: App, principal: Principal) -> None:
    await app.administration.remove(principal)


def _tell(value: dict[str, Json], words: str, *, as_json: bool) -> None:
    if as_json:
        print_json(value)
    else:
        say(words)


def _describe(report: SetupReport) -> None:
    integration, probe = report.integration, report.probe
    tenant = safe(integration.tenant_id)
    say(f"Connected tenant {tenant!r} to {integration.base_url} (settings revision {integration.revision}).")
    say(f"  API          {probe.dialect.value}")
    for at, workspace in enumerate(probe.workspaces):
        is_chosen = workspace.workspace_id == integration.workspace_id
        mark = " (chosen)" if is_chosen else ""
        say(f"  {'Workspaces' if at == 0 else '':<12} {safe(workspace.name)}  {workspace.workspace_id}{mark}")
    if report.usage is not None:
        say(f"  Plan         {_plan(report.usage)}")
    if len(probe.workspaces) > 1 and integration.workspace_id is None:
        say("Several workspaces: run setup again with --workspace to choose one.")
    say(f"Next: sim-mcp tools discover --tenant {tenant}")


def _plan(usage: Usage) -> str:
    parts = [safe(usage.plan)] if usage.plan else []
    if usage.sync_per_minute is not None:
        parts.append(f"{usage.sync_per_minute} sync runs a minute")
    if usage.async_per_minute is not None:
        parts.append(f"{usage.async_per_minute} async runs a minute")
    if usage.period_cost is not None and usage.period_limit is not None:
        parts.append(f"used {usage.period_cost:.2f} of {usage.period_limit:.2f} in this period")
    return ", ".join(parts) or "SIM does not tell its limits"


def _reported(report: SetupReport) -> dict[str, Json]:
    usage = report.usage
    limits: dict[str, Json] | None = None
    if usage is not None:
        limits = {
            "plan": usage.plan,
            "sync_per_minute": usage.sync_per_minute,
            "sync_remaining": usage.sync_remaining,
            "async_per_minute": usage.async_per_minute,
            "async_remaining": usage.async_remaining,
            "period_cost": usage.period_cost,
            "period_limit": usage.period_limit,
        }
    workspaces: list[Json] = [
        {"workspace_id": each.workspace_id, "name": each.name} for each in report.probe.workspaces
    ]
    return {
        **_settings(report.integration),
        "dialect": report.probe.dialect.value,
        "workspaces": workspaces,
        "usage": limits,
    }


def _settings(integration: Integration) -> dict[str, Json]:
    return {
        "tenant_id": integration.tenant_id,
        "organization_id": integration.organization_id,
        "integration_id": integration.id,
        "revision": integration.revision,
        "base_url": integration.base_url,
        "is_enabled": integration.is_enabled,
        "has_api_key": integration.has_api_key,
        "workspace_id": integration.workspace_id,
    }
