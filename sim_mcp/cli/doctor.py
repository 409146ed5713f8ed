"""`sim-mcp doctor`: what works, what does not, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli.exits import DONE, FAILED, Misuse
from sim_mcp.cli.options import AsJson, Config, Organization, Tenant
from sim_mcp.cli.printing import print_json, safe, say
from sim_mcp.cli.session import run
from sim_mcp.model.check import Check, Level
from sim_mcp.model.credentials import without_credentials
from sim_mcp.model.errors import InvalidInput
from sim_mcp.model.json import Json
from sim_mcp.model.principal import TenantId

if TYPE_CHECKING:
    from sim_mcp.app.examination import Examination
    from sim_mcp.config import Settings

_MARKS = {Level.OK: "ok", Level.WARNING: "warning", Level.FAILURE: "FAILURE", Level.SKIPPED: "skipped"}
_WIDTH = max(len(mark) for mark in _MARKS.values())


def doctor(
    *,
    tenant: Tenant = None,
    organization: Organization = None,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Look at everybody's.")] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Check everything that calls depend on, and print a remedy for what is wrong.

    Changes nothing and runs nothing in SIM. Exit code 1 when something failed.
    """
    if all_tenants and (tenant or organization):
        raise Misuse("--all-tenants leaves nobody to name.", remedy="drop --tenant and --organization")
    found = _examined(config, tenant, organization, is_everybody=all_tenants)
    if as_json:
        print_json(_reported(found))
    else:
        _describe(found)
    raise typer.Exit(FAILED if found.count(Level.FAILURE) else DONE)


def _examined(
    config: Path | None, tenant: str | None, organization: str | None, *, is_everybody: bool
) -> Examination:
    from sim_mcp.app.examination import Examination, Owner, examine

    settings, checks = _settings(config)
    if settings is None:
        return Examination(process=checks)
    owner = Owner(
        TenantId(tenant or settings.tenant_id),
        organization or (settings.organization_id if tenant in {None, settings.tenant_id} else None),
    )

    async def look() -> Examination:
        return await examine(settings, owner=owner, is_everybody=is_everybody)

    found = run(look)
    return Examination(process=(*checks, *found.process), tenants=found.tenants)


def _settings(config: Path | None) -> tuple[Settings | None, tuple[Check, ...]]:
    """The settings, and the finding about them. When they are faulty nothing else can be said."""
    from sim_mcp.app.host_checks import packages, python
    from sim_mcp.config import CONFIG_FILE, load_settings
    from sim_mcp.telemetry import set_up_logs

    name, about = "settings", None if config is None else str(config)
    try:
        settings = load_settings(config)
    except InvalidInput as error:
        broken = Check.failure(
            name,
            without_credentials(f"{error.message.rstrip('.')}."),
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


def _describe(found: Examination) -> None:
    _print(found.process)
    for owner, checks in found.tenants.items():
        say()
        say(f"Tenant {safe(str(owner))}")
        _print(checks)
    say()
    failures, warnings = found.count(Level.FAILURE), found.count(Level.WARNING)
    say(f"{failures} failed, {warnings} to look at, {found.count(Level.OK)} in order.")


def _print(checks: Iterable[Check]) -> None:
    for check in checks:
        about = "" if check.about is None else f" {check.about}"
        say(f"{_MARKS[check.level]:<{_WIDTH}}  {safe(f'{check.name}{about}: {check.message}')}")
        if check.remedy is not None:
            say(f"{'':<{_WIDTH}}  Fix: {safe(check.remedy)}")


def _reported(found: Examination) -> dict[str, Json]:
    tenants: list[Json] = [
        {
            "tenant_id": owner.tenant_id,
            "organization_id": owner.organization_id,
            "checks": [_check(check) for check in checks],
        }
        for owner, checks in found.tenants.items()
    ]
    return {
        "is_healthy": found.count(Level.FAILURE) == 0,
        "counts": {level.value: found.count(level) for level in Level},
        "checks": [_check(check) for check in found.process],
        "tenants": tenants,
    }


def _check(check: Check) -> Json:
    return {
        "name": check.name,
        "about": check.about,
        "level": check.level.value,
        "message": check.message,
        "remedy": check.remedy,
    }
