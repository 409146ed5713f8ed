"""`sim-mcp doctor`: what works, what does not, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli.clients import CLIENTS, ClientName, Machine
from sim_mcp.cli.exits import DONE, FAILED, Misuse
from sim_mcp.cli.options import AsJson, Config, Organization, Tenant
from sim_mcp.cli.printing import print_json, safe, say
from sim_mcp.cli.session import run
from sim_mcp.model.check import Check, Level
from sim_mcp.model.errors import InvalidInput
from sim_mcp.model.json import Json
from sim_mcp.model.principal import TenantId

if TYPE_CHECKING:
    from sim_mcp.app.examination import Examination
    from sim_mcp.config import Settings

_USUAL_PATIENCE_S = 45.0
_MARKS = {Level.OK: "ok", Level.WARNING: "warning", Level.FAILURE: "FAILURE", Level.SKIPPED: "skipped"}
_WIDTH = max(len(mark) for mark in _MARKS.values())


def doctor(
    *,
    tenant: Tenant = None,
    organization: Organization = None,
    client: Annotated[
        ClientName | None,
        typer.Option("--client", metavar="NAME", help="Look at this client's configuration too."),
    ] = None,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Look at everybody's.")] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Check everything that calls depend on, and print a remedy for what is wrong.

    Changes nothing and runs nothing in SIM. Exit code 1 when something failed.
    """
    from sim_mcp.app.examination import Examination

    if all_tenants and (tenant or organization):
        raise Misuse("--all-tenants leaves nobody to name.", remedy="drop --tenant and --organization")
    settings, checks = _settings(config)
    found = Examination(process=checks)
    if settings is not None:
        examined = _examined(settings, tenant, organization, is_everybody=all_tenants)
        found = Examination(process=(*checks, *examined.process), tenants=examined.tenants)
    at_client = () if client is None else _at_client(client, settings)
    everything = (*found.checks, *at_client)
    if as_json:
        print_json(_reported(found, client, at_client))
    else:
        _describe(found, client, at_client)
    raise typer.Exit(FAILED if _count(everything, Level.FAILURE) else DONE)


def _examined(
    settings: Settings, tenant: str | None, organization: str | None, *, is_everybody: bool
) -> Examination:
    from sim_mcp.app.examination import Owner, examine

    is_own = tenant in {None, settings.tenant_id}
    owner = Owner(
        TenantId(tenant or settings.tenant_id),
        organization or (settings.organization_id if is_own else None),
    )

    async def look() -> Examination:
        return await examine(settings, owner=owner, is_everybody=is_everybody)

    return run(look)


def _at_client(client: ClientName, settings: Settings | None) -> tuple[Check, ...]:
    from sim_mcp.cli.client_checks import check_client

    patience_s = _USUAL_PATIENCE_S if settings is None else settings.call_patience_s

    async def look() -> list[Check]:
        return await check_client(client, Machine.here(), call_patience_s=patience_s)

    return tuple(run(look))


def _settings(config: Path | None) -> tuple[Settings | None, tuple[Check, ...]]:
    """The settings, and the finding about them. When they are faulty nothing else can be said."""
    from sim_mcp.app.host_checks import packages, python
    from sim_mcp.config import CONFIG_FILE, load_settings
    from sim_mcp.gateway import complaint
    from sim_mcp.telemetry import set_up_logs

    name, about = "settings", None if config is None else str(config)
    try:
        settings = load_settings(config)
    except InvalidInput as error:
        broken = Check.failure(
            name,
            complaint(error),
            remedy="correct or remove what it names; docs/settings.md lists every setting",
            about=about,
        )
        rest = Check.skipped(
            "everything_else",
            "Not looked at, because it depends on them.",
            remedy="correct the settings first",
        )
        return None, (broken, *python(), *packages(), rest)
    level = settings.log_level if "log_level" in settings.model_fields_set else "error"
    set_up_logs(level=level, style=settings.log_format)
    file = config or (Path(CONFIG_FILE) if Path(CONFIG_FILE).is_file() else None)
    read = "no settings file" if file is None else f"the settings file {str(file)!r}"
    count = len(settings.model_fields_set)
    return settings, (Check.ok(name, f"Valid: {count} set, the others by default; {read}.", about=about),)


def _describe(found: Examination, client: ClientName | None, at_client: Sequence[Check]) -> None:
    _print(found.process)
    for owner, checks in found.tenants.items():
        say()
        say(f"Tenant {safe(str(owner))}")
        _print(checks)
    if client is not None:
        say()
        say(f"Client {CLIENTS[client].title}")
        _print(at_client)
    say()
    everything = (*found.checks, *at_client)
    failed, warned, ok = (_count(everything, level) for level in (Level.FAILURE, Level.WARNING, Level.OK))
    say(f"{failed} failed, {warned} to look at, {ok} in order.")


def _print(checks: Iterable[Check]) -> None:
    for check in checks:
        about = "" if check.about is None else f" {check.about}"
        say(f"{_MARKS[check.level]:<{_WIDTH}}  {safe(f'{check.name}{about}: {check.message}')}")
        if check.remedy is not None:
            say(f"{'':<{_WIDTH}}  Fix: {safe(check.remedy)}")


def _reported(found: Examination, client: ClientName | None, at_client: Sequence[Check]) -> dict[str, Json]:
    tenants: list[Json] = [
        {
            "tenant_id": owner.tenant_id,
            "organization_id": owner.organization_id,
            "checks": [_check(check) for check in checks],
        }
        for owner, checks in found.tenants.items()
    ]
    everything = (*found.checks, *at_client)
    return {
        "is_healthy": not _count(everything, Level.FAILURE),
        "counts": {level.value: _count(everything, level) for level in Level},
        "checks": [_check(check) for check in found.process],
        "tenants": tenants,
        "client": None
        if client is None
        else {"name": client.value, "checks": [_check(check) for check in at_client]},
    }


def _count(checks: Iterable[Check], level: Level) -> int:
    return sum(check.level is level for check in checks)


def _check(check: Check) -> Json:
    return {
        "name": check.name,
        "about": check.about,
        "level": check.level.value,
        "message": check.message,
        "remedy": check.remedy,
    }
