"""`sim-mcp setup --history` and `--undo`: what the connection was before, and back to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.cli.asking import read_secret
from sim_mcp.cli.printing import moment, print_json, print_table, say
from sim_mcp.cli.session import with_app

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sim_mcp.app import App
    from sim_mcp.model.integration import Integration, Revision
    from sim_mcp.model.json import Json
    from sim_mcp.model.principal import Principal


def show_history(*, config: Path | None, tenant: str | None, organization: str | None, as_json: bool) -> None:
    """Print every revision of the settings, newest first."""

    async def read(app: App, principal: Principal) -> Sequence[Revision]:
        return await app.administration.history(principal)

    found = with_app(read, config=config, tenant=tenant, organization=organization)
    if as_json:
        print_json([_revision(each) for each in found])
    elif not found:
        say("This tenant has never connected a SIM account.")
    else:
        print_table(
            ("revision", "when", "who", "changed", "base URL", "state"),
            [
                (
                    each.revision,
                    moment(each.changed_at),
                    each.changed_by,
                    ", ".join(each.changed_fields),
                    each.base_url,
                    _state(each),
                )
                for each in found
            ],
        )
        say("Go back with: sim-mcp setup --undo REVISION")


def undo(
    revision: int,
    *,
    api_key_stdin: bool,
    config: Path | None,
    tenant: str | None,
    organization: str | None,
) -> Integration:
    """Put the settings of `revision` in force again; asks for the key when the stored one is not for them."""

    async def ask(app: App, principal: Principal) -> bool:
        return await app.administration.needs_key(principal, revision)

    is_needed = with_app(ask, config=config, tenant=tenant, organization=organization)
    api_key = read_secret("SIM API key", from_stdin=api_key_stdin) if is_needed or api_key_stdin else None

    async def restore(app: App, principal: Principal) -> Integration:
        return await app.administration.restore(principal, revision, api_key=api_key)

    return with_app(restore, config=config, tenant=tenant, organization=organization)


def _state(revision: Revision) -> str:
    return "removed" if revision.is_removed else "on" if revision.is_enabled else "off"


def _revision(each: Revision) -> Json:
    return {
        "revision": each.revision,
        "organization_id": each.organization_id,
        "changed_at": moment(each.changed_at),
        "changed_by": each.changed_by,
        "changed_fields": list(each.changed_fields),
        "base_url": each.base_url,
        "workspace_id": each.workspace_id,
        "is_enabled": each.is_enabled,
        "has_api_key": each.has_api_key,
        "is_removed": each.is_removed,
    }
